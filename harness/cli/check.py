"""`stabench check`: what a name stands for, and the check that is made of it."""

from collections.abc import Iterator, Sequence
from typing import Any

from stabench.harness import registry
from stabench.harness.cli.check_parts import check_dataset, check_metric, check_row
from stabench.harness.cli.check_system import Outcome, SystemCheck, describe_error, first_clip
from stabench.harness.datasets.dataset import Dataset
from stabench.harness.errors import StabenchError
from stabench.harness.runner import adapter
from stabench.harness.runner.adapter import Order
from stabench.harness.scoring.sanity import SanityRow
from stabench.harness.suites.select import read_value
from stabench.metrics.registry import Metric


def parse_options(texts: Sequence[str]) -> dict[str, Any]:
    """Return KEY=VALUE of each --option; a value is what TOML takes it for, else a text.

    Raises StabenchError for another form.

    >>> parse_options(["steps=25", "folder=my/wavs", "loud=true"])
    {'steps': 25, 'folder': 'my/wavs', 'loud': True}
    """
    options: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (equals and key.isidentifier()):
            raise StabenchError(f"--option '{text}': expected KEY=VALUE, such as steps=25")
        options[key] = read_value(value)
    return options


def check(name: str, options: dict[str, Any], device_name: str, task: str) -> Iterator[Outcome]:
    """Yield what there is to say of a system, metric, sanity row or dataset, faults among it.

    Raises StabenchError for a name that stands for none of them, MissingError for a file that is
    not there.
    """
    target = registry.target("systems", name)
    try:
        thing = registry.attribute(target)
    except StabenchError:
        raise
    except (Exception, SystemExit) as error:
        raise StabenchError(f"'{name}' cannot be imported: {describe_error(error)}") from error
    if isinstance(thing, Metric | SanityRow):
        if options:
            raise StabenchError(f"--option: '{name}' is a {type(thing).__name__} and takes none")
        yield from check_metric(name) if isinstance(thing, Metric) else check_row(name)
        return
    order = Order(name, target, options, device_name, "float32", 1, "", "all", task)
    try:
        made = adapter.make_system(order)
    except StabenchError as error:
        yield Outcome(False, "options", str(error))
        return
    except (Exception, SystemExit) as error:
        yield Outcome(False, "made", describe_error(error))
        return
    if isinstance(made, Dataset):
        yield from check_dataset(made)
    else:
        yield from SystemCheck(made, order, first_clip()).outcomes()
