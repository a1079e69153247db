"""Every reader of a text that a person gives, on bytes of every make: a value, or one line."""

import itertools
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stabench.harness.datasets import audiocaps_csv, dataset
from stabench.harness.errors import StabenchError
from stabench.harness.runs import journal
from stabench.harness.scoring import folders
from stabench.harness.suites import protocols, suite
from stabench.systems.asr.arpa import read_arpa
from tests import limits

# A whole file of each, which the fuzz changes, and the endings by which readers tell two apart.
CSV = 'id,caption,reference\na,rain,b\nb,"wind, and\nrain",\n'
AUDIOCAPS = 'audiocap_id,youtube_id,start_time,caption\n1,-aaaaaaaaaa,30,"a dog, barking"\n'
TANGO = '{"location": "/d/Y-aaaaaaaaaa_30.wav", "captions": "a dog\\u2028"}\n'
ARPA = "\\data\\\nngram 1=3\n\n\\1-grams:\n-0.5\t<s>\t-0.3\n-0.5\t</s>\n-0.5\ta\t-0.3\n\n\\end\\\n"
SUITE = 'name = "x"\n[dataset]\nuse = "folder"\n[[system]]\nname = "a"\nuse = "recorded"\n'
ROW = '{"system": "a", "clip": "b", "repeat": 0, "warmup": false, "status": "ok", "seed": 1}\n'
READERS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "captions of a run": (dataset.read_captions, "x.csv", CSV),
    "captions of scores": (folders.read_items, "x.csv", CSV),
    "test.csv": (audiocaps_csv.read, "x.csv", AUDIOCAPS),
    "reference captions": (audiocaps_csv.read_captions, "x.csv", AUDIOCAPS),
    "TANGO's captions": (audiocaps_csv.read_captions, "x.json", TANGO),
    "TANGO's ids": (audiocaps_csv.read_ids, "x.jsonl", TANGO),
    "ids": (audiocaps_csv.read_ids, "x.txt", "-aaaaaaaaaa\nYbbbbbbbbbb0.wav\n"),
    "a suite": (lambda path: suite.load(str(path)), "x.toml", SUITE),
    "a protocol": (lambda path: protocols.load(str(path)), "x.toml", SUITE),
    "a journal": (journal.read, "x.jsonl", ROW),
    "a language model": (read_arpa, "x.arpa", ARPA),
}
PIECES = [*'",;\t\r\n\\{}[]= ', "\n\n", "\0", "\ufeff", "\u2028", "\x85", "\ud83d", "1e999", "null"]


@st.composite
def _changed(draw: st.DrawFn, text: str) -> bytes:
    """A whole file with pieces put in and cut out, in one of the encodings of spreadsheets."""
    for _ in range(draw(st.integers(0, 4))):
        at, length = draw(st.integers(0, len(text))), draw(st.integers(0, 5))
        text = text[:at] + draw(st.sampled_from(PIECES)) + text[at + length :]
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"]))
    return text.encode(encoding, "replace" if encoding == "latin-1" else "surrogatepass")


@pytest.mark.parametrize("examples", [30, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", READERS)
def test_a_changed_file_is_read_or_refused_in_one_line(
    tmp_path: Path, name: str, examples: int
) -> None:
    read, file, text = READERS[name]
    path = tmp_path / file
    health, held = [HealthCheck.function_scoped_fixture], limits.Limits()

    @settings(max_examples=examples, deadline=None, suppress_health_check=health)
    @given(_changed(text) | st.binary(max_size=60))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        try:
            with held:
                read(path)
        except StabenchError as error:
            line = str(error)
        except ValueError as error:
            # What systems read themselves: they know no StabenchError.
            line = str(error)
            assert read is read_arpa
        else:
            return
        assert "\n" not in line
        assert file in line
        line.encode()

    check()


def test_a_reader_that_hangs_or_takes_all_memory_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(limits, "CPU_S", 0.05)
        with pytest.raises(AssertionError, match="still reading"), limits.Limits():
            sum(0 for _ in itertools.count())
    monkeypatch.setattr(limits, "MEMORY_BYTES", 2**24)
    with pytest.raises(AssertionError, match="GB for a small file"), limits.Limits():
        # More than the process had at its largest.
        bytearray(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + 2**25)[::4096]
