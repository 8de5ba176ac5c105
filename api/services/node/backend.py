"""What the services of a node stand on: a running node, asked from the thread that serves clients.

Rows are read from snapshots of the store, in that thread; what only memory knows is asked of the engine's thread by
`ask`, which is answered between two turns. So no client's load delays consensus by more than a short question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from api.services.node.bus import Bus
from node.assembly.parameters import NodeParameters
from node.contract.instants import Instant
from node.contract.verdicts import Verdict
from node.runtime.facts import Facts
from node.store.view import View
from protocol.params.config.node import Config

if TYPE_CHECKING:
    from node.assembly.rooms import Rooms

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes and messages of one peer, or of one protocol of requests."""

    messages: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    receive_rates: tuple[int, int] = (0, 0)
    """Bytes a second, over a short and a long window."""
    send_rates: tuple[int, int] = (0, 0)
    successes: int = 0
    failures: int = 0
    latency_ns: int = 0


@dataclass(frozen=True, slots=True)
class PeerFacts:
    """A connected peer."""

    id: str
    addresses: tuple[str, ...]
    connected_ns: int
    """For how long."""
    is_outbound: bool
    protocols: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    asked: Traffic = Traffic()
    """As a server of our questions."""
    asking: Traffic = Traffic()
    """As a client."""


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """This node, as peers see it."""

    id: str
    listens_on: tuple[str, ...] = ()
    known_addresses: tuple[str, ...] = ()
    is_dht_server: bool = False
    protocols: dict[str, Traffic] | None = None


class Peering(Protocol):
    """Peers, for those who ask about them. Safe from any thread."""

    def network(self) -> NetworkFacts:
        """This node."""

    def peers(self) -> Sequence[PeerFacts]:
        """Who is connected."""


class Backend(Protocol):
    """A running node. Everything may be called from the thread that serves clients."""

    config: Config
    parameters: NodeParameters
    bus: Bus
    peering: Peering
    version: str
    """As `version` says it; empty in a build without."""
    build: str

    def now(self) -> Instant:
        """By the node's clock."""

    @property
    def facts(self) -> Facts:
        """As of the last turn."""

    def view(self) -> AbstractContextManager[View]:
        """A snapshot of the stores, closed on leaving. Raises StoreFault."""

    async def ask(self, question: Callable[[Rooms, View], T]) -> T:
        """What a short question comes to in the engine's thread, between two turns. Raises what it raises."""

    async def submit(self, raw: bytes) -> Verdict:
        """Give a transaction to the mempool and the network; the verdict comes when its rows are on stable storage.

        Raises Failed (RESOURCE_EXHAUSTED) where more wait than are taken.
        """

    def shut_down(self, delay_s: float) -> None:
        """End the process, with exit code 0, after so long."""
