"""`stabench reproduce` without a run: the list of published tables, and each of them."""

import sys

import pytest

from stabench.harness.cli import main
from stabench.harness.reproduce.paper import read_all

PAPERS = [paper.name for paper in read_all()]


@pytest.fixture
def reproduce(monkeypatch, capsys):
    """`reproduce(*words)`: exit code, standard output and standard error."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["stabench", "reproduce", *words])
        code = main.main()
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_without_a_run_the_tables_are_listed(reproduce):
    code, out, _ = reproduce()
    assert code == 0
    assert [name for name in PAPERS if name not in out] == []
    assert "seen in a secondary text" in " ".join(out.split())


@pytest.mark.parametrize("name", PAPERS)
def test_each_table_is_printed_by_its_name(reproduce, name):
    code, out, _ = reproduce("--paper", name)
    assert code == 0
    paper = next(paper for paper in read_all() if paper.name == name)
    text = " ".join(out.split())
    assert paper.title in text
    assert all(row.label.split()[0] in text for row in paper.rows)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--paper", "star-tabel2"), "unknown paper 'star-tabel2'; did you mean 'star-table2'"),
        (("--strict",), "--strict and --out go with a run"),
        (("--papers", "/nowhere"), "no .toml file in it"),
    ],
)
def test_what_is_wrong_is_one_line(reproduce, words, line):
    code, out, err = reproduce(*words)
    assert code in (2, 3)
    assert out == ""
    (said,) = err.splitlines()
    assert line in said
