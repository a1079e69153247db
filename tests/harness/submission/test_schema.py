"""submission.json against its published schema, and texts of strangers."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

from stabench.harness.schema import json_schema
from stabench.harness.submission import schema as submission
from stabench.harness.submission.schema import NAME, Submission
from tests.harness.submission.toy_board import Toy

ROOT = Path(__file__).resolve().parents[3]
PUBLISHED = ROOT / "docs" / "submission.schema.json"


@pytest.fixture(scope="module")
def content(submitted: Toy) -> dict:
    with zipfile.ZipFile(submitted.submit()) as file:
        return json.loads(file.read(NAME))


def test_the_published_schema_is_that_of_the_code():
    assert PUBLISHED.read_text() == json_schema(submission.Submission, "submission.schema.json"), (
        "python -m stabench.harness.submission.schema > docs/submission.schema.json"
    )


def test_a_submission_fits_the_published_schema(content: dict):
    schema = json.loads(PUBLISHED.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(content, schema)
    for broken in (
        content | {"extra": 1},
        content | {"suite": {"name": "x"}},
        content | {"system": content["system"] | {"label": "\x1b[31mred"}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema)


def test_a_submission_read_and_written_is_the_same(content: dict):
    again = Submission.model_validate_json(json.dumps(content), strict=True)
    assert json.loads(again.model_dump_json(by_alias=True)) == content
    assert again.made_at == "2026-11-20T10:05:00.000+00:00"
    assert again.latency.phases["represent"].median_ns.value > 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("label", "a\x1b]0;title\x07"),
        ("label", "two\nlines"),
        ("label", "\u202egnp.exe"),
        ("name", "../up"),
        ("links", {"x": "javascript:alert(1)"}),
        ("links", {"x": "https://a.org/'onclick='x"}),
        ("links", {"x": "https://a.org/<script>"}),
        ("weights", {"a": "ab"}),
        ("parameters", True),
        ("authors", []),
        ("contact", ""),
        ("description", "x" * 5000),
    ],
)
def test_texts_and_links_that_could_do_something_are_refused(content: dict, key, value):
    broken = content | {"system": content["system"] | {key: value}}
    with pytest.raises(ValidationError, match=f"system.{key}"):
        Submission.model_validate_json(json.dumps(broken), strict=True)


@pytest.mark.parametrize("module", ["schema", "archive", "check"])
def test_a_board_reads_submissions_without_torch(module: str):
    code = (
        f"import sys, stabench.harness.submission.{module};"
        "print({'torch', 'scipy'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
