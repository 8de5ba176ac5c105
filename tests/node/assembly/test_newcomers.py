"""A node begins beside a recorded chain: with its keys alone, or among peers most of which lie about everything."""

from __future__ import annotations

from dataclasses import dataclass, field

from node.activation.tables import ATXS, BLOBS
from node.contract.demands import BootstrapDocument, Demand, Failed, Request, VerifyPoet, VerifyPost, VerifyVrfNonce
from node.contract.messages import PeerId
from node.engine.edges import Returned
from node.ledger.tables import LAYERS
from node.mesh.tables import BALLOTS, BLOCKS, MESH_HASHES
from node.store.own import SIGNED, Kind, Slot
from protocol.crypto.signing import Domain
from protocol.types.ballots import Ballot
from protocol.types.ids import EMPTY_ADDRESS, EdSignature, NodeId
from tests.node.sync.test_catch_up import Liar
from tests.support.recorded_chain import Replay
from tests.vector_cases.consensus_support import Keys, SilentKey

from .test_catching_up import THERE, Newcomer, rows

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


LIARS = tuple(PeerId(b"liar %d" % number) for number in range(3))


@dataclass
class Deceived(Newcomer):
    """Three of its four peers answer everything, and nothing truly; one of them at times with silence."""

    peers: tuple[PeerId, ...] = (*LIARS, THERE)
    liar: Liar = field(default_factory=Liar)
    lies: int = 0

    def _answer(self, call: int, demand: Demand) -> None:
        if not isinstance(demand, Request) or demand.peer == THERE:
            super()._answer(call, demand)
            return
        self.lies += 1
        is_silent = demand.peer == LIARS[0] and self.lies % 3 == 0
        answer = Failed("timeout") if is_silent else self.liar.answer(demand.protocol, demand.data)
        self._turn(Returned(call, answer, self.now))


def test_what_an_earlier_life_has_signed_is_noted_and_stops_nobody(whole_chain: Replay) -> None:
    there = whole_chain.view()
    smeshers = sorted({row.smesher for _, row in there.scan(ATXS)})
    own = smeshers[: len(smeshers) // 2 + 1]
    watched = [Watched(one) for one in own]
    keys = Keys(watched)  # whose `stop` is an error
    newcomer = Forgetful(whole_chain, keys=keys, coinbase=lambda: EMPTY_ADDRESS)
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


def test_what_liars_say_changes_nothing(whole_chain: Replay) -> None:
    newcomer = Deceived(whole_chain)
    for _ in newcomer.run(40_000):
        pass
    here, there, until = newcomer.node.stores.view(), whole_chain.view(), newcomer.until
    for table in (LAYERS, MESH_HASHES):
        assert rows(here, table, until) == rows(there, table, until)
    assert dict(here.scan(BALLOTS)) == dict(there.scan(BALLOTS))
    for table in (ATXS, BLOCKS):
        assert set(here.keys(table)) <= set(there.keys(table))
    assert newcomer.lies and {one.peer for one in newcomer.blamed} == set(LIARS)
