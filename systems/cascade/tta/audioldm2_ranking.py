"""The best of several candidates: the one that CLAP hears as closest to the text."""

from typing import Any

import torch
from torch import Tensor

from systems.star.resample import resample


def best(clap: Any, extractor: Any, waveforms: Tensor, rate_hz: int, texts: Tensor) -> Tensor:
    """Index [B] on the CPU of the candidate with the greatest cosine.

    `waveforms` [B, n, N] on the CPU, `texts` [B, D] L2-normalised on the device of `clap`. CLAP
    hears the first seconds of what is longer than it was trained on.
    """
    count, candidates, _ = waveforms.shape
    heard = resample(waveforms.flatten(0, 1), rate_hz, extractor.sampling_rate)
    inputs = extractor(
        list(heard[:, : extractor.nb_max_samples].numpy()),
        sampling_rate=extractor.sampling_rate,
        return_tensors="pt",
    )
    features = clap.get_audio_features(
        inputs["input_features"].to(texts.device, texts.dtype),
        is_longer=inputs["is_longer"].to(texts.device),
    ).pooler_output
    cosines = features.unflatten(0, (count, candidates)) @ texts[:, :, None]
    return torch.argmax(cosines[..., 0].float(), dim=1).cpu()
