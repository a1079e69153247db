"""The page: whole, closed to the network, and nothing in a run can become markup or script."""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.report.html.document import to_html, write_html
from stabench.harness.report.report import page_of, report
from stabench.harness.report.sections import SHOWN, describe_failures
from stabench.harness.report.table import tabulate
from stabench.harness.runs.results import Results
from stabench.harness.runs.run_folder import RunFolder
from stabench.harness.scoring.score import score_folders, score_run
from tests.harness.fake_run import FakeRun
from tests.harness.report.html.pages import EVIL, SAFE, html, made
from tests.harness.report.html.parsed import Element, parsed

ROOT = Path(__file__).resolve().parents[4]
ADDRESSES = ("src", "href", "action", "data", "poster", "srcset", "xlink:href", "formaction")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A scored run with hostile texts; one system failed a clip."""
    return made(tmp_path_factory.mktemp("run"), failed={"star-small": ["clip005"]})


@pytest.fixture(scope="module")
def text(folder: RunFolder) -> str:
    return html(folder.path)


@pytest.fixture(scope="module")
def page(text: str) -> Element:
    return parsed(text)


def view(page: Element) -> dict:
    return json.loads(page.one("script", id="view").text)


def test_nothing_points_out_of_the_file(page, text):
    for element in page.all():
        for name in ADDRESSES:
            address = element.attributes.get(name, "#")
            assert address.startswith(("#", "data:,")), (element.tag, name, address)
    assert not re.search(r"url\(|@import|https?:", page.one("style").text)
    assert not re.search(r"fetch|XMLHttpRequest|WebSocket|import\(|innerHTML|https?:", script(page))
    assert not any("style" in e.attributes or "onclick" in e.attributes for e in page.all())


def script(page: Element) -> str:
    (own,) = (e.text for e in page.all("script") if not e.attributes)
    return own


def test_the_policy_lets_through_our_one_script_and_style_only(page):
    policy = page.one("meta", **{"http-equiv": "Content-Security-Policy"}).attributes["content"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    for name, content in (("script-src", script(page)), ("style-src", page.one("style").text)):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[name] == f"'sha256-{digest}'"
    closed = ("default-src", "base-uri", "form-action")
    assert {rules.pop(name) for name in closed} == {"'none'"}
    assert rules.keys() == {"script-src", "style-src", "img-src", "media-src"}
    assert (rules["img-src"], rules["media-src"]) == ("data:", "blob:")
    assert "unsafe" not in policy


def test_hostile_texts_are_only_text(page, text):
    assert not list(page.all("img"))
    assert [e.attributes.get("type") for e in page.all("script")].count(None) == 1
    assert not set(map(ord, text)) & {0x1B, 0x202E, 0x2028}
    assert "{{7*7}}" in text
    label = next(e for e in page.one("table", id="results-table").all("th") if SAFE in e.text)
    assert label.attributes == {"scope": "row"}
    clip = view(page)["clips"][0]
    assert SAFE in clip["caption"]
    assert view(page)["systems"][0]["label"].startswith(SAFE)


def test_json_within_scripts_holds_no_character_of_markup(page):
    blocks = [e.text for e in page.all("script") if e.attributes]
    assert len(blocks) == 25
    assert not any(set(block) & set("<>&") for block in blocks)


def test_every_clip_is_there_with_what_each_system_made_of_it(folder, page):
    found = view(page)
    assert [clip["id"] for clip in found["clips"]] == [clip.id for clip in folder.clips]
    metrics = Results.read(folder.path).metrics
    for clip in found["clips"]:
        for system, output in zip(found["systems"], clip["outputs"], strict=True):
            record = metrics.systems[system["name"]]
            assert output["ok"] == (clip["id"] not in record.failures)
            assert output["values"] == record.per_clip.get(clip["id"], {})
    assert {judge["key"] for judge in found["judges"]} == {"kl", "clap", "recall"}


def test_errors_of_the_transcripts_are_those_of_the_word_error_rate(folder, page):
    outputs = [clip["outputs"][0]["alignment"] for clip in view(page)["clips"]]
    errors, words = (sum(one[key] for one in outputs) for key in ("errors", "words"))
    cell = Results.read(folder.path).metrics.systems["cascade"].cells["wer"]
    assert errors / words == pytest.approx(cell.value)
    assert all(["substitute", "tone", "phone"] in one["pieces"] for one in outputs)
    oracle = [clip["outputs"][3] for clip in view(page)["clips"]]
    assert not any("transcript" in output for output in oracle)


def test_links_lead_to_the_exact_files_beside_the_page(folder, page):
    outputs = [o for clip in view(page)["clips"] for o in clip["outputs"] if "wav" in o]
    assert len(outputs) == 24 * 4 - 1
    assert all((folder.path / output["wav"]).is_file() for output in outputs)


def test_a_failed_clip_is_counted_and_listed_with_its_reason(page):
    row = next(e for e in page.one("table", id="results-table").all("tr") if "small" in e.text)
    assert "23/24" in row.text
    assert "1 failed" in row.text
    failures = page.one("section", id="failures")
    assert "timeout: no answer within 120 s" in failures.text
    assert failures.one("a").text == "clip005"
    failed = next(clip for clip in view(page)["clips"] if clip["id"] == "clip005")
    assert failed["outputs"][2]["reason"] == "timeout: no answer within 120 s"


def test_links_in_tables_open_clips(page):
    links = {e.attributes["href"] for e in page.one("section", id="extremes").all("a")}
    assert links
    assert links <= {f"#clip={clip['id']}" for clip in view(page)["clips"]}


def test_headings_landmarks_and_captions_serve_a_screen_reader(page):
    for tag in ("main", "header", "footer", "nav", "h1"):
        assert page.one(tag)
    assert page.one("html").attributes["lang"] == "en"
    for place in page.one("nav").all("a"):
        section = page.one(id=place.attributes["href"][1:])
        assert page.one(id=section.attributes["aria-labelledby"]).text == place.text
    assert all(any(table.all("caption")) for table in page.all("table"))
    assert all(e.attributes["tabindex"] == "0" for e in page.all("div", role="region"))
    for chart in page.all("svg", role="img"):
        named, told = chart.attributes["aria-labelledby"].split()
        assert page.one(id=named).text
        assert "STAR" in page.one(id=told).text
    ids = [e.attributes["id"] for e in page.all() if "id" in e.attributes]
    assert len(ids) == len(set(ids))


def test_intervals_stand_in_the_text_and_in_the_hover(folder, page):
    rows = {row.system: row for row in tabulate(Results.read(folder.path)).rows}
    cell = rows["star"].cells["kl"]
    lines = page.one("table", id="results-table").all("tr")
    line = next(
        e for e in lines if any(head.text.split() == ["STAR", "star"] for head in e.all("th"))
    )
    shown = next(e for e in line.all("td") if e.attributes.get("data-value") == str(cell.value))
    ends = f"{cell.low:.2f}", f"{cell.high:.2f}"
    assert f"[{ends[0]}, {ends[1]}]" in shown.text
    assert f"95 % interval {ends[0]} to {ends[1]}, 24 clips" in shown.attributes["title"]


def test_the_best_is_said_empty_cells_have_no_number_and_sanity_rows_recede(tmp_path):
    systems = (("a", "cascade", "A"), ("b", "end-to-end", "B"))
    sanity = {"metrics": {"sanity": ["other-half", "noise"]}}
    folder = made(tmp_path, n=20, systems=systems, deaf=("b",), **sanity)
    page = parsed(html(folder.path, sound_mb=0))
    results = page.one("table", id="results-table")
    cells = [e for e in results.all("td") if "title" in e.attributes]
    best = [e for e in cells if "best" in e.attributes["class"].split()]
    assert best
    assert all("(best)" in e.text for e in best)
    assert not any("(best)" in e.text for e in cells if e not in best)
    empty = [e for e in cells if "none" in e.attributes["class"].split()]
    assert empty
    assert not any("data-value" in e.attributes for e in empty)
    quiet = [e for e in results.all("tbody") if e.attributes.get("class") == "quiet"]
    assert [next(e.all("th")).text for e in quiet] == ["Sanity rows"]


def test_columns_that_nobody_has_are_narrow_and_say_why(page):
    results = page.one("table", id="results-table")
    heads = [e for e in results.all("th") if "empty" in e.attributes.get("class", "").split()]
    assert [" ".join(e.text.split()) for e in heads] == ["IS ↑", "OVL ↑", "REL ↑"]
    cells = [e for e in results.all("td") if "empty" in e.attributes.get("class", "").split()]
    systems = [e for e in cells if "not measured" in e.text]
    # Of four systems and two sanity rows.
    assert len(systems) == 2 * 6
    assert all(next(e.all("span", class_="unseen")).text.strip() == "not measured" for e in systems)
    assert "OVL, REL: not measured, they need listeners" in page.one("section", id="results").text


def test_the_first_chart_is_chosen_in_the_form_and_says_why(page):
    reason = next(
        e.text for e in page.one("section", id="charts").all("p") if "shown first" in e.text
    )
    form = page.one("form", id="chart-choice")
    (chosen,) = [e for e in form.all("option") if "selected" in e.attributes]
    assert reason.startswith(chosen.text.split()[0])
    shown = [e for e in page.all("figure", class_="chart") if "hidden" not in e.attributes]
    assert [e.attributes["id"] for e in shown] == [f"chart-{chosen.attributes['value']}-total"]


def test_pairs_and_failures_are_named_by_labels(folder, page):
    pairs = [e.text for e in page.one("section", id="differences").all("th", scope="row")]
    assert "STAR minus STAR, small" in pairs
    assert not any("star" in pair for pair in pairs)
    failures = describe_failures(
        Results.read(folder.path).metrics, tabulate(Results.read(folder.path))
    )
    assert failures.points == ("STAR, small, clip clip005: timeout: no answer within 120 s",)


def test_the_file_is_the_same_when_made_again_and_imports_nothing_heavy(folder):
    script = (
        "import sys, pathlib; from stabench.harness.runs.results import Results;"
        "from stabench.harness.report.table import tabulate;"
        "from stabench.harness.report.report import page_of;"
        "from stabench.harness.report.html.document import to_html, write_html;"
        "r = Results.read(pathlib.Path(sys.argv[1])); t = tabulate(r);"
        "beside = r.folder.resolve().parents[1];"
        "print(write_html(r, t, page_of(r, t), sound_mb=0.1, sound_from=[beside]));"
        "heavy = {'torch', 'scipy', 'transformers', 'pandas', 'pyarrow'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    command = [sys.executable, "-c", script, str(folder.path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (folder.path / "report.html").read_text() == html(folder.path, sound_mb=0.1)


def test_a_run_before_scoring_shows_its_latency_and_its_sound(tmp_path):
    page = parsed(html(made(tmp_path, scored=False, n=12).path))
    assert "Not scored" in page.one("section", id="notes").text
    assert "Nothing to draw" in page.one("section", id="charts").text
    assert len(list(page.all("table", class_="waterfall"))) == 4
    assert all(clip["sound"] for clip in view(page)["clips"])
    assert view(page)["judges"] == []


def test_without_audio_the_page_says_so(tmp_path):
    folder = made(tmp_path, scored=False, n=4)
    page = parsed(html(folder.path, sound_mb=0))
    assert "This page holds no sound" in page.one("section", id="clips").text
    rows = [json.loads(line) for line in folder.journal_path.read_text().splitlines()]
    lines = [
        json.dumps({**row, "audio_sha256": None, "phase_ns": {"represent": 5}, "spans": []})
        for row in rows
    ]
    folder.journal_path.write_text("\n".join(lines) + "\n")
    page = parsed(html(folder.path))
    sound = json.loads(page.one("script", id="sound-0").text)
    assert [one["reason"] for one in sound["outputs"]] == ["no output"] * 4
    assert sound["speech"]["data"]


def test_files_of_the_reader_are_not_embedded_and_the_page_says_so(tmp_path):
    folder = made(tmp_path, scored=False, n=4)
    page = parsed(html(folder.path, sound_from=()))
    said = page.one("section", id="clips").text
    assert "Sound not embedded, 8 files of speech and recordings: outside the run folder" in said
    assert "--sound-from DIR" in said
    assert "Sounds here are previews" in said
    sound = json.loads(page.one("script", id="sound-0").text)
    assert not sound["speech"]["data"]
    assert sound["outputs"][0]["data"]
    for wav in folder.path.rglob("*.wav"):
        wav.unlink()
    said = parsed(html(folder.path, sound_from=())).one("section", id="clips").text
    assert "This page holds no sound" in said


def test_folders_of_sound_are_named_on_the_command_and_must_be_there(tmp_path):
    folder = made(tmp_path, scored=False, n=2)
    with open(os.devnull, "w") as nowhere:
        with pytest.raises(MissingError, match=r"--sound-from .*gone.*: no such folder; give"):
            report(folder.path, nowhere, sound_mb=1, sound_from=[tmp_path / "gone"])
        report(folder.path, nowhere, sound_mb=1, sound_from=[tmp_path])
    page = parsed((folder.path / "report.html").read_text())
    sound = json.loads(page.one("script", id="sound-0").text)
    assert sound["speech"]["data"]
    assert sound["reference"]["data"]


def test_scored_folders_show_their_clips_and_captions(tmp_path):
    made_run = FakeRun(tmp_path, n=12).make()
    captions = tmp_path / "captions.csv"
    lines = [f'{clip.id},"{clip.caption} <b>loud</b>"' for clip in made_run.clips]
    captions.write_text("id,caption\n" + "\n".join(lines) + "\n")
    outputs = {name: made_run.path / "audio" / name for name in ("cascade", "star")}
    from stabench.harness.suites import protocols
    from tests.harness.fake_run import EMBEDDERS

    (outputs["star"] / "clip003.wav").unlink()
    wanted = protocols.load("pocket", EMBEDDERS)
    score_folders(
        tmp_path / "reference", outputs, captions, tmp_path / "scores", wanted, bootstrap=100
    )
    page = parsed(html(tmp_path / "scores", sound_from=()))
    found = view(page)
    assert len(found["clips"]) == 12
    assert all(clip["caption"].endswith("<b>loud</b>") for clip in found["clips"])
    assert "scored from files, not timed" in page.one("section", id="charts").text
    assert "Scores of folders keep no sound" in page.one("section", id="clips").text
    assert "clip003" in page.one("section", id="failures").text
    assert not list(page.all("table", class_="waterfall"))
    (tmp_path / "scores" / "clips.parquet").write_text("junk")
    with pytest.raises(StabenchError, match=r"clips\.parquet: not a table .* score the folders"):
        html(tmp_path / "scores", sound_from=())


def test_random_weights_have_latency_and_neither_quality_nor_sound(tmp_path):
    folder = FakeRun(tmp_path, n=20).make()
    folder.add_system("star", {"provenance": {"weights": "random"}})
    score_run(folder.path)
    page = parsed(html(folder.path))
    best = page.one("section", id="extremes").text
    assert ("STAR, by KL" in best, "Whisper + tones, by KL" in best) == (False, True)
    chart = page.one("figure", id="chart-kl-total")
    assert "Not drawn: STAR (random weights: latency only)" in chart.text
    sound = json.loads(page.one("script", id="sound-0").text)
    assert [bool(one["data"]) for one in sound["outputs"]] == [True, False, True]
    assert sound["outputs"][1]["reason"] == "random weights: latency only"
    star = [clip["outputs"][1] for clip in view(page)["clips"]]
    assert not any(output["values"] or "wav" in output for output in star)
    assert all(output["times_ms"]["processing"] > 0 for output in star)


def test_an_offline_run_times_no_clip(tmp_path):
    how = {"scenario": "offline", "batch_size": 4}
    page = parsed(html(made(tmp_path, scored=False, n=4, protocol=how).path, sound_mb=0))
    assert "offline run" in page.one("section", id="charts").text
    outputs = [output for clip in view(page)["clips"] for output in clip["outputs"]]
    assert not any(output["times_ms"] for output in outputs)


def test_an_unknown_section_is_shown_and_one_for_the_terminal_is_not(folder):
    results = Results.read(folder.path)
    table = tabulate(results)
    whole = page_of(results, table)
    titles = [section.title for section in whole.sections if section.only != "terminal"]
    shown = write_html(results, table, whole, sound_mb=0).read_text()
    found = [e.text for e in parsed(shown).all("h2")]
    assert set(titles) <= set(found)
    assert "Where the time goes" not in found
    extra = whole.sections[1]._replace(key="new", title="Something new")
    more = replace(whole, sections=(*whole.sections, extra))
    again = write_html(results, table, more, sound_mb=0).read_text()
    assert "Something new" in [e.text for e in parsed(again).all("h2")]


def test_a_section_is_found_whatever_its_title(folder):
    results = Results.read(folder.path)
    table = tabulate(results)
    usual = page_of(results, table)
    renamed = tuple(one._replace(title=f"Renamed {one.key}") for one in usual.sections)
    before, after = (
        parsed(to_html(results, table, page, sound_mb=0.1))
        for page in (usual, replace(usual, sections=renamed))
    )
    ids = [
        [e.attributes["id"] for e in page.all("section") if "id" in e.attributes]
        for page in (before, after)
    ]
    assert ids[0] == ids[1]
    assert {"results", "stages", "differences", "extremes", "failures", "charts"} <= set(ids[0])
    assert view(before) == view(after)
    for key in ("results", "stages", "extremes"):
        tables = [
            [e.text for e in page.one("section", id=key).all("td")] for page in (before, after)
        ]
        assert tables[0] == tables[1]
        assert after.one(id=f"{key}-title").text == f"Renamed {key}"


def test_only_the_clips_within_the_budget_sound_the_extremes_first(folder):
    page = parsed(html(folder.path, sound_mb=0.1))
    sounding = [clip["id"] for clip in view(page)["clips"] if clip["sound"]]
    assert 0 < len(sounding) < 24
    assert f"{len(sounding)} of 24 clips have sound" in page.one("section", id="clips").text
    rows = page.one("section", id="extremes").all("tr")
    lines = [e for e in rows if e.text.split()[0] in ("best", "worst")]
    order = dict.fromkeys(e.one("a").text for rank in range(SHOWN) for e in lines[rank::SHOWN])
    assert sorted(sounding) == sorted(list(order)[: len(sounding)])
    assert EVIL not in json.dumps(view(page))
