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
    assert names == {"star-table1.toml", "star-table2.toml"}
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
