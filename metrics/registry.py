"""The metrics: what each is called, which direction is better, what it needs, where it is made."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from stabench.metrics.sets import Sets

# What a metric may need of a clip, beside the networks of a protocol.
PARTS = ("reference", "pair", "caption", "labels", "sequence", "together", "transcript")


@dataclass(frozen=True)
class Metric:
    """One column of a table.

    `version` rises when the same inputs would give another number. `measure` is a function, or its
    "module:function", that takes (metric, sets) and returns values [N] of each clip, of which the
    mean is reported, a TwoSample, a Ratio or a Tested (metrics/sets.py). `needs` names networks of
    a protocol (`fad`, `tagger`, ...; the one that the metric is about first) and parts of a clip:
    `reference` (the set of recordings), `pair` (each clip's own), `caption`, `labels`, `sequence`
    (events one after the other), `together` (events at the same time), `transcript` (what a system
    took for the caption). `rules` are the fields of the protocol that decide the number, `least`
    the clips below which there is none, `lowest` and `highest` what it cannot be beyond.

    One from outside is registered under its `name` (entry point `stabench.metrics`), or named as
    "path.py:NAME".
    """

    name: str
    label: str
    better: Literal["lower", "higher"]
    unit: str
    digits: int
    version: int
    needs: tuple[str, ...]
    measure: "str | Callable[[Metric, Sets], Any]"
    rules: tuple[str, ...] = ()
    least: int = 2
    lowest: float | None = None
    highest: float | None = None
    about: str = ""


# Measured wherever a system says what it heard, whether a suite names it or not.
WER = "wer"
# Those of the paper's table in its order, then others.
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            name="fad",
            label="FAD",
            better="lower",
            unit="",
            digits=2,
            version=1,
            needs=("fad", "reference"),
            measure="stabench.metrics.frechet:measure",
            lowest=0.0,
            about="frames of all clips pooled",
        ),
        Metric(
            name="fd",
            label="FD",
            better="lower",
            unit="",
            digits=2,
            version=1,
            needs=("tagger", "reference"),
            measure="stabench.metrics.frechet:measure",
            lowest=0.0,
        ),
        Metric(
            name="kl",
            label="KL",
            better="lower",
            unit="nats",
            digits=2,
            version=1,
            needs=("tagger", "pair"),
            measure="stabench.metrics.kl:measure",
            rules=("kl_epsilon",),
            lowest=0.0,
            about="KL(reference || output) of softmaxed logits",
        ),
        Metric(
            name="is",
            label="IS",
            better="higher",
            unit="",
            digits=2,
            version=1,
            needs=("tagger",),
            measure="stabench.metrics.inception:measure",
            rules=("is_splits", "is_seed"),
            # An interval of fewer holds the true value too seldom: 80 in 100 of 36 clips.
            least=72,
            lowest=1.0,
            about="rows sorted by clip id",
        ),
        Metric(
            name="clap",
            label="CLAP",
            better="higher",
            unit="",
            digits=3,
            version=1,
            needs=("clap", "caption"),
            measure="stabench.metrics.clap:measure",
            about="the true caption",
        ),
        Metric(
            name="clap_music",
            label="CLAP (music-speech)",
            better="higher",
            unit="",
            digits=3,
            version=1,
            needs=("clap_music", "caption"),
            measure="stabench.metrics.clap:measure",
            about="the true caption",
        ),
        Metric(
            name="recall",
            label="Event recall",
            better="higher",
            unit="",
            digits=2,
            version=1,
            needs=("tagger", "labels"),
            measure="stabench.metrics.recall:measure",
            lowest=0.0,
            highest=1.0,
        ),
        Metric(
            name="order",
            label="Event order",
            better="higher",
            unit="",
            digits=2,
            version=1,
            needs=("timeline", "sequence"),
            measure="stabench.metrics.order:measure_order",
            lowest=0.0,
            highest=1.0,
            about="of clips with events one after the other; by chance half of those whose events "
            "are all heard",
        ),
        Metric(
            name="overlap",
            label="Event overlap",
            better="higher",
            unit="",
            digits=2,
            version=1,
            needs=("timeline", "together"),
            measure="stabench.metrics.order:measure_overlap",
            lowest=0.0,
            highest=1.0,
            about="of clips with events at the same time",
        ),
        Metric(
            name="fad_inf",
            label="FAD\N{INFINITY}",
            better="lower",
            unit="",
            digits=2,
            version=1,
            needs=("fad", "reference"),
            measure="stabench.metrics.frechet_infinity:measure",
            rules=("subset_seed",),
            least=30,
            about="FAD extrapolated to infinitely many output frames",
        ),
        Metric(
            name="kad",
            label="KAD",
            better="lower",
            unit="",
            digits=2,
            version=1,
            needs=("tagger", "reference"),
            measure="stabench.metrics.kad:measure",
            rules=("subset_seed",),
            about="100 x unbiased MMD^2, Gaussian kernel, bandwidth of the reference; p by "
            "permutation of clips",
        ),
        Metric(
            name="kid",
            label="KID",
            better="lower",
            unit="",
            digits=4,
            version=1,
            needs=("tagger", "reference"),
            measure="stabench.metrics.kid:measure",
            rules=("subset_seed",),
            # As for IS: the cube lets a few clips decide (82 in 100 of 12 clips).
            least=72,
            about="unbiased MMD^2 of the whole sets, cubic kernel; p by permutation of clips",
        ),
        Metric(
            name="kl_sigmoid",
            label="KL (sigmoid)",
            better="lower",
            unit="nats",
            digits=2,
            version=1,
            needs=("tagger", "pair"),
            measure="stabench.metrics.kl:measure_sigmoid",
            rules=("kl_epsilon",),
            about="of sigmoids without their (1 - p) term: no divergence",
        ),
        Metric(
            name=WER,
            label="WER",
            better="lower",
            unit="",
            digits=3,
            version=1,
            needs=("transcript", "caption"),
            measure="stabench.metrics.wer:measure",
            lowest=0.0,
            about="normalised: lower case, punctuation removed, white space collapsed",
        ),
    )
}
