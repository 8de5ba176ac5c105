"""api/streams_*.json, `events`: what the owner of an identity was told, made of what our machines tell of.

| where we differ on purpose | rule |
|---|---|
| `help`, which the record leaves out | says something |
| the time of an event | that of the machine's event |
| slots, which the recorded program lists in any order | by layer |
| events of a supervised PoST service | made by whoever runs it |
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from api.services.node.user_events import UserEvents
from node.activation.smeshing import events as smeshing
from node.assembly.parameters import parameters_of
from node.contract.instants import Instant
from node.proposals.builder import ActiveSetMade, ProposalMade, SlotsKnown
from node.store.memory import MemoryBackend
from protocol.pb.spacemesh.v1 import admin_types_pb2 as pb
from protocol.types.ids import AtxId, Beacon, EpochId, LayerId, NodeId, ProposalId
from tests.support.node_stores import stores_over
from tests.vector_cases.api_served_support import chains, config_of
from tests.vector_cases.harness import Case, Context, vectors

SUPERVISED = {"init_start", "init_complete", "init_failed", "post_service_started", "post_service_stopped"}


@vectors("api/streams_*.json", variants=False)
def told(document: Any, context: Context) -> Iterator[Case]:
    chain = next(one for one in chains(context) if "config" in one)
    parameters = parameters_of(config_of({}, chain))
    now = [0]
    users = UserEvents(parameters, lambda: Instant(now[0]))
    view = stores_over((MemoryBackend(), MemoryBackend())).view()

    def check(recorded: pb.Event) -> None:
        kind = recorded.WhichOneof("details")
        assert kind is not None
        details = getattr(recorded, kind)
        now[0] = recorded.timestamp.ToNanoseconds()
        if "wait" in details.DESCRIPTOR.fields_by_name:
            now[0] = details.until.ToNanoseconds() - details.wait.ToNanoseconds()
        if kind == "beacon":
            made = [users.beacon(EpochId(details.epoch), Beacon(details.beacon))]
        else:
            made = [event for cause in _causes(kind, details, parameters.activation.tick_size)
                    for event in users.of(cause, view)]  # fmt: skip
        same_kind = [event for event in made if event.WhichOneof("details") == kind]
        assert same_kind, f"{kind}: {made}"
        event = same_kind[-1]
        assert event.help and event.timestamp.ToNanoseconds() == now[0]
        assert event.failure == recorded.failure
        assert _shown(getattr(event, kind)) == _shown(details)

    for place, one in enumerate(document["events"]["messages"]):
        recorded = json_format.ParseDict(one["response"], pb.Event())
        kind = recorded.WhichOneof("details")
        if kind not in SUPERVISED:
            yield Case(f"events[{place}] {kind}", lambda recorded=recorded: check(recorded))


def _shown(details: Message) -> Any:
    shown = json_format.MessageToDict(details)
    shown.get("eligibilities", []).sort(key=lambda slot: slot["layer"])
    return shown


def _causes(kind: str, of: Any, tick_size: int) -> list[object]:
    """What our machines tell of when this is to be told."""
    smesher = NodeId(getattr(of, "smesher", b""))
    match kind:
        case "poet_wait_round":
            return [smeshing.WaitsForRegistration(smesher, EpochId(of.publish), Instant(of.until.ToNanoseconds()))]
        case "waiting_for_poet_registration_window":
            return [smeshing.WaitsForRegistration(smesher, EpochId(of.publish), Instant(of.round_end.ToNanoseconds()))]
        case "registered_in_poet":
            return [smeshing.RegisteredAt(smesher, of.url, of.round_id, Instant(0))]
        case "poet_wait_proof" | "waiting_for_poet_round_end":
            end = of.until if kind == "poet_wait_proof" else of.round_end
            before = smeshing.RegisteredAt(smesher, "", "", Instant(0))  # the round of another epoch
            return [before, smeshing.RegisteredAt(smesher, "", "", Instant(end.ToNanoseconds()))]
        case "proof_downloaded_from_poet":
            return [smeshing.RoundProofTaken(of.url, of.round_id, of.ticks * tick_size)]
        case "best_proof_selected":
            return [smeshing.BestProofSelected(smesher, of.url, of.round_id, of.ticks * tick_size + tick_size - 1)]
        case "post_start" | "post_complete":
            return [smeshing.PostState(smesher, kind == "post_start", of.challenge)]
        case "atx_published":
            return [smeshing.Published(smesher, EpochId(of.current), AtxId(of.id), (smesher,))]
        case "eligibilities":
            slots = {LayerId(slot.layer): slot.count for slot in sorted(of.eligibilities, key=lambda slot: slot.layer)}
            made = ActiveSetMade(EpochId(of.epoch), 1, of.active_set_size)
            return [made, SlotsKnown(smesher, EpochId(of.epoch), Beacon(of.beacon), slots, AtxId(of.atx))]
        case "proposal":
            return [ProposalMade(smesher, LayerId(of.layer), ProposalId(of.proposal))]
    raise AssertionError(f"no machine tells of {kind}")
