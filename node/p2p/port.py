"""The network, as a running node needs it: what `node.contract.ports.Network` asks for, and what comes from peers.

An adapter is given a `Receiver` when it is opened and tells it of everything, from whatever thread it runs in; the
receiver takes it and returns at once. Every message of gossip that is told is judged later on, once
(`Network.judge`); every question is answered once (`Network.reply`); every call is returned once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from node.contract.demands import PeerRequest, Result
from node.contract.inputs import NotSent, Sent
from node.contract.messages import PeerId
from node.contract.ports import Network

__all__ = ["Contact", "Host", "Network", "Receiver"]


class Receiver(Protocol):
    """Who is told of what comes: the driver of a node. Any thread may call it."""

    def heard(self, topic: str, data: bytes, peer: PeerId) -> None:
        """A message of gossip that this node had not heard before."""

    def asked(self, number: int, request: PeerRequest) -> None:
        """A question of a peer, to be answered under this number."""

    def returned(self, call: int, result: Result | Sent | NotSent) -> None:
        """What came of a call of this node."""


@dataclass(frozen=True, slots=True)
class Contact:
    """A peer that is connected."""

    peer: PeerId
    text: str
    """The peer's id as people read it."""
    addresses: tuple[str, ...]
    connected_ns: int
    """For how long."""
    is_outbound: bool


class Host(Network, Protocol):
    """An adapter."""

    def open(self, receiver: Receiver) -> None:
        """Take part from now on."""

    def close(self) -> None:
        """Take part no more: nobody is told of anything after this returns."""

    def contacts(self) -> list[Contact]:
        """Who is connected. From any thread."""

    @property
    def id(self) -> str:
        """This node's own id, as people read it."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens for peers. From any thread."""

    @property
    def clock_offset(self) -> int | None:
        """By how many nanoseconds the clocks of peers are ahead; None: not known. From any thread."""
