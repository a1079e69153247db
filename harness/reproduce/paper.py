"""A paper's table as data: every published figure with its source, read strictly from TOML."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, FiniteFloat, ValidationError, model_validator

from stabench.harness.errors import MissingError, StabenchError, unknown
from stabench.harness.schema import Strict, first_wrong
from stabench.harness.tables import read_toml

# Where the tables of the package lie: the files of results/paper/.
FOLDER = Path(__file__).resolve().parents[2] / "results" / "paper"


Option = bool | int | float | str


# How a table was seen by whoever typed it here, in the words of every page that shows it.
SEEN = {
    "read": "read in the authors' own text",
    "index": "seen in a stored text of the paper",
    "digest": "seen in a secondary text",
}


class Figure(Strict):
    """A published figure, and its ± where one is printed (of clips, not of the mean).

    `below`: the paper prints only that it is less than `value`.
    """

    value: FiniteFloat
    pm: FiniteFloat | None = Field(None, ge=0)
    below: bool = False


class Terms(Strict):
    """How figures were made, as far as it is known; None: nobody says.

    `candidates` were ranked by CLAP for each clip, `clap_rate_hz` is the rate of what entered CLAP.
    """

    clip_list: str | None = None
    clips: int | None = Field(None, ge=1)
    clap: str | None = None
    backbone: str | None = None
    clap_rate_hz: int | None = Field(None, ge=1)
    candidates: int | None = Field(None, ge=1)
    steps: int | None = Field(None, ge=1)
    guidance: FiniteFloat | None = None


class Column(Strict):
    """A column as printed, with `digits` decimals.

    Of kind "latency" and "quality" a run's table has one with the same key. "probe": a run of
    probes has a bridge of the same key. "unmeasured": no run measures it, and `why` says so; of a
    "probe" it says so where a run is none of probes.
    """

    key: str
    label: str
    unit: str = ""
    better: Literal["lower", "higher"]
    digits: int = Field(ge=0, le=9)
    kind: Literal["latency", "quality", "probe", "unmeasured"]
    why: str = ""


class PaperRow(Strict):
    """A published system, its figures by column, and which systems of a run stand for it.

    `model` is what other tables call it: rows of one model are rows of one system. `terms` are its
    own, before those of the table. `not_rated` are columns in which the paper prints no figure.
    `suites` names systems of certain suites; in others those registered under a name in `use` do.
    `miniatures` are registered small systems of its form. `options` are those ("a.b": b of the
    table a) with which a system is the published one, `latency_options` those with which its times
    are, too; "default" is one that is not set.
    """

    name: str
    label: str
    paradigm: Literal["cascade", "end-to-end", "oracle", "recordings"]
    model: str = ""
    terms: Terms = Terms()
    use: tuple[str, ...] = ()
    suites: dict[str, tuple[str, ...]] = Field({})
    miniatures: tuple[str, ...] = ()
    options: dict[str, tuple[Option, ...]] = Field({})
    latency_options: dict[str, tuple[Option, ...]] = Field({})
    cells: dict[str, Figure]
    not_rated: tuple[str, ...] = ()


class Ratio(Strict):
    """Ratios of the cell of row `of` over those of other rows, in one column."""

    column: str
    of: str
    over: tuple[str, ...]


class Rounded(Strict):
    """The two figures as the authors round them."""

    of: FiniteFloat
    over: FiniteFloat


class Claim(Strict):
    """A statement in the authors' words: `value` % less in row `of` than in row `over`."""

    name: str
    quote: str
    where: str
    column: str
    of: str
    over: str
    value: FiniteFloat
    unit: Literal["%"]
    digits: int = Field(ge=0, le=9)
    rounded: Rounded


class Source(Strict):
    """Where the figures are from, how they were seen, and what a reader should know of them."""

    title: str
    arxiv: str
    version: str = ""
    table: str
    url: str
    seen: Literal["read", "index", "digest"]
    remarks: tuple[str, ...] = ()


class Conditions(Strict):
    """What a run must have done to be compared.

    One of `clips` within the share `clips_share` of it, of one of `datasets`, scored by the
    protocol of that name and digest with networks whose weights have one of the `origins` of their
    role. Ratios of times: on `device`, of one of `latency_datasets`. `hardware` says why times
    themselves are not compared.
    """

    datasets: tuple[str, ...]
    clips: tuple[int, ...]
    clips_share: float = Field(ge=0, le=0.1)
    clips_said: str
    protocol: str
    digest: str
    origins: dict[str, tuple[str, ...]]
    device: Literal["cpu", "cuda"]
    latency_datasets: tuple[str, ...]
    hardware: str


