"""What a task is: its timed phases, the columns of its table, the groups of its rows.

The engine, the scores, every table and every verdict ask this object; none knows a task by name.
A task is one module attribute: registered (`stabench.tasks`), or "path.py:NAME".
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from stabench.harness import registry

DEFAULT = "speech_to_audio"
Better = Literal["lower", "higher"]
NOT_MEASURED = "not measured"
# The last group of a table's rows: sounds whose quality is known.
SANITY = "sanity"
# The paradigm of a system that names none.
UNSTATED = "unstated"


class Column(NamedTuple):
    """One column; `block` is latency, quality or listeners.

    `random` says that a network with random weights heard the sounds: no figure is better then.
    """

    key: str
    label: str
    unit: str
    better: Better
    digits: int
    block: str
    random: bool = False

    @property
    def title(self) -> str:
        """Label, unit and an arrow to the better side."""
        unit = f" ({self.unit})" if self.block == "latency" and self.unit else ""
        return f"{self.label}{unit} {'↓' if self.better == 'lower' else '↑'}"


# What follows from the times of all phases, for every task; no paper's table has it. The real-time
# factor is the total for each second of the sound that came back.
TOTAL = Column("total", "Total", "s", "lower", 2, "latency")
REAL_TIME = Column("rtf", "RTF", "", "lower", 3, "latency")
DERIVED = (TOTAL.key, REAL_TIME.key)


class Phase(NamedTuple):
    """One timed call of a system: its method `name`, and the column that shows its wall time.

    A unit of the column is `unit_ns` nanoseconds.
    """

    name: str
    column: Column
    unit_ns: float


@dataclass(frozen=True)
class Task:
    """A task of the benchmark.

    The first phase takes one utterance, each later one what the phase before returned, for a whole
    batch; the last returns sounds (systems/contract.py). `columns` are always in the table, in
    this order; a suite may add others. `paradigms` are groups of rows in their order; differences
    are those of `minuends` minus those after them. Systems of a paradigm in `told` read the true
    caption: what they "heard" is no recognition, and they compete among themselves only. Error
    propagation is the first paradigm of `propagation` minus the second. `sanity` names the rows
    that a suite may ask for.
    """

    name: str
    phases: tuple[Phase, ...]
    columns: tuple[Column, ...]
    paradigms: tuple[str, ...]
    minuends: tuple[str, ...]
    told: tuple[str, ...] = ()
    propagation: tuple[str, str] | None = None
    sanity: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.phases) < 2:
            raise ValueError(f"task '{self.name}' has {len(self.phases)} phases, allowed is 2 up")
        if sorted(self.minuends) != sorted(self.paradigms):
            raise ValueError(f"task '{self.name}': minuends {self.minuends} are not its paradigms")

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups of a table's rows in their order."""
        return (*self.paradigms, UNSTATED, SANITY)

    @property
    def fields(self) -> tuple[tuple[str, ...], ...]:
        """Groups of paradigms that compete with each other: those that are not told, then those."""
        free = tuple(name for name in self.paradigms if name not in self.told)
        return ((*free, UNSTATED), self.told)

    @property
    def phase_names(self) -> tuple[str, ...]:
        """Names of the phases in the order of the clock."""
        return tuple(phase.name for phase in self.phases)

    def phase_of(self, column: str) -> Phase | None:
        """Return the phase whose time `column` shows, or None for a column of quality."""
        return next((phase for phase in self.phases if phase.column.key == column), None)


def heading(group: str) -> str:
    """Return what a table calls a group of rows: "End to end"."""
    titles = {UNSTATED: "Systems", SANITY: "Sanity rows"}
    return titles.get(group, group.replace("-", " ").capitalize())


def load_task(name: str) -> Task:
    """Return the task that is registered as `name`, or that "path.py:NAME" holds.

    Raises StabenchError with the nearest match for an unknown name and for what is no task,
    MissingError for a file that is not there.
    """
    task: Task = registry.load("tasks", name, Task)
    return task
