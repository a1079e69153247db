"""Protocols by name: read from their TOML file, with the networks that a suite puts in."""

from pydantic import ValidationError

from stabench.harness import registry
from stabench.harness.errors import StabenchError
from stabench.harness.schema import first_wrong
from stabench.harness.suites.metrics import check_metrics
from stabench.harness.tables import read_toml
from stabench.metrics.protocol import Protocol


def load(name: str, networks: dict[str, str] | None = None) -> Protocol:
    """Return the protocol of a registered name or a .toml file, with other `networks` by role.

    Raises StabenchError with one line for whatever is wrong in it, MissingError without the file.
    """
    path = registry.toml_path("protocols", name)
    value = read_toml(f"protocol '{path}'", path, f"protocol '{name}': no file '{path}'")
    try:
        protocol = Protocol.model_validate(value)
    except ValidationError as error:
        raise StabenchError(f"protocol '{path}': {first_wrong(error, Protocol)}") from None
    try:
        check_metrics(protocol.columns)
    except StabenchError as error:
        raise type(error)(f"protocol '{path}': {error}") from None
    for role in networks or {}:
        if role not in protocol.networks:
            known = ", ".join(protocol.networks)
            raise StabenchError(
                f"protocol '{name}' says nothing of a {role} network, only of {known}; add "
                f"[networks.{role}] to a protocol of your own"
            )
    for network in (networks or {}).values():
        registry.target("embedders", network)
    return protocol.using(networks or {})
