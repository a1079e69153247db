"""Explain: which protocol gives the figures that somebody printed, from the sounds themselves.

A printed figure stands for all that rounds to it. A way of scoring reproduces it when its value is
one of those; that other ways do so too is said, since then the figures cannot tell them apart.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple

from stabench.harness import registry
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.formatting import counted, decimals, figure
from stabench.harness.render.page import Grid, Head, Line, Page, Printed, Section
from stabench.harness.reproduce.readings import (
    CONSTANTS,
    NETWORKS,
    ROLES,
    Folders,
    Reading,
    Untried,
    choose_lists,
    measure_readings,
    restrict_axes,
)
from stabench.harness.scoring.features import Progress
from stabench.harness.scoring.folders import Captions, pair, read_items, sounds, wav_folder
from stabench.harness.scoring.score import ON_CPU, Hearing, silent
from stabench.harness.suites import protocols
from stabench.metrics.protocol import Listening, Protocol
from stabench.metrics.registry import METRICS
from stabench.metrics.resample import NAME

# Exit codes: all figures reproduced; at least one by nothing that was tried; one not measured.
REPRODUCED, OFF, NOT_MEASURED = 0, 1, 5
# A reading is near within so many units of the last printed digit, or this share of the figure.
NEAR_UNITS, NEAR_SHARE = 5, 0.02
# Lines that the table has of a figure at most, and protocols that the answer names.
MOST_LINES, MOST_NAMED = 6, 3
# Networks that papers use and that are not here, by role.
ABSENT: dict[str, tuple[Untried, ...]] = {
    "fad": (),
    "tagger": (Untried("networks PaSST, OpenL3 and MERT", "stabench has none of them"),),
    "clap": (
        Untried("MS-CLAP and LAION-CLAP with fusion", "stabench has neither"),
        Untried(
            "laion_clap's random crop of clips over 10 s", "it has no seed, so no two runs agree"
        ),
    ),
}
# What other tools do to the sounds, whatever the network.
OTHERS = (
    Untried(
        "clips: lists of 957, 964, 900 or 4,500 clips",
        "stabench does not have them; give one by --clips NAME=FILE",
    ),
    Untried("resamplers resampy and soxr (laion_clap's)", "stabench has neither"),
    Untried("peaks brought to one level (stable-audio-metrics)", "no protocol here changes levels"),
)
RANDOM = "random weights, a dry run: nothing here says anything of a published figure"


class Target(NamedTuple):
    """A figure as somebody printed it: its text, its value, its decimals."""

    column: str
    text: str
    value: float
    digits: int

    def distance(self, value: float) -> float:
        """Return how far a value is, in units of the last printed digit; below 0.5 it rounds so."""
        return abs(value - self.value) * 10**self.digits

    def is_met(self, value: float) -> bool:
        """Return whether a value rounds to the figure; exactly halfway it may."""
        return self.distance(value) <= 0.5 + 1e-9

    def is_near(self, value: float) -> bool:
        """Return whether a value is near without meeting the figure."""
        near = max(NEAR_UNITS * 10.0**-self.digits, NEAR_SHARE * abs(self.value))
        return not self.is_met(value) and abs(value - self.value) <= near


class Explanation(NamedTuple):
    """The answer: every reading, what could not be tried, and the lists that meet all figures."""

    targets: tuple[Target, ...]
    readings: tuple[Reading, ...]
    untried: tuple[Untried, ...]
    remarks: tuple[str, ...]

    @property
    def unmeasured(self) -> list[Target]:
        """Return the figures of which nothing could be tried."""
        tried = {reading.column for reading in self.readings}
        return [target for target in self.targets if target.column not in tried]

    def met(self) -> dict[str, dict[str, list[Reading]]]:
        """Return, by list of clips, the readings of each figure that meet it and fit together.

        FD, KL and IS are of one network, heard in one way. A list on which a figure that was
        tried is met by nothing is left out.
        """
        tried = [target for target in self.targets if target not in self.unmeasured]
        answers: dict[str, dict[str, list[Reading]]] = {}
        for clips in dict.fromkeys(reading.clips for reading in self.readings):
            fits = {
                target.column: [
                    reading
                    for reading in self.readings
                    if (reading.clips, reading.column) == (clips, target.column)
                    and target.is_met(reading.value)
                ]
                for target in tried
            }
            for role in {ROLES[column] for column in fits}:
                alike = [column for column in fits if ROLES[column] == role]
                shared = set.intersection(*({r.rule for r in fits[c]} for c in alike))
                for column in alike:
                    fits[column] = [r for r in fits[column] if r.rule in shared]
            if fits and all(fits.values()):
                answers[clips] = fits
        return answers

    @property
    def exit_code(self) -> int:
        """0: all figures are met together; 1: not by what was tried; 5: some were not measured."""
        if self.unmeasured:
            return NOT_MEASURED
        return REPRODUCED if self.met() else OFF


def read_targets(texts: Mapping[str, str | None]) -> tuple[Target, ...]:
    """Return the figures of their texts by column; what is None is not asked for.

    Raises StabenchError for none at all, and for a text that is no finite number.
    """
    targets = []
    for column, text in texts.items():
        if text is None:
            continue
        try:
            number = Decimal(text.strip())
            exponent = number.as_tuple().exponent
        except InvalidOperation:
            number, exponent = Decimal("NaN"), "n"
        if not isinstance(exponent, int) or abs(exponent) > 12:
            raise StabenchError(
                f"--{column} '{text}': expected a number as it is printed, such as 1.42"
            )
        lowest = METRICS[column].lowest
        if lowest is not None and number < Decimal(lowest):
            raise StabenchError(
                f"--{column} '{text}': {METRICS[column].label} is {lowest:g} or more; give it as "
                "it is printed"
            )
        targets.append(Target(column, text.strip(), float(number), max(-exponent, 0)))
    if not targets:
        raise StabenchError(f"explain takes a figure: --{', --'.join(texts)}, such as --fad 1.42")
    return tuple(targets)


def explain_folders(
    targets: Sequence[Target],
    outputs: Path,
    reference: Path,
    captions: Path | None = None,
    *,
    lists: Mapping[str, Path] | None = None,
    judges: Mapping[str, Sequence[str]] | None = None,
    only: Sequence[str] = (),
    hearing: Hearing = ON_CPU,
    progress: Progress = silent,
) -> Explanation:
    """Score a folder of outputs in every known way, and set each value beside the figures.

    `lists` are files with a clip id a line, by name; `judges` networks to try in place of the known
    ones, by role; `only` AXIS=VALUE. Raises MissingError for folders and files that are not there,
    and where no figure can be measured for want of weights; StabenchError for what is wrong.
    """
    axes = restrict_axes(only)
    networks = {**NETWORKS, **(judges or {})}
    for name in (name for names in networks.values() for name in names):
        registry.target("embedders", name)
    columns = [target.column for target in targets]
    if "clap" in columns and captions is None:
        raise StabenchError("--clap needs the captions: give --captions CSV (columns id, caption)")
    folders, notes = _pair_folders(outputs, reference, captions)
    given = {name: _read_list(name, path) for name, path in (lists or {}).items()}
    chosen, absent = choose_lists(folders.items, folders.outputs, sorted(folders.references), given)
    readings, untried, inert = measure_readings(
        folders, columns, chosen, networks, axes, hearing, progress
    )
    beyond = [each for role in {ROLES[column] for column in columns} for each in ABSENT[role]]
    explanation = Explanation(
        tuple(targets),
        tuple(readings),
        tuple(dict.fromkeys((*untried, *absent, *beyond, *OTHERS))),
        (*([RANDOM] if hearing.weights == "random" else []), *notes, *inert),
    )
    if not readings:
        why = untried[0] if untried else Untried("figures", "no clip was scored")
        raise MissingError(f"explain: no figure could be measured; {why.what}: {why.why}")
    return explanation


def _pair_folders(
    outputs: Path, reference: Path, captions: Path | None
) -> tuple[Folders, tuple[str, ...]]:
    """Return the sounds of both folders, paired as `score` pairs them, and notes on the pairing."""
    recordings, system = wav_folder("reference", reference), wav_folder("outputs", outputs)
    table = read_items(captions) if captions else Captions({}, named=False)
    pairs = pair(recordings, [system], table, False)
    asked = pairs.asked[system.name]
    items = {clip: pairs.items[clip] for clip in asked}
    wanted = {name for item in items.values() for name in item.references}
    # A clip without a file is no sound that failed: the folder is what it is.
    present = [clip for clip in asked if clip in system.files]
    decoders = sounds(recordings, sorted(wanted | recordings.files.keys()))
    return Folders(items, sounds(system, present), decoders), pairs.notes


def build_page(explanation: Explanation) -> Page:
    """Return the page: the answer, the readings nearest to each figure, what was not tried."""
    lines = [line for target in explanation.targets for line in _list_lines(explanation, target)]
    heads = ("Figure", "Value", "Verdict", "Clips", "Network", "How it heard")
    readings = Section(
        "readings",
        "Readings",
        (
            "The readings nearest to each figure. Reproduced: the value rounds to the figure; "
            f"near: within {NEAR_UNITS} units of its last digit or {100 * NEAR_SHARE:g} %.",
        ),
        Grid(tuple(Head(text) for text in heads), tuple(lines)),
        explanation.remarks,
    )
    untried = tuple(f"{each.what}: {each.why}" for each in explanation.untried)
    return Page(
        "Which protocol gives these figures",
        state_answer(explanation),
        (readings, Section("untried", "Not tried", points=untried)),
    )


def state_answer(explanation: Explanation) -> str:
    """Return the answer in a few sentences: which ways meet all figures, and what is open."""
    tried = [target for target in explanation.targets if target not in explanation.unmeasured]
    names = " and ".join(f"{METRICS[target.column].label} {target.text}" for target in tried)
    answers = explanation.met()
    sentences = []
    if tried and not answers:
        sentences.append(f"{names}: reproduced by nothing that was tried.")
    for clips, fits in answers.items():
        n = max(reading.n for readings in fits.values() for reading in readings)
        ways = []
        for readings in fits.values():
            described = list(
                dict.fromkeys(
                    f"{_name_network(reading.rule)}, {describe_way(reading)}"
                    for reading in readings
                )
            )
            more = f" (or {len(described) - MOST_NAMED} others)"
            shown = " or ".join(described[:MOST_NAMED])
            label = METRICS[readings[0].column].label
            ways.append(f"{label} by {shown}{more if len(described) > MOST_NAMED else ''}")
        every = [protocols.load(name) for name in registry.entries("protocols")]
        known = [protocol.name for protocol in every if _fits(protocol, fits)]
        by = f" (protocol {', '.join(known)})" if known else ""
        sentences.append(
            f"{names}: reproduced over the clips '{clips}' ({n}){by}: {'; '.join(ways)}."
        )
    if sum(len(readings) > 1 for fits in answers.values() for readings in fits.values()):
        sentences.append("Where several ways are named, these figures cannot tell them apart.")
    near = sum(
        target.is_near(reading.value)
        for target in tried
        for reading in explanation.readings
        if reading.column == target.column
    )
    if near and not answers:
        sentences.append(f"{counted(near, 'reading')} near, see below.")
    if RANDOM in explanation.remarks:
        sentences.insert(0, f"On {RANDOM}.")
    for target in explanation.unmeasured:
        sentences.append(f"{METRICS[target.column].label} {target.text}: not measured, see below.")
    return " ".join(sentences)


def _list_lines(explanation: Explanation, target: Target) -> Iterator[Line]:
    readings = [reading for reading in explanation.readings if reading.column == target.column]
    readings.sort(key=lambda reading: target.distance(reading.value))
    label = METRICS[target.column].label
    yield Line(heading=f"{label} {target.text}: {counted(len(readings), 'reading')}")
    for reading in readings[:MOST_LINES]:
        near = "near" if target.is_near(reading.value) else ""
        digits = max(target.digits + 1, decimals([reading.value]))
        yield Line(
            (
                Printed(label),
                Printed(figure(reading.value, digits)),
                Printed("reproduced" if target.is_met(reading.value) else near),
                Printed(f"{reading.clips} ({reading.n})"),
                Printed(_name_network(reading.rule)),
                Printed(describe_way(reading)),
            )
        )


def describe_way(reading: Reading) -> str:
    """Return how a reading heard the sounds, and with which constant, in one line."""
    rule, axis = reading.rule, CONSTANTS.get(reading.column)
    parts = [
        "first channel" if rule.channels == "first" else "mean of channels",
        "mean removed" if rule.remove_dc else "mean kept",
        f"resampler {rule.resampler}" if rule.resampler != NAME else "",
        f"via {rule.via_hz} Hz" if rule.via_hz else "",
        "16-bit steps" if rule.int16 else "",
        "windows" if rule.long == "windows" else "",
        f"{axis} {reading.constant}" if axis and reading.constant else "",
    ]
    return ", ".join(filter(None, parts))


def _name_network(rule: Listening) -> str:
    # Of "path.py:Name" the end says which.
    return Path(rule.network).name


def _fits(protocol: Protocol, fits: Mapping[str, Sequence[Reading]]) -> bool:
    """Return whether some reading of every figure is that of a protocol."""
    constants = {
        "fad": "0",
        "fd": "0",
        "kl": f"{protocol.kl_epsilon:g}" if protocol.kl_epsilon else "0",
        "is": str(protocol.is_splits),
    }
    return all(
        any(
            reading.rule == protocol.networks.get(ROLES[column])
            and reading.constant == constants.get(column, "")
            for reading in readings
        )
        for column, readings in fits.items()
    )


def _read_list(name: str, path: Path) -> list[str]:
    """Return the clip ids of a file, one a line. Raises MissingError, StabenchError."""
    try:
        text = path.read_text("utf-8-sig")
    except (FileNotFoundError, IsADirectoryError):
        raise MissingError(f"--clips {name}: no file '{path}'; give a file of clip ids") from None
    except UnicodeDecodeError as error:
        raise StabenchError(f"--clips {name}: '{path}' is not UTF-8 text ({error})") from None
    if not (ids := [line.strip() for line in text.splitlines() if line.strip()]):
        raise StabenchError(f"--clips {name}: '{path}' is empty; give a clip id a line")
    return ids
