"""The published tables: what the files hold, and that nothing else is read as one."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

from stabench.harness import registry
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.reproduce.paper import FOLDER, read, read_all
from stabench.metrics.protocol import read as read_protocol

ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "results" / "paper"
TEXT = (RESULTS / "star-table2.toml").read_text("utf-8")


def test_the_package_has_the_tables_of_results_paper():
    names = {path.name for path in RESULTS.glob("*.toml")}
    assert names == {path.name for path in FOLDER.glob("*.toml")}
    assert names == {f"{name}.toml" for name in FIGURES}
    for name in names:
        assert (FOLDER / name).read_bytes() == (RESULTS / name).read_bytes()


def test_table_2_has_every_column_and_row_of_the_paper():
    paper = read(RESULTS / "star-table2.toml")
    keys = ["processing", "generation", "fad", "fd", "kl", "is", "clap", "ovl", "rel"]
    assert [column.key for column in paper.columns] == keys
    assert [row.name for row in paper.rows] == [
        "audioldm2",
        "tango2",
        "audit",
        "star",
        "star-nobridge",
        "star-dac",
    ]
    dashes = [(row.name, key) for row in paper.rows for key in row.not_rated]
    assert dashes == [(name, key) for name in ("star-nobridge", "star-dac") for key in keys[-2:]]
    assert sum(len(row.cells) for row in paper.rows) + len(dashes) == 54


FIGURES = {
    "ezaudio-table3": 37,
    "impact-table1": 73,
    "star-table1": 10,
    "star-table2": 50,
    "tango": 31,
    "tango2": 30,
    "tangoflux": 77,
}
"""The tables, and how many figures each has."""
TABLE_2 = {
    "processing": "265.83±72.89 156.33±62.16 187.86±75.75 35.93±14.50 32.83±26.29 58.68±30.44",
    "generation": "52.78±1.66 14.62±0.10 9.13±0.43 2.76±0.03 2.90±0.10 2.77±0.03",
    "fad": "2.40 2.57 6.20 2.23 3.63 5.49",
    "fd": "20.92 19.89 41.89 15.42 16.20 29.69",
    "kl": "1.62 1.22 1.88 1.48 1.68 4.21",
    "is": "8.38 8.75 6.26 12.22 9.54 6.62",
    "clap": "0.377 0.466 0.293 0.422 0.390 0.112",
    "ovl": "3.54±1.02 3.39±0.88 2.74±1.08 4.22±0.92 - -",
    "rel": "3.54±1.15 3.78±1.12 3.16±1.25 4.30±0.88 - -",
}
"""Transcribed a second time, column by column; the file goes row by row."""
TABLE_1 = {
    "mlp": "0.500 0.419 0.457 0.451 0.114",
    "qformer": "0.472 0.486 0.457 0.453 0.108",
}


OTHERS = {
    "tango": {
        "fd": "- 47.68 - 29.48 27.12 26.12 32.46 23.31 24.52",
        "kl": "- 2.52 2.09 1.97 1.86 1.26 1.76 1.59 1.37",
        "fad": "- 7.75 3.13 2.43 2.08 2.57 4.18 1.96 1.59",
        "ovl": "91.61 - - - - 79.85 78.63 - 85.94",
        "rel": "86.78 - - - - 76.84 62.69 - 80.36",
    },
    "tango2": {
        "fad": "2.57 4.18 2.18 2.11 2.51 2.69",
        "kl": "1.26 1.76 1.62 1.54 1.15 1.12",
        "is": "8.34 7.76 6.92 8.29 7.87 9.09",
        "clap": "0.43 0.43 0.43 0.44 0.54 0.57",
        "ovl": "- - - 3.56 3.81 3.99",
        "rel": "- - - 3.19 3.77 4.07",
    },
    "ezaudio-table3": {
        "fd": "- 19.07 21.84 30.96 25.03 18.77 16.16 17.21 15.59 14.98",
        "kl": "- 1.33 1.32 2.36 1.75 1.71 1.42 1.40 1.38 1.29",
        "is": "- 7.70 9.20 7.38 8.13 8.80 9.93 11.42 11.35 11.38",
        "clap": "0.302 0.293 0.269 0.197 0.236 0.244 0.284 0.271 0.319 0.314",
    },
    "impact-table1": {
        "fd": "- 16.51 24.42 18.93 20.66 15.59 14.98 16.23 32.14 33.18 14.90 14.72 14.72",
        "fad": "- 2.11 1.73 2.19 2.63 2.25 3.01 2.03 2.17 2.12 1.07 1.13 1.17",
        "kl": "- 1.54 1.27 1.12 1.12 1.38 1.29 1.29 1.62 1.54 1.05 1.09 1.07",
        "is": "- 9.64 7.70 8.80 9.09 11.35 11.38 9.95 6.92 8.29 10.06 10.03 10.53",
        "clap": ".373 .315 .313 .340 .375 .391 .387 .345 .273 .281 .364 .353 .364",
        "time": "- 37.2 182.6 181.6 182.3 29.1 40.2 15.9 96.1 195.7 11.2 22.2 28.4",
    },
    "tangoflux": {
        "fd": "20.9 19.2 33.2 15.6 15.8 42.6 24.5 20.8 20.1 25.2 20.3",
        "fd_openl3": "94.6 107.4 108.3 98.7 84.7 89.2 107.9 108.4 93.2 77.6 75.1",
        "kl_passt": "1.43 1.58 1.81 1.33 1.20 2.58 1.20 1.11 1.37 1.56 1.15",
        "kad": ".61 .56 1.78 .45 .15 4.15 1.71 1.38 .96 1.30 .60",
        "clap": ".377 .363 .419 .406 .460 .291 .407 .447 .447 .380 .480",
        "is": "9.1 10.2 7.9 9.4 10.8 9.9 7.8 9.0 12.0 10.0 12.2",
        "time": "<.2 <.2 24.8 2.3 12.2 8.6 22.8 22.8 5.3 9.6 3.7",
    },
}


@pytest.mark.parametrize("name", OTHERS)
def test_every_cell_of_the_other_papers_is_as_they_print_it(name):
    paper, table = read(RESULTS / f"{name}.toml"), OTHERS[name]
    assert [column.key for column in paper.columns] == [*table]
    assert sum(len(row.cells) for row in paper.rows) == FIGURES[name]
    for column in paper.columns:
        texts = table[column.key].split()
        for row, text in zip(paper.rows, texts, strict=True):
            cell, where = row.cells.get(column.key), (row.name, column.key)
            assert (cell is None) == (text == "-"), where
            if cell is not None:
                assert cell.below == text.startswith("<"), where
                assert cell.value == float(text.lstrip("<")), where
                assert len(text.split(".")[1]) == column.digits, where


def test_a_table_that_was_not_read_says_so_and_none_of_the_others_can_be_compared():
    seen = {name: read(RESULTS / f"{name}.toml").source.seen for name in FIGURES}
    assert [name for name, how in seen.items() if how == "read"] == ["tango", "tango2"]
    assert [name for name, how in seen.items() if how == "digest"] == ["tangoflux"]
    assert all(read(RESULTS / f"{name}.toml").incomparable for name in OTHERS)


def test_the_terms_of_a_row_are_its_own_before_those_of_the_table():
    paper = read(RESULTS / "ezaudio-table3.toml")
    assert paper.terms_of(paper.row("ezaudio-l")).steps == 100
    assert paper.terms_of(paper.row("tango")).steps is None
    tango = read(RESULTS / "tango.toml")
    assert tango.terms_of(tango.row("tango")).clips == 886


@pytest.mark.parametrize(("name", "table"), [("star-table1", TABLE_1), ("star-table2", TABLE_2)])
def test_every_cell_is_as_in_the_paper(name, table):
    paper = read(RESULTS / f"{name}.toml")
    assert [column.key for column in paper.columns] == [*table]
    for column in paper.columns:
        texts = table[column.key].split()
        for row, text in zip(paper.rows, texts, strict=True):
            numbers = [] if text == "-" else text.split("±")
            assert {len(number.split(".")[1]) for number in numbers} <= {column.digits}
            value, pm = [*map(float, numbers), None, None][:2]
            figure, where = row.cells.get(column.key), (row.name, column.key)
            assert (figure and figure.value, figure and figure.pm) == (value, pm), where
            assert (column.key in row.not_rated) == (text == "-")


def test_the_claim_and_the_remarks_are_those_that_the_figures_bear_out():
    paper = read(RESULTS / "star-table2.toml")
    (claim,) = paper.claims
    assert (claim.of, claim.over, claim.column) == ("star", "tango2", "processing")
    assert (claim.value, tuple(claim.rounded)) == (76.9, (("of", 36.0), ("over", 156.0)))
    assert claim.quote == "76.9% reduction in speech processing latency"
    first = read(RESULTS / "star-table1.toml")
    gains = [row.cells["qformer"].value - row.cells["mlp"].value for row in first.rows]
    assert [row.name for row in first.rows] == ["clap", "flan-t5", "hubert", "wavlm", "dac"]
    assert list(np.sign(gains)) == [-1, 1, 0, 1, -1]
    prose = first.source.remarks[-1]
    assert "FLAN-T5 and WavLM: for HuBERT the two are equal, for CLAP and DAC the MLP" in prose
    assert any("printed as 2092" in remark for remark in paper.source.remarks)
    reductions = [f"{100 * (1 - a / b):.2f} %" for a, b in ((36, 156), (35.93, 156.33))]
    assert reductions == ["76.92 %", "77.02 %"]
    assert any(all(text in remark for text in reductions) for remark in paper.source.remarks)


def test_the_conditions_are_those_of_the_protocol_paper_and_of_registered_names():
    paper = read(RESULTS / "star-table2.toml")
    protocol = read_protocol(registry.toml_path("protocols", "paper"))
    assert paper.conditions is not None
    assert (paper.conditions.protocol, paper.conditions.digest) == (protocol.name, protocol.digest)
    systems = registry.entries("systems")
    assert all(name in registry.BUILT_IN["systems"] for row in paper.rows for name in row.use)
    assert all(name in systems for row in paper.rows for name in row.miniatures)


@pytest.mark.parametrize("name", ["demo", "latency"])
def test_systems_of_suites_are_those_of_the_suites(name):
    suite = tomllib.loads(registry.toml_path("suites", name).read_text("utf-8"))
    known = {system["name"] for system in suite["system"]}
    paper = read(RESULTS / "star-table2.toml")
    assert {system for row in paper.rows for system in row.suites.get(name, ())} <= known


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema = 1", "schema = 2", "schema"),
        ("clap = { value = 0.422 }", "clapp = { value = 0.422 }", "unknown column 'clapp'; did"),
        ("clap = { value = 0.422 }", "", "cell star, clap: expected a figure or an entry"),
        ("kl = { value = 1.68 }", "kl = { value = nan }", "finite"),
        ("kl = { value = 1.68 }", "", "cell star-nobridge, kl: expected a figure or an entry"),
        ('not_rated = ["ovl", "rel"]', "", "star-nobridge, ovl: expected a figure or an entry"),
        ('["ovl", "rel"]', '["ovl", "rell"]', "unknown column 'rell'; did you mean 'rel'"),
        ('["ovl", "rel"]', '["ovl", "rel", "kl"]', "star-nobridge, kl: expected a figure or an"),
        ("value = 52.78", "valeu = 52.78", "valeu"),
        ('over = ["star"]', 'over = ["sttar"]', "unknown row 'sttar'; did you mean 'star'"),
        ('name = "tango2"', 'name = "star"', "occurs twice"),
        ('column = "generation"\nof = "star"', 'column = "fad"\nof = "star"', "no time to divide"),
        ("[conditions]", "[condition]", "condition"),
        ("schema = 1", "schema = ", "not a TOML file"),
        ("schema = 1", 'schema = 1\nincomparable = "x"', "conditions and incomparable; give one"),
        ('seen = "index"', 'seen = "heard"', "seen"),
        ('seen = "index"', "", "seen"),
        ('model = "tango2"', "modle = 3", "modle"),
    ],
)
def test_a_table_with_a_fault_is_refused_in_one_line(tmp_path, old, new, message):
    path = tmp_path / "table.toml"
    assert old in TEXT
    path.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(StabenchError) as error:
        read(path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_without_tables_is_said_to_be_one(tmp_path):
    with pytest.raises(MissingError, match=r"no \.toml file"):
        read_all(tmp_path)
    with pytest.raises(MissingError, match="no such file"):
        read(tmp_path / "gone.toml")


def test_two_tables_of_one_name_are_refused(tmp_path):
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text(TEXT)
    with pytest.raises(StabenchError, match=r"b\.toml': another table .* is named '.*' too; give"):
        read_all(tmp_path)
