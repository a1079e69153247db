"""Sizes of the pocket networks: the classes of the full-size systems, small enough for a CPU."""

from pathlib import Path
from typing import TypedDict

from stabench.pocket.captions import every_word
from stabench.systems.asr.ctc_config import CtcHeadConfig, SearchConfig
from stabench.systems.networks.config import SamplerConfig, UDiTConfig, VaeConfig
from stabench.systems.star.config import BridgeConfig, SpeechEncoderConfig, StarConfig

WEIGHTS = Path(__file__).resolve().parent / "weights"

# Of speech frames, bridge tokens and text tokens alike, so that one DiT can start from another.
WIDTH = 192


class TextEncoderSizes(TypedDict):
    """Settings of transformers' T5Config."""

    d_model: int
    d_kv: int
    num_heads: int
    num_layers: int
    d_ff: int
    feed_forward_proj: str
    dropout_rate: float


# 4 s of the VAE's latents: spectra of 10 ms, two to a latent.
LATENT_FRAMES = 200
TEXT_LENGTH = 24

VAE = VaeConfig(
    kind="spectrogram",
    sample_rate_hz=16_000,
    latent_channels=32,
    ratios=(2,),
    multiples=(2,),
    base=144,
    griffin_lim_iterations=16,
    momentum=0.0,
    softening=0.5,
    log_centre=-2.4,
    log_spread=1.9,
    full_scale=0.95,  # That of the recordings.
)
ENCODER = SpeechEncoderConfig(
    kind="hubert-logmel",
    width=WIDTH,
    layers=4,
    heads=4,
    ffn=576,
    position_kernel=16,
    position_groups=4,
    mel_strides=(2, 2),
)
# The fourth column of Table 1; smaller than ENCODER, so that its weights take less than 2 MB.
WAVLM = SpeechEncoderConfig(
    kind="wavlm-logmel",
    width=WIDTH,
    layers=2,
    heads=4,
    ffn=384,
    position_kernel=16,
    position_groups=4,
    mel_strides=(2, 2),
)
CODEC = SpeechEncoderConfig(
    kind="dac",
    width=WIDTH,
    heads=4,
    codec_rate_hz=16_000,
    codec_strides=(2, 4, 5, 8),
    codec_base=WIDTH // 16,
    codec_books=4,
)
BRIDGE = BridgeConfig(
    layers=2, queries=16, width=128, heads=4, ffn=512, encoder_width=WIDTH, output_width=WIDTH
)
UDIT = UDiTConfig(
    in_channels=VAE.latent_channels,
    width=128,
    heads=4,
    depth=6,
    lora_rank=8,
    lora_alpha=8,
    context_width=WIDTH,
    patch_size=2,
)
# Frames (0.12 s) that each of the recogniser's two convolutions sees.
CTC_KERNEL = 3
# Of the weights 0, 0.3, 0.5, 0.7 and 0.9 the one with the fewest errors on the development set,
# whose wordings and voices are its own: 0.114, 0.111, 0.118, 0.134, 0.155. Beam 16 reads the same.
SEARCH = SearchConfig(beam=8, lm_weight=0.3)
# Of the guidance weights 1, 1.5, 2, 2.5 and 3 the one with the best FD and CLAP for the true
# captions of the development set: FD 23.6, 18.3, 18.1, 19.4, 21.6; CLAP 0.812, 0.845, 0.849, 0.848,
# 0.844 (FAD, which hears the level too, falls from 2182 to 864).
SAMPLER = SamplerConfig(steps=8, guidance=2.0)
TEXT_ENCODER: TextEncoderSizes = {
    "d_model": WIDTH,
    "d_kv": 48,
    "num_heads": 4,
    "num_layers": 3,
    "d_ff": 512,
    "feed_forward_proj": "gated-gelu",
    "dropout_rate": 0.05,
}


def ctc_head() -> CtcHeadConfig:
    """Return the recogniser's head on the speech encoder, over every word of the captions."""
    return CtcHeadConfig(
        width=WIDTH, vocabulary=len(every_word()), hidden=256, kernel=CTC_KERNEL, dropout=0.2
    )


def star(
    encoder: SpeechEncoderConfig = ENCODER, bridge: BridgeConfig | None = BRIDGE
) -> StarConfig:
    """Return the pocket STAR, or one of its ablations."""
    return StarConfig(encoder, bridge, UDIT, VAE, SAMPLER, LATENT_FRAMES)
