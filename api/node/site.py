"""Where a node stands: its two stores, and new machines on them at every beginning."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.edge.errors import UsageError
from node.assembly.parameters import NodeParameters, parameters_of
from node.checkpoint.ledger import effective_genesis
from node.contract.checks import Checker, NetworkChecker
from node.contract.machine import Machine
from node.contract.messages import PeerId
from node.contract.ports import Keys
from node.runtime.chance import DrawnRandom
from node.schema import OWN, STATE
from node.store.level import open_own_store, open_store
from node.store.stores import Stores
from protocol.params.config.node import Config
from protocol.types import address
from protocol.types.ids import Address

from .commitments import Commitments
from .data_directory import DataDirectory

if TYPE_CHECKING:
    from node.assembly.node import Node
    from node.assembly.rooms import Rooms


def open_stores(data: DataDirectory) -> Stores:
    """Both stores of a directory. Raises StoreFault."""
    own = open_own_store(data.own, OWN)
    try:
        return Stores(open_store(data.state, STATE), own)
    except BaseException:
        own.close()
        raise


def parameters_on(stores: Stores, config: Config, prepared: NodeParameters) -> NodeParameters:
    """Those of the configuration, or as a checkpoint moved them. Raises Contradiction, StoreFault."""
    with closing(stores.view()) as view:
        restored = effective_genesis(view)
    return prepared if restored is None else parameters_of(config, restored)


class Coinbase:
    """Where rewards go; may be set while the node runs. From any thread."""

    def __init__(self, text: str, hrp: str) -> None:
        """text: an address, or empty while there is none. Raises UsageError."""
        self._hrp = hrp
        self._address = Address(bytes(address.SIZE)) if not text else self._read(text)
        self.is_set = bool(text)

    def __call__(self) -> Address:
        """For activations that are signed now."""
        return self._address

    def set(self, new: Address) -> None:
        """From the next activation on."""
        self._address, self.is_set = new, True

    def _read(self, text: str) -> Address:
        try:
            return address.from_text(text, self._hrp)
        except address.AddressError as error:
            raise UsageError(f"smeshing.smeshing-coinbase: {error}") from None


@dataclass(slots=True)
class Site:
    """`node.runtime.driver.Build` on LevelDB."""

    config: Config
    data: DataDirectory
    parameters: NodeParameters
    stores: Stores
    """Those that are open now; another value after they had to be closed for want of room."""
    keys: Keys
    smeshers: Keys | None
    peers: Callable[[], Sequence[PeerId]]
    coinbase: Callable[[], Address]
    checker: Checker | None
    """None: one of its own."""
    commitments: Commitments
    """Who asks to what new labels are bound."""

    def __call__(self, stores: Stores | None) -> Node:
        """As Build says."""
        # all machines: a good part of the time of a start, for which no client has to wait
        from node.assembly.node import assemble
        from node.assembly.rooms import Surroundings

        if stores is None and self.stores.is_failed:
            self.stores = open_stores(self.data)
        given = Surroundings(
            stores=self.stores,
            checker=self.checker or NetworkChecker(self.parameters.genesis_id),
            keys=self.keys,
            seed=secrets.token_bytes(32),
            random=DrawnRandom(secrets.token_bytes(32)),
            peers=self.peers,
            coinbase=self.coinbase,
            smeshers=self.smeshers,
        )
        return assemble(self.parameters, given, self._more)

    def _more(self, rooms: Rooms) -> list[Machine]:
        from node.pruning.machine import PruningMachine

        main, tortoise = self.config.main, self.parameters.tortoise
        pruning = PruningMachine(self.parameters.time, tortoise.hdist, main.db_prune_interval_ns)
        return [pruning, self.commitments.machine()]
