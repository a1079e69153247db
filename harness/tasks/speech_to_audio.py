"""Speech to audio: a person says what they want to hear, the system returns that sound.

Columns are those of Table 2 of STAR (arXiv 2509.17164), in its order.
"""

from stabench.harness.tasks.task import Column, Phase, Task

TASK = Task(
    name="speech_to_audio",
    phases=(
        Phase("represent", Column("processing", "Processing", "ms", "lower", 1, "latency"), 1e6),
        Phase("generate", Column("generation", "Generation", "s", "lower", 2, "latency"), 1e9),
    ),
    columns=(
        Column("fad", "FAD", "", "lower", 2, "quality"),
        Column("fd", "FD", "", "lower", 2, "quality"),
        Column("kl", "KL", "", "lower", 2, "quality"),
        Column("is", "IS", "", "higher", 2, "quality"),
        Column("clap", "CLAP", "", "higher", 3, "quality"),
        Column("ovl", "OVL", "", "higher", 2, "listeners"),
        Column("rel", "REL", "", "higher", 2, "listeners"),
    ),
    paradigms=("cascade", "end-to-end", "oracle"),
    minuends=("end-to-end", "oracle", "cascade"),
    told=("oracle",),
    propagation=("oracle", "cascade"),
    sanity=("other-half", "noise", "silence", "shuffled"),
)
