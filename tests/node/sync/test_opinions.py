"""Certificates of peers: when they are asked for, of whom, and what is done with one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from node.certificates.machine import HINT
from node.certificates.tables import CERTIFICATES, StoredCertificate
from node.contract.demands import Failed, Fetch, Fetched, Request, Result
from node.contract.effects import Deliver
from node.contract.instants import Instant
from node.contract.messages import PeerId
from node.contract.verdicts import ACCEPT, Verdict, ignore, reject
from node.fetch import protocols
from node.mesh.tables import NO_MESH_HASH
from node.sync.fork import ForkFinder
from node.sync.layers import LayerSync
from node.sync.opinions import OpinionSync
from node.sync.parameters import SyncParameters
from protocol.types.certificates import Certificate
from protocol.types.fetch import LayerOpinion, OpinionRequest
from protocol.types.ids import EMPTY_BLOCK_ID, AtxId, BlockId, EpochId, LayerId, as_hash32
from tests.node.contract.world import at

from .chain import FIRST, TIME
from .driver import Driver

A, B, C = PeerId(b"a"), PeerId(b"b"), PeerId(b"c")
X, Y = BlockId(b"x" * 20), BlockId(b"y" * 20)
CURRENT, LAYER = 20, LayerId(19)
PARAMETERS = SyncParameters(hare_delay_layers=2, certificate_distance=3, peers=5)


class Certified:
    """What peers say of a layer, and what the certificates of each of them come to."""

    latest = LAYER

    def __init__(
        self,
        says: dict[PeerId, BlockId | None],
        verdicts: dict[PeerId, Verdict] | None = None,
        sends: dict[PeerId, Certificate] | None = None,
        block: Result = Fetched(ACCEPT),  # noqa: B008
    ) -> None:
        self.says, self.verdicts, self.sends, self.block = says, verdicts or {}, sends or {}, block
        self.told: list[tuple[LayerId, BlockId]] = []
        self.events: list[str] = []
        self.driver = Driver(self.answer, tuple(says), Instant(at(CURRENT, 5)))
        peers = self.driver.peers
        forks = ForkFinder(PARAMETERS, peers, LayerId(FIRST - 1))
        self.sync = OpinionSync(PARAMETERS, TIME, peers, LayerSync(PARAMETERS, peers), forks, self, self)

    def on_hare_output(self, layer: LayerId, block: BlockId) -> None:
        self.told.append((layer, block))

    def missing_active_set(self, epoch: EpochId, ids: Sequence[AtxId]) -> Sequence[AtxId]:
        raise AssertionError("nobody's mesh is compared here")

    def answer(self, demand: Any) -> Result:
        match demand:
            case Deliver(hint, id, _, peer, _):
                assert (hint, id) == (HINT, LAYER.to_bytes(4, "big"))
                self.events.append(f"certificate of {peer.decode()}")
                return Fetched(self.verdicts.get(peer, ACCEPT))
            case Fetch(_, id):
                self.events.append(f"block {id[:1].decode()}")
                return self.block
            case Request():
                asked = OpinionRequest.codec.decode(demand.data)
                if asked.block is None:
                    return LayerOpinion.codec.encode(LayerOpinion(NO_MESH_HASH, self.says[demand.peer]))
                sent = self.sends.get(demand.peer, Certificate(asked.block, ()))
                return Certificate.codec.encode(sent)
        raise AssertionError(demand)

    def run(self, layer: LayerId = LAYER) -> None:
        self.driver.run(lambda turn: self.sync.ask(turn, layer))


def test_a_certificate_is_judged_then_its_block_got_then_tortoise_told() -> None:
    peers = Certified({A: X})
    peers.run()
    assert peers.events == ["certificate of a", "block x"] and peers.told == [(LAYER, X)]
    fetch = peers.driver.asked[-1][1]
    assert isinstance(fetch, Fetch) and fetch.id == as_hash32(X) and fetch.peers == (A,)


def test_the_certificate_of_an_empty_layer_names_no_block_to_get() -> None:
    peers = Certified({A: EMPTY_BLOCK_ID})
    peers.run()
    assert peers.events == ["certificate of a"] and peers.told == [(LAYER, EMPTY_BLOCK_ID)]


def test_one_certificate_is_enough() -> None:
    peers = Certified(dict.fromkeys((A, B, C), X))
    peers.run()
    assert len(peers.events) == 2 and len(peers.driver.requests(protocols.OPINIONS)) == 4


def test_a_certificate_of_another_block_is_a_lie_and_the_next_peer_is_asked() -> None:
    other = Certificate(Y, ())
    peers = Certified({A: X, B: X}, sends={A: other})
    peers.run()
    assert peers.told == [(LAYER, X)] and "certificate of a" not in peers.events
    assert peers.driver.blamed() in ([(A, "wrong_certificate")], [])  # Bob may have been asked first
    alone = Certified({A: X}, sends={A: other})
    alone.run()
    assert alone.told == [] and alone.driver.blamed() == [(A, "wrong_certificate")]


@pytest.mark.parametrize(
    ("verdict", "blamed"), [(ignore("certificate_below_threshold"), []), (reject("malformed"), [(A, "malformed")])]
)
def test_one_that_does_not_hold_is_followed_by_those_of_other_blocks(verdict: Verdict, blamed: object) -> None:
    peers = Certified({A: X, B: Y}, verdicts={A: verdict})
    peers.run()
    assert peers.told == [(LAYER, Y)]
    alone = Certified({A: X}, verdicts={A: verdict})
    alone.run()
    assert alone.told == [] and alone.driver.blamed() == blamed


def test_without_its_block_a_certificate_is_not_told() -> None:
    peers = Certified({A: X}, block=Failed("not_found"))
    peers.run()
    assert peers.events == ["certificate of a", "block x"] and peers.told == []


def test_where_something_is_known_of_the_layer_no_certificate_is_asked_for() -> None:
    peers = Certified({A: X})
    peers.driver.put(lambda rows: rows.put(CERTIFICATES, (LAYER, Y), StoredCertificate(None, True)))
    peers.run()
    assert peers.events == [] and len(peers.driver.requests(protocols.OPINIONS)) == 1


def test_nobody_knows_nobody_is_asked_further() -> None:
    peers = Certified({A: None, B: None})
    peers.run()
    assert peers.events == [] and len(peers.driver.requests(protocols.OPINIONS)) == 2


def test_of_layers_that_are_too_old_none_is_asked_for() -> None:
    peers = Certified({A: X})
    peers.run(LayerId(CURRENT - PARAMETERS.certificate_distance))
    assert peers.events == []
