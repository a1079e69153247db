"""Published tables by themselves: every one prints, with what is known of it and what is not."""

import io

import pytest

from stabench.harness.render.markdown import to_markdown
from stabench.harness.reproduce.paper import SEEN, read_all
from stabench.harness.reproduce.published import (
    TERMS,
    build_tables,
    describe_terms,
    list_papers,
    print_figure,
    show_papers,
)
from stabench.harness.suites.trained_on import MODELS, TRAINED

PAPERS = read_all()


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.name)
def test_a_table_is_printed_whole_with_its_source_and_its_terms(paper):
    text = to_markdown(build_tables((paper,)))
    for row in paper.rows:
        cells = [print_figure(row, column) for column in paper.columns]
        assert f"| {' | '.join(cells)} |" in text.replace("\\", "")
    assert SEEN[paper.source.seen] in text
    terms = describe_terms(paper.terms)
    assert sum(word in terms for word in TERMS.values()) == len(TERMS)


def test_the_list_has_every_table_and_how_it_is_known():
    stream = io.StringIO()
    show_papers(PAPERS, whole=False, stream=stream)
    assert all(paper.name in stream.getvalue() for paper in PAPERS)
    (section,) = list_papers(PAPERS).sections
    counts = {line.cells[0].main: line.cells[2].main for line in section.grid.lines}
    assert counts["star-table2"] == "50"


def test_a_figure_of_a_model_trained_on_the_metric_is_marked_in_every_table():
    marked = {
        (paper.name, row.name, column.key)
        for paper in PAPERS
        for row in paper.rows
        for column in paper.columns
        if TRAINED in print_figure(row, column)
    }
    assert marked == {
        ("impact-table1", "tango2", "clap"),
        ("star-table2", "tango2", "clap"),
        ("tango2", "tango2", "clap"),
        ("tangoflux", "tango2", "clap"),
        ("tangoflux", "tangoflux", "clap"),
    }
    for model in ("tango2", "tangoflux"):
        assert MODELS[model].how in to_markdown(build_tables(PAPERS))
