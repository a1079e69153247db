"""AudioSet's tables: whatever is not as AudioSet publishes it is named with its line."""

import string
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabench.harness.datasets.audioset import (
    Classes,
    Segment,
    choose_segment,
    read_classes,
    read_segments,
)
from stabench.harness.errors import MissingError, StabenchError

HEAD = "# Segments csv created Sun Mar  5 10:54:31 2017\n# YTID, start_seconds, end_seconds\n"
CLASSES = Classes(("/m/09x0r", "/m/05zppz", "/t/dd00088"), ("Speech", "Male speech", "Gurgling"))
ID = "-aB3_56789x"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(text)
    return path


def test_classes_are_read_in_their_order(tmp_path: Path) -> None:
    text = 'index,mid,display_name\n0,/m/09x0r,"Speech"\n1,/t/dd00088,"Gurgling, bubbling"\n'
    classes = read_classes(write(tmp_path, text))
    assert classes == Classes(("/m/09x0r", "/t/dd00088"), ("Speech", "Gurgling, bubbling"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0,/m/a,x\n2,/m/b,y\n", r"line 3: index is '2', expected 1"),
        ("0,/m/a,x\n1,/m/a,y\n", r"line 3: mid '/m/a' stands twice"),
        ("0,m/a,x\n", r"line 2: mid 'm/a' is no mid such as /m/09x0r"),
    ],
)
def test_a_table_of_classes_that_is_none(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(StabenchError, match=message):
        read_classes(write(tmp_path, f"index,mid,display_name\n{rows}"))


def test_segments_of_the_videos_that_are_wanted(tmp_path: Path) -> None:
    lines = (
        f'{ID}, 30.000, 40.000, "/m/09x0r,/m/05zppz"\n'
        f'{ID}, 50.000, 60.000, "/m/09x0r, /t/dd00088"\n'
        'zzzzzzzzzzz, 0.000, 10.000, "/m/09x0r"\n'
    )
    path = write(tmp_path, HEAD + lines)
    segments = read_segments([path], CLASSES, {ID})
    assert segments == {
        ID: [
            Segment(30.0, (0, 1), f"'{path}', line 3"),
            Segment(50.0, (0, 2), f"'{path}', line 4"),
        ]
    }
    assert choose_segment(segments[ID], 50.0) == segments[ID][1]
    assert choose_segment(segments[ID], 51.0) is None
    # The only segment of a video is the clip's, wherever it begins.
    assert choose_segment(segments[ID][:1], 51.0) == segments[ID][0]
    assert choose_segment([], 0.0) is None
    assert read_segments([path, path], CLASSES, {ID}) == segments


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f'{ID}, 0.000, 10.000, "/m/09x0q"', r"line 3: unknown mid '/m/09x0q'; did you mean '/m/0"),
        (f'{ID}, 0.000, 10.000, ""', r"unknown mid ''; use the classes of the same release"),
        (f"{ID}, 0.000, 10.000, /m/09x0r", "line 3: .* is no segment; expected id, start, end"),
        (f'{ID}, 10.000, 10.000, "/m/09x0r"', "is no segment"),
        (f'{ID}, 10.000, "/m/09x0r"', "is no segment"),
        ('short, 0.000, 10.000, "/m/09x0r"', "is no segment"),
        (f'{ID}, 0.000, 10.000, "/m/09x0r', "is no segment"),
    ],
)
def test_a_line_that_is_no_segment_is_named_wanted_or_not(
    tmp_path: Path, line: str, message: str
) -> None:
    path = write(tmp_path, HEAD + line + "\n")
    for wanted in ({ID}, set()):
        with pytest.raises(StabenchError, match=message):
            read_segments([path], CLASSES, wanted)


def test_one_segment_with_two_sets_of_labels_is_refused(tmp_path: Path) -> None:
    lines = f'{ID}, 0.0, 10.0, "/m/09x0r"\n{ID}, 0.0, 10.0, "/m/05zppz"\n'
    with pytest.raises(StabenchError, match=r"line 4: other labels than .* in '.*', line 3; give"):
        read_segments([write(tmp_path, HEAD + lines)], CLASSES, {ID})


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no such file"):
        read_segments([tmp_path / "none.csv"], CLASSES, {ID})


IDS = st.text(string.ascii_letters + string.digits + "-_", min_size=11, max_size=11)
STARTS = st.integers(0, 3000)
LABELS = st.sets(st.integers(0, 2), min_size=1)
TABLES = st.dictionaries(st.tuples(IDS, STARTS), LABELS, min_size=1)


@settings(deadline=None)
@given(TABLES, st.sampled_from(["\n", "\r\n"]), st.sampled_from([",", ", "]), st.booleans())
def test_what_is_written_is_read(
    table: dict[tuple[str, int], set[int]], end: str, comma: str, ends: bool
) -> None:
    lines = ["# a comment", ""]
    for (youtube_id, start_s), labels in table.items():
        mids = comma.join(CLASSES.mids[number] for number in labels)
        lines.append(f'{youtube_id}{comma}{start_s}.000{comma}{start_s + 10}.000{comma}"{mids}"')
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "segments.csv"
        path.write_bytes((end.join(lines) + (end if ends else "")).encode())
        segments = read_segments([path], CLASSES, {youtube_id for youtube_id, _ in table})
    read = {(name, int(s.start_s)): {*s.labels} for name, rows in segments.items() for s in rows}
    assert read == table


@settings(deadline=None)
@given(st.text(string.printable + "\u2028é", max_size=80))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "segments.csv"
        path.write_text(text, "utf-8", newline="")
        line = None
        try:
            read_segments([path], CLASSES, {ID})
        except StabenchError as error:
            line = str(error)
    if line is None:
        rows = text.replace("\r", "").split("\n")
        assert all(not row.strip() or row.startswith("#") for row in rows)
    else:
        assert "\n" not in line
