"""genesis.json: which network the data directory belongs to, written once, compared at every start.

Protocol 03b-config-and-genesis, section 1; 09b-node-storage-libp2p, section 6.3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from api.edge.errors import DataError, UsageError
from api.edge.text import read_text, shown
from protocol.numbers.durations import SECOND
from protocol.numbers.time import Time
from protocol.params.config.node import Config
from protocol.params.genesis import FILE_NAME, Genesis, GenesisError
from prover import durable

FILE_MODE = 0o644
"""As the reference makes it: nothing in it is secret."""
MOST_BYTES = 64 << 20
"""Of the file; a hundred thousand accounts have ten million."""
SHOWN = 5
"""Accounts that differ, listed by name."""

START_DELAY_S = 5
"""Seconds from the first start of a standalone network to its genesis."""


def read(path: Path) -> Genesis | None:
    """The genesis of the data; None where the file is not there. Raises DataError, EnvironmentFault."""
    if not path.exists():
        return None
    try:
        return Genesis.from_file_content(read_text(path, "The file", MOST_BYTES))
    except GenesisError as error:
        raise DataError(f"{path}: {error}") from None
    except UsageError as error:
        raise DataError(str(error)) from None


def timed(config: Config, found: Genesis | None, now_ns: int) -> Config:
    """The configuration with a genesis time: a standalone network without one takes that of its data, else begins now.

    found: the genesis of the data. Raises UsageError where a network of many has none.
    """
    if not config.genesis.time.is_zero:
        return config
    if not config.main.standalone:
        preset = f" The preset {config.preset} has none of its own." if config.preset else ""
        raise UsageError(
            "genesis.genesis-time is not set: all nodes of a network have the same one, such as 2026-01-02T15:04:05Z."
            + preset
        )
    if found is not None:
        time = found.time
    else:
        time = Time.of(-(-now_ns // SECOND) * SECOND + START_DELAY_S * SECOND)
    return replace(config, genesis=replace(config.genesis, time=time))


def keep(path: Path, found: Genesis | None, configured: Genesis, stores: tuple[str, ...]) -> None:
    """Writes the file of new data, or compares. stores: those that are in the data directory.

    Raises DataError where the data is another network's or the file was lost, UsageError, EnvironmentFault.
    """
    if found is not None:
        differences = list(_differences(found, configured))
        if differences:
            raise DataError(
                f"The data of {path.parent} belongs to another network than the one that is configured: "
                f"{'; '.join(differences)}. Use the configuration of that network, or another main.data-folder."
            )
        return
    if stores:
        raise DataError(
            f"{path} is missing, although data is there ({', '.join(stores)}): which network it belongs to is not "
            f"known for sure. Put {FILE_NAME} back from a copy; it is the same on all nodes of a network, so that of "
            "another one will do."
        )
    try:
        configured.check()
    except GenesisError as error:
        raise UsageError(f"genesis.{error}") from None
    with durable.explained(path, "write"):
        durable.replace(path, configured.file_content().encode(), FILE_MODE)


def _differences(found: Genesis, configured: Genesis) -> Iterator[str]:
    for name, here, asked in (
        ("genesis-time", str(found.time), str(configured.time)),
        ("genesis-extra-data", shown(found.extra_data), shown(configured.extra_data)),
    ):
        if here != asked:
            yield f"{name} is {here} there, {asked} configured"
    accounts = list(_accounts(found.accounts, configured.accounts))
    yield from accounts[:SHOWN]
    if len(accounts) > SHOWN:
        yield f"and {len(accounts) - SHOWN} more accounts"


def _accounts(found: Mapping[str, int], configured: Mapping[str, int]) -> Iterator[str]:
    for name in sorted({*found, *configured}):
        here, asked = (of.get(name, "absent") for of in (found, configured))
        if here != asked:
            yield f"the account {name} is {here} there, {asked} configured"
