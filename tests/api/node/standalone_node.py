"""A node of a standalone network, composed in a folder of a test, with its clock in the test's hands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from api.node.composition import Composition, Handles, Parts
from api.node.start import Prepared, prepared
from node.p2p.memory import MemoryNetwork
from node.runtime.clock import SetClock
from node.runtime.facts import Onlooker
from node.sim.keys import SimKey
from node.sim.virtual.transfers import Wallet
from protocol.numbers.time import Time
from protocol.params.config.networks import STANDALONE
from protocol.params.config.node import Config
from protocol.types import address

GENESIS = Time(1_800_000_000, 0)


class NoListeners:
    """Serving without ports; keeps what it was given."""

    def __init__(self, handles: Handles) -> None:
        self.handles = handles
        self.onlookers: Sequence[Onlooker] = ()
        self.addresses: Mapping[str, str] = {}
        self.is_open = False

    async def start(self) -> None:
        """As Serving says."""
        self.is_open = True

    async def stop(self) -> None:
        """As Serving says."""
        self.is_open = False


def config_of(folder: Path) -> Config:
    """Settings of a standalone network whose only wallet has coins."""
    genesis = replace(STANDALONE.genesis, time=GENESIS)
    hrp = STANDALONE.main.network_hrp
    accounts = {address.to_text(wallet_of(STANDALONE).address, hrp): 10**12}
    return replace(
        STANDALONE,
        main=replace(STANDALONE.main, data_folder=str(folder), filelock=str(folder / "LOCK")),
        genesis=replace(genesis, accounts=accounts),
        smeshing=replace(STANDALONE.smeshing, start=False),
        bootstrap=replace(STANDALONE.bootstrap, url=""),
    )


def wallet_of(config: Config) -> Wallet:
    """The wallet; its transactions are signed for the network of the tests."""
    genesis = replace(config.genesis, time=GENESIS).identity
    return Wallet(SimKey(1, 1, genesis.genesis_id))


@contextmanager
def prepared_in(folder: Path) -> Iterator[Prepared]:
    """What a start makes of it."""
    with prepared(config_of(folder), now_ns=GENESIS.unix_ns) as found:
        yield found


def composed(prepared: Prepared, clock: SetClock, made: list[NoListeners] | None = None) -> Composition:
    """The node, not started. made: gets its listeners."""

    def serving(handles: Handles) -> NoListeners:
        found = NoListeners(handles)
        if made is not None:
            made.append(found)
        return found

    return Composition(prepared, Parts(lambda clock, parameters: MemoryNetwork(clock).host(), serving, clock))
