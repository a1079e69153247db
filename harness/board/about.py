"""The about file: what only the submitter can say of a system, in TOML, read strictly."""

import json
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.board.submission import About
from harness.errors import MissingError, StabenchError
from harness.strict import first_wrong

BLANK = "FILL IN"
EXAMPLE = f"""\
# What the results alone do not say. Replace every "{BLANK}"; what is
# commented out may be left out.
version = "{BLANK}: the system's version or commit"
description = "{BLANK}: what the system is, in a few sentences"
authors = ["{BLANK}: names, in their order"]
contact = "{BLANK}: an address that questions reach"
licence = "{BLANK}: SPDX identifier of code and weights"
training_data = "{BLANK}: data sets, and whether any holds clips of the test set"
# parameters = 123000000  # of all networks at inference

# [links]
# paper = "https://..."
# code = "https://..."
"""


def read_about(path: Path) -> About:
    """The about file. Raises MissingError without it, StabenchError for what is wrong in it."""
    what = f"about file '{path}'"
    try:
        value = _collapsed(tomllib.loads(path.read_text("utf-8")))
        about = About.model_validate_json(json.dumps(value), strict=True)
    except FileNotFoundError:
        raise MissingError(
            f"{what}: no such file; `stabench submit` without --about prints one"
        ) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError) as error:
        raise StabenchError(f"{what}: not a TOML file of texts and numbers ({error})") from None
    except ValidationError as error:
        raise StabenchError(f"{what}: {first_wrong(error, About)}") from None
    if field := _blank(value):
        raise StabenchError(f"{what}: {field} still says '{BLANK}'; say it in your own words")
    return about


def _collapsed(value: Any) -> Any:
    """Every text in one line: white space of any kind becomes one blank."""
    if isinstance(value, dict):
        return {key: _collapsed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_collapsed(inner) for inner in value]
    return " ".join(value.split()) if isinstance(value, str) else value


def _blank(value: dict[str, Any]) -> str | None:
    return next((key for key, text in value.items() if BLANK in str(text)), None)
