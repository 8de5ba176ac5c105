"""SmeshingService of `smesher.v1`: what own identities are at and why, what comes next and when, what came of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from api.edge.rpc import Failed, Headers, Method, Status
from api.services.node.backend import Backend
from api.services.node.bus import TooSlow
from api.services.node.events import IdentityChanged, StatusChanged
from api.services.node.reading import reading
from node.activation.smeshing.times import Timeline
from node.beacon.machine import BEACONS
from node.contract.instants import Instant
from node.malfeasance.tables import is_malicious
from node.queries import smeshing
from node.queries.activations import KnownAtx
from node.queries.smeshing import MomentKind, Phase, Progress
from node.store.view import View
from protocol.pb.smesher.v1 import smeshing_pb2 as pb
from protocol.types.ids import EpochId, LayerId, NodeId

from .operation import Operation, OwnIdentity

WAITING = 1024
"""Changes that wait for one client."""
CONVICTED = "The network has proof that it contradicted itself; it earns nothing any more."

_PHASES = {
    Phase.SENDING: (pb.PHASE_SENDING, "Its signed activation is sent, again if need be, until it is stored here."),
    Phase.FIRST_PROOF: (
        pb.PHASE_FIRST_PROOF,
        "Its first proof of space is made, once a prover with all labels is there.",
    ),
    Phase.SYNCING: (pb.PHASE_SYNCING, "The node gets the activations of the past from its peers."),
    Phase.WAITING_FOR_REGISTRATION: (
        pb.PHASE_WAITING_FOR_REGISTRATION,
        "Its next challenge is made shortly before the PoET servers begin their next round.",
    ),
    Phase.POSITIONING: (pb.PHASE_POSITIONING, "An activation is looked for on which its next one can build."),
    Phase.REGISTERING: (
        pb.PHASE_REGISTERING,
        "PoET servers are asked to take its challenge before their round starts.",
    ),
    Phase.IN_ROUND: (pb.PHASE_IN_ROUND, "PoET servers are at work; nothing is to be done before their round ends."),
    Phase.WAITING_FOR_ROUND_PROOF: (pb.PHASE_WAITING_FOR_ROUND_PROOF, "PoET servers are asked for the round's proof."),
    Phase.PROVING: (pb.PHASE_PROVING, "Its prover makes the proof of space; keep it running until then."),
    Phase.VERIFYING: (pb.PHASE_VERIFYING, "Its proof of space is checked before it is used."),
    Phase.READY: (pb.PHASE_READY, "All is there; its activation is published when the epoch begins."),
    Phase.PUBLISHING: (pb.PHASE_PUBLISHING, "Its activation is signed and sent to the network."),
}
_MOMENTS = {
    MomentKind.CHALLENGE: pb.Moment.KIND_CHALLENGE,
    MomentKind.POSITIONING_END: pb.Moment.KIND_POSITIONING_END,
    MomentKind.ROUND_START: pb.Moment.KIND_ROUND_START,
    MomentKind.ROUND_END: pb.Moment.KIND_ROUND_END,
    MomentKind.ROUND_PROOF_END: pb.Moment.KIND_ROUND_PROOF_END,
    MomentKind.PUBLICATION: pb.Moment.KIND_PUBLICATION,
    MomentKind.PUBLICATION_END: pb.Moment.KIND_PUBLICATION_END,
}


def calls(backend: Backend, operation: Operation) -> dict[str, Method]:
    """The methods of the service."""
    service = Identities(backend, operation)
    return {"Identities": service.identities, "Watch": service.watch}


class Identities:
    """The methods over one node."""

    def __init__(self, backend: Backend, operation: Operation) -> None:
        self._backend, self._operation = backend, operation
        self._timeline = Timeline(backend.parameters.time, backend.parameters.smeshing)

    async def identities(self, request: pb.IdentitiesRequest) -> Message:
        """All, or those that are named. Raises Failed (NOT_FOUND)."""
        wanted = self._wanted(request)
        now = self._backend.now()
        with reading(self._backend) as view:
            found = [self._shown(view, one, now) for one in wanted]
        return pb.IdentitiesResponse(now=_timestamp(now), identities=found)

    def watch(self, request: pb.IdentitiesRequest) -> AsyncIterator[Message | Headers]:
        """The same, then each again when it has changed. Raises Failed (NOT_FOUND, CANCELLED)."""
        self._wanted(request)
        return self._watched(request)

    async def _watched(self, request: pb.IdentitiesRequest) -> AsyncIterator[Message | Headers]:
        said: dict[NodeId, Message] = {}
        with self._backend.bus.subscribe(IdentityChanged, StatusChanged, size=WAITING) as changes:
            yield Headers.NOW
            try:
                for one in self._changed(request, None, said):
                    yield one
                async for change in changes:
                    identity = change.identity if isinstance(change, IdentityChanged) else None
                    for one in self._changed(request, identity, said):
                        yield one
            except TooSlow:
                raise Failed(Status.CANCELLED, "buffer overflow") from None

    def _changed(
        self, request: pb.IdentitiesRequest, identity: NodeId | None, said: dict[NodeId, Message]
    ) -> Iterator[Message]:
        """Those of which something else is to be said than before; identity: that one alone."""
        now = self._backend.now()
        for one in self._operation.identities():
            if identity not in (None, one.id) or (request.id and one.id not in request.id):
                continue
            with reading(self._backend) as view:
                shown = self._shown(view, one, now)
            if said.get(one.id) != shown:
                said[one.id] = shown
                yield shown

    def _wanted(self, request: pb.IdentitiesRequest) -> Sequence[OwnIdentity]:
        """Raises Failed."""
        known = {one.id: one for one in self._operation.identities()}
        for id in request.id:
            if id not in known:
                raise Failed(Status.NOT_FOUND, f"{id.hex() or 'An empty id'} is no identity of this node.")
        return [known[NodeId(id)] for id in dict.fromkeys(request.id)] or list(known.values())

    # ---- one identity ----

    def _shown(self, view: View, own: OwnIdentity, now: Instant) -> pb.Identity:
        is_synced = self._backend.facts.is_atx_synced
        epoch = self._timeline.epoch_at(now)
        shown = pb.Identity(id=own.id, name=own.name)
        convicted = is_malicious(view, own.id)
        if own.stopped is not None or convicted:
            shown.phase = pb.PHASE_STOPPED
            shown.reason = own.stopped or CONVICTED
        elif not own.is_smeshing:
            shown.phase, shown.reason = pb.PHASE_NOT_STARTED, "Nobody has told the node to smesh for it."
        else:
            found = smeshing.progress(view, self._timeline, own.id, now, is_synced=is_synced)
            self._add_progress(shown, found, now)
        activations = [atx for past in (epoch, epoch - 1) for atx in _activations(view, own.id, past)]
        shown.activations.extend(_activation(atx) for atx in activations)
        for one in (epoch, EpochId(epoch + 1)):
            atx = next((atx for atx in activations if atx.stored.target_epoch == one), None)
            shown.participation.append(self._participation(view, own, one, atx, is_convicted=convicted))
        shown.happenings.extend(
            pb.Happening(at=_timestamp(one.at), kind=one.kind, is_failure=one.is_failure, sentence=one.sentence)
            for one in self._operation.history.happenings(own.id)
        )
        return shown

    def _add_progress(self, shown: pb.Identity, found: Progress, now: Instant) -> None:
        shown.phase, shown.reason = _PHASES[found.phase]
        shown.registrations.extend(
            pb.Registration(server=server, round_id=row.round_id, round_end=_timestamp(row.round_end))
            for server, row in sorted(found.registrations.items())
        )
        if found.publish_epoch is None:
            return
        shown.publish_epoch = found.publish_epoch
        for moment in smeshing.moments(self._timeline, found.publish_epoch):
            is_over = moment.at <= now
            one = pb.Moment(kind=_MOMENTS[moment.kind], at=_timestamp(moment.at), is_over=is_over)
            shown.timeline.append(one)
            if not is_over and not shown.HasField("next"):
                shown.next.CopyFrom(one)

    def _participation(
        self, view: View, own: OwnIdentity, epoch: EpochId, atx: KnownAtx | None, *, is_convicted: bool
    ) -> pb.Participation:
        time = self._timeline.time
        shown = pb.Participation(epoch=epoch, atx=b"" if atx is None else atx.id)
        first = time.first_layer(epoch)
        made = smeshing.proposals(view, own.id, first, LayerId(first + time.layers_per_epoch - 1))
        slots = self._operation.history.slots(own.id, epoch)
        layers = sorted({*made, *(slots or ())})
        shown.slots.extend(
            pb.Slot(layer=layer, count=(slots or {}).get(layer, 0), proposal=made.get(layer, b"")) for layer in layers
        )
        shown.slots_known = slots is not None
        if is_convicted or own.stopped is not None:
            shown.reason = "It must not sign any more."
        elif atx is None:
            shown.reason = f"No activation of it was published in epoch {epoch - 1}."
        elif epoch < self._backend.parameters.first_epoch:
            shown.reason = f"Proposals are made from epoch {self._backend.parameters.first_epoch} on."
        else:
            shown.is_eligible = True
            shown.reason = self._why_not_known(view, own, epoch) if slots is None else ""
        return shown

    def _why_not_known(self, view: View, own: OwnIdentity, epoch: EpochId) -> str:
        if epoch > self._timeline.epoch_at(self._backend.now()):
            return "Its slots are known when the epoch begins."
        if not self._backend.facts.is_synced:
            return "The node is not synced; it makes no proposals before."
        if not view.has(BEACONS, epoch):
            return "The beacon of the epoch is not known, by which slots are drawn."
        return self._operation.history.not_proposed(own.id) or "The proofs of its slots are made."


def _activations(view: View, identity: NodeId, epoch: int) -> Sequence[KnownAtx]:
    return [] if epoch < 0 else list(smeshing.activations_of(view, identity, EpochId(epoch)))


def _activation(atx: KnownAtx) -> pb.Activation:
    stored = atx.stored
    return pb.Activation(id=atx.id, publish_epoch=stored.publish_epoch, weight=stored.weight, num_units=stored.units)


def _timestamp(at_ns: Any) -> Timestamp:
    found = Timestamp()
    found.FromNanoseconds(at_ns)
    return found
