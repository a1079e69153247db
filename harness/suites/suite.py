"""A suite: dataset, systems, metrics and run settings of a benchmark, read strictly from TOML."""

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from stabench.harness import registry
from stabench.harness.errors import StabenchError, unknown
from stabench.harness.schema import Strict, first_wrong
from stabench.harness.suites.metrics import check_metrics
from stabench.harness.tables import read_toml
from stabench.harness.tasks.task import DEFAULT, UNSTATED, load_task
from stabench.metrics.protocol import ROLES

# Names that become folder names.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=100)]
RUN, FORMER_RUN = "run", "protocol"

Precision = Literal["float32", "float16", "bfloat16"]


class DatasetUse(BaseModel):
    """A registered dataset; every other key is an option of its function."""

    model_config = ConfigDict(extra="allow", frozen=True)
    use: str = Field(description='Registered name (`stabench list datasets`), or "path.py:NAME".')

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class RunSettings(Strict):
    """How clips are run, how failures are counted, how many resamples make an interval."""

    scenario: Literal["single-stream", "offline"] = Field(
        "single-stream",
        description="`single-stream`: one clip after the other, as latencies need it. `offline`: "
        "batches of `batch_size`.",
    )
    warmups: int = Field(
        2, ge=0, description="Clips that each system runs first; kept, but in no figure."
    )
    repeats: int = Field(
        1, ge=1, description="How often each clip is run and timed; the first sound is scored."
    )
    batch_size: int = Field(1, ge=1, description="Clips in one call. A single stream allows 1.")
    precision: Precision = Field("float32", description="What the systems compute in.")
    seed: int = Field(0, description="Of every clip's noise, of the order of systems and clips.")
    threads: int = Field(2, ge=1, description="CPU threads of each system, and of the scoring.")
    block: int = Field(
        12, ge=1, description="Clips that one system runs before the next one has its turn."
    )
    timeout_s: float = Field(120, gt=0, description="Seconds that one clip may take.")
    startup_timeout_s: float = Field(300, gt=0, description="Seconds that loading may take.")
    max_failed_share: float = Field(
        0.0, ge=0, le=1, description="Share of a system's clips that may fail; above it: exit 4."
    )
    bootstrap: int = Field(1000, ge=100, description="Resamples behind an interval.")
    profile: Literal[0, 1] = Field(
        0,
        description="Clips that each system runs once more, untimed, to count what its stages "
        "cost.",
    )

    @model_validator(mode="after")
    def _one_at_a_time(self) -> "RunSettings":
        if self.scenario == "single-stream" and self.batch_size > 1:
            raise ValueError(
                f"batch_size is {self.batch_size}, a single stream allows 1; set 1 or "
                'scenario = "offline"'
            )
        return self


