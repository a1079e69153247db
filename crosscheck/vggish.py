"""VGGish and FAD: frechet-audio-distance with torchvggish's front end and network, and ours."""

import numpy as np

from crosscheck import ours, weights
from crosscheck.comparison import Comparison, arrays, numbers
from crosscheck.workspace import Workspace
from stabench.metrics.backends.backend import vggish_distance
from stabench.metrics.frechet import frechet_distance

PEER = "frechet-audio-distance"
RATE_HZ = 16000
SAME = "same 16 kHz waveforms to both"
RESAMPLERS = "the peer resamples with resampy, ours with the windowed sinc: the whole difference"


def compare(work: Workspace) -> list[Comparison]:
    """Compare front end, embeddings, FAD of the same waveforms, and FAD of the files."""
    peer = vggish_distance()
    state = weights.filled(peer.model)
    peer.model.load_state_dict(state)
    checkpoint = work.folder / "vggish-pseudo.pth"
    weights.write_vggish(checkpoint, state)
    embedder = ours.vggish(checkpoint)
    sets = [[ours.waveform(path, RATE_HZ) for path in paths] for paths in work[1:]]
    theirs = [peer.get_embeddings(waveforms, RATE_HZ) for waveforms in sets]
    our_rows = [ours.embeddings(embedder, waveforms) for waveforms in sets]
    return [
        _compare_front_end(sets[0][1]),
        arrays("VGGish embeddings", PEER, theirs[1], our_rows[1], 1e-5, SAME),
        numbers(
            "FAD", PEER, _measure_distance(peer, *theirs), frechet_distance(*our_rows), 1e-5, SAME
        ),
        *_compare_files(work, peer, embedder, our_rows),
    ]


def _compare_front_end(waveform: np.ndarray) -> Comparison:
    import torch
    from torchvggish.vggish_input import waveform_to_examples

    from stabench.metrics.embedders.vggish import Vggish, VggishConfig

    with torch.no_grad():
        theirs = waveform_to_examples(waveform, RATE_HZ).numpy()
        examples = Vggish(VggishConfig()).examples(torch.from_numpy(waveform)).numpy()
    return arrays("VGGish log-mel examples", "torchvggish", theirs, examples, 1e-6, SAME)


def _compare_files(work: Workspace, peer, embedder, our_rows: list[np.ndarray]) -> list[Comparison]:
    from frechet_audio_distance.utils import load_audio_task

    theirs = peer.score(*(str(paths[0].parent) for paths in work[1:]))
    loaded = [[load_audio_task(str(path), RATE_HZ, 1) for path in paths] for paths in work[1:]]
    same = [
        ours.embeddings(embedder, [samples.astype(np.float32) for samples in waveforms])
        for waveforms in loaded
    ]
    return [
        numbers(
            "FAD of files, ours with the peer's loader",
            f"{PEER}.score",
            theirs,
            frechet_distance(*same),
            1e-5,
            "waveforms of the peer's load_audio_task (resampy) to ours as well",
        ),
        numbers(
            "FAD of files",
            f"{PEER}.score",
            theirs,
            frechet_distance(*our_rows),
            0.01,
            RESAMPLERS,
        ),
    ]


def _measure_distance(peer, reference: np.ndarray, generated: np.ndarray) -> float:
    statistics = (peer.calculate_embd_statistics(table) for table in (reference, generated))
    (mean, covariance), (other_mean, other_covariance) = statistics
    return float(peer.calculate_frechet_distance(mean, covariance, other_mean, other_covariance))
