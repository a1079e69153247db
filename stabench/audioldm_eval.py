"""The interface of audioldm_eval's EvaluationHelper, for scripts that were written for it.

Keys are those of https://github.com/haoheliu/audioldm_eval (EvaluationHelper.main); the values are
stabench's, whose protocol "paper" follows the same rules.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from math import isclose, nan
from pathlib import Path
from tempfile import TemporaryDirectory

from stabench.api import Folder, score
from stabench.harness.device import select_gpu
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.scoring.features import hear
from stabench.harness.scoring.score import Hearing, networks_of, silent
from stabench.harness.suites import protocols
from stabench.harness.suites.metrics import load_metrics
from stabench.metrics.audio import decode
from stabench.metrics.inception import InceptionScore, inception_score
from stabench.metrics.sets import class_logits
from stabench.metrics.wav_folder import list_wavs
from stabench.opened_run import Run

TAGGERS = {16_000: "cnn14-16k", 32_000: "cnn14-32k"}
COLUMNS = {
    "frechet_distance": "fd",
    "frechet_audio_distance": "fad",
    "kullback_leibler_divergence_sigmoid": "kl_sigmoid",
    "kullback_leibler_divergence_softmax": "kl",
    "inception_score_mean": "is",
}
# Keys that are NaN here, as they are where audioldm_eval is not asked for them.
UNMEASURED = (
    *("lsd", "psnr", "ssim"),
    *("kernel_inception_distance_mean", "kernel_inception_distance_std"),
)


class EvaluationHelper:
    """Frechet distances, KL and inception score of two folders of WAVs.

    `sampling_rate` is 16000 or 32000 Hz and chooses the CNN14; `backbone` is "cnn14", the one
    behind published tables. `weights` "random" is a dry run without the published files.
    Raises StabenchError for others.
    """

    def __init__(
        self,
        sampling_rate: int,
        device: str = "cpu",
        backbone: str = "cnn14",
        *,
        weights: str = "published",
    ) -> None:
        if sampling_rate not in TAGGERS:
            known = " and ".join(map(str, TAGGERS))
            raise StabenchError(f"sampling_rate is {sampling_rate}, expected {known} (Hz)")
        if backbone != "cnn14":
            raise StabenchError(f"backbone is '{backbone}', expected 'cnn14', as papers report it")
        self.sampling_rate, self.device, self.weights = sampling_rate, str(device), weights
        self.run: Run | None = None

    def main(
        self,
        generate_files_path: Folder,
        groundtruth_path: Folder,
        limit_num: int | None = None,
    ) -> dict[str, float]:
        """Return the metrics of a folder of outputs beside a folder of recordings.

        NaN stands for what is not measured; `run`, afterwards, has the same with intervals,
        provenance and reasons. `limit_num` takes the first files by name of each folder. Raises
        MissingError without the folders or the published weights.
        """
        folders = Path(generate_files_path), Path(groundtruth_path)
        for folder in folders:
            if not folder.is_dir():
                raise MissingError(f"'{folder}': no such folder; give a folder of WAVs")
        backends = {"tagger": TAGGERS[self.sampling_rate]}
        with _first_files(folders, limit_num) as (outputs, recordings):
            self.run = score(
                recordings,
                {"outputs": outputs},
                protocol="paper",
                columns=tuple(COLUMNS.values()),
                backends=backends,
                weights=self.weights,
                device=self.device,
                sanity=False,
            )
            score_spread = self._measure_inception(outputs, backends)
        cells = self.run.cells[self.run.cells["system"] == "outputs"].set_index("column")["value"]
        values = {key: float(cells[column]) for key, column in COLUMNS.items()}
        # Where other clips were scored than are heard here, the deviation is not that of the mean.
        same = isclose(values["inception_score_mean"], score_spread.mean, rel_tol=1e-9)
        return {
            **values,
            "inception_score_std": score_spread.std if same else nan,
            **dict.fromkeys(UNMEASURED, nan),
        }

    def _measure_inception(self, outputs: Path, backends: dict[str, str]) -> InceptionScore:
        """Return the inception score of a folder and its deviation; NaN for too few sounds."""
        rules = protocols.load("paper", backends)
        how = Hearing(select_gpu(self.device), "float32", os.cpu_count() or 1, self.weights)
        # What was scored is in the cache: nothing is heard twice.
        files = list_wavs(outputs).by_name()
        sounds = {name: partial(decode, path) for name, path in files.items()}
        heard = hear("outputs", sounds, networks_of(rules, load_metrics(("is",)), how), silent)
        rows = heard.features("tagger", sorted(heard.keys))
        if len(rows) < rules.is_splits:
            return InceptionScore(nan, nan)
        return inception_score(class_logits(rows), rules.is_splits, seed=rules.is_seed)


@contextmanager
def _first_files(folders: tuple[Path, Path], limit: int | None) -> Iterator[list[Path]]:
    """Yield the folders, or folders of links to the first `limit` WAVs of each by name."""
    if limit is None:
        yield list(folders)
        return
    with TemporaryDirectory() as place:
        links = [Path(place, name) for name in ("outputs", "recordings")]
        for link, folder in zip(links, folders, strict=True):
            link.mkdir()
            for path in list_wavs(folder).paths[:limit]:
                (link / path.name).symlink_to(path.resolve())
        yield links
