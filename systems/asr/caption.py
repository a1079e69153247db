"""The recogniser that never errs: the true caption, for the oracle row."""

from typing import Any, ClassVar

from stabench.systems.contract import Spans, Transcript, Utterance


class CaptionAsr:
    """Returns the clip's caption; takes no time and marks no stage.

    The oracle's distance from the real recording is the generator's; a cascade's distance from
    the oracle is its recogniser's.
    """

    speech_rate_hz: ClassVar[int] = 16_000
    reads_caption: ClassVar[bool] = True

    def load(self, device: str, dtype: str) -> None:
        """Nothing to read."""

    def transcribe(self, speech: Utterance, spans: Spans) -> Transcript:
        if speech.caption is None:
            raise ValueError(
                f"clip '{speech.clip_id}': the oracle needs a caption and the clip has none;"
                " give the data set captions, or leave the oracle out of the suite"
            )
        return Transcript(speech.caption)

    def provenance(self) -> dict[str, Any]:
        return {"text": "the true caption"}
