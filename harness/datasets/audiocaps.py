"""AudioCaps: the official CSV with a folder of its recordings, spoken by files or by a voice."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from stabench.harness.datasets import recordings
from stabench.harness.datasets.audiocaps_csv import Item, read, read_captions, read_ids
from stabench.harness.datasets.dataset import Absent, Clip, Dataset, is_blank
from stabench.harness.datasets.recordings import Found, Names
from stabench.harness.datasets.spoken import Voice
from stabench.harness.datasets.tango_subset import LEFT_OUT
from stabench.harness.errors import MissingError, StabenchError, unknown

SUBSETS = ("first-captions", "tango")
CAPTIONS = ("first", "all")


def audiocaps(
    csv: str,
    audio: str | None = None,
    speech: str | None = None,
    subset: str = "first-captions",
    captions: Literal["first", "all"] = "first",
    reference_captions: str | None = None,
    voice: str | None = None,
    seed: int = 0,
) -> Dataset:
    """Return every recording of `csv` (audiocap_id, youtube_id, start_time, caption), in its order.

    Its first caption is spoken: by a WAV of the folder `speech`, else by `voice` (a folder of VITS
    or weights of the catalogue, seeded by `seed`). Outputs are judged by that caption, by "all"
    captions of the recording, or by those of the file `reference_captions` (a CSV of youtube_id
    and caption, or TANGO's JSON lines). `audio` holds the recordings (see recordings.find); without
    it, nothing that needs them is measured. `subset` is "first-captions" (975 clips of the test
    set), "tango" (886) or a file with a YouTube id a line.

    Clips that cannot be had are listed in `missing` with their reasons. Raises MissingError when
    nothing is left, StabenchError for a CSV without its columns.
    """
    _check_options(speech, captions, reference_captions, voice)
    items = _choose_items(read(Path(csv)), subset)
    judges = None if reference_captions is None else read_captions(Path(reference_captions))
    speaker = None if voice is None else Voice(voice, seed)
    sounds, spoken = _find_sounds(items, audio), _find_speech(items, speech, speaker)
    clips, missing = [], []
    for item in items:
        judged = _choose_captions(item, captions, judges)
        reason = item.flaw or _explain_flaw(item, judged)
        reason = reason or sounds.reasons.get(item.id) or spoken.reasons.get(item.id)
        if reason:
            missing.append(Absent(item.id, reason))
            continue
        caption = item.captions[0]
        clips.append(
            Clip(
                id=item.id,
                caption=caption,
                speech=spoken.paths[item.id],
                reference=sounds.paths.get(item.id),
                judged_by=() if judged == (caption,) else judged,
            )
        )
    return _make_dataset(subset, clips, missing, speaker)


def _check_options(
    speech: str | None, captions: str, reference_captions: str | None, voice: str | None
) -> None:
    if captions not in CAPTIONS:
        raise StabenchError(f"audiocaps: {unknown('captions', captions, CAPTIONS)}")
    if reference_captions is not None and captions == "all":
        raise StabenchError('audiocaps: captions = "all" and reference_captions; give one of them')
    if speech is None and voice is None:
        raise StabenchError(
            "audiocaps: neither speech nor voice is given; add speech = a folder of WAVs that read "
            'the first captions, or voice = "vits-ljs"'
        )


def _choose_items(items: list[Item], subset: str) -> list[Item]:
    """Return the items of a subset, in the order of the CSV. Raises for an unknown name or id."""
    if subset == "first-captions":
        return items
    if subset == "tango":
        return [item for item in items if item.youtube_id not in LEFT_OUT]
    if not Path(subset).is_file():
        raise StabenchError(f"audiocaps: {unknown('subset', subset, SUBSETS)}, or a file of ids")
    ids = read_ids(Path(subset))
    strange = sorted(ids - {item.youtube_id for item in items})
    if strange:
        raise StabenchError(
            f"subset '{subset}': {len(strange)} of {len(ids)} ids are not in the CSV (first: "
            f"{strange[0]}); give ids of its recordings"
        )
    return [item for item in items if item.youtube_id in ids]


def _choose_captions(
    item: Item, captions: str, judges: Mapping[str, tuple[str, ...]] | None
) -> tuple[str, ...]:
    """Return the captions that outputs are judged by."""
    if judges is not None:
        return judges.get(item.youtube_id, ())
    return item.captions if captions == "all" else item.captions[:1]


def _explain_flaw(item: Item, judged: tuple[str, ...]) -> str | None:
    """Return why captions cannot be used, or None."""
    if is_blank(item.captions[0]):
        return f"its first caption (audiocap_id {item.numbers[0]}) is empty"
    if not judged:
        return "the reference captions have none for it"
    blank = next((number for number, text in enumerate(judged, 1) if is_blank(text)), None)
    return None if blank is None else f"caption {blank} of {len(judged)} is empty"


def _find_sounds(items: list[Item], audio: str | None) -> Found:
    if audio is None:
        return Found.nothing()
    wanted = {item.id: Names(item.names, item.numbers) for item in items if not item.flaw}
    return recordings.find(Path(audio), wanted)


def _find_speech(items: list[Item], speech: str | None, voice: Voice | None) -> Found:
    """Return given files first; the voice speaks where there is none, not where one cannot be used.

    Of files named by the number of a caption only that of the first caption will do.
    """
    usable = [item for item in items if not item.flaw and not is_blank(item.captions[0])]
    # Without a folder of files every clip is absent, and so left to the voice.
    spoken = Found({}, {}, {item.id for item in usable})
    if speech is not None:
        wanted = {item.id: Names(item.names, item.numbers[:1]) for item in usable}
        spoken = recordings.find(Path(speech), wanted)
    if voice is None:
        return spoken
    for item in usable:
        if item.id in spoken.absent:
            spoken.reasons.pop(item.id, None)
            if refusal := voice.refusal(item.captions[0]):
                spoken.reasons[item.id] = refusal
            else:
                spoken.paths[item.id] = voice.path(item.id, item.captions[0])
    return spoken


def _make_dataset(
    subset: str, clips: list[Clip], missing: list[Absent], voice: Voice | None
) -> Dataset:
    if not clips:
        first = f" (first: {missing[0].id}: {missing[0].reason})" if missing else ""
        raise MissingError(f"audiocaps: none of {len(missing)} clips can be had{first}")
    name = "audiocaps" if subset == "first-captions" else f"audiocaps-{Path(subset).stem}"
    lines = [f"{clip.id}\0{clip.caption}\0" + "\0".join(clip.judged_by) for clip in clips]
    # Another voice says the same captions in other sounds: that is another version.
    if voice is not None:
        lines.append(f"{voice.digest}\0{voice.seed}")
    version = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
    render = None if voice is None else voice.render
    return Dataset(name, version, tuple(clips), missing=tuple(missing), prepare=render)
