"""Tables of every make: what is written is read, all of it, or one line says why not."""

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.tables import read_csv, read_json_lines, read_names, read_toml
from tests.limits import Limits

NEEDS = ("id", "caption")
KEYS = ("location", "captions")


def _file(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "table.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def _refusal(read: Callable[[], object]) -> str:
    with pytest.raises(StabenchError) as caught:
        read()
    line = str(caught.value)
    assert "\n" not in line
    line.encode()
    return line


WHOLE = {
    "plain": ("id,caption\na,rain\nb,wind\n", ["rain", "wind"]),
    "no last line break": ("id,caption\na,rain\nb,wind", ["rain", "wind"]),
    "line ends of Windows": ("id,caption\r\na,rain\r\nb,wind\r\n", ["rain", "wind"]),
    "line ends of an old Mac": ("id,caption\ra,rain\rb,wind\r", ["rain", "wind"]),
    "byte-order mark": ("\ufeffid,caption\na,rain\n", ["rain"]),
    "quotes": ('id,caption\na,"rain, a ""big"" one"\n', ['rain, a "big" one']),
    "a quoted line break": ('id,caption\na,"rain\nand wind"\nb,x\n', ["rain\nand wind", "x"]),
    "a quote within": ('id,caption\na,a 5" pipe\n', ['a 5" pipe']),
    "blanks": ("id,caption\na,  rain \n", ["  rain "]),
    "other separators of lines": ("id,caption\na,x\u2028y\u0085z\x0b\x0c\x1c\n", None),
    "empty rows": ("id,caption\na,rain\n,\n\n , \nb,wind\n,\n,\n", ["rain", "wind"]),
    "empty columns": ("id,caption,,\na,rain,,\nb,wind,,\nc,,\n", ["rain", "wind", ""]),
    "empty line first": ("\n\nid,caption\na,rain\n", ["rain"]),
    "blanks in the header": ("id , caption\na,rain\n", ["rain"]),
    "empty cell": ("id,caption\na,\nb,x\n", ["", "x"]),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_table_is_read_as_it_is_written(tmp_path: Path, name: str) -> None:
    text, captions = WHOLE[name]
    rows = read_csv(_file(tmp_path, text), NEEDS).rows
    expected = ["x\u2028y\u0085z\x0b\x0c\x1c"] if captions is None else captions
    assert [row.cells["caption"] for row in rows] == expected
    assert [row.cells["id"] for row in rows] == list("abc")[: len(expected)]


REFUSED = {
    "a comma": ("id,caption\na,x\nb,first, small\n", "line 3: too many fields: 3, expected 2 (the"),
    "commas": ("id,caption\na,one, two, three\n", "put a text with commas in quotes"),
    "a comma at the end": ("id,caption\na,one,\n", "line 2: too many fields"),
    "under no name": ("id,caption,,\na,one, two,\n", "line 2: too many fields"),
    "too few": ("id,start,caption\na,3,x\nb,4\n", "line 3: too few fields: 2, expected 3"),
    "one field": ("id,caption\na\n", "line 2: too few fields: 1"),
    "after quoted lines": ('id,caption\na,"x\ny\nz"\nb,1,2\n', "line 5: too many"),
    "an open quote": ('id,caption\na,x\nb,"rain\nc,y\n', 'line 3: a quote (") opens here and is'),
    "text after a quote": ('id,caption\na,"rain" big\n', "line 2: text after a closing quote"),
    "a blank before a quote": ('id,caption\na, "rain"\n', "line 2: a blank before the opening quo"),
    "blank, quote, comma": ('id,caption\na, "rain, big"\n', "a blank before the opening quote"),
    "a column twice": ("id,caption,id\na,x,b\n", "line 1: column 'id' stands 2 times"),
    "columns without names": ("id,,,caption\na,,,x\n", "line 1: a column has no name"),
    "semicolons": ("id;caption\na;rain\n", "line 1: columns are separated by semicolons"),
    "tabs": ("id\tcaption\na\train\n", "line 1: columns are separated by tabs"),
    "bars": ("id|caption\na|rain\n", "columns are separated by '|', expected commas"),
    "quoted, semicolons": ('"id";"caption"\n"a";"x"\n', "separated by semicolons"),
    "capitals": ("ID,Caption\na,x\n", "found columns ID, Caption; needs columns id, caption; is"),
    "another name": ("id,captions\na,x\n", "is 'captions' meant for 'caption'?"),
    "no header": ("a,rain\nb,wind\n", "found columns a, rain; needs columns id, caption"),
    "nothing": ("", "found columns none; needs columns id, caption"),
    "blank lines alone": ("\n \n,\n", "found columns none"),
    "no rows": ("id,caption\n,\n", "holds no rows below its columns"),
    "UTF-16": ("id,caption\na,x\n".encode("utf-16"), "is UTF-16, expected text in UTF-8; save it"),
    "UTF-16, big": ("\ufeffid,caption\n".encode("utf-16-be"), "is UTF-16"),
    "UTF-16, no mark": ("id,caption\n".encode("utf-16-le"), "line 1: holds a NUL byte"),
    "UTF-32": ("id,caption\n".encode("utf-32"), "is UTF-32"),
    "Latin-1": ("id,caption\na,x\nb,Höhle\n".encode("latin-1"), "line 3: byte 0xf6 is not UTF-8"),
    "cut in a character": ("id,caption\na,ü".encode()[:-1], "line 2: byte 0xc3 is not UTF-8"),
    "a spreadsheet": (b"PK\x03\x04" + bytes(40), "is a spreadsheet or another archive"),
    "compressed": (b"\x1f\x8b\x08" + bytes(40), "is compressed"),
    "NUL": (b"id,caption\na,x\nb,\0\n", "line 3: holds a NUL byte"),
    "too long a field": (f"id,caption\na,{'x' * 200_000}\n", "line 2: not CSV (field larger"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_that_is_not_whole_says_where_and_what_to_do(tmp_path: Path, name: str) -> None:
    content, line = REFUSED[name]
    path = _file(tmp_path, content)
    said = _refusal(lambda: read_csv(path, NEEDS))
    assert line in said
    assert str(path) in said


def test_a_broken_row_may_be_kept_with_its_flaw_beside_whole_ones(tmp_path: Path) -> None:
    path = _file(tmp_path, "id,caption\na,x\nb,y, z\nc\n")
    rows = read_csv(path, NEEDS, keep_flawed=True).rows
    assert [row.cells for row in rows] == [
        {"id": "a", "caption": "x"},
        {"id": "b", "caption": "y"},
        {"id": "c", "caption": ""},
    ]
    assert [row.flaw and row.flaw[:10] for row in rows] == [None, "too many f", "too few fi"]
    assert [row.line for row in rows] == [2, 3, 4]


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is a pipe or device, expected a file" in _refusal(
        lambda: read_csv(tmp_path / "pipe", NEEDS)
    )
    assert "is a folder" in _refusal(lambda: read_csv(tmp_path, NEEDS))
    for path in (tmp_path / "none.csv", Path(__file__) / "x.csv"):
        with pytest.raises(MissingError, match="no such file"):
            read_csv(path, NEEDS)


def test_json_lines_hold_separators_of_lines_within_texts(tmp_path: Path) -> None:
    rows = [
        {"location": f"/d/{n}.wav", "captions": f"a{c}b"} for n, c in enumerate("\u2028\u2029\x85")
    ]
    text = "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\r\n\n"
    for mark in ("", "\ufeff"):
        read = read_json_lines(_file(tmp_path, mark + text), KEYS)
        assert [row.cells for row in read] == rows
        assert [row.line for row in read] == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"location": "a", "captions": "b"}\n{"location": ', "line 2: no JSON (Expecting value"),
        ('{"location": "a"}', "line 1: key 'captions' is missing; needs keys location, captions"),
        ('{"location": "a", "captions": null}', "key 'captions' is None"),
        ('{"location": "a", "captions": 3}', "key 'captions' is 3"),
        ('{"location": "a", "captions": ["b"]}', "key 'captions' is ['b']"),
        ('{"location": "a", "captions": "b", "captions": "c"}', "key captions stands 2 times"),
        ('{"location": "a", "captions": "\\ud83d"}', "key 'captions' is '\\ud83d'"),
        ('[{"location": "a", "captions": "b"}]', "line 1: a JSON list, expected one object"),
        ('"a"', "a JSON str, expected one object"),
        ("[" * 100_000, "nested too deep"),
        ('{"location": "a",\n "captions": "b"}', "line 1: no JSON"),
        ('{"location": "a", "captions": ' + "9" * 5_000 + "}", "line 1: no JSON"),
    ],
)
def test_json_lines_that_are_none(tmp_path: Path, text: str, line: str) -> None:
    assert line in _refusal(lambda: read_json_lines(_file(tmp_path, text), KEYS))


def test_names_are_one_a_line_and_no_other_separator_counts(tmp_path: Path) -> None:
    rows = read_names(_file(tmp_path, "\ufeffa b\r\n\n  c\u2028d \n\te"))
    assert [(row.line, row.cells["name"]) for row in rows] == [
        (1, "a b"),
        (3, "c\u2028d"),
        (4, "e"),
    ]


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
HOSTILE = st.text(st.sampled_from('id,caption"\n\r\t;a\u2028\x85\ufeff {}[]:\\'), max_size=80)


def _examples(count: int) -> settings:
    health = [HealthCheck.function_scoped_fixture]
    return settings(max_examples=count, deadline=None, suppress_health_check=health)


MANY = pytest.mark.parametrize("examples", [60, pytest.param(1_000, marks=pytest.mark.slow)])


@MANY
def test_no_row_of_a_csv_is_lost(tmp_path: Path, examples: int) -> None:
    @_examples(examples)
    @given(
        st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8),
        st.sampled_from(["\n", "\r\n"]),
        st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    )
    def check(rows: list[tuple[str, str]], ending: str, quoting: int) -> None:
        # A text of blanks and a quote is refused: it looks like a quote after a blank.
        rows = [row for row in rows if any(map(str.strip, row))]
        rows = [row for row in rows if not any(t[:1].isspace() and '"' in t for t in row)]
        # Python's writer, before 3.13, leaves a lone \r without quotes.
        rows = [row for row in rows if quoting == csv.QUOTE_ALL or "\r" not in "".join(row)]
        if not rows:
            return
        target = io.StringIO()
        writer = csv.writer(target, lineterminator=ending, quoting=quoting)
        writer.writerows([("id", "caption"), *rows])
        read = read_csv(_file(tmp_path, target.getvalue()), NEEDS)
        assert [(row.cells["id"], row.cells["caption"]) for row in read.rows] == rows

    check()


