"""The systems of the pocket suite: the full-size classes with this room's configs and weights."""

from typing import Any

from stabench.pocket import configs
from stabench.pocket.configs import WEIGHTS
from stabench.systems.asr.caption import CaptionAsr
from stabench.systems.asr.ctc import CtcRecogniser
from stabench.systems.asr.pocketsphinx import PocketSphinx
from stabench.systems.cascade.cascade import Cascade
from stabench.systems.star.config import StarConfig
from stabench.systems.star.star import Star
from stabench.systems.tta.dit import DitTextToAudio

VARIANT = "folded"
LANGUAGE_MODEL = WEIGHTS / "asr" / "caption.arpa"


def cascade() -> Cascade:
    """Return STAR's own speech encoder with a word-CTC head, then the pocket text-to-audio model.

    Against STAR it isolates the text between the two: encoder, its weights and the generator's
    network are the same.
    """
    return Cascade(recogniser(), text_to_audio())


def cascade_pocketsphinx() -> Cascade:
    """Return PocketSphinx with the same language model and the same text-to-audio model."""
    return Cascade(pocketsphinx(), text_to_audio())


def oracle() -> Cascade:
    """Return the same with the true caption in place of the recogniser."""
    return Cascade(CaptionAsr(), text_to_audio())


def star() -> Star:
    """Return STAR: HuBERT (log-mel front end), Q-Former bridge, DiT."""
    return _star(configs.star(), "star", "speech_encoder")


def star_nobridge() -> Star:
    """Return STAR without BridgeNet: speech frames go straight into the DiT."""
    return _star(configs.star(bridge=None), "star-nobridge", "speech_encoder")


def star_dac() -> Star:
    """Return STAR with a codec's encoder in place of the speech encoder."""
    return _star(configs.star(encoder=configs.CODEC), "star-dac", "codec")


def recogniser() -> CtcRecogniser:
    """Return CTC over words on STAR's speech encoder, searched with the captions' trigram."""
    return CtcRecogniser(
        configs.ENCODER,
        configs.ctc_head(),
        {part: WEIGHTS / f"{part}.safetensors" for part in ("speech_encoder", "ctc")},
        words=WEIGHTS / "words.txt",
        arpa=LANGUAGE_MODEL,
        search=configs.SEARCH,
    )


def pocketsphinx() -> PocketSphinx:
    """Return PocketSphinx with the captions' words and their trigram."""
    return PocketSphinx(LANGUAGE_MODEL, WEIGHTS / "asr" / "words.dict")


class FoldedTextToAudio(DitTextToAudio):
    """With the sampler of STAR's variant "folded", so that all systems here have the same."""

    def load(self, device: str, dtype: str) -> None:
        from stabench.systems.networks.latent_generator import FoldedGenerator

        super().load(device, dtype)
        plain = self.generator
        self.generator = FoldedGenerator(plain.udit, plain.vae, plain.config, plain.latent_frames)

    def provenance(self) -> dict[str, Any]:
        """Return DitTextToAudio's provenance with the variant."""
        return {**super().provenance(), "variant": VARIANT}


def text_to_audio() -> FoldedTextToAudio:
    """Return the generator of cascade and oracle, from which the STAR systems were trained."""
    return FoldedTextToAudio(
        text_encoder=configs.TEXT_ENCODER,
        udit=configs.UDIT,
        vae=configs.VAE,
        sampler=configs.SAMPLER,
        latent_frames=configs.LATENT_FRAMES,
        text_length=configs.TEXT_LENGTH,
        words=WEIGHTS / "words.txt",
        weights={part: WEIGHTS / f"{part}.safetensors" for part in ("text_encoder", "udit", "vae")},
    )


def _star(config: StarConfig, name: str, encoder: str) -> Star:
    """Return a STAR whose DiT is the text-to-audio one, overruled by what stage 2 changed."""
    folder = WEIGHTS / name
    weights = {
        "speech_encoder": WEIGHTS / f"{encoder}.safetensors",
        "udit": (WEIGHTS / "udit.safetensors", folder / "udit.safetensors"),
        "vae": WEIGHTS / "vae.safetensors",
    }
    if config.bridge:
        weights["bridge"] = folder / "bridge.safetensors"
    return Star(config, weights, variant=VARIANT)
