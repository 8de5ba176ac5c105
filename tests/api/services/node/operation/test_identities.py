"""What an operator is told of own identities, over a node that smeshes in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from api.edge.rpc import Failed, Status
from api.services.node.bus import Bus
from api.services.node.events import IdentityChanged, StatusChanged
from api.services.node.operation import identities
from api.services.node.operation.history import KEPT, History
from api.services.node.operation.operation import Operation, OwnIdentity
from node.activation.smeshing.events import NotRegisteredAt, RoundProofMissing
from node.beacon.machine import BEACONS
from node.contract.instants import Instant
from node.malfeasance.tables import MARKS, Mark
from node.proposals.builder import ProposalMade, ProposalNotMade, SlotsKnown
from node.runtime.facts import Facts
from node.store.own import SIGNED, Kind, Slot
from node.store.view import Rows, View
from protocol.numbers.durations import SECOND
from protocol.pb.smesher.v1 import smeshing_pb2 as pb
from protocol.types.ids import EMPTY_ATX_ID, Beacon, EpochId, LayerId
from protocol.types.proposals import Proposal
from tests.node.activation.smeshing.rig import START, Rig, end_of, round_end, round_start
from tests.node.activation.smeshing.stand_ins import PARAMETERS, POET_A, POET_B, TIME, TIMELINE, A, B
from tests.node.proposals.network import ALICE, FIRST, ballot_of, first_opinion, proposal_of
from tests.support.calling import Open

FACTS = Facts(True, True, LayerId(1), LayerId(1), LayerId(1), LayerId(1))


class Operated:
    """A Backend over a rig, and what the services stand on beside it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, rig: Rig) -> None:
        self.rig, self._loop = rig, loop
        self.bus = Bus(loop)
        self.parameters = SimpleNamespace(time=TIME, smeshing=PARAMETERS, first_epoch=EpochId(2))
        self.facts = FACTS
        self.own = [OwnIdentity(A.identity, "a.key"), OwnIdentity(B.identity, "b.key")]
        self.history = History(self.bus, lambda: self.rig.now)
        self.more: list[Callable[[Rows], None]] = []
        """Rows that other rooms have put."""
        self.told = 0
        made: Any = self
        self._calls: Any = identities.calls(made, Operation(lambda: self.own, self.history))

    def now(self) -> Instant:
        return self.rig.now

    @contextmanager
    def view(self) -> Iterator[View]:
        rows = Rows(self.rig.stores.view())
        for put in self.more:
            put(rows)
        yield rows

    def until(self, end: Instant) -> None:
        """Time passes, and the history is told of what happens."""
        self.rig.run_until(end)
        events, self.told = self.rig.events[self.told :], len(self.rig.events)
        self.tell(*events)

    def tell(self, *events: object) -> None:
        self.history.committed(Rows(self.rig.stores.view()), events, self.facts)

    def ask(self, *ids: bytes) -> list[pb.Identity]:
        answer = self._loop.run_until_complete(self._calls["Identities"](pb.IdentitiesRequest(id=ids)))
        assert answer.now.ToNanoseconds() == self.rig.now
        return list(answer.identities)

    def one(self) -> pb.Identity:
        (found,) = self.ask(A.identity)
        return found

    def watch(self, *steps: Callable[[], None], ids: tuple[bytes, ...] = ()) -> list[list[Any]]:
        """What is said at once, and after each step."""

        async def heard() -> list[list[Any]]:
            stream = Open(self._calls, "Watch", pb.IdentitiesRequest(id=ids))
            said = [await stream.more()]
            assert stream.answered.has_headers
            for step in steps:
                step()
                said.append(await stream.more())
            await stream.close()
            if stream.answered.status:
                raise Failed(stream.answered.status, stream.answered.text)
            return said

        return self._loop.run_until_complete(heard())


@pytest.fixture
def node() -> Iterator[Operated]:
    loop = asyncio.new_event_loop()
    yield Operated(loop, Rig(A, B))
    loop.close()


