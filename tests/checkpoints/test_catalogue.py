"""The catalogue: that the shipped one keeps its promises, and that it is read strictly."""

import re

import pytest

from stabench.checkpoints import catalogue
from stabench.checkpoints.catalogue import Entry
from stabench.checkpoints.fetch import FetchError, fetch
from stabench.checkpoints.store import locate

ENTRIES = list(catalogue.entries().values())
FILE = 'about = "x"\nlicence = "MIT"\nused_by = []\n'
METRICS = {
    "vggish",
    "vggish-pca",
    "cnn14-16k",
    "cnn14-32k",
    "clap-630k-audioset-best",
    "clap-music-speech-audioset",
    "clap-htsat-unfused",
    "roberta-base",
}


def test_the_networks_of_the_metrics_are_there() -> None:
    assert set(catalogue.entries()) >= METRICS


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_an_entry_can_be_fetched_and_known(entry: Entry) -> None:
    assert re.fullmatch("[0-9a-f]{40}|main", entry.revision)
    assert entry.licence
    assert all(file.url is None or file.url.startswith("https://") for file in entry.files)
    assert len({file.name for file in entry.files}) == len(entry.files)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_licence_that_forbids_says_what(entry: Entry) -> None:
    assert ("-NC" in entry.licence) <= bool(entry.restricts)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_digests_agree_with_the_ones_that_addresses_carry(entry: Entry) -> None:
    for file in entry.files:
        for carried in re.findall(r"[-/]([0-9a-f]{8}|[0-9a-f]{64})[./]", file.url or ""):
            assert (file.sha256 or "").startswith(carried)


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(LookupError, match="unknown weights 'vgish'; did you mean 'vggish'"):
        catalogue.entry("vgish")


def test_a_table_is_all_that_an_entry_needs() -> None:
    (entry,) = catalogue.parse(
        f'[mine]\n{FILE}kind = "folder"\nrepo = "me/mine"\n'
        'files = ["config.json", { name = "a/b.bin", size_bytes = 3 }]'
    ).values()
    assert [file.name for file in entry.files] == ["config.json", "a/b.bin"]
    assert entry.files[1].basename == "b.bin"
    assert entry.size_bytes is None
    assert entry.revision == "main"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('kind = "file"\nrepo = "a/b"\nfiles = ["x"]\nsha = 3', r"\[mine\] sha: .*\(got 3\)"),
        ('kind = "file"\nrepo = "a/b"\nfiles = ["x", "y"]', 'kind "file" has 2 files'),
        ('kind = "file"\nfiles = ["x"]', "file 'x' has no origin; give it a url, or a repo"),
        (
            'kind = "file"\nfiles = [{ name = "x", url = "https://host/x" }]',
            "file 'x' has a url and no digest; give it a sha256",
        ),
        ('kind = "file"\nrepo = "a/b"\nfiles = ["../x"]', "'../x' is no path inside"),
        ('kind = "file"\nrepo = "a/b"\nfiles = ["/etc/x"]', "'/etc/x' is no path inside"),
        ('kind = "file"\npackage = { name = "x" }\nfiles = ["x"]', r"\[mine\] package.version"),
        ('kind = "disk"\nrepo = "a/b"\nfiles = ["x"]', r"\[mine\] kind: .*'file' or 'folder'"),
        ('kind = "file"\nrepo = "a/b"\nfiles = [{ name = "x", sha256 = "XY" }]', "sha256"),
        ('kind = "folder"\nrepo = "a/b"\nfiles = []', r"\[mine\]: .*files is empty; name a file"),
        ('kind = "folder"\nrepo = "a/b"', r"files is empty; name a file, or say in unverified"),
    ],
)
def test_what_is_wrong_is_named(lines: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        catalogue.parse(f"[mine]\n{FILE}{lines}")
    assert "\n" not in str(caught.value)


def test_an_entry_that_nobody_verified_is_shown_and_never_fetched() -> None:
    star = catalogue.entry("star")
    assert star.repo == "spaces/wsntxxn/STAR"
    assert (star.fetchable, star.size_bytes, star.files) == (False, None, ())
    assert "was not checked" in (star.unverified or "")
    with pytest.raises(FileNotFoundError, match="weights 'star' are not verified: the authors"):
        locate("star")
    with pytest.raises(FetchError, match="weights 'star' are not verified: the authors"):
        fetch(star)
