"""A metric of one's own, in one file: how often a tagger's likeliest class is the recording's.

Run it from the top of the repository:

    stabench check examples/metric/my_metric.py:METRIC
    stabench run pocket --system star --limit 12 \
        --set 'metrics.columns=["kl", "examples/metric/my_metric.py:METRIC"]'
"""

import numpy as np

from stabench.metrics.registry import Metric
from stabench.metrics.sets import class_logits


def agree(outputs, recordings):
    """Return 1 where the top class of logits [N, C] is one of the clip's recordings', else 0."""
    tops = outputs.argmax(axis=1)
    return np.array(
        [float(top in logits.argmax(axis=1)) for top, logits in zip(tops, recordings, strict=True)]
    )


def measure(metric, sets):
    """Return the value [N] of each clip; the table has their mean with its interval."""
    pairs = sets.pairs("tagger")
    recordings = [class_logits(pair.ref) for pair in pairs]
    return agree(class_logits([pair.gen for pair in pairs]), recordings)


METRIC = Metric(
    name="same_class",
    label="Same class",
    better="higher",
    unit="",
    digits=2,
    version=1,  # raise it when the same sounds would get another number
    needs=("tagger", "pair"),
    measure=measure,
    about="share of clips whose likeliest class is that of a recording of theirs",
)
