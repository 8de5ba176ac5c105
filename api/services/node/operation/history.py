"""What happened to each own identity since the node started: events of smeshing and of proposals, and the slots that
only memory knows.

An Onlooker: the engine's thread tells of commits, the thread that serves clients asks. Whoever watches is told which
identity has changed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from api.edge.text import escaped
from api.services.node.bus import Bus
from api.services.node.events import IdentityChanged
from node.activation.smeshing import events as smeshing
from node.contract.instants import Instant
from node.proposals.builder import ProposalMade, ProposalNotMade, SlotsKnown
from node.runtime.facts import Facts
from node.store.view import Rows
from protocol.pb.smesher.v1.smeshing_pb2 import Happening as Told
from protocol.types.ids import EpochId, LayerId, NodeId

KEPT = 100
"""Of each identity."""
EPOCHS_KEPT = 3


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened to an identity."""

    at: Instant
    kind: Told.Kind
    sentence: str
    is_failure: bool = False


class _Of:
    """What is kept of one identity. Mutable."""

    def __init__(self) -> None:
        self.happenings: deque[Happening] = deque(maxlen=KEPT)
        self.slots: dict[EpochId, Mapping[LayerId, int]] = {}
        self.not_proposed = ""
        """Why it made no proposal the last time, though it might have."""


class History:
    """Of one node. The only state is in memory: what must outlive a restart is in rows."""

    def __init__(self, bus: Bus, clock: Callable[[], Instant]) -> None:
        self._bus = bus
        self._clock = clock
        self._lock = threading.Lock()
        self._of: dict[NodeId, _Of] = {}
        self._of_all = _Of()
        """What happened to all of them."""

    # ---- the engine's thread ----

    def committed(self, rows: Rows, events: Sequence[object], facts: Facts) -> None:
        """As Onlooker says."""
        now = self._clock()
        changed: dict[NodeId | None, None] = {}
        with self._lock:
            for event in events:
                if isinstance(event, SlotsKnown):
                    self._keep_slots(event)
                found = _told(event, now)
                if found is None:
                    continue
                identity, happening = found
                of = self._of_all if identity is None else self._of.setdefault(identity, _Of())
                of.happenings.appendleft(happening)
                if isinstance(event, ProposalMade | ProposalNotMade):
                    of.not_proposed = happening.sentence if isinstance(event, ProposalNotMade) else ""
                changed[identity] = None
        if changed:
            self._bus.publish([IdentityChanged(identity) for identity in changed])

    def _keep_slots(self, event: SlotsKnown) -> None:
        slots = self._of.setdefault(event.identity, _Of()).slots
        slots[event.epoch] = dict(event.slots)
        for epoch in sorted(slots)[:-EPOCHS_KEPT]:
            del slots[epoch]

    # ---- the thread that serves clients ----

    def happenings(self, identity: NodeId) -> list[Happening]:
        """What happened to an identity, and to all, newest first."""
        with self._lock:
            own = list(self._of[identity].happenings) if identity in self._of else []
            both = [*own, *self._of_all.happenings]
        return list(islice(sorted(both, key=lambda one: one.at, reverse=True), KEPT))

    def slots(self, identity: NodeId, epoch: EpochId) -> Mapping[LayerId, int] | None:
        """In which layers of an epoch an identity makes proposals, and how often it may; None: not known here."""
        with self._lock:
            of = self._of.get(identity)
            return None if of is None else of.slots.get(epoch)

    def not_proposed(self, identity: NodeId) -> str:
        """Why an identity made no proposal the last time that it might have; empty where it did."""
        with self._lock:
            of = self._of.get(identity)
            return (of.not_proposed if of is not None else "") or self._of_all.not_proposed


def _told(event: object, now: Instant) -> tuple[NodeId | None, Happening] | None:
    """An event as it is shown, and whose it is, None for all; None where it is of no identity."""
    match event:
        case smeshing.WaitsForRegistration(identity, epoch, _):
            kind, text = (
                Told.KIND_WAITING_FOR_POET_REGISTRATION_WINDOW,
                f"The challenge of epoch {epoch} is made later.",
            )
        case smeshing.ChallengeMade(identity, epoch, atx):
            kind, text = Told.KIND_POET_CHALLENGE_READY, f"The challenge of epoch {epoch} builds on {atx.hex()}."
        case smeshing.ChallengeDropped(identity, epoch, sentence):
            return identity, Happening(now, Told.KIND_RETRYING, f"Epoch {epoch}: {sentence}", is_failure=True)
        case smeshing.RegisteredAt(identity, server, round_id, _):
            kind, text = Told.KIND_POET_REGISTERED, f"{server} took the challenge into round {escaped(round_id)}."
        case smeshing.NotRegisteredAt(identity, server, reason, detail):
            text = f"{server} did not take the challenge ({reason}): {escaped(detail)}"
            return identity, Happening(now, Told.KIND_POET_NOT_REGISTERED, text, is_failure=True)
        case smeshing.RoundProofTaken(server, round_id, leaves):
            text = f"The proof of round {escaped(round_id)} of {server} is here, of {leaves} leaves."
            return None, Happening(now, Told.KIND_POET_PROOF_RECEIVED, text)
        case smeshing.RoundProofMissing(server, round_id, reason, detail):
            text = f"{server} gave no proof of round {escaped(round_id)} ({reason}): {escaped(detail)}"
            return None, Happening(now, Told.KIND_POET_PROOF_MISSING, text, is_failure=True)
        case smeshing.NotAMember(identity, server, round_id):
            text = f"{server} took the challenge, but did not count it among the members of round {escaped(round_id)}."
            return identity, Happening(now, Told.KIND_NOT_A_MEMBER, text, is_failure=True)
        case smeshing.BestProofSelected(identity, server, round_id, leaves):
            text = f"The proof of round {escaped(round_id)} of {server} was chosen, of {leaves} leaves."
            kind = Told.KIND_BEST_PROOF_SELECTED
        case smeshing.PostState(identity, True):
            kind, text = Told.KIND_GENERATING_POST_PROOF, "The prover reads the space."
        case smeshing.PostState(identity, _):
            kind, text = Told.KIND_POST_PROOF_READY, "The prover is at rest."
        case smeshing.ProofNotMade(identity, sentence):
            return identity, Happening(now, Told.KIND_POST_PROOF_FAILED, sentence, is_failure=True)
        case smeshing.Published(identity, epoch, atx, _):
            kind, text = Told.KIND_ATX_BROADCASTED, f"The activation {atx.hex()} of epoch {epoch} is out."
        case smeshing.NotPublished(identity, epoch, sentence):
            return identity, Happening(
                now, Told.KIND_ATX_NOT_BROADCASTED, f"Epoch {epoch}: {sentence}", is_failure=True
            )
        case SlotsKnown(identity, epoch, _, slots):
            text = f"It has {sum(slots.values())} slots for proposals in {len(slots)} layers of epoch {epoch}."
            kind = Told.KIND_ELIGIBLE
        case ProposalMade(identity, layer, id):
            kind, text = Told.KIND_PROPOSAL_PUBLISHED, f"The proposal {id.hex()} of layer {layer} is out."
        case ProposalNotMade(of, layer, reason):
            sent = Told.KIND_PROPOSAL_PUBLISH_FAILED if reason == "not_sent" else Told.KIND_PROPOSAL_BUILD_FAILED
            return of, Happening(now, sent, f"No proposal in layer {layer}: {reason}.", is_failure=True)
        case _:
            return None
    return identity, Happening(now, kind, text)