def kinds(identity: pb.Identity) -> list[str]:
    return [pb.Happening.Kind.Name(one.kind).removeprefix("KIND_") for one in identity.happenings]


def test_the_way_to_an_activation_is_told(node: Operated) -> None:
    assert node.one().phase == pb.PHASE_FIRST_PROOF and not node.one().HasField("publish_epoch")
    node.until(Instant(round_start(3) - 1))
    before = node.one()
    assert (before.name, before.phase, before.publish_epoch) == ("a.key", pb.PHASE_REGISTERING, 3)
    assert before.reason
    assert [one.server for one in before.registrations] == [POET_A, POET_B]
    assert before.registrations[0].round_end.ToNanoseconds() == round_end(3)
    assert (before.next.kind, before.next.at.ToNanoseconds()) == (pb.Moment.KIND_ROUND_START, round_start(3))
    assert [one.is_over for one in before.timeline] == [True] * 2 + [False] * 5
    assert {"POET_CHALLENGE_READY", "POET_REGISTERED"} <= set(kinds(before))

    node.until(end_of(3))
    after = node.one()
    assert (after.phase, after.publish_epoch) == (pb.PHASE_IN_ROUND, 4)
    assert [(one.publish_epoch, one.num_units) for one in after.activations] == [(3, 10)]
    assert after.happenings[0].at.ToNanoseconds() >= after.happenings[-1].at.ToNanoseconds()
    assert {"BEST_PROOF_SELECTED", "GENERATING_POST_PROOF", "ATX_BROADCASTED"} <= set(kinds(after))
    assert not any(one.is_failure for one in after.happenings)


def test_why_an_identity_makes_no_proposals(node: Operated) -> None:
    node.until(end_of(3))
    now, soon = node.one().participation
    assert (now.epoch, now.is_eligible, now.atx) == (3, False, b"")
    assert now.reason == "No activation of it was published in epoch 2."
    assert (soon.epoch, soon.is_eligible, soon.slots_known) == (4, True, False)
    assert soon.reason == "Its slots are known when the epoch begins." and soon.atx

    node.until(Instant(end_of(3) + 2))
    assert node.one().participation[0].reason == "The beacon of the epoch is not known, by which slots are drawn."
    node.more.append(lambda rows: rows.put(BEACONS, EpochId(4), Beacon(b"beac")))
    assert node.one().participation[0].reason == "The proofs of its slots are made."
    node.tell(ProposalNotMade(None, LayerId(48), "no_weight"))
    assert node.one().participation[0].reason == "No proposal in layer 48: no_weight."
    assert kinds(node.one())[0] == "PROPOSAL_BUILD_FAILED"
    node.facts = Facts(False, True, *[LayerId(1)] * 4)
    assert "not synced" in node.one().participation[0].reason


def test_slots_and_what_was_proposed(node: Operated) -> None:
    node.until(Instant(end_of(3) + 2))
    slots = {LayerId(48): 2, LayerId(50): 1}
    made = proposal_of(ALICE, ballot_of(ALICE, FIRST, first_opinion()))
    # the first one is of the epoch before, the last one of a slot that is not known any more
    for layer in (47, 48, 49):
        slot = Slot(A.identity, Kind.PROPOSAL, layer)
        node.more.append(lambda rows, slot=slot: rows.put(SIGNED, slot, Proposal.codec.encode(made)))
    node.tell(
        SlotsKnown(A.identity, EpochId(4), Beacon(b"beac"), slots, EMPTY_ATX_ID),
        ProposalMade(A.identity, LayerId(48), made.id()),
    )
    (now, soon) = node.one().participation
    assert now.slots_known and now.reason == "" and now.is_eligible
    proposal = made.id()
    assert [(one.layer, one.count, one.proposal) for one in now.slots] == [
        (48, 2, proposal),
        (49, 0, proposal),
        (50, 1, b""),
    ]
    assert not soon.slots_known
    assert {"ELIGIBLE", "PROPOSAL_PUBLISHED"} <= set(kinds(node.one()))
    for epoch in range(5, 9):
        node.tell(SlotsKnown(A.identity, EpochId(epoch), Beacon(b"beac"), {}, EMPTY_ATX_ID))
    assert node.history.slots(A.identity, EpochId(4)) is None, "epochs that are over are forgotten"


