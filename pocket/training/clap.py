"""Training of the pocket CLAP: captions and clips in one space, by contrast within a batch."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import ClapConfig, ClapModel

from stabench.metrics.embedders.clap import ClapFrontEnd, LogMel
from stabench.pocket.captions import caption
from stabench.pocket.configs import TEXT_LENGTH
from stabench.pocket.training.corpus import Corpus
from stabench.pocket.training.degrade import degrade
from stabench.pocket.training.generators import tokenizer
from stabench.systems.training.device import send
from stabench.systems.training.loop import Recipe, Stage, fit
from stabench.systems.training.schedules import Trapezoid
from stabench.systems.training.workplace import Workplace

# A hop of 252 makes 254 frames of 4 s, just within the 256 that the network has.
FRONT_END = ClapFrontEnd(rate_hz=16_000, window=1024, hop=252, mels=64, fmax=8000, longest_s=4.0)
BATCH = 40


def clap_config() -> ClapConfig:
    """Return HTSAT on 256 frames of 64 mels, a two-layer text encoder, 128 shared dimensions."""
    audio = {
        "num_mel_bins": FRONT_END.mels,
        "spec_size": 128,
        "patch_embeds_hidden_size": 32,
        "depths": [1, 1, 2],
        "num_attention_heads": [2, 4, 4],
        "hidden_size": 128,
        "window_size": 8,
        "num_hidden_layers": 3,
        "enable_fusion": False,
        "projection_hidden_size": 128,
        "drop_path_rate": 0.0,
    }
    text = {
        "vocab_size": len(tokenizer()),
        "hidden_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 256,
        "max_position_embeddings": TEXT_LENGTH + 2,
        "pad_token_id": 0,
    }
    return ClapConfig(audio_config=audio, text_config=text, projection_dim=128)


def train_clap(data: Corpus, work: Workplace, steps: int = 800) -> ClapModel:
    torch.manual_seed(work.seeded(90))
    model, words = ClapModel(clap_config()), tokenizer()
    logmel = LogMel(FRONT_END).to(work.device)
    recipe = Recipe(steps, 1e-3, Trapezoid(200), ema=0.996)

    def loss(rng: np.random.Generator) -> Tensor:
        index = np.sort(rng.integers(len(data.items), size=BATCH))
        scenes = [data.items[i].scene for i in index]
        texts = [caption(scene.events, scene.relation, "train", rng) for scene in scenes]
        ids, mask = map(work.send, words.encode(texts, TEXT_LENGTH))
        mel = logmel(degrade(data.clips(index), rng))
        sound = model.get_audio_features(input_features=mel).pooler_output
        text = model.get_text_features(input_ids=ids, attention_mask=mask.long()).pooler_output
        cosines = functional.normalize(text) @ functional.normalize(sound).T
        scores = model.logit_scale_a.exp() * cosines
        # Clips that say the same share the target.
        keys = [(scene.relation, *scene.events) for scene in scenes]
        same = torch.tensor([[float(key == other) for other in keys] for key in keys])
        target = send(same / same.sum(1, keepdim=True), scores.device)
        return 0.5 * (
            functional.cross_entropy(scores, target) + functional.cross_entropy(scores.T, target)
        )

    fit(Stage("clap", model, recipe, work), loss, seed=9)
    return model
