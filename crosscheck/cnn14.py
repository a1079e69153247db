"""PANNs CNN14: frechet-audio-distance's copy of the published network, and ours."""

import numpy as np

from crosscheck import ours, weights
from crosscheck.comparison import Comparison, arrays
from crosscheck.workspace import Workspace
from stabench.metrics.backends.backend import package

PEER = "frechet-audio-distance"
RATE_HZ = 16000
# The name under which the package keeps the published checkpoint.
FILE = "Cnn14_16k_mAP%3D0.438.pth"
SIGMOID = "the package returns only their sigmoid: its last layer, on its embeddings above"
FILES = 6
JOINED = (
    "same 16 kHz waveforms to both; the package joins the rows of its clips end to end, fits "
    "Gaussians to single numbers, and so has no distance of CNN14 embeddings to compare"
)


def compare(work: Workspace) -> list[Comparison]:
    """Compare embeddings and class logits of the same waveforms."""
    peer = _build_peer(work)
    embedder = ours.cnn14(work.folder / FILE)
    waveforms = [ours.waveform(path, RATE_HZ) for path in work.generated[:FILES]]
    features = embedder.embed(waveforms)
    our_rows = np.concatenate([clip.embeddings for clip in features])
    theirs = peer.get_embeddings(waveforms, RATE_HZ).reshape(our_rows.shape)
    logits = np.stack([clip.logits for clip in features])
    return [
        arrays("CNN14 embeddings", PEER, theirs, our_rows, 1e-5, JOINED),
        arrays("CNN14 logits", PEER, _classify(peer, theirs), logits, 1e-5, SIGMOID),
    ]


def _build_peer(work: Workspace):
    import torch

    package(PEER)
    from frechet_audio_distance import FrechetAudioDistance
    from frechet_audio_distance.models.pann import Cnn14_16k

    network = Cnn14_16k(RATE_HZ, 512, 160, 64, 50, 8000, 527)
    weights.write_cnn14(work.folder / FILE, weights.filled(network))
    hub = torch.hub.get_dir()
    try:
        return FrechetAudioDistance(str(work.folder), "pann", sample_rate=RATE_HZ)
    finally:
        torch.hub.set_dir(hub)  # the package moves it to the folder of its checkpoints


def _classify(peer, embeddings: np.ndarray) -> np.ndarray:
    import torch

    with torch.no_grad():
        return peer.model.fc_audioset(torch.from_numpy(embeddings)).numpy()
