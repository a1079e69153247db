"""The page in a browser, where one is found: its script runs, and hostile texts do nothing."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.harness.html.pages import SAFE, html, made
from tests.harness.html.parsed import Element, parsed

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


def test_hostile_texts_have_made_no_element(opened):
    page, _ = opened
    assert not list(page.all("img"))
    assert not [e for e in page.all("script") if "alert(1)" in e.text and not e.attributes]