class Metrics(Strict):
    """Columns of the table, the protocol of its numbers, and networks put in place of its own."""

    columns: tuple[str, ...] = Field(
        (),
        description='Metrics (`stabench list metrics`), or "path.py:NAME". None: quality is not '
        "measured.",
    )
    protocol: str = Field(
        "stabench", description="Scoring rules: `stabench list protocols`, or a .toml file."
    )
    fad: str | None = Field(
        None, description="Embedder of FAD in place of the protocol's (`stabench list embedders`)."
    )
    tagger: str | None = Field(None, description="Likewise of FD, KL, IS and event recall.")
    clap: str | None = Field(None, description="Likewise of CLAP.")
    clap_music: str | None = Field(None, description="Likewise of the second CLAP.")
    timeline: str | None = Field(None, description="Likewise of event order and overlap.")
    weights: Literal["published", "random"] = Field(
        "published",
        description="`random`: published networks with random weights, to show that all runs.",
    )
    ceiling: str | None = Field(
        None,
        pattern=r"^[\w.]+:\w+$",
        description="Function of a sanity row: it takes a recording through the systems' codec "
        "and back (Audio in, Audio out).",
        json_schema_extra={"allowed": '"module:function"'},
    )
    floor: str | None = Field(
        None,
        pattern=r"^[\w.]+:\w+$",
        description="Function of a sanity row: it takes the id of a clip and returns Audio of the "
        "same content, as a perfect generator would. A suite with it needs no `other-half`, whose "
        "distances are of other content.",
        json_schema_extra={"allowed": '"module:function"'},
    )
    sanity: tuple[str, ...] = Field(
        (),
        description="Sanity rows of the table: those of the task, registered ones, or "
        '"path.py:NAME".',
        json_schema_extra={"allowed": "`other-half`, `noise`, `silence`, `shuffled`, ..."},
    )

    @field_validator("columns", "sanity")
    @classmethod
    def _anywhere(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return absolute paths of files: a run is looked at from any folder."""
        # No more than that: whoever reads a stored run need not have its metrics.
        return tuple(registry.absolute(name) if registry.is_file(name) else name for name in names)

    @property
    def networks(self) -> dict[str, str]:
        """The networks that replace the protocol's, by role."""
        named = {role: getattr(self, role) for role in ROLES}
        return {role: name for role, name in named.items() if name}


class SystemUse(Strict):
    """One system of the suite."""

    name: Name = Field(
        description="What files and commands call it.",
        json_schema_extra={"allowed": "letters, digits, `._+-`; at most 100"},
    )
    label: str = Field("", description="What tables call it; without one, its name.")
    paradigm: str = Field(
        UNSTATED,
        description="Group of the table that it is in: one of the task's.",
        json_schema_extra={"allowed": "`cascade`, `end-to-end`, `oracle`, `unstated`"},
    )
    use: str = Field(description='Registered name (`stabench list systems`), or "path.py:Class".')
    options: dict[str, Any] = Field({}, description="Keyword arguments of the class or function.")
    precision: Precision | None = Field(
        None, description="Its own, where it is not that of the run settings."
    )
    python: str | None = Field(
        None, description="Another interpreter to run it in, which sees its own packages only."
    )
    note: str = Field("", description="A remark, printed with the report.")
    trained_on: tuple[str, ...] = Field(
        (),
        description="Columns whose metric it was trained on, or chosen by: tables mark them.",
        json_schema_extra={"allowed": "`stabench list metrics`"},
    )


class ConditionUse(Strict):
    """One condition of the suite: all clips are heard under it, too."""

    name: str = Field(
        min_length=1,
        description="Parts from left to right, joined by `+`: `stabench list conditions`, or "
        '"path.py:NAME".',
        json_schema_extra={"allowed": "such as `telephone+noise10`"},
    )
    label: str = Field("", description="What tables call it; without one, its name.")

    @field_validator("name")
    @classmethod
    def _anywhere(cls, name: str) -> str:
        """Return absolute paths of files: a run is looked at from any folder."""
        parts = (part.strip() for part in name.split("+"))
        return "+".join(
            registry.absolute(part) if registry.is_file(part) else part for part in parts
        )

    @property
    def short(self) -> str:
        """What folders, rows and commands call it: without the paths of files."""
        return "+".join(part.rpartition(":")[2] for part in self.name.split("+"))


class Suite(Strict):
    """A suite as resolved: what a run did is read from this, and a resumed run must equal it."""

    name: Name = Field(
        description="Begins the names of run folders.",
        json_schema_extra={"allowed": "letters, digits, `._+-`; at most 100"},
    )
    title: str = Field("", description="Heading of the report; without one, the name.")
    task: str = Field(
        DEFAULT,
        description='What systems do: `stabench list tasks`, or "path.py:NAME". It decides '
        "phases, paradigms and sanity rows.",
    )
    dataset: DatasetUse
    run: RunSettings = RunSettings()
    metrics: Metrics = Metrics()
    systems: tuple[SystemUse, ...] = Field(alias="system", min_length=1)
    conditions: tuple[ConditionUse, ...] = Field((), alias="condition")
    notes: tuple[str, ...] = Field((), description="Sentences printed with every report of a run.")

    @model_validator(mode="before")
    @classmethod
    def _read_former_key(cls, value: Any) -> Any:
        """Take the run settings under the key that they had in older suites and stored runs."""
        if not isinstance(value, dict) or FORMER_RUN not in value:
            return value
        if RUN in value:
            raise ValueError(
                f"has [{RUN}] and [{FORMER_RUN}], two names of one table; keep [{RUN}]"
            )
        return {RUN if key == FORMER_RUN else key: part for key, part in value.items()}

    @field_validator("task")
    @classmethod
    def _anywhere(cls, task: str) -> str:
        """Return a file's absolute path: a run is looked at from any folder."""
        return registry.target("tasks", task) if registry.is_file(task) else task

    @field_validator("systems")
    @classmethod
    def _unique(cls, systems: tuple[SystemUse, ...]) -> tuple[SystemUse, ...]:
        name, count = Counter(system.name for system in systems).most_common(1)[0]
        if count > 1:
            raise ValueError(f"system name '{name}' is used {count} times; every name must differ")
        return systems

    @field_validator("conditions")
    @classmethod
    def _each_once(cls, conditions: tuple[ConditionUse, ...]) -> tuple[ConditionUse, ...]:
        """Return them without the clean speech, which is always heard."""
        heard = tuple(condition for condition in conditions if condition.name != "clean")
        for name, count in Counter(condition.short for condition in heard).items():
            if count > 1:
                raise ValueError(f"condition '{name}' is there {count} times; keep one of them")
        return heard

    @model_validator(mode="after")
    def _of_the_task(self) -> "Suite":
        task = load_task(self.task)
        for system in self.systems:
            if system.paradigm not in (known := (*task.paradigms, UNSTATED)):
                what = unknown("paradigm", system.paradigm, known)
                raise ValueError(f"system '{system.name}': {what}")
        return self

    def resolved(self) -> dict[str, Any]:
        """Return the suite as JSON holds it: the keys of the TOML file, [run] as "protocol".

        Without the task where it is the usual one, and without notes, conditions, or what a system
        was trained on, where there are none.
        """
        value = self.model_dump(mode="json", by_alias=True)
        # Digests of suites are older than these keys: those of stored runs stay what they were,
        # and an older tree, as the base of a gate, can read the suite.
        value[FORMER_RUN] = value.pop(RUN)
        if self.task == DEFAULT:
            del value["task"]
        for key in ("notes", "condition"):
            if not value[key]:
                del value[key]
        for system in value["system"]:
            if not system["trained_on"]:
                del system["trained_on"]
        return value

    def check_measures(self) -> None:
        """Raise StabenchError with the nearest match for a column or sanity row that is unknown.

        Also for a system with the name of a sanity row: a table could not tell them apart.
        """
        check_reserved((system.name for system in self.systems), self.task)
        try:
            check_metrics(self.metrics.columns)
        except StabenchError as error:
            raise type(error)(f"metrics.columns: {error}") from None
        for system in self.systems:
            try:
                check_metrics(system.trained_on)
            except StabenchError as error:
                raise type(error)(f"system '{system.name}', trained_on: {error}") from None
        of_task, built_in = load_task(self.task).sanity, registry.BUILT_IN["sanity"]
        known = (*of_task, *(registry.entries("sanity").keys() - built_in.keys()))
        for row in self.metrics.sanity:
            if registry.is_file(row):
                registry.target("sanity", row)
            elif row not in known:
                raise StabenchError(f"metrics.sanity: {unknown('sanity row', row, known)}")

    def check_names(self) -> None:
        """Raise StabenchError with the nearest match for a name that nothing registers."""
        registry.target("datasets", self.dataset.use)
        for system in self.systems:
            registry.target("systems", system.use)
        registry.toml_path("protocols", self.metrics.protocol)
        for embedder in self.metrics.networks.values():
            registry.target("embedders", embedder)


def check_reserved(names: Iterable[str], task: str = DEFAULT) -> None:
    """Raise StabenchError for a system with the name of a sanity row."""
    reserved = {*registry.BUILT_IN["sanity"], *load_task(task).sanity}
    for name in names:
        if name in reserved:
            raise StabenchError(
                f"system name '{name}' is that of a sanity row; reserved are "
                f"{', '.join(sorted(reserved))}: choose another"
            )


def load(name: str) -> Suite:
    """Read a suite by registered name or by path of a .toml file.

    Raises StabenchError with one line for whatever is wrong in it, MissingError without the file.
    """
    path = registry.toml_path("suites", name)
    value = read_toml(f"suite '{path}'", path, f"suite '{name}': no file '{path}'")
    if "probes" in value:
        raise StabenchError(
            f"suite '{name}' is one of probes, not of systems; stabench run takes it, report, "
            "reproduce and compare its runs"
        )
    return parse(f"suite '{path}'", value)


def parse(what: str, value: dict[str, Any]) -> Suite:
    """Return a suite from plain values; `what` begins the line of an error."""
    try:
        suite = Suite.model_validate(value)
        suite.check_measures()
        return suite
    except ValidationError as error:
        raise StabenchError(f"{what}: {first_wrong(error, Suite)}") from None
    except StabenchError as error:
        raise type(error)(f"{what}: {error}") from None


def difference(then: object, now: object, key: str = "") -> str | None:
    """Return the first dotted key in which two resolved suites differ, with both values."""
    if isinstance(then, dict) and isinstance(now, dict):
        pairs = [(name, then.get(name), now.get(name)) for name in {**then, **now}]
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        pairs = [(str(index), *pair) for index, pair in enumerate(zip(then, now, strict=True))]
    else:
        return None if then == now else f"{key} was {then!r} and is {now!r}"
    differences = (difference(a, b, f"{key}.{name}" if key else name) for name, a, b in pairs)
    return next((line for line in differences if line), None)