def test_an_identity_that_may_not_sign(node: Operated) -> None:
    node.own = [OwnIdentity(A.identity, "a.key", stopped="The key is in use elsewhere.")]
    assert (node.one().phase, node.one().reason) == (pb.PHASE_STOPPED, "The key is in use elsewhere.")
    node.own = [OwnIdentity(A.identity, "a.key")]
    node.more.append(lambda rows: rows.put(MARKS, A.identity, Mark(1)))
    found = node.one()
    assert found.phase == pb.PHASE_STOPPED and "proof" in found.reason
    assert [one.reason for one in found.participation] == ["It must not sign any more."] * 2


def test_an_identity_for_which_nobody_smeshes(node: Operated) -> None:
    node.own = [OwnIdentity(A.identity, "a.key", is_smeshing=False)]
    assert node.one().phase == pb.PHASE_NOT_STARTED


def test_an_identity_that_is_named_twice_comes_once(node: Operated) -> None:
    assert [one.id for one in node.ask(B.identity, A.identity, B.identity)] == [B.identity, A.identity]


def test_an_identity_that_is_not_ours(node: Operated) -> None:
    for id in (b"", b"\x09" * 32):
        with pytest.raises(Failed) as caught:
            node.ask(id)
        assert caught.value.status == Status.NOT_FOUND
        with pytest.raises(Failed):
            node.watch(ids=(id,))


def test_what_strangers_say_stays_on_its_line(node: Operated) -> None:
    node.tell(
        NotRegisteredAt(A.identity, POET_A, "refused", "no\nway\x1b[31m"), RoundProofMissing(POET_B, "7\r", "x", "")
    )
    sentences = [one.sentence for one in node.one().happenings]
    assert len(sentences) == 2 and not any(set(sentence) & set("\n\r\x1b") for sentence in sentences)
    assert all(one.is_failure for one in node.one().happenings)


def test_the_last_hundred_are_kept(node: Operated) -> None:
    node.tell(*[NotRegisteredAt(A.identity, POET_A, "refused", str(number)) for number in range(KEPT + 20)])
    found = node.one().happenings
    assert len(found) == KEPT and found[0].sentence.endswith(f" {KEPT + 19}")
    (other,) = node.ask(B.identity)
    assert not other.happenings


# ---- watching ----


def test_each_comes_once_then_whenever_it_changed(node: Operated) -> None:
    node.until(Instant(START + 500 * SECOND))

    def of_b() -> None:
        node.tell(NotRegisteredAt(B.identity, POET_A, "refused", "full"))

    def nothing() -> None:
        node.bus.publish([StatusChanged(), IdentityChanged(A.identity)])

    def later() -> None:
        node.rig.now = TIMELINE.building(EpochId(3))
        node.bus.publish([StatusChanged()])

    first, after_b, after_nothing, after_time = node.watch(of_b, nothing, later)
    assert [one.id for one in first] == [A.identity, B.identity]
    assert [one.id for one in after_b] == [B.identity]
    assert after_nothing == []
    assert [(one.id, one.phase) for one in after_time] == [
        (A.identity, pb.PHASE_POSITIONING),
        (B.identity, pb.PHASE_POSITIONING),
    ]


def test_only_those_that_are_asked_for(node: Operated) -> None:
    def both() -> None:
        node.tell(*(NotRegisteredAt(one, POET_A, "refused", "full") for one in (A.identity, B.identity)))

    first, after = node.watch(both, ids=(B.identity,))
    assert [one.id for one in first] == [B.identity] == [one.id for one in after]


def test_a_watcher_that_is_too_slow(node: Operated) -> None:
    with pytest.raises(Failed) as caught:
        node.watch(lambda: node.bus.publish([StatusChanged()] * 1100))
    assert (caught.value.status, caught.value.message) == (Status.CANCELLED, "buffer overflow")
