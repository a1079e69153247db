"""A tiny AudioCaps, AudioSet's tables, and tiny networks, each in the layout that users have."""

import json
from pathlib import Path

import numpy as np
import soundfile

from tests.systems.star import tiny_encoders
from tests.systems.tta import tiny_ezaudio
from tests.systems.tts.tiny_vits import tiny_vits

# An id may begin with a dash or with Y, and hold underscores: each of these is a real form.
IDS = ("-abcdefghi_", "Y0123456789", "_-_-_-_-_-_", "aaaaaaaaaaa", "bbbbbbbbbbb", "ccccccccccc")
BROKEN, ABSENT, SILENT, DUPLICATE = "ddddddddddd", "eeeeeeeeeee", "fffffffffff", "ggggggggggg"
CAPTIONS = (
    "a dog barks",
    "rain falls on a roof",
    "a man speaks while birds sing",
    "wind",
    "a car passes by and honks",
    "rain",
)
# Odd rates and lengths in samples, one of them under a second.
SOUNDS = ((8_000, 4_321), (11_025, 9_000), (22_050, 22_050), (44_100, 30_000), (48_000, 24_000),
          (37_800, 20_001))  # fmt: skip
CLASSES = """index,mid,display_name
0,/m/09x0r,"Speech"
1,/m/05zppz,"Male speech, man speaking"
2,/t/dd00088,"Gurgling"
3,/m/0bt9lr,"Dog"
"""
SEGMENTS = """# Segments csv created Sun Mar  5 10:54:31 2017
# num_ytids=6, num_segs=7, num_unique_labels=4, num_positive_labels=10
# YTID, start_seconds, end_seconds, positive_labels
-abcdefghi_, 30.000, 40.000, "/m/0bt9lr"
Y0123456789, 0.000, 10.000, "/m/09x0r,/m/05zppz"
_-_-_-_-_-_, 10.000, 20.000, "/m/09x0r, /t/dd00088"
_-_-_-_-_-_, 20.000, 30.000, "/m/0bt9lr"
aaaaaaaaaaa, 50.000, 60.000, "/m/09x0r"
ccccccccccc, 40.000, 50.000, "/m/0bt9lr,/m/09x0r"
zzzzzzzzzzz, 40.000, 50.000, "/m/0bt9lr"
"""
STARTS = (30, 0, 20, 10, 30, 40)


def write_networks(folder: Path) -> Path:
    """Voice, speech encoders, VAE and FLAN-T5 in `folder`; the voice speaks at 22,050 Hz."""
    voice = tiny_vits(folder / "voice")
    config = voice / "config.json"
    config.write_text(
        config.read_text().replace('"sampling_rate": 16000', '"sampling_rate": 22050')
    )
    for kind in tiny_encoders.MODELS:
        tiny_encoders.write(kind, folder / kind)
    tiny_ezaudio.write(folder)
    return folder


def make_sound(number: int) -> np.ndarray:
    """Samples float32 of the numbered recording."""
    rng = np.random.default_rng(number)
    return rng.uniform(-0.4, 0.4, SOUNDS[number][1]).astype(np.float32)


def write_audiocaps(folder: Path) -> Path:
    """CSV, recordings and AudioSet's tables in `folder`: six clips, four more with `spoil`."""
    place = folder / "recordings"
    place.mkdir(parents=True)
    rows = ["audiocap_id,youtube_id,start_time,caption"]
    for number, youtube_id in enumerate(IDS):
        name = f"Y{youtube_id}" if youtube_id.startswith("-") else youtube_id
        soundfile.write(place / f"{name}.wav", make_sound(number), SOUNDS[number][0], "FLOAT")
        rows.append(f"{1000 + number},{youtube_id},{STARTS[number]},{CAPTIONS[number]}")
    (folder / "train.csv").write_text("\n".join(rows) + "\n")
    (folder / "class_labels_indices.csv").write_text(CLASSES)
    (folder / "segments.csv").write_text(SEGMENTS)
    return folder


def spoil(folder: Path) -> None:
    """Add a broken, an absent and a silent recording, and one that is a copy of the first."""
    place = folder / "recordings"
    first = (place / f"Y{IDS[0]}.wav").read_bytes()
    (place / f"{BROKEN}.wav").write_bytes(first[:-1000])
    soundfile.write(place / f"{SILENT}.wav", np.zeros(8_000), 16_000)
    (place / f"{DUPLICATE}.wav").write_bytes(first)
    with (folder / "train.csv").open("a") as file:
        for number, youtube_id in enumerate((BROKEN, ABSENT, SILENT, DUPLICATE)):
            file.write(f"{2000 + number},{youtube_id},0,a dog barks\n")


def write_recipe(folder: Path, networks: Path, encoder: str = "hubert", **data: object) -> Path:
    """A recipe for the files above; `data` replaces or adds keys."""
    lines = {
        "recordings": str(folder / "recordings"),
        "voice": str(networks / "voice"),
        "least_rate_hz": 8000,
        **data,
    }
    text = ["[data]", *(f"{key} = {json.dumps(value)}" for key, value in lines.items())]
    text += [
        "[data.csv]",
        f'train = "{folder}/train.csv"',
        "[data.labels]",
        f'classes = "{folder}/class_labels_indices.csv"',
        f'segments = ["{folder}/segments.csv"]',
        "[data.speech_encoder]",
        f'use = "{encoder}"',
        f'options = {{ weights = "{networks / encoder}" }}',
        "[data.vae]",
        'use = "ezaudio-vae"',
        f'options = {{ weights = "{networks / "ezaudio-vae"}" }}',
    ]
    path = folder / "recipe.toml"
    path.write_text("\n".join(text) + "\n[stage1]\nrate = 3.2e-3\n")
    return path
