"""How a text-to-audio model runs: as published, or with its denoising loop as CUDA graphs."""

STOCK, GRAPH = "stock", "graph"
VARIANTS = (STOCK, GRAPH)
LONGEST = 64
"""Tokens that the texts of a graph are padded to, the padding hidden; longer texts run without."""


def checked(variant: str) -> str:
    """The variant; ValueError for one that there is not."""
    if variant not in VARIANTS:
        raise ValueError(f"variant is {variant!r}, allowed are {', '.join(VARIANTS)}")
    return variant
