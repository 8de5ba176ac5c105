"""A node that has lost everything but its keys: what peers have of its identities counts as signed before it signs."""

from __future__ import annotations

import pytest

from node.activation.tables import ATXS, BLOBS
from node.contract.demands import BootstrapDocument, Demand, Request, VerifyPoet, VerifyPost, VerifyVrfNonce
from node.mesh.tables import BALLOTS
from node.store.own import SIGNED, Kind, Slot
from protocol.crypto.signing import Domain
from protocol.types.ballots import Ballot
from protocol.types.ids import EdSignature, NodeId
from tests.support.recorded_chain import RecordedChain, Replay
from tests.vector_cases.consensus_support import Keys, SilentKey
from tests.vector_cases.harness import load

from .test_catching_up import RECORD, Newcomer

ANSWERED = (Request, VerifyPost, VerifyVrfNonce, VerifyPoet, BootstrapDocument)


class Watched(SilentKey):
    """Signs nothing that counts, and notes for what it was asked to."""

    def __init__(self, identity: NodeId) -> None:
        super().__init__(identity)
        self.asked: set[Domain] = set()

    def sign(self, domain: Domain, message: bytes) -> EdSignature:
        self.asked.add(domain)
        return EdSignature(bytes(64))


class Forgetful(Newcomer):
    """Its identities have taken part in the record. It proves nothing, it only catches up."""

    def _answer(self, call: int, demand: Demand) -> None:
        if isinstance(demand, ANSWERED):
            super()._answer(call, demand)


@pytest.fixture(scope="module")
def replay() -> Replay:
    """A node with all layers of the record."""
    found = Replay(RecordedChain(load(RECORD)))
    found.run(found.chain.last)
    return found


def test_what_an_earlier_life_has_signed_is_noted_and_stops_nobody(replay: Replay) -> None:
    there = replay.view()
    smeshers = sorted({row.smesher for _, row in there.scan(ATXS)})
    own = smeshers[: len(smeshers) // 2 + 1]
    watched = [Watched(one) for one in own]
    keys = Keys(watched)  # whose `stop` is an error
    newcomer = Forgetful(replay, keys=keys)
    for turn in newcomer.run(20_000):
        if turn == 200:
            newcomer.begin()
    here = newcomer.node.stores.view()
    signed = dict(here.scan(SIGNED))
    ballots = {
        Slot(one.smesher_id, Kind.BALLOT, one.inner.layer): Ballot.codec.encode(one)
        for _, one in there.scan(BALLOTS)
        if one.smesher_id in own
    }
    atxs = {
        Slot(row.smesher, Kind.ATX, row.publish_epoch): there.get(BLOBS, id)
        for id, row in there.scan(ATXS)
        if row.smesher in own
    }
    assert ballots and atxs
    assert {slot: data for slot, data in signed.items() if slot.kind is Kind.BALLOT} == ballots
    assert {slot: data for slot, data in signed.items() if slot.kind is Kind.ATX} == atxs
    assert {slot.identity for slot in signed} <= set(own)  # of nobody else
    assert set().union(*(one.asked for one in watched)) <= {Domain.POET}  # a registration contradicts nothing
