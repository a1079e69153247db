"""Tables of the leaderboard: who stands with whom, and who holds which place."""

from pathlib import Path
from typing import Any

import pytest

from stabench.harness.leaderboard.entries import entries
from stabench.harness.leaderboard.tables import Board, Place, boards
from tests.harness.leaderboard.made_entries import Leaderboard, phase


@pytest.fixture
def made(tmp_path: Path) -> Leaderboard:
    return Leaderboard(tmp_path / "leaderboard")


def cells(board: Board, key: str) -> dict[str, Place]:
    """The cells of one column by entry."""
    index = [head.key for head in board.heads].index(key)
    return {line.entry.id: line.places[index] for line in board.lines}


def places(board: Board, key: str) -> dict[str, str | None]:
    return {name: cell.rank and cell.rank.text for name, cell in cells(board, key).items()}


def build_board(made: Leaderboard) -> Board:
    (board,) = boards(entries(made.root))
    return board


def test_systems_that_intervals_cannot_tell_apart_share_a_place(made):
    made.add("a", 1.0, spread=0.2)
    made.add("b", 1.3, spread=0.2)
    made.add("c", 2.0, spread=0.2)
    board = build_board(made)
    assert places(board, "kl") == {"a": "1\N{EN DASH}2", "b": "1\N{EN DASH}2", "c": "3"}
    assert [line.entry.id for line in board.lines] == ["a", "b", "c"]
    assert (cells(board, "kl")["c"].text, cells(board, "kl")["c"].under) == ("2.00", "[1.80, 2.20]")


def test_higher_is_better_where_the_column_says_so(made):
    made.add("a", change=lambda v: v["metrics"]["recall"].update(value=0.5, low=0.4, high=0.6))
    made.add("b")
    assert places(build_board(made), "recall") == {"a": "2", "b": "1"}


def digest(value: dict[str, Any], *keys: str) -> None:
    """Replace a digest deep in the claims."""
    for key in keys[:-1]:
        value = value[key]
    value[keys[-1]] = "9" * 64


PROVENANCE = {
    "suite": lambda v: digest(v, "suite", "digest"),
    "data set": lambda v: digest(v, "dataset", "digest"),
    "protocol": lambda v: digest(v, "scoring", "protocol", "digest"),
    "network": lambda v: digest(v, "scoring", "embedders", "tagger", "identity"),
    "precision": lambda v: v["scoring"]["embedders"]["tagger"].update(precision="float16"),
    "version of a metric": lambda v: v["metrics"]["kl"].update(version=2),
    "direction": lambda v: v["metrics"]["kl"].update(better="higher"),
    "unit": lambda v: v["metrics"]["kl"].update(unit="bits"),
}


@pytest.mark.parametrize("name", PROVENANCE)
def test_numbers_of_another_provenance_never_share_a_table(made, name):
    made.add("a")
    made.add("b", change=PROVENANCE[name])
    tables = boards(entries(made.root))
    assert [[line.entry.id for line in board.lines] for board in tables] == [["a"], ["b"]]
    assert tables[0].title != tables[1].title


def test_a_column_that_one_submission_lacks_does_not_part_them(made):
    made.add("a")
    made.add("b", change=lambda v: v["metrics"].pop("recall"))
    assert cells(build_board(made), "recall")["b"].under == "not measured"


def test_a_claim_holds_no_place_and_moves_nobody(made):
    made.add("a", 1.0)
    made.add("b", 2.0)
    made.add("cheat", 0.001, audited=False)
    made.add("partly", 0.002, verdict={"recomputed": ["recall"]})
    board = build_board(made)
    assert places(board, "kl") == {"a": "1", "b": "2", "cheat": None, "partly": None}
    assert {name: cell.claimed for name, cell in cells(board, "kl").items()} == {
        "a": False, "b": False, "cheat": True, "partly": True,
    }  # fmt: skip
    assert [line.entry.id for line in board.lines] == ["a", "b", "partly", "cheat"]


def test_a_claim_of_many_clips_takes_no_place_from_others(made):
    made.add("a", 1.0)
    made.add("b", 2.0)
    made.add("cheat", 0.1, lambda v: v["metrics"]["kl"].update(n=10**9), audited=False)
    assert places(build_board(made), "kl") == {"a": "1", "b": "2", "cheat": None}


def fewer(value: dict[str, Any]) -> None:
    """Two clips failed: the metrics and times are over ten."""
    for card in value["metrics"].values():
        card["n"] = 10
    for one_phase in value["latency"]["phases"].values():
        one_phase["clips"] = 10


def test_who_failed_on_clips_holds_no_place(made):
    made.add("a", 1.0)
    made.add("b", 2.0)
    made.add("c", 0.1, fewer)
    board = build_board(made)
    assert places(board, "kl")["c"] is None
    assert cells(board, "kl")["c"].n == "n 10"
    assert places(board, board.heads[2].key)["c"] is None


def test_an_oracle_is_shown_without_a_place(made):
    made.add("a", 1.0)
    made.add("b", 2.0)
    made.add("oracle", 0.1, lambda v: v["system"].update(paradigm="oracle"))
    board = build_board(made)
    assert places(board, "kl") == {"a": "1", "b": "2", "oracle": None}
    assert cells(board, "kl")["oracle"].text == "0.10"


def test_a_value_without_interval_holds_no_place(made):
    made.add("a", 1.0)
    made.add("b", 2.0)
    made.add("c", 0.1, lambda v: v["metrics"]["kl"].update(low=None, high=None))
    assert places(build_board(made), "kl")["c"] is None


def other_machine(value: dict[str, Any]) -> None:
    value["hardware"]["cpu"] = "Processor B"
    value["latency"]["phases"]["represent"] = phase(1.0)


def test_latency_is_compared_within_one_hardware_only(made):
    made.add("a")
    made.add("b", change=lambda v: v["latency"]["phases"].update(represent=phase(40.0)))
    made.add("c", change=other_machine)
    board = build_board(made)
    assert [group for group, _ in board.groups] == [
        "Quality",
        "Latency on Processor A, 1 of 2 cores",
        "Latency on Processor B, 1 of 2 cores",
    ]
    first, other = (f"processing Processor {name}, 1 of 2 cores" for name in "AB")
    assert places(board, first) == {"a": "1", "b": "2", "c": None}
    assert cells(board, first)["c"].text == "\N{EN DASH}"
    assert cells(board, other)["c"].text == "1.00"
    assert cells(board, first)["a"].text == "20.0"


def test_a_gpu_is_named_with_its_host(made):
    gpu = {"device": "cuda", "gpus": [{"name": "H100", "driver": "570"}]}
    made.add("a", change=lambda v: v["hardware"].update(gpu))
    assert build_board(made).groups[1][0] == "Latency on H100, with Processor A, 1 of 2 cores"


def test_no_entries_no_tables(made):
    assert boards(entries(made.root)) == []
