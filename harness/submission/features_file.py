"""features.safetensors: what the networks made of every output, so that sets can be judged again.

Of each role: `<role>.embeddings` float32 [sum of rows, D], `<role>.rows` int64 [N], and of a
tagger `<role>.logits` float32 [N, C]; N outputs in the order of their ids. The format holds
numbers only, no code.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from stabench.metrics.contract import Features
from stabench.metrics.sets import class_logits

NAME = "features.safetensors"
PARTS = ("embeddings", "rows", "logits")

ByClip = Mapping[str, Features]
"""Features of one role by clip."""


def encode(found: Mapping[str, ByClip]) -> bytes:
    """The file of some roles' features: the same bytes for the same features."""
    from safetensors.numpy import save

    tensors: dict[str, np.ndarray] = {}
    for role, features in found.items():
        ordered = [features[clip] for clip in sorted(features)]
        rows = [len(one.embeddings) for one in ordered]
        tensors[f"{role}.embeddings"] = np.concatenate([one.embeddings for one in ordered])
        tensors[f"{role}.rows"] = np.array(rows, np.int64)
        if ordered[0].logits is not None:
            tensors[f"{role}.logits"] = class_logits(ordered)
    return save(tensors)


def decode(data: bytes, roles: Sequence[str], clips: Sequence[str]) -> dict[str, ByClip]:
    """Features by role and clip; `clips` in any order.

    Raises ValueError with one line for another shape, type or role, and for NaN or infinity.
    """
    tensors = _tensors(data)
    if {name.partition(".")[0] for name in tensors} != set(roles):
        raise ValueError(f"roles {_named(tensors)}, expected {', '.join(sorted(roles))}")
    for name in tensors:
        if name.partition(".")[2] not in PARTS:
            raise ValueError(f"tensor '{name}' is none of {', '.join(PARTS)} of a role")
    return {role: _of_role(role, _taker(tensors, role), sorted(clips)) for role in roles}


def _tensors(data: bytes) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"no safetensors file ({' '.join(str(error).split())[:200]})") from None


def _named(tensors: Mapping[str, np.ndarray]) -> str:
    return ", ".join(sorted({name.partition(".")[0] for name in tensors})) or "none"


def _taker(
    tensors: Mapping[str, np.ndarray], role: str
) -> Callable[[str, int, type], np.ndarray | None]:
    def take(part: str, dimensions: int, kind: type) -> np.ndarray | None:
        found = tensors.get(f"{role}.{part}")
        if found is None:
            return None
        if found.dtype != kind or found.ndim != dimensions:
            raise ValueError(f"{role}.{part} is {found.dtype} of {found.ndim} dimensions")
        if not np.isfinite(found).all():
            raise ValueError(f"{role}.{part} holds NaN or infinity")
        return found

    return take


def _of_role(
    role: str, take: Callable[[str, int, type], np.ndarray | None], clips: list[str]
) -> ByClip:
    embeddings, rows = take("embeddings", 2, np.float32), take("rows", 1, np.int64)
    logits = take("logits", 2, np.float32)
    if embeddings is None or rows is None:
        raise ValueError(f"{role}: embeddings or rows are missing")
    if len(rows) != len(clips) or rows.min(initial=1) < 1 or rows.max(initial=0) > len(embeddings):
        raise ValueError(f"{role}.rows has {len(rows)} clips, the outputs are {len(clips)}")
    if int(rows.sum()) != len(embeddings) or not embeddings.shape[1]:
        raise ValueError(f"{role}: {len(embeddings)} embeddings, the rows say {int(rows.sum())}")
    if logits is not None and len(logits) != len(clips):
        raise ValueError(f"{role}.logits has {len(logits)} clips, the outputs are {len(clips)}")
    parts = np.split(embeddings, np.cumsum(rows)[:-1])
    return {
        clip: Features(part, None if logits is None else logits[index])
        for index, (clip, part) in enumerate(zip(clips, parts, strict=True))
    }
