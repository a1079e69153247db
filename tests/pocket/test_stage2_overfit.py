"""Stage 2 learns eight clips by heart: what its loss teaches is what the sampler needs."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch

from stabench.metrics.audio import decode, load
from stabench.metrics.recall import event_recall
from stabench.pocket import configs, embedders, systems
from stabench.pocket.configs import WEIGHTS
from stabench.pocket.sounds.events import LABELS
from stabench.systems.contract import Utterance
from stabench.systems.star.star import Star
from stabench.systems.training.data import TensorFrames, TensorLatents
from stabench.systems.training.log import read_log
from stabench.systems.training.loop import Records
from stabench.systems.training.stage2 import Stage2Config, read_states, train_stage2, write_star
from stabench.systems.training.stage2_network import Stage2Data, Stage2Network
from stabench.systems.training.workplace import Workplace

CLIPS = slice(0, 24, 3)  # Of one event each.
CONFIG = Stage2Config(rate=2e-3, warmup=50, decay=0.5, betas=(0.9, 0.99), steps=1400, batch=4)


@torch.inference_mode()
def read_split(parts, clips):
    """Return the split of these clips, heard and encoded by the shipped networks."""
    heard = [parts.speech_encoder(torch.from_numpy(decode(c.speech)[0])[None]) for c in clips]
    rows = [each.frames[0] for each in heard]
    frames = TensorFrames(torch.cat(rows), np.cumsum([0, *map(len, rows)]))
    sounds = torch.from_numpy(np.stack([load(clip.reference, 16_000) for clip in clips]))
    posterior = parts.vae.encode(sounds[:, None])
    latents = TensorLatents(posterior.mean, posterior.std, parts.vae.normalise)
    return Stage2Data(read_states(parts.bridge, frames), latents)


def hear_events(waveforms, clips):
    """Return the share of each clip's events that the tagger hears in its waveform."""
    tagger = embedders.cnn14()
    tagger.load("cpu")
    logits = np.stack([each.logits for each in tagger.embed(waveforms)])
    labels = np.array([[label in clip.labels for label in LABELS] for clip in clips])
    return event_recall(logits, tagger.thresholds, labels)


def generate(system, clips):
    """Return the waveforms that a system makes of the clips' speech."""
    system.load("cpu", "float32")
    spoken = [Utterance(clip.id, *decode(clip.speech), None) for clip in clips]
    contexts = [system.represent(each, lambda _: nullcontext()) for each in spoken]
    sounds = system.generate(contexts, list(range(len(clips))), lambda _: nullcontext())
    return [sound.samples for sound in sounds]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_eight_clips_learned_by_heart_sound_as_their_events(pocket_clips, tmp_path):
    star, base, clips = systems.star(), systems.text_to_audio(), pocket_clips[CLIPS]
    for system in (star, base):
        system.load("cpu", "float32")
    parts = star.parts
    network = Stage2Network(base.generator.udit, parts.bridge.projection)
    data, work = read_split(parts, clips), Workplace(tmp_path, torch.device("cpu"))
    records = Records(save_every=CONFIG.steps, log_every=1)
    train_stage2("star", CONFIG, data, network, work, records=records)
    losses = np.array([line["loss"] for line in read_log(work.folder / "star.log.jsonl")])
    first, last = losses[:10].mean(), losses[-50:].mean()
    assert first / last > 5, f"loss {first:.3f} to {last:.3f}"
    write_star(tmp_path / "trained", configs.star(), WEIGHTS, network, parts.bridge)
    recall = hear_events(generate(Star(weights=tmp_path / "trained"), clips), clips)
    recorded = hear_events([load(clip.reference, 16_000) for clip in clips], clips)
    # What the tagger does not hear in a recording, it need not hear in what was learned from it.
    assert (recall >= recorded).all(), f"{recall} of rendered, {recorded} of recorded sounds"
