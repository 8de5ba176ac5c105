"""What a step wants done after its rows are written. Nothing of it happens if they are not."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from node.store.own import Slot
from protocol.types.ids import NodeId

from .demands import Demand, Result
from .instants import Instant
from .messages import PeerId


@dataclass(frozen=True, slots=True)
class Publish:
    """A message for everyone. It comes back first, as a message of origin OWN, to whoever judges its topic; it leaves
    if it is accepted and what that wrote is stored."""

    topic: str
    data: bytes
    slot: Slot | None = None
    """What it was signed for: the message is noted in the own store first, and if one is noted there already, that one
    is sent instead. None for what no identity of ours has signed, such as a transaction."""
    owed_until: Instant | None = None
    """Noted as owed until it was sent, so that a machine that starts again finds it; worthless after this instant."""
    tag: Hashable | None = None
    """Whether and with what an answer is wanted: `Sent` or `NotSent`."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A demand that no message waits for."""

    demand: Demand
    tag: Hashable
    """Comes back with the answer. One that is still open under the same tag is given up."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """A demand whose answer is wanted no more."""

    tag: Hashable


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to an `Asked`."""

    id: int
    result: Result


@dataclass(frozen=True, slots=True)
class Deliver:
    """An object that a peer sent because it was asked for, handed to whoever judges its kind. For the machine that
    serves `Fetch`, and for one that got it by a `Request`; where none does, such objects come as inputs."""

    hint: str
    id: bytes
    """The one that was asked for."""
    data: bytes
    peer: PeerId
    tag: Hashable
    """Comes back with the answer, a `Fetched`."""


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Wake this machine at an instant. A timer with the same key is set anew."""

    key: Hashable
    due: Instant


@dataclass(frozen=True, slots=True)
class StopTimer:
    """Forget a timer; nothing where there is none."""

    key: Hashable


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell interfaces and the log of something."""

    event: object
    """A frozen dataclass of the room."""


@dataclass(frozen=True, slots=True)
class Penalise:
    """A peer misbehaved in a way that no verdict says: an answer that is none, a list that cannot be."""

    peer: PeerId
    reason: str


@dataclass(frozen=True, slots=True)
class ReportMalfeasance:
    """An identity contradicted itself. Goes to the machine that keeps the proofs, in a unit of its own."""

    identity: NodeId
    proof: bytes
    """A MalfeasanceProof; empty for activations of version 2, of which the network has no proof to hand on."""


@dataclass(frozen=True, slots=True)
class StopIdentity:
    """An own identity must not sign any more."""

    identity: NodeId
    sentence: str
    """Why, for its owner."""


Effect = (
    Publish | Ask | GiveUp | Reply | Deliver | SetTimer | StopTimer | Emit | Penalise | ReportMalfeasance | StopIdentity
)
