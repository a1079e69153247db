"""The protocol's networks at a thousandth of their size, read from files in the authors' layouts.

The published VGGish, CNN14 and music-speech CLAP are known by their sha256, which no tiny file can
have: a suite names these in their place, and its numbers say so. `checkpoints.store` finds the
files under their published names. CLAP 630k needs nothing here: its folder on the hub has a
config.json and no published sha256.
"""

import json

from stabench.checkpoints import store
from stabench.metrics.embedders import laion
from stabench.metrics.embedders.clap import ClapEmbedder
from stabench.metrics.embedders.cnn14 import Cnn14Config, Cnn14Tagger
from stabench.metrics.embedders.published import AUDIOSET
from stabench.metrics.embedders.tokens import RobertaTokens
from stabench.metrics.embedders.vggish import VggishConfig, VggishEmbedder
from stabench.metrics.embedders.weight_sources import Published

VGGISH = VggishConfig(frames=48, channels=(4, 4, 8, 8), hidden=256, embedding=192)
"""Examples half as long as the published: 30 clips of 10 s then hold what FAD-infinity asks for."""
CNN14 = Cnn14Config(channels=(4, 8, 8, 16, 16), embedding=32)
TEXT = {
    "vocab_size": 50265,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 90,
    "layer_norm_eps": laion.ROBERTA_EPS,
}
AUDIO = {
    "patch_embeds_hidden_size": 8,
    "hidden_size": 16,
    "depths": [1, 1],
    "num_attention_heads": [2, 4],
}
CLAP = json.dumps(
    {"model_type": "clap", "audio_config": AUDIO, "text_config": TEXT, "projection_dim": 12}
)


def vggish() -> VggishEmbedder:
    return VggishEmbedder(Published(store.locate("vggish"), dict, "tiny, seeded"), VGGISH)


def cnn14() -> Cnn14Tagger:
    found = store.locate("cnn14-16k")
    source = Published(found, lambda checkpoint: checkpoint["model"], "tiny, seeded")
    return Cnn14Tagger(source, CNN14, AUDIOSET, ())


def clap_music() -> ClapEmbedder:
    found = store.locate("clap-music-speech-audioset")
    source = Published(found, laion.translate, "tiny, seeded")
    return ClapEmbedder(source, RobertaTokens(store.locate("clap-htsat-unfused")), None, CLAP)
