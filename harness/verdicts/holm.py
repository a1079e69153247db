"""Holm's adjustment of p-values for their number (Holm, 1979, Scand. J. Statist. 6, 65-70)."""

from collections.abc import Sequence


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given: the k-th smallest of m times m - k + 1, made monotone.

    Calling those at or below alpha real makes any false call with probability alpha at most,
    whatever depends on what.

    >>> [round(p, 3) for p in adjusted([0.01, 0.04, 0.03, 0.005])]
    [0.03, 0.06, 0.06, 0.02]
    """
    found, running = [0.0] * len(p_values), 0.0
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        found[index] = running
    return found
