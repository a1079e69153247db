"""The site: escaped, offline, the same bytes twice, and true to its entries."""

import base64
import hashlib
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.history import history
from stabench.harness.history import page as site_history
from stabench.harness.history.plot import FEWEST_RUNS
from stabench.harness.leaderboard.site import MARKER, build
from tests.harness.history.test_page import paths
from tests.harness.history.test_series import another_network, noisy, record
from tests.harness.leaderboard.made_entries import HOSTILE, Leaderboard
from tests.harness.report.html.test_browser import CHROMIUM, dumped

ROOT = Path(__file__).resolve().parents[3]
LOADING = ("src", "href", "action", "formaction", "poster", "data", "srcset", "style", "background")


class Page(HTMLParser):
    """A page as a browser would take it apart."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.inside: dict[str, str] = {}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        self._open = tag

    def handle_data(self, data: str) -> None:
        if self._open in ("style", "script"):
            self.inside[self._open] = self.inside.get(self._open, "") + data
        else:
            self.text.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    def list_tags(self, tag: str) -> list[dict[str, str]]:
        """Return the attributes of every tag of this name."""
        return [attrs for name, attrs in self.tags if name == tag]


def page(path: Path) -> Page:
    return Page(path.read_text("utf-8"))


def hostile(value: dict[str, Any]) -> None:
    """Whatever a submitter may write holds markup."""
    system = value["system"]
    for key in ("version", "description", "contact", "licence", "training_data", "note", "label"):
        system[key] = HOSTILE
    system["authors"] = [HOSTILE]
    system["links"] = {HOSTILE: "https://example.org/"}
    system["weights"] = {HOSTILE: "5" * 64}
    value["hardware"]["cpu"] = value["run"]["id"] = value["dataset"]["version"] = HOSTILE
    value["metrics"]["kl"]["label"] = HOSTILE
    value["failed"] = {HOSTILE: HOSTILE}
    value["marks"] = [HOSTILE]
    value["latency"]["stages"][0]["name"] = HOSTILE


@pytest.fixture
def made(tmp_path: Path) -> Leaderboard:
    return Leaderboard(tmp_path / "leaderboard")


@pytest.fixture
def site(made: Leaderboard, tmp_path: Path) -> Path:
    """A site of three entries, one hostile, with a history."""
    made.add("star", audio=True)
    made.add("claim", 1.0, audited=False)
    made.add("hostile", change=hostile, verdict={"remarks": [HOSTILE]})
    path = tmp_path / "history.jsonl"
    for index, value in enumerate(noisy(20, 10)):
        history.append(record(index, value, another_network if index >= 18 else None), path)
    return build(made.root, tmp_path / "site", path).parent


def test_the_files_of_a_site(site):
    names = sorted(str(path.relative_to(site)) for path in site.rglob("*") if path.is_file())
    sounds = [f"audio/star/0{number}.wav" for number in (1, 2, 3)]
    pages = [f"systems/{name}.html" for name in ("claim", "hostile", "star")]
    plots = ["history/1-1.svg", "history/1-2.svg"]
    assert names == [MARKER, *sounds, "history.html", *plots, "index.html", *pages]


def test_markup_of_submitters_is_text_on_every_page(site):
    for path in site.rglob("*.html"):
        html = page(path)
        assert len(html.list_tags("script")) == 1
        assert {one["src"].split("/")[0] for one in html.list_tags("img")} <= {"history"}
        assert not [name for _, attrs in html.tags for name in attrs if name.startswith("on")]
    assert HOSTILE in page(site / "systems" / "hostile.html").words
    assert HOSTILE in page(site / "index.html").words


def test_nothing_is_loaded_from_elsewhere(site):
    for path in site.rglob("*.html"):
        for tag, attrs in page(path).tags:
            for name in LOADING:
                value = attrs.get(name)
                if value is None or (tag == "a" and value.startswith("#")):
                    continue
                if tag == "a" and attrs.get("rel") == "nofollow noopener":
                    assert value.startswith("https://")
                    continue
                assert (path.parent / value).resolve().is_relative_to(site.resolve())
                assert (path.parent / value).exists(), f"{path}: {value}"


def test_links_of_submissions_are_shown_in_full(site):
    html = page(site / "systems" / "star.html")
    (link,) = [attrs for attrs in html.list_tags("a") if attrs.get("rel")]
    assert link["href"] == "https://example.org/code?a=1&b=2"
    assert link["href"] in html.words


def test_the_policy_allows_this_script_and_style_only(site):
    for path in site.rglob("*.html"):
        html = page(path)
        (policy,) = [meta["content"] for meta in html.list_tags("meta") if "http-equiv" in meta]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        for tag in ("script", "style"):
            digest = base64.b64encode(hashlib.sha256(html.inside[tag].encode()).digest()).decode()
            assert f"{tag}-src 'sha256-{digest}'" in policy


def test_the_same_entries_give_the_same_bytes(site, made, tmp_path):
    def content(root: Path) -> dict[str, bytes]:
        return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}

    again = build(made.root, tmp_path / "again", tmp_path / "history.jsonl").parent
    assert content(again) == content(site)


def test_unaudited_entries_are_marked_and_filters_know_them(site):
    html = page(site / "index.html")
    rows = {row["data-audited"] for row in html.list_tags("tr") if "data-audited" in row}
    assert rows == {"yes", "no"}
    assert html.words.count("unaudited") == 1
    assert "No check of this submission is on record" in page(site / "systems" / "claim.html").words


def test_numbers_on_a_system_s_page_are_those_claimed(site):
    words = page(site / "systems" / "star.html").words
    for text in ("2.00 [1.90, 2.10]", "20.0 [18.0, 22.0]", "speech_encoder 20.00", "a" * 40):
        assert text in words
    assert "Processor A, 1 of 2 cores used" in words
    assert len(page(site / "systems" / "star.html").list_tags("audio")) == 3


def test_the_history_page_draws_breaks_and_change_points_and_joins_nothing_across(site):
    images = page(site / "history.html").list_tags("img")
    (kl,) = [image for image in images if image["alt"].startswith("KL (nats), lower is better")]
    svg = (site / kl["src"]).read_bytes()
    assert (len(paths(svg, "break")), len(paths(svg, "change"))) == (1, 1)
    assert [path.count("L") for path in paths(svg, "stretch")] == [17, 1]
    assert "embedder was pocket-cnn14" in page(site / "history.html").words


def test_tables_can_be_read_by_machines_and_sorted(site):
    html = page(site / "index.html")
    assert [attrs for attrs in html.list_tags("td") if attrs.get("data-sort") == "2.0"]
    assert all(attrs.get("scope") for attrs in html.list_tags("th"))
    assert len(html.list_tags("caption")) == len(html.list_tags("table"))
    assert all(
        "tabindex" in attrs for attrs in html.list_tags("div") if attrs.get("role") == "region"
    )


def test_an_empty_leaderboard_says_how_to_submit(made, tmp_path):
    words = page(build(made.root, tmp_path / "site", None)).words
    assert "No submission has been accepted yet." in words
    assert "stabench submit RUN --system NAME --about about.toml" in words
    assert "stabench check-submission PACKAGE.zip" in words


def test_a_site_replaces_an_older_one_whole_and_nothing_else(made, tmp_path):
    out = tmp_path / "site"
    folder = made.add("star")
    build(made.root, out, None)
    (folder / "submission.json").unlink()
    (folder / "verdict.json").unlink()
    folder.rmdir()
    build(made.root, out, None)
    assert not (out / "systems").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear")
    with pytest.raises(StabenchError, match="holds something else than a site"):
        build(made.root, tmp_path / "mine", None)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "dear"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["leaderboard", "mine", "site"]


def test_a_site_may_be_built_here_or_behind_a_link_and_not_in_place_of_a_file(
    made, tmp_path, monkeypatch
):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for _ in range(2):
        build(made.root, tmp_path / "link", None)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "index.html").is_file()
    monkeypatch.chdir(tmp_path / "real")
    build(made.root, Path(), None)
    assert (tmp_path / "real" / "index.html").is_file()
    (tmp_path / "file").write_text("")
    with pytest.raises(StabenchError, match="is a file; choose a folder"):
        build(made.root, tmp_path / "file", None)


def test_a_full_disk_leaves_the_older_site(made, tmp_path, monkeypatch):
    out = tmp_path / "site"
    build(made.root, out, None)
    before = (out / "index.html").read_bytes()

    def full(_path, _data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        build(made.root, out, None)
    assert (out / "index.html").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["leaderboard", "site"]


def test_a_history_that_was_asked_for_must_be_there(made, tmp_path, monkeypatch):
    with pytest.raises(MissingError, match="no such file"):
        build(made.root, tmp_path / "site", tmp_path / "typo.jsonl")
    monkeypatch.chdir(tmp_path)
    build(made.root, tmp_path / "site")
    assert "No run has been recorded." in page(tmp_path / "site" / "history.html").words


def test_a_long_history_is_drawn_to_a_length(monkeypatch):
    monkeypatch.setattr(site_history, "MOST_RUNS", 5)
    [suite] = site_history.suites([record(index, float(index)) for index in range(9)])
    assert suite.earlier == 4
    assert {line.runs for metric in suite.metrics for line in metric.lines} == {5}
    assert suite.metrics[-1].lines[0].last == "8.00"


def test_labels_of_the_history_are_text_on_its_page(made, tmp_path):
    def label(value: dict[str, Any]) -> None:
        value["systems"]["star"]["label"] = value["columns"]["kl"]["label"] = HOSTILE

    path = tmp_path / "history.jsonl"
    for index in range(FEWEST_RUNS):
        history.append(record(index, 2.0, label), path)
    build(made.root, tmp_path / "site", path)
    html = page(tmp_path / "site" / "history.html")
    assert HOSTILE in html.words
    sources = [image["src"] for image in html.list_tags("img")]
    assert sources == ["history/1-1.svg", "history/1-2.svg"]
    assert not [name for _, attrs in html.tags for name in attrs if name.startswith("on")]


def test_columns_that_a_verdict_leaves_out_are_claims(made, tmp_path):
    made.add("partly", verdict={"recomputed": ["recall"], "latency": False})
    words = page(build(made.root, tmp_path / "site", None).parent / "systems" / "partly.html").words
    assert "recomputed Event recall claimed only KL, times" in words


def test_only_the_keeper_s_command_makes_entries(site):
    words = page(site / "index.html").words
    assert "Send the package; it holds every sound." in words
    assert "stabench leaderboard add PACKAGE.zip" in words
    assert "only running the system shows" in words


def test_the_board_says_what_it_is_whose_systems_it_has_and_of_which_day(made, tmp_path):
    made.add("a", change=lambda v: v["system"].update(authors=["A", "B", "C", "D"]))
    made.add("b", audited=False)
    html = page(build(made.root, tmp_path / "site", None))
    assert "stabench leaderboard Systems that answer speech with sound, cascades and" in html.words
    assert "2 systems of 2 teams, the newest of 2026-01-02 ." in html.words
    assert "version 1.0, 2026-01-01 by A, B and 2 more" in html.words
    assert "version 1.0, 2026-01-01 by A. Author unaudited" in html.words
    for name, title in (("history", "History"), ("systems/a", "A")):
        assert page(tmp_path / "site" / f"{name}.html").words.startswith(f"{title} · stabench")


@pytest.mark.parametrize(
    ("address", "link"),
    [
        ("https://board.example.org/submit?a=1&b=2", "https://board.example.org/submit?a=1&b=2"),
        ("board@example.org", "mailto:board@example.org"),
        (None, None),
    ],
)
def test_the_site_names_the_address_it_was_given_and_invents_none(made, tmp_path, address, link):
    made.add("star")
    for root in (made.root, tmp_path / "empty"):
        root.mkdir(exist_ok=True)
        html = page(build(root, tmp_path / "site", None, submit_to=address))
        links = [a["href"] for a in html.list_tags("a") if ":" in a["href"]]
        assert links == ([link] if link else [])
        assert (address or "Open an issue in the repository") in html.words


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "board", "http://example.org", "a b@example.org", "https://"]
)
def test_an_address_of_another_kind_is_refused(made, tmp_path, address):
    with pytest.raises(StabenchError, match=r"--submit-to '.*': expected an address such as"):
        build(made.root, tmp_path / "site", None, submit_to=address)
    assert not (tmp_path / "site").exists()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_pages_run_their_script_and_hint_at_tables_that_scroll(site):
    for name in ("index", "history", "systems/star"):
        html, console = dumped(site / f"{name}.html", site.parent, "")
        assert console == ""
        assert html.one("html").attributes["class"] == "script"
        hints = list(html.all("p", class_="hint"))
        assert len(hints) == len(list(html.all("div", class_="scroll"))) > 0


def test_building_imports_no_torch(made, tmp_path):
    made.add("star")
    script = (
        "import sys, pathlib; from stabench.harness.leaderboard.site import build;"
        "build(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), None);"
        "heavy = {'torch', 'transformers', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    command = [sys.executable, "-c", script, str(made.root), str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
