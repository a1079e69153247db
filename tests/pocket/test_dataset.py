"""The test set: the same bytes everywhere, checked, and made once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

from stabench.harness.errors import MissingError
from stabench.pocket import dataset, render
from stabench.pocket.captions import every_word

DISPATCHED = [name for name in __cpu_dispatch__ if __cpu_features__[name]]
OTHER_MACHINE = {
    # NumPy refuses the whole list for one name that this processor or this NumPy does not have.
    "NPY_DISABLE_CPU_FEATURES": " ".join(
        [*os.environ.get("NPY_DISABLE_CPU_FEATURES", "").split(), *DISPATCHED]
    ),
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F,-AVX512VL",
    "OPENBLAS_CORETYPE": "Nehalem",
}


@pytest.fixture(scope="module")
def manifest() -> dict:
    return json.loads(dataset.MANIFEST.read_text())


def test_manifest_lists_what_the_code_draws(manifest):
    drawn = [(item.id, item.captions[0], list(item.scene.events)) for item in render.listed("test")]
    assert drawn == [(row["id"], row["caption"], row["labels"]) for row in manifest["clips"]]


def test_first_use_renders_the_bytes_of_the_manifest(pocket_set, manifest):
    assert len(pocket_set.clips) >= 144
    folder = pocket_set.clips[0].speech.parents[1]
    assert dataset.differing(folder, manifest) == []


def test_audio_is_as_declared(pocket_clips):
    for clip in pocket_clips[::12]:
        reference, rate_hz = soundfile.read(clip.reference)
        assert (len(reference), rate_hz) == (64_000, 16_000)
        speech, rate_hz = soundfile.read(clip.speech)
        assert rate_hz == 16_000
        assert 1.0 < len(speech) / rate_hz < 10.0
        assert 0.2 < np.abs(speech).max() < 0.8


def test_speech_has_a_noise_floor(pocket_clips):
    """Digitally clean speech derails recognisers; the first 50 ms are room only."""
    for clip in pocket_clips[::12]:
        speech, _ = soundfile.read(clip.speech)
        assert 3e-4 < speech[:800].std() < 6e-3


def test_second_use_renders_nothing(pocket_set, monkeypatch):
    monkeypatch.setattr(dataset, "render_into", lambda folder, split: pytest.fail("rendered again"))
    monkeypatch.setenv("STABENCH_CACHE", str(pocket_set.clips[0].speech.parents[2]))
    assert dataset.pocket() == pocket_set


def test_an_older_processor_renders_the_same_bytes(tmp_path, manifest):
    """NumPy, libm and OpenBLAS choose other code on other processors; the bytes stay."""
    code = (
        "import sys; from pathlib import Path; from stabench.pocket import render;"
        "from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__;"
        "assert not any(__cpu_features__[name] for name in __cpu_dispatch__);"
        "render.COUNT = 12; render.write('test', Path(sys.argv[1]))"
    )
    root = Path(dataset.__file__).resolve().parents[1]
    environment = {**os.environ, **OTHER_MACHINE, "PYTHONPATH": str(root)}
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
    subprocess.run(command, check=True, env=environment, capture_output=True)
    some = {**manifest, "clips": manifest["clips"][:12]}
    assert dataset.differing(tmp_path, some) == []


def test_other_bytes_are_refused(tmp_path, monkeypatch, manifest):
    def corrupt(folder: Path, _split: str) -> None:
        for row in manifest["clips"]:
            for kind in dataset.KINDS:
                path = folder / kind / f"{row['id']}.wav"
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(b"other")

    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(dataset, "render_into", corrupt)
    with pytest.raises(MissingError, match=r"288 of 288 rendered files differ"):
        dataset.pocket()
    assert list(tmp_path.iterdir()) == []


def test_rendered_is_pcm():
    result = render.rendered(render.listed("test")[0], "test")
    assert result.reference.dtype == result.speech.dtype == np.dtype("<i2")


def test_development_set_has_scenes_wordings_and_voices_of_its_own(tmp_path, monkeypatch, manifest):
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(render, "COUNT", 6)

    def render_here(folder: Path, split: str) -> None:
        code = (
            "import sys; from pathlib import Path; from stabench.pocket import render;"
            "render.COUNT = 6; render.write(sys.argv[1], Path(sys.argv[2]))"
        )
        command = [sys.executable, "-c", code, split, str(folder)]
        root = Path(dataset.__file__).resolve().parents[1]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(root)})

    monkeypatch.setattr(dataset, "render_into", render_here)
    made = dataset.development()
    assert made.name == "pocket-development"
    assert len(made.clips) == 6
    assert [len(clip.labels) for clip in made.clips] == [1, 2, 2, 1, 2, 2]
    assert [len(clip.steps) for clip in made.clips] == [1, 1, 2, 1, 1, 2]
    assert not {clip.caption for clip in made.clips} & {row["caption"] for row in manifest["clips"]}
    for clip in made.clips:
        assert soundfile.info(clip.reference).frames == 64_000
        assert soundfile.info(clip.speech).duration > 1.0


def test_development_words_are_nearly_all_known():
    words = [word for item in render.listed("development") for word in item.captions[0].split()]
    assert sum(word not in every_word() for word in words) / len(words) < 0.02