class Paper(Strict):
    """One table of a paper.

    A run is compared with it under its `conditions`, or not at all: `incomparable` says why.
    """

    schema_version: Literal[1] = Field(alias="schema")
    name: str
    title: str
    source: Source
    conditions: Conditions | None = None
    incomparable: str = ""
    terms: Terms = Terms()
    columns: tuple[Column, ...] = Field(alias="column", min_length=1)
    rows: tuple[PaperRow, ...] = Field(alias="row", min_length=1)
    ratios: tuple[Ratio, ...] = Field((), alias="ratio")
    claims: tuple[Claim, ...] = Field((), alias="claim")

    def column(self, key: str) -> Column:
        """Return the column with a key. Raises StopIteration without it."""
        return next(column for column in self.columns if column.key == key)

    def row(self, name: str) -> PaperRow:
        """Return the row of a name. Raises StopIteration without it."""
        return next(row for row in self.rows if row.name == name)

    def terms_of(self, row: PaperRow) -> Terms:
        """Return how the figures of a row were made: its own terms, else those of the table."""
        return Terms(**{**dict(self.terms), **row.terms.model_dump(exclude_none=True)})

    @model_validator(mode="after")
    def _whole(self) -> "Paper":
        """Refuse a cell with neither figure nor dash, and a name of no row or column."""
        # Dictionaries keep the order of the file, so that its first fault is the one named.
        rows = {row.name: row for row in self.rows}
        columns = {column.key: column for column in self.columns}
        if len(rows) < len(self.rows) or len(columns) < len(self.columns):
            raise ValueError("a row or a column occurs twice; every name must differ")
        # Names first: the checks below them look rows and columns up.
        mentions = [("column", key) for row in self.rows for key in (*row.cells, *row.not_rated)]
        for pair in self._list_pairs():
            mentions += [("row", name) for name in (pair.of, *_list_over(pair.over))]
            mentions.append(("column", pair.column))
        for kind, name in mentions:
            known = {*rows} if kind == "row" else {*columns}
            if name not in known:
                raise ValueError(unknown(kind, name, known))
        for row in self.rows:
            for key in columns:
                if (key in row.cells) == (key in row.not_rated):
                    state = "both" if key in row.cells else "neither"
                    raise ValueError(
                        f"cell {row.name}, {key}: expected a figure or an entry in not_rated, "
                        f"not {state}"
                    )
        measured = any(column.kind in ("latency", "quality") for column in self.columns)
        if self.conditions and self.incomparable:
            raise ValueError("conditions and incomparable; give one of them")
        if self._list_pairs() and self.conditions is None:
            raise ValueError("a ratio or a claim without conditions; say what a run must have done")
        if measured and self.conditions is None and not self.incomparable:
            raise ValueError(
                "conditions are missing; say what a run must have done, or in incomparable why "
                "none can be compared"
            )
        return self

    @model_validator(mode="after")
    def _divisible(self) -> "Paper":
        """Refuse a ratio or a claim that is not of times, or of a cell without a figure."""
        for pair in self._list_pairs():
            for name in (pair.of, *_list_over(pair.over)):
                cell = self.row(name).cells.get(pair.column)
                if self.column(pair.column).kind != "latency" or cell is None or not cell.value:
                    raise ValueError(
                        f"ratio of {pair.column}: row '{name}' has no time to divide; take another"
                    )
        return self

    def _list_pairs(self) -> list[Ratio | Claim]:
        return [*self.ratios, *self.claims]


def read(path: Path) -> Paper:
    """Read the table of a TOML file.

    Raises MissingError without the file, StabenchError with one line for what is wrong in it.
    """
    what = f"paper '{path}'"
    value = read_toml(what, path, f"{what}: no such file; give a .toml file")
    try:
        return Paper.model_validate(value)
    except ValidationError as error:
        raise StabenchError(f"{what}: {first_wrong(error, Paper)}") from None


def read_all(folder: Path = FOLDER) -> tuple[Paper, ...]:
    """Return every table in a folder, by file name.

    Raises MissingError for a folder without any, StabenchError for two of one name.
    """
    paths = sorted(folder.glob("*.toml"))
    if not paths:
        raise MissingError(f"papers '{folder}': no .toml file in it; give a folder of tables")
    papers: dict[str, Paper] = {}
    for path in paths:
        paper = read(path)
        if paper.name in papers:
            raise StabenchError(
                f"paper '{path}': another table in the folder is named '{paper.name}' too; give "
                "each its own name"
            )
        papers[paper.name] = paper
    return tuple(papers.values())


def _list_over(over: str | tuple[str, ...]) -> tuple[str, ...]:
    # A ratio lists rows, a claim names one.
    return (over,) if isinstance(over, str) else over


def choose(papers: tuple[Paper, ...], names: Sequence[str]) -> tuple[Paper, ...]:
    """Return the tables of these names, in their order; all of them for no name.

    Raises StabenchError with the nearest match for an unknown one.
    """
    known = {paper.name: paper for paper in papers}
    for name in names:
        if name not in known:
            raise StabenchError(unknown("paper", name, known))
    return tuple(known[name] for name in dict.fromkeys(names)) or papers
