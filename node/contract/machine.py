"""A machine: what every room of consensus implements, and what the engine calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from node.store.table import Table
from node.store.view import View

from .demands import Demand
from .inputs import Answer, Asked, Change, Tick, Timer
from .instants import Instant
from .messages import Message
from .steps import NOTHING, Found, Judged, Needs, Step, Ticket


class Derived(Protocol):
    """A room that answers at once, is called and has a memory: mesh with tortoise, mempool, ATX columns. What it holds
    follows from rows; if a unit fails after it was changed, the node stops and recovers from the stores."""

    @property
    def touches(self) -> int:
        """Grows with every change of its memory."""


class Machine:
    """A part of the protocol, without clock, file, socket, thread or random source of its own.

    What it is told of, it says by its attributes; a method whose input it does not ask for need not be written. It
    changes its memory only behind the last line that can fail, and never in a step that returns Needs. It raises
    nothing for what a peer can send. Other rooms that answer at once are called; they are given to the constructor.
    """

    name: ClassVar[str]
    """Unique in a node; at most 16 characters, since it stands in keys."""
    topics: ClassVar[Sequence[str]] = ()
    """Topics of gossip whose messages it judges."""
    hints: ClassVar[Sequence[str]] = ()
    """Kinds of fetched objects that it judges."""
    signs: ClassVar[bool] = False
    """Whether what is published on its topics is signed by an identity, so that it must name its slot."""
    ticks: ClassVar[bool] = False
    """Whether it is told of every layer."""
    watches: ClassVar[Sequence[Table[Any, Any]]] = ()
    """Tables of whose changes by others it is told."""
    serves: ClassVar[Sequence[type[Demand]]] = ()
    """Demands of other machines that it answers."""
    protocols: ClassVar[Sequence[str]] = ()
    """Protocols in which it answers requests of peers."""
    keeps_proofs: ClassVar[bool] = False
    """Whether reports of malfeasance go to it; one machine of a node does."""

    def start(self, view: View, now: Instant) -> Step:
        """Rebuild the memory from rows; timers and what is owed are the effects (`owed.owed`)."""
        return NOTHING

    def admit(self, message: Message, view: View, now: Instant) -> Judged | Needs:
        """The first step of a message: everything that can be told from its bytes and what is known."""
        raise NotImplementedError(f"{self.name} takes no messages")

    def proceed(self, ticket: Ticket, found: Found, view: View, now: Instant) -> Judged | Needs:
        """A further step. What was read before the wait is to be read again."""
        raise NotImplementedError(f"{self.name} asks for nothing")

    def timer(self, timer: Timer, view: View, now: Instant) -> Step:
        """A timer of this machine fell due."""
        raise NotImplementedError(f"{self.name} sets no timers")

    def tick(self, tick: Tick, view: View, now: Instant) -> Step:
        """A layer began."""
        raise NotImplementedError(f"{self.name} is told of no layers")

    def answer(self, answer: Answer, view: View, now: Instant) -> Step:
        """A demand of this machine was answered, or a message of it sent."""
        raise NotImplementedError(f"{self.name} asks for nothing")

    def changed(self, change: Change, view: View, now: Instant) -> Step:
        """Another machine has written rows of a table that this one watches."""
        raise NotImplementedError(f"{self.name} watches nothing")

    def serve(self, asked: Asked, view: View, now: Instant) -> Step:
        """A demand to be answered by a `Reply`, in this step or a later one."""
        raise NotImplementedError(f"{self.name} serves nothing")

    def convict(self, identity: bytes, proof: bytes, view: View, now: Instant) -> Step:
        """A machine reports that an identity contradicted itself."""
        raise NotImplementedError(f"{self.name} keeps no proofs")
