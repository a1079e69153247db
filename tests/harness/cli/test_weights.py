"""`stabench weights`: what it lists, and that one failure does not keep the others away."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from stabench.checkpoints import catalogue, store
from stabench.harness.cli import weights as command
from stabench.harness.errors import MissingError, StabenchError
from tests.checkpoints.origin import Origin, empty_machine, sha256, use_catalogue

DATA = b"weights" * 1000
SHA = sha256(DATA)


@pytest.fixture
def origin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Origin]:
    """Serves three one-file entries: two published with a digest, one, of the hub, without."""
    empty_machine(monkeypatch, tmp_path)
    server = Origin()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    tables = [
        table(server, "good", f'sha256 = "{SHA}", size_bytes = {len(DATA)}', "MIT"),
        table(server, "loose", "", "Apache-2.0"),
        table(server, "bound", f'sha256 = "{SHA}"', "CC-BY-NC-4.0", "no commercial use"),
    ]
    use_catalogue(monkeypatch, "\n".join(tables))
    yield server
    server.stop()


def table(server: Origin, name: str, keys: str, licence: str, restricts: str = "") -> str:
    server.files[f"/{name}.pt"] = server.files[f"/me/{name}/resolve/main/{name}.pt"] = DATA
    address = f'url = "{server.url}/{name}.pt"' if "sha256" in keys else ""
    file = ", ".join(filter(None, [f'name = "{name}.pt"', address, keys]))
    terms = f'restricts = "{restricts}"\n' if restricts else ""
    return (
        f'[{name}]\nabout = "x"\nkind = "file"\nlicence = "{licence}"\n{terms}'
        f'repo = "me/{name}"\nused_by = []\nfiles = [{{ {file} }}]'
    )


def put(name: str, data: bytes) -> Path:
    path = store.home(catalogue.entries()[name], catalogue.entries()[name].files[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def states() -> dict[str, str]:
    return {row.name: row.state for row in command.status()}


def test_states_tell_what_is_here(origin: Origin) -> None:
    assert set(states().values()) == {"missing"}
    put("good", DATA)
    put("loose", DATA)
    put("bound", DATA[::-1])
    assert states() == {
        "good": "here (verified)",
        "loose": "here (not pinned)",
        "bound": "wrong sha256",
    }
    path = put("good", DATA[:-1])
    row = command.status()[0]
    assert row == ("good", "MIT", "7.0 kB", "truncated", str(path))


def test_what_was_fetched_is_verified_ever_after(origin: Origin) -> None:
    command.fetch([], everything=True, stream=io.StringIO())
    assert set(states().values()) == {"here (verified)"}
    put("loose", DATA[::-1])
    assert states()["loose"] == "wrong sha256"


def test_a_fetch_tells_licence_terms_and_place(origin: Origin) -> None:
    said = io.StringIO()
    command.fetch(["bound", "bound"], stream=said)
    place = store.locate("bound")
    assert said.getvalue() == (
        f"bound: ?, licence CC-BY-NC-4.0: no commercial use\n  bound.pt: 7.0 kB\n  in {place}\n"
    )


def test_one_failure_does_not_keep_the_others_away(origin: Origin) -> None:
    del origin.files["/good.pt"]
    said = io.StringIO()
    with pytest.raises(MissingError, match="1 of 3 weights not fetched: good") as caught:
        command.fetch([], everything=True, stream=said)
    assert caught.value.exit_code == 3
    assert "  failed: " in said.getvalue()
    assert "HTTP 404" in said.getvalue()
    assert states() == {"good": "missing", "loose": "here (verified)", "bound": "here (verified)"}


def test_nothing_is_fetched_when_a_name_is_wrong(origin: Origin) -> None:
    with pytest.raises(StabenchError, match="unknown weights 'god'; did you mean 'good'"):
        command.fetch(["loose", "god"], stream=io.StringIO())
    with pytest.raises(StabenchError, match="no weights named"):
        command.fetch([], stream=io.StringIO())
    assert origin.asked == []


def test_broken_pins_are_the_users_business(origin: Origin) -> None:
    put("good", DATA)
    store.pins_file().write_text("[")
    with pytest.raises(StabenchError, match=r"pins\.json is no JSON object"):
        command.status()


def test_lines_are_aligned_where_there_is_no_terminal(origin: Origin) -> None:
    page = io.StringIO()
    command.show(command.status(), page)
    assert page.getvalue().splitlines() == [
        "good   MIT           7.0 kB  missing",
        "loose  Apache-2.0    ?       missing",
        "bound  CC-BY-NC-4.0  ?       missing",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_table(origin: Origin) -> None:
    page = Terminal()
    command.show(command.status(), page)
    assert "licence" in page.getvalue()
    assert "CC-BY-NC-4.0" in page.getvalue()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (12, "12 B"),
        (898_823, "899 kB"),
        (9_949_999, "9.9 MB"),
        (358_668_570, "359 MB"),
        (1_863_587_645, "1.9 GB"),
        (12_800_000_000, "13 GB"),
    ],
)
def test_sizes_are_readable(number: int, text: str) -> None:
    assert command.readable(number) == text


def test_the_shipped_catalogue_is_listed_with_licences(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    empty_machine(monkeypatch, tmp_path)
    rows = {row.name: row for row in command.status()}
    assert rows["cnn14-16k"] == ("cnn14-16k", "CC-BY-4.0", "359 MB", "missing", "")
    assert rows["audioldm2"].size == "~4.5 GB"
    assert all(row.licence for row in rows.values())


def test_what_nobody_verified_is_shown_so_and_is_no_part_of_all() -> None:
    (row,) = [row for row in command.status() if row.name == "star"]
    assert (row.licence, row.size, row.state, row.where) == (
        "unknown",
        "~275 MB",
        "not verified",
        "",
    )
    asked = {entry.name for entry in command._choose_entries([], everything=True)}
    assert asked == catalogue.entries().keys() - {"star"}
    said = io.StringIO()
    with pytest.raises(MissingError, match="1 of 1 weights not fetched: star"):
        command.fetch(["star"], stream=said)
    assert "failed: weights 'star' are not verified" in said.getvalue()
