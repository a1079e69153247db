"""The published tables: what the files hold, and that nothing else is read as one."""

import tomllib
from pathlib import Path

import pytest

from harness import registry
from harness.errors import MissingError, StabenchError
from harness.papers.paper import FOLDER, read, read_all
from metrics.protocol import read as read_protocol

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
    held = sum(len(row.cells) for row in paper.rows)
    lacking = sum(bool(paper.lack(row.name, key)) for row in paper.rows for key in keys)
    assert (held, lacking) == (32, 22)


TABLE_2 = """
audioldm2     265.83 72.89 52.78 -    2.40 20.92 1.62  8.38 0.377
tango2        156.33 62.16 14.62 -    2.57 19.89 1.22  8.75 0.466
audit         187.86 75.75  9.13 -    6.20 41.89 1.88  6.26 0.293
star           35.93 14.50  2.76 0.03 2.23 15.42 1.48 12.22 0.422
star-nobridge  32.83 26.29  2.90 -
star-dac       58.68 30.44  2.77 -
"""
"""Processing (ms) and its spread, generation (s) and its spread, FAD, FD, KL, IS, CLAP."""


def test_figures_are_those_of_the_paper():
    paper = read(RESULTS / "star-table2.toml")
    for line in TABLE_2.split("\n")[1:-1]:
        name, *texts = line.split()
        cells = paper.row(name).cells
        times = [figure for key in ("processing", "generation") for figure in cells[key]]
        held = [value for _, value in times]
        held += [cells[key].value for key in ("fad", "fd", "kl", "is", "clap") if key in cells]
        assert held == [None if text == "-" else float(text) for text in texts]
    (claim,) = paper.claims
    assert (claim.of, claim.over, claim.column) == ("star", "tango2", "processing")
    assert (claim.value, tuple(claim.rounded)) == (76.9, (("of", 36.0), ("over", 156.0)))
    assert claim.quote == "76.9% reduction in speech processing latency"
    first = read(RESULTS / "star-table1.toml")
    assert {row.name: [cell.value for cell in row.cells.values()] for row in first.rows} == {
        "clap": [0.500, 0.472],
        "flan-t5": [0.419, 0.486],
        "hubert": [0.457, 0.457],
        "wavlm": [0.451, 0.453],
        "dac": [0.114, 0.108],
    }


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
    assert {own for row in paper.rows for own in row.suites.get(name, ())} <= known


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("schema = 1", "schema = 2", "schema"),
        ("clap = { value = 0.422 }", "clapp = { value = 0.422 }", "unknown column 'clapp'; did"),
        ("clap = { value = 0.422 }", "", "cell star, clap: expected a figure or an entry"),
        ("generation = { value = 2.90 }", "generation = { value = nan }", "finite"),
        ("generation = { value = 2.90 }", "fad = { value = 2.90 }", "star-nobridge, "),
        ("value = 52.78", "valeu = 52.78", "valeu"),
        ('over = ["star"]', 'over = ["sttar"]', "unknown row 'sttar'; did you mean 'star'"),
        ('name = "tango2"', 'name = "star"', "occurs twice"),
        ('column = "generation"\nof = "star"', 'column = "fad"\nof = "star"', "no time to divide"),
        ("[conditions]", "[condition]", "condition"),
        ("schema = 1", "schema = ", "not a TOML file"),
    ],
)
def test_a_table_with_a_fault_is_refused_in_one_line(tmp_path, old, new, said):
    path = tmp_path / "table.toml"
    assert old in TEXT
    path.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(StabenchError) as error:
        read(path)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_without_tables_is_said_to_be_one(tmp_path):
    with pytest.raises(MissingError, match=r"no \.toml file"):
        read_all(tmp_path)
    with pytest.raises(MissingError, match="no such file"):
        read(tmp_path / "gone.toml")
