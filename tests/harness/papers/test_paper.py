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


def test_figures_are_those_of_the_paper():
    paper = read(RESULTS / "star-table2.toml")
    star, tango = paper.row("star").cells, paper.row("tango2").cells
    assert (star["processing"].value, star["processing"].pm) == (35.93, 14.50)
    assert (star["generation"].value, star["generation"].pm) == (2.76, 0.03)
    assert (tango["processing"].value, tango["processing"].pm) == (156.33, 62.16)
    scores = [star[key].value for key in ("fad", "fd", "kl", "is", "clap")]
    assert scores == [2.23, 15.42, 1.48, 12.22, 0.422]
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
