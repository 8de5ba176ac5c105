"""What passes between the engine and the world: inputs that a driver hands in, outputs that it has to carry out.

A number of a call joins an output with the input that answers it. Numbers of peers' requests are the driver's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.contract.demands import Demand, PeerRequest, Result
from node.contract.effects import Emit, Penalise, StopIdentity
from node.contract.inputs import NotSent, Sent, Tick
from node.contract.instants import Instant
from node.contract.messages import Message
from node.contract.verdicts import Verdict

# ---- in ----


@dataclass(frozen=True, slots=True)
class Returned:
    """What came of a `Call` or a `Send`."""

    call: int
    result: Result | Sent | NotSent
    received: Instant


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request of a peer, to be answered by an `Outgoing` with this number."""

    number: int
    request: PeerRequest
    received: Instant


Input = Message | Tick | Returned | Incoming

# ---- out ----


@dataclass(frozen=True, slots=True)
class Send:
    """Publish: accepted by its own handler, and stored. Answer: Sent or NotSent."""

    call: int
    topic: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Call:
    """A demand that no machine serves. An object that is fetched comes as a message; if none comes, Failed."""

    call: int
    demand: Demand


@dataclass(frozen=True, slots=True)
class Abandon:
    """Nobody waits for this call any more."""

    call: int


@dataclass(frozen=True, slots=True)
class Judge:
    """What became of a message of gossip, of an object that was fetched, or of an own message that the driver handed in
    for somebody outside: if it was accepted, its rows are stored and it may go out."""

    message: Message
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Outgoing:
    """The answer to a peer's request."""

    number: int
    result: Result


Output = Send | Call | Abandon | Judge | Outgoing | Emit | Penalise | StopIdentity
Outputs = Sequence[Output]
