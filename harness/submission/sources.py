"""Sources: the files of a package from which its numbers follow, read with strict types."""

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, NoReturn, TypeVar

from pydantic import ValidationError

from stabench.harness import registry
from stabench.harness.errors import StabenchError, unknown
from stabench.harness.runs.journal import Row, reader, to_json, with_phases
from stabench.harness.runs.run_folder import Record
from stabench.harness.submission.findings import Broken, Finding, error
from stabench.harness.tasks.task import DEFAULT, load_task

DEEPEST = 32
# Digits of 2**63. More are refused unread: int() takes quadratic time for a long text.
MOST_DIGITS = 19
# A string, closed or not, is one token: no text makes the search quadratic.
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


class Malformed(ValueError):
    """Text that is no JSON as this project writes it, in one line."""


def parse_json(data: bytes) -> Any:
    """Return the value. Raises Malformed for a text that is not UTF-8, too deep, no strict JSON.

    Refused as well: a key twice in one object, NaN and infinity, integers beyond 64 bits.
    """
    # Before json.loads, which calls itself once a level and has an end.
    depth = 0
    for token in TOKEN.finditer(data):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(token.group(), 0)
        if depth > DEEPEST:
            raise Malformed(f"nested deeper than {DEEPEST} levels")
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_parse_object,
            parse_constant=_refuse_constant,
            parse_float=_parse_float,
            parse_int=_parse_int,
        )
    except UnicodeDecodeError as error:
        raise Malformed(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise Malformed(
            f"not JSON at line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None


def _parse_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise Malformed(f"key {twice[:100]!r} stands twice in one object")
    return value


def _refuse_constant(text: str) -> NoReturn:
    raise Malformed(f"{text} is no JSON number")


def _parse_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Malformed(f"number {text[:30]} is beyond double precision")
    return value


def _parse_int(text: str) -> int:
    if len(text.lstrip("-")) > MOST_DIGITS or not -(2**63) <= (value := int(text)) < 2**63:
        raise Malformed(f"an integer of {len(text.lstrip('-'))} digits, at most 64 bits are read")
    return value


RUN, SYSTEMS, JOURNAL = "run.json", "systems.json", "journal.jsonl"
# Eleven days: no phase takes longer.
LONGEST_NS = 10**15
MOST_ROWS = 200_000
FIELDS = set(Row.__dataclass_fields__)
T = TypeVar("T")


class Sources(NamedTuple):
    """run.json of one system, what it said of itself, its journal with warm-ups."""

    record: Record
    about: dict[str, Any]
    rows: list[Row]


def encode(sources: Sources) -> dict[str, bytes]:
    """Return the three files by name; local paths of clips and of the dataset are left out."""
    value = sources.record.model_dump(mode="json", by_alias=True)
    value["suite"]["dataset"] = {"use": sources.record.suite.dataset.use}
    for clip in value["dataset"]["clips"]:
        clip["speech"] = clip["reference"] = None
    name = sources.record.suite.systems[0].name
    lines = [json.dumps(to_json(row), allow_nan=False) + "\n" for row in sources.rows]
    return {
        RUN: encode_json(value),
        SYSTEMS: encode_json({name: sources.about}),
        JOURNAL: "".join(lines).encode(),
    }


def encode_json(value: Any) -> bytes:
    """Return a file's bytes, the same for the same value."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def decode(files: Mapping[str, bytes]) -> Sources:
    """Return the sources. Raises Broken with everything that is wrong with the three files."""
    findings: list[Finding] = []

    def read(name: str, parse: Callable[[bytes], T]) -> T | None:
        try:
            return parse(files[name])
        except Malformed as fault:
            findings.append(error(name, "json", str(fault)))
        except ValidationError as fault:
            findings.extend(invalid_fields(name, fault))
        return None

    record, about = read(RUN, _parse_record), read(SYSTEMS, _parse_about)
    rows, faults = _parse_journal(files[JOURNAL])
    findings += faults
    if record is not None and len(record.suite.systems) != 1:
        count = len(record.suite.systems)
        findings.append(error(RUN, "suite.system", f"{count} systems, a package is of one"))
    if record is not None and about is not None and set(about) != {record.suite.systems[0].name}:
        findings.append(error(SYSTEMS, "keys", "is of other systems than run.json"))
    if findings or record is None or about is None:
        raise Broken(findings)
    return Sources(record, about[record.suite.systems[0].name], rows)


def read_transcripts(sources: Sources) -> dict[str, str]:
    """Return what the system took for the captions by clip; an oracle was told them."""
    suite = sources.record.suite
    if suite.systems[0].paradigm in load_task(suite.task).told:
        return {}
    first = [row for row in sources.rows if row.ok and not row.warmup and not row.repeat]
    return {row.clip: row.text for row in first if row.text is not None}


def invalid_fields(file: str, fault: ValidationError) -> Iterator[Finding]:
    """Yield an error for every field that a model refused."""
    for detail in fault.errors(include_url=False, include_context=False, include_input=False):
        yield error(file, ".".join(map(str, detail["loc"])) or "content", detail["msg"])


def _parse_record(data: bytes) -> Record:
    value = parse_json(data)
    suite = value.get("suite") if isinstance(value, dict) else None
    task = suite.get("task", DEFAULT) if isinstance(suite, dict) else DEFAULT
    # A file's name would be run as a program.
    if task not in (known := registry.entries("tasks")):
        raise Malformed(f"suite.task: {unknown('task', str(task)[:100], known)}")
    try:
        return Record.model_validate_json(data)
    except StabenchError as fault:
        raise Malformed(str(fault)) from None


def _parse_about(data: bytes) -> dict[str, Any]:
    value = parse_json(data)
    if not isinstance(value, dict) or not all(isinstance(part, dict) for part in value.values()):
        raise Malformed("is not an object of objects by system")
    return value


def _parse_journal(data: bytes) -> tuple[list[Row], list[Finding]]:
    lines = data.splitlines()
    if len(lines) > MOST_ROWS:
        return [], [error(JOURNAL, "lines", f"{len(lines)}, at most {MOST_ROWS} are read")]
    rows: list[Row] = []
    findings: list[Finding] = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(_parse_row(line))
        except Malformed as fault:
            findings.append(error(JOURNAL, f"line {number}", str(fault)))
        except ValidationError as fault:
            findings += [
                finding._replace(field=f"line {number}.{finding.field}")
                for finding in invalid_fields(JOURNAL, fault)
            ]
    for key, count in Counter(row.key for row in rows).items():
        if count > 1:
            where = f"{key.clip}, repeat {key.repeat}"
            findings.append(error(JOURNAL, where, f"stands {count} times"))
    return rows, findings


def _parse_row(line: bytes) -> Row:
    value = parse_json(line)
    if isinstance(value, dict):
        value = with_phases(value)
        if set(value) != FIELDS:
            name = sorted(set(value) ^ FIELDS)[0]
            raise Malformed(f"'{name}' is missing or no field of a row")
    row = reader().validate_json(json.dumps(value))
    numbers = [*row.phase_ns.values(), *(span.wall_ns for span in row.spans)]
    numbers += [span.device_ns for span in row.spans]
    for number in numbers:
        if number is not None and not 0 <= number < LONGEST_NS:
            raise Malformed(f"a time of {number} ns")
    if row.status not in ("ok", "failed") or row.ok == (row.error is not None):
        raise Malformed(f"status '{row.status[:20]}' with {'an' if row.error else 'no'} error")
    if row.batch < 1 or row.repeat < 0:
        raise Malformed(f"batch {row.batch}, repeat {row.repeat}")
    return row
