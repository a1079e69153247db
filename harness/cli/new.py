"""`stabench new`: the first file of a system, suite, metric, dataset or condition; it runs."""

import keyword
import re
import shlex
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from string import Template
from typing import Literal, NamedTuple

from stabench.harness.errors import StabenchError

Kind = Literal["system", "suite", "metric", "dataset", "condition"]
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class Draft(NamedTuple):
    """What a kind is written as: its file's suffix, its text, and the command that runs it."""

    suffix: str
    text: Template
    command: Template


def write_new(kind: Kind, name: str, out: Path | None) -> str:
    """Write the first file of `name` to `out` (default: NAME.py or NAME.toml here).

    Return the command that runs it. Raises StabenchError for a name that is no identifier or hides
    an installed module, for another suffix, and for a file that is there already.
    """
    draft = DRAFTS[kind]
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise StabenchError(
            f"NAME is '{name}'; give a letter, then letters, digits or _, such as my_{kind}"
        )
    if kind == "condition" and not name.replace("_", "").isalpha():
        raise StabenchError(
            f"NAME is '{name}'; a condition has letters and _ alone, for a number may follow its "
            "name, such as my_condition"
        )
    path = out or Path(f"{name}{draft.suffix}")
    if path.suffix != draft.suffix:
        raise StabenchError(f"--out '{path}': a {kind} is a {draft.suffix} file; name it so")
    installed = path.stem in sys.stdlib_module_names or path.stem in packages_distributions()
    if draft.suffix == ".py" and installed:
        raise StabenchError(
            f"'{path}' would hide the module '{path.stem}' from files beside it; rename it"
        )
    # A class is called MySystem in my_system.py; what has capitals keeps them.
    title = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    words = {"name": name, "Name": title, "label": name.replace("_", " ").capitalize()}
    words["file"] = shlex.quote(str(path))
    try:
        # "x": a file that somebody else writes meanwhile is not overwritten either.
        with path.open("x", encoding="utf-8") as file:
            file.write(draft.text.substitute(words))
    except FileExistsError:
        raise StabenchError(f"'{path}' is there already; give another --out FILE") from None
    except FileNotFoundError:
        raise StabenchError(f"'{path}': no folder '{path.parent}'; make it first") from None
    return draft.command.substitute(words)


SYSTEM = '''"""$Name: answers a spoken caption with noise as loud as the speech; begin here.

Run it:   stabench run pocket --limit 2 --system $file:$Name
Try it:   stabench check $file:$Name
The contract, with what else a system may have, is stabench/systems/contract.py.
"""

import numpy as np

from stabench.systems.contract import Representation, Spans, Utterance, Waveform


class $Name:
    """Replace what `represent` hears and what `generate` makes of it by your own."""

    sample_rate = 16_000  # Hz of what generate returns
    speech_rate_hz = 16_000  # Hz of what represent is given

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds = seconds  # an option: [system.options] of a suite

    def load(self, device: str, dtype: str) -> None:
        """Read the weights and move them to `device`. Not timed."""

    def represent(self, speech: Utterance, spans: Spans) -> Representation:
        """Return what `generate` needs of one utterance. Timed: the processing latency."""
        with spans("listen"):
            loudness = float(np.sqrt(np.mean(speech.samples**2)))
        return Representation(payload=loudness, text=None)

    def generate(
        self, representations: list[Representation], seeds: list[int], spans: Spans
    ) -> list[Waveform]:
        """Return one sound each, its noise from its own seed. Timed: the generation time."""
        with spans("make"):
            sounds = [self._make(*pair) for pair in zip(representations, seeds, strict=True)]
        return [Waveform(samples, self.sample_rate) for samples in sounds]

    def provenance(self) -> dict[str, object]:
        """Return what decides the sound: settings, and the sha256 of weights."""
        return {"seconds": self.seconds}

    def _make(self, representation: Representation, seed: int) -> np.ndarray:
        noise = np.random.default_rng(seed).standard_normal(int(self.seconds * self.sample_rate))
        return np.clip(representation.payload * noise, -1, 1).astype(np.float32)
'''

SUITE = """# $name: two systems of the pocket on its clips; begin here.
#
# Run it:   stabench run $file --limit 4
# What can be named: stabench list. Files too: use = "my_system.py:MySystem"

name = "$name"
title = "$label"

[dataset]
use = "pocket"

[metrics]
protocol = "pocket"
columns = ["fad", "fd", "kl", "clap", "recall"]
sanity = ["noise"]

[[system]]
name = "star"
label = "STAR"
paradigm = "end-to-end"
use = "pocket-star"

[[system]]
name = "oracle"
label = "Oracle: true caption + TTA"
paradigm = "oracle"
use = "pocket-oracle"
"""

