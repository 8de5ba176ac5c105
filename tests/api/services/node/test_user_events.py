"""What the owner of an identity is told beside what was ever recorded: failures, mergers, restarts, a conviction."""

from __future__ import annotations

from typing import Any

from api.services.node.user_events import UserEvents
from node.activation.smeshing import events as smeshing
from node.assembly.parameters import parameters_of
from node.contract.instants import Instant
from node.malfeasance.machine import Convicted
from node.proposals.builder import SlotsKnown
from node.proposals.tables import OWN_ACTIVE_SETS, OwnActiveSet, put_active_set
from node.store.memory import MemoryBackend
from node.store.view import Rows
from protocol.params.config.networks import BY_NAME
from protocol.pb.spacemesh.v1 import admin_types_pb2 as pb
from protocol.types.activation import EpochActiveSet
from protocol.types.ids import AtxId, Beacon, EpochId, Hash32, LayerId, NodeId
from tests.support.node_stores import stores_over

PARAMETERS = parameters_of(BY_NAME["mainnet"])
TIME = PARAMETERS.time
ALICE, BOB = NodeId(b"a" * 32), NodeId(b"b" * 32)
NOW = Instant(TIME.start_ns(5 * TIME.layers_per_epoch))


def told(*events: object, rows: Rows | None = None) -> list[pb.Event]:
    users = UserEvents(PARAMETERS, lambda: NOW)
    view: Any = stores_over((MemoryBackend(), MemoryBackend())).view() if rows is None else rows
    return [found for event in events for found in users.of(event, view)]


def test_a_proof_that_is_not_made_is_a_failure_that_says_why() -> None:
    (event,) = told(smeshing.ProofNotMade(ALICE, "Its prover is not connected; it is waited for."))
    assert event.failure and "Its prover is not connected; it is waited for." in event.help
    assert (event.post_complete.smesher, event.post_complete.challenge) == (ALICE, b"")


def test_an_activation_of_several_is_told_to_each_of_them() -> None:
    events = told(smeshing.Published(ALICE, EpochId(4), AtxId(b"x" * 32), (ALICE, BOB)))
    assert [event.atx_published.smesher for event in events] == [ALICE, BOB]
    assert {event.atx_published.target for event in events} == {5}
    assert events[0].atx_published.until.ToNanoseconds() == TIME.start_ns(TIME.first_layer(5)) == NOW
    assert events[0].atx_published.wait.ToNanoseconds() == 0


def test_several_servers_take_a_challenge_and_the_end_of_their_rounds_is_waited_for_once() -> None:
    def at(server: str, end: int, identity: NodeId = ALICE) -> smeshing.RegisteredAt:
        return smeshing.RegisteredAt(identity, server, "7", Instant(end))

    events = told(at("p", NOW), at("q", NOW + 5), at("p", NOW, BOB), at("p", NOW + TIME.layer_duration_ns * 4032))
    kinds = [event.WhichOneof("details") for event in events]
    waits = ["poet_wait_proof", "waiting_for_poet_round_end"]
    assert kinds == ["registered_in_poet", *waits, "registered_in_poet", *["registered_in_poet", *waits] * 2]


def test_the_size_of_an_active_set_that_was_made_before_a_restart_is_found() -> None:
    rows = Rows(stores_over((MemoryBackend(), MemoryBackend())).view())
    known = SlotsKnown(ALICE, EpochId(5), Beacon(b"abcd"), {LayerId(9): 2, LayerId(8): 1}, AtxId(b"x" * 32))
    (event,) = told(known, rows=rows)
    assert event.eligibilities.active_set_size == 0, "there is none"
    ids = [AtxId(bytes([number]) * 32) for number in range(70)]
    put_active_set(rows, Hash32(b"h" * 32), EpochActiveSet(EpochId(5), ids))
    rows.put(OWN_ACTIVE_SETS, EpochId(5), OwnActiveSet(Hash32(b"h" * 32), 1))
    (event,) = told(known, rows=rows)
    assert event.eligibilities.active_set_size == 70
    (none,) = told(SlotsKnown(ALICE, EpochId(5), Beacon(b"abcd"), {}, AtxId(b"x" * 32)))
    assert "0 layers" in none.help and "little data" in none.help


def test_the_owner_alone_is_told_of_the_own_conviction_and_what_to_do() -> None:
    (event,) = told(Convicted(ALICE, b"", True))
    assert event.HasField("malfeasance") and "two machines" in event.help and not event.failure
    assert told(Convicted(ALICE, b"", False)) == []
    assert told(object()) == []