@MANY
def test_no_line_of_json_is_lost(tmp_path: Path, examples: int) -> None:
    @_examples(examples)
    @given(st.lists(st.tuples(TEXTS, TEXTS), max_size=8), st.booleans())
    def check(rows: list[tuple[str, str]], ascii_only: bool) -> None:
        values = [dict(zip(KEYS, row, strict=True)) for row in rows]
        text = "".join(json.dumps(value, ensure_ascii=ascii_only) + "\n" for value in values)
        assert [row.cells for row in read_json_lines(_file(tmp_path, text), KEYS)] == values

    check()


@MANY
def test_any_text_is_rows_or_one_line(tmp_path: Path, examples: int) -> None:
    """Of text without quotes every line that is not empty is a row, or the table is refused."""
    limits = Limits()

    @_examples(examples)
    @given(HOSTILE | TEXTS | st.binary(max_size=80), st.booleans())
    def check(content: str | bytes, headed: bool) -> None:
        data = content if isinstance(content, bytes) else content.encode()
        path = _file(tmp_path, b"id,caption\n" + data if headed else data)
        for read in (read_csv, read_json_lines):
            try:
                with limits:
                    rows = read(path, NEEDS)
            except StabenchError as error:
                line = str(error)
            else:
                line = ""
                if read is read_csv and b'"' not in data:
                    text = path.read_bytes().decode("utf-8-sig")
                    lines = text.replace("\r", "\n").split("\n")
                    assert (
                        len(rows.rows) == sum(bool(t.replace(",", "").strip()) for t in lines) - 1
                    )
            assert "\n" not in line
        try:
            assert len(read_names(path)) <= path.read_bytes().count(b"\n") + 1
        except StabenchError as error:
            line = str(error)
        assert "\n" not in line

    check()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a = ", "not a TOML file"),
        (b"a = " + b"[" * 100_000, "not a TOML file"),
        (b"\xff\xfea\0", "is UTF-16"),
        (b"a = '\xe9'", "line 1: byte 0xe9 is not UTF-8"),
        (b"a = 1\na = 2", "not a TOML file"),
    ],
)
def test_another_content_than_toml_is_one_line(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(StabenchError, match=reason) as caught:
        read_toml("suite 'x'", path, "none")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_toml_with_a_mark_of_byte_order_is_read_and_a_missing_file_named(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xef\xbb\xbfa = 1")
    assert read_toml("x", path, "none") == {"a": 1}
    with pytest.raises(MissingError, match="there is no x"):
        read_toml("x", tmp_path / "y.toml", "there is no x")