METRIC = '''"""$name: how often an output's likeliest class is its recording's too; begin here.

Try it:   stabench check $file:METRIC
Use it:   stabench score --reference DIR --outputs NAME=DIR --protocol paper \\
              --columns kl,$file:METRIC
or in a suite, [metrics] columns = ["kl", "$file:METRIC"].
What a metric may ask for, and return, is in stabench/metrics/sets.py.
"""

import numpy as np

from stabench.metrics.registry import Metric
from stabench.metrics.sets import Sets, class_logits


def agree(outputs: np.ndarray, recordings: list[np.ndarray]) -> np.ndarray:
    """Return 1 where the top class of logits [N, C] is one of the clip's recordings', else 0."""
    tops = outputs.argmax(axis=1)
    return np.array(
        [float(top in logits.argmax(axis=1)) for top, logits in zip(tops, recordings, strict=True)]
    )


def measure(metric: Metric, sets: Sets) -> np.ndarray:
    """Return the value [N] of each clip; the table has their mean and its interval."""
    pairs = sets.pairs("tagger")
    recordings = [class_logits(pair.ref) for pair in pairs]
    return agree(class_logits([pair.gen for pair in pairs]), recordings)


METRIC = Metric(
    name="$name",
    label="$label",
    better="higher",
    unit="",
    digits=2,
    version=1,  # raise it when the same sounds would get another number
    needs=("tagger", "pair"),
    measure=measure,
    about="share of clips whose likeliest class is that of a recording of theirs",
)
'''

DATASET = '''"""$name: the WAVs of a folder, captions from a captions.csv in it; begin here.

Try it:   stabench check $file:$name --option folder=DIR
Use it in a suite:
    [dataset]
    use = "$file:$name"
    folder = "DIR"
"""

import hashlib
from pathlib import Path

from stabench.harness.datasets.dataset import Clip, Dataset, read_captions
from stabench.metrics.wav_folder import list_wavs


def $name(folder: str = "wavs") -> Dataset:
    """Return a clip for each WAV, by name; a captions.csv has the columns id, caption."""
    place = Path(folder).resolve()
    wavs = list_wavs(place).by_name() if place.is_dir() else {}
    if not wavs:
        raise FileNotFoundError(f"no .wav file in '{place}'; give a folder of WAV files")
    table = place / "captions.csv"
    captions = read_captions(table) if table.is_file() else {}
    clips = tuple(
        # `reference` is the recording that an output is compared with: a WAV of yours, if you can.
        Clip(id=name, caption=captions.get(name), speech=path, reference=None)
        for name, path in wavs.items()
    )
    # The version says which clips these are: numbers of another one are not compared with them.
    content = "".join(f"{clip.id} {clip.caption}\\n" for clip in clips)
    return Dataset("$name", hashlib.sha256(content.encode()).hexdigest()[:12], clips)
'''

CONDITION = '''"""$name: softer speech, N dB below what it was; begin here.

Run it:   stabench run pocket --limit 2 --condition $file:${name}20
With others, from left to right: --condition telephone+$file:${name}20
What a condition gets and returns is in stabench/harness/datasets/conditions/condition.py.
"""

import numpy as np

from stabench.harness.datasets.conditions.condition import (
    Family,
    Heard,
    Number,
    Setting,
    Speech,
    Surroundings,
)


def apply(speech: Speech, setting: Setting, near: Surroundings) -> Heard:
    """Return the samples [T] that are heard, and what was measured on them.

    Whatever is random takes `near.generator`, which the run's seed and the clip decide.
    """
    softer = speech.samples * 10 ** (-setting.number / 20)
    return Heard(softer, {"peak": float(np.abs(softer).max())})


$name = Family(
    "$name",
    "speech that is N dB softer",
    apply,
    number=Number(1, 60, "dB"),  # leave it out where the name has no number
    measures={"peak": "largest sample, 0 to 1"},
    version=1,  # raise it when the same speech would sound different
)
'''

DRAFTS: dict[str, Draft] = {
    "system": Draft(
        ".py", Template(SYSTEM), Template("stabench run pocket --limit 2 --system $file:$Name")
    ),
    "suite": Draft(".toml", Template(SUITE), Template("stabench run $file --limit 4")),
    "metric": Draft(".py", Template(METRIC), Template("stabench check $file:METRIC")),
    "condition": Draft(
        ".py",
        Template(CONDITION),
        Template("stabench run pocket --limit 2 --condition $file:${name}20"),
    ),
    "dataset": Draft(
        ".py", Template(DATASET), Template("stabench check $file:$name --option folder=DIR")
    ),
}
