"""`stabench explain`: what it prints, and with which exit code it ends."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from stabench.harness.cli import main
from stabench.metrics.audio import encode
from stabench.metrics.frechet import fit_clips, frechet_two_sample
from tests.harness import listeners

FRAMES = f"fad={listeners.__file__}:Frames"
TAGGER = f"tagger={listeners.__file__}:Tagger"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rng = tmp_path_factory.mktemp("sounds"), np.random.default_rng(0)
    for name in ("reference", "outputs"):
        (root / name).mkdir()
        for index in range(4):
            samples = rng.normal(0.05, 0.1, 8_000).astype(np.float32)
            (root / name / f"{index}.wav").write_bytes(encode(samples, 16_000))
    return root


@pytest.fixture
def explain(folders, tmp_path, monkeypatch, capsys):
    """`explain(*words)`: exit code, standard output and standard error."""
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path))

    def run(*words: str) -> tuple[int, str, str]:
        places = ["--outputs", str(folders / "outputs"), "--reference", str(folders / "reference")]
        monkeypatch.setattr(sys, "argv", ["stabench", "explain", *words, *places])
        code = main.main()
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def measure_fad(folders: Path) -> float:
    """FAD of the sounds as they are, without the way that the command goes."""
    from stabench.metrics.audio import decode

    sides = (
        fit_clips(
            name,
            [
                clip.embeddings
                for clip in listeners.Frames().embed(
                    [decode(path).samples for path in sorted((folders / name).glob("*.wav"))]
                )
            ],
        )
        for name in ("outputs", "reference")
    )
    return frechet_two_sample(*sides).value


def test_the_answer_comes_first_and_names_the_way(explain, folders):
    code, out, _ = explain("--fad", f"{measure_fad(folders):.7f}", "--judge", FRAMES)
    assert code == 0
    answer = " ".join(out.split("Readings")[0].split())
    assert re.search(r"FAD [\d.]+: reproduced over the clips 'all' \(4\): FAD by", answer)
    assert "listeners.py:Frames, first channel, mean kept, epsilon 0." in answer
    assert "PaSST" not in out
    assert "channels: no difference, every sound has one channel" in " ".join(out.split())


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--fad", "1234.5", "--judge", FRAMES), 1, "reproduced by nothing that was tried"),
        (("--fad", "1234.5", "--kl", "0.9", "--judge", FRAMES), 5, "KL 0.9: not measured"),
        (
            (
                "--kl",
                "0.9",
            ),
            3,
            "no figure could be measured; tagger: cnn14-16k: not measured",
        ),
        ((), 2, "explain takes a figure: --fad, --fd, --kl, --is, --clap"),
        (("--fad", "1,4"), 2, "--fad '1,4': expected a number as it is printed"),
        (("--fad", "1", "--judge", "fda=vggish"), 2, "unknown role 'fda'; did you mean 'fad'"),
        (("--fad", "1", "--judge", "fad"), 2, "--judge 'fad': expected NAME=VALUE"),
        (("--fad", "1", "--clips", "mine"), 2, "--clips 'mine': expected NAME=VALUE"),
        (("--is", "0.5", "--judge", TAGGER), 2, "IS is 1 or more"),
        (("--is", "1.5", "--judge", TAGGER), 3, "needs at least 72 clips, has 4"),
    ],
)
def test_exit_codes_and_what_is_said(explain, words, code, text):
    ended, out, err = explain(*words)
    assert ended == code
    if code in (2, 3):
        assert text in err.splitlines()[-1]
        assert out == ""
    else:
        assert text in " ".join(out.split())
