"""The page in a browser, where one is found: its script runs, and hostile texts do nothing."""

import json
import re
import shutil
import subprocess
from html import escape
from pathlib import Path

import pytest

from stabench.harness.formatting import NOTHING, figure
from stabench.harness.report.table import tabulate
from stabench.harness.runs.results import Results
from stabench.harness.scoring.score import score_run
from tests.harness.fake_run import FakeRun
from tests.harness.report.html.pages import SAFE, html, made
from tests.harness.report.html.parsed import Element, parsed

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--virtual-time-budget=4000",
    "--enable-logging=stderr",
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> tuple[Element, str]:
    """The document after its script has run, opened at a clip; what the console said."""
    root = tmp_path_factory.mktemp("page")
    path = root / "report.html"
    path.write_text(html(made(root, n=20, scored=True).path))
    return dumped(path, root, "#clip=clip003")


def dumped(path: Path, root: Path, at: str) -> tuple[Element, str]:
    command = [CHROMIUM, *QUIET, f"--user-data-dir={root / 'profile'}", "--dump-dom"]
    address = f"{path.as_uri()}{at}"
    done = subprocess.run([*command, address], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return parsed(done.stdout), "\n".join(console)


def test_the_script_runs_under_its_policy_and_says_nothing(opened):
    page, console = opened
    assert console == ""
    assert page.one("html").attributes["class"] == "script"
    assert len(list(page.one("ol", id="clip-list").all("li"))) == 20


def test_the_clip_of_the_address_is_shown_with_players_and_marked_errors(opened):
    page, _ = opened
    clip = page.one("article", id="clip-view")
    assert clip.one("h3").text == "clip003"
    assert len(list(clip.all("audio"))) == 6
    assert all("Spectrogram of" in e.attributes["aria-label"] for e in clip.all("canvas"))
    heard, _ = clip.all("p", class_="transcript")
    assert any(e.text.endswith("tone") for e in heard.all("del"))
    assert any(e.text.endswith("phone") for e in heard.all("ins"))
    assert SAFE in clip.one("p", class_="caption").text


CLICKS = """<script>{
const column = (at) => [...document.querySelectorAll("#results-table tbody")].map((body) =>
  [...body.rows].slice(1).map((row) => row.cells[at].dataset.value ?? "none"));
const found = [];
document.querySelectorAll("#results-table thead tr:last-child button").forEach((button, at) => {
  for (const turn of [1, 2]) {
    button.click();
    found.push([at, button.parentElement.getAttribute("aria-sort"), column(at)]);
  }
});
const form = document.getElementById("clip-choice"), listed = (order) => {
  form.elements.order.value = order;
  form.dispatchEvent(new Event("input"));
  return [...document.querySelectorAll("#clip-list .figure")].map((figure) => figure.textContent);
};
form.elements.key.value = "kl";
form.elements.system.value = "2";
const lists = [listed("1"), listed("-1")];
form.elements.other.value = "1";
document.body.append(Object.assign(document.createElement("pre"), {id: "found",
  textContent: JSON.stringify({found, lists, minus: listed("1")})}));
}</script>"""


@pytest.fixture(scope="module")
def sorted_page(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, dict]:
    """Results in which some cells are empty, and what clicks on every head made of the table."""
    root = tmp_path_factory.mktemp("sorted")
    how = {"metrics": {"sanity": ["other-half", "shuffled", "noise"]}}
    folder = made(root, n=6, failed={"star-small": ["clip002"]}, **how)
    text = re.sub(r'<meta http-equiv="Content-Security-Policy".*?>', "", html(folder.path))
    path = root / "sorted.html"
    path.write_text(text.replace("</body>", CLICKS + "</body>"))
    page, console = dumped(path, root, "")
    assert console == ""
    return Results.read(folder.path), json.loads(page.one("pre", id="found").text)


def test_columns_sort_by_number_the_best_first_and_empty_cells_stay_below(sorted_page):
    results, clicked = sorted_page
    columns = tabulate(results).columns
    assert len(clicked["found"]) == 2 * (2 + len(columns))
    for index, (at, way, groups) in enumerate(clicked["found"]):
        if at > 1:
            first = "descending" if columns[at - 2].better == "higher" else "ascending"
            assert (way == first) == (index % 2 == 0)
        if at:
            sign = 1 if way == "ascending" else -1
            for group in groups:
                key = [(one == "none", 0 if one == "none" else sign * float(one)) for one in group]
                assert key == sorted(key)
    mixed = [g for _, _, groups in clicked["found"] for g in groups if {"none"} < set(g)]
    assert mixed


def test_clips_sort_by_the_value_of_a_system_and_by_a_difference(sorted_page):
    results, clicked = sorted_page
    star, small = (results.metrics.systems[name].per_clip for name in ("star", "star-small"))
    values = sorted(clip["kl"] for clip in small.values())
    assert clicked["lists"][0] == [*(figure(value, 2) for value in values), NOTHING]
    assert clicked["lists"][1] == [*(figure(value, 2) for value in values[::-1]), NOTHING]
    minus = sorted(small[clip]["kl"] - star[clip]["kl"] for clip in small)
    assert clicked["minus"] == [*(figure(value, 2) for value in minus), NOTHING]


WIDTHS = """<script>
const measure = (frame) => [...frame.contentDocument.querySelectorAll(".scroll")].map((place) => [
  place.getAttribute("aria-label"), place.scrollWidth > place.clientWidth + 1,
  !place.previousElementSibling.hidden, place.previousElementSibling.className]);
addEventListener("load", () => setTimeout(() => {
  const frame = document.querySelector("iframe");
  document.body.append(Object.assign(document.createElement("pre"), {id: "found",
    textContent: JSON.stringify({page: frame.contentDocument.documentElement.scrollWidth,
      tables: measure(frame)})}));
}, 500));
</script>"""


@pytest.mark.parametrize("width", [1280, 390])
def test_tables_fit_a_desk_and_say_on_a_phone_that_they_scroll(width, tmp_path):
    systems = (("cascade", "cascade", "CTC + pocket TTA"), ("star", "end-to-end", "STAR (pocket)"))
    sanity = {"sanity": ["other-half", "noise", "silence"]}
    folder = FakeRun(tmp_path, n=24, systems=systems, metrics=sanity).make()
    score_run(folder.path)
    text = html(folder.path, sound_mb=0)
    text = re.sub(r'<meta http-equiv="Content-Security-Policy".*?>', "", text)
    inside = escape(text, quote=True)
    (tmp_path / "wide.html").write_text(
        f'<body><iframe width="{width}" height="900" srcdoc="{inside}"></iframe>{WIDTHS}</body>'
    )
    page, console = dumped(tmp_path / "wide.html", tmp_path, "")
    assert console == ""
    found = json.loads(page.one("pre", id="found").text)
    assert found["page"] <= width
    tables = {name: (wider, hinted) for name, wider, hinted, _ in found["tables"]}
    assert {of_kind for *_, of_kind in found["tables"]} == {"hint"}
    assert all(wider == hinted for wider, hinted in tables.values())
    assert tables["Results, table"][0] == (width == 390)


def test_hostile_texts_have_made_no_element(opened):
    page, _ = opened
    assert not list(page.all("img"))
    assert not [e for e in page.all("script") if "alert(1)" in e.text and not e.attributes]
