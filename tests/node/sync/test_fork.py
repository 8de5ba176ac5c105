"""Where two meshes part: found in few questions, whatever a peer answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from node.contract.demands import Failed, Result
from node.contract.effects import Emit
from node.contract.instants import Instant
from node.contract.messages import PeerId
from node.fetch import protocols
from node.mesh.tables import MESH_HASHES
from node.store.view import Rows
from node.sync.fork import ForkFinder, LayerHash
from node.sync.layers import LayerSync
from node.sync.opinions import ForkFollowed, OpinionSync
from node.sync.parameters import SyncParameters
from protocol.crypto.hashing import hash32
from protocol.types.fetch import FetchEpochData, LayerData, LayerOpinion, MeshHashRequest
from protocol.types.ids import AtxId, BlockId, EpochId, Hash32, LayerId
from tests.node.contract.world import GENESIS

from .chain import FIRST, TIME
from .driver import Driver

A, B, C = PeerId(b"a"), PeerId(b"b"), PeerId(b"c")
PARAMETERS = SyncParameters(hare_delay_layers=2, certificate_distance=3)
ZERO = LayerId(FIRST - 1)


def mesh(length: int, fork: int | None = None) -> list[Hash32]:
    """Hashes of the layers from ZERO on; from one on they are others."""
    found, before = [], hash32(b"")
    for layer in range(ZERO, ZERO + length + 1):
        before = hash32(before, b"other" if fork is not None and layer >= fork else b"same")
        found.append(Hash32(before))
    return found


class Meshes:
    """Our mesh in the store, and that of a peer."""

    def __init__(self, length: int, fork: int | None) -> None:
        self.length = length
        self.theirs = mesh(length, fork)
        self.driver = Driver(self.answer)
        self.finder = ForkFinder(PARAMETERS, self.driver.peers, ZERO)
        self.driver.put(self.fill)
        self.change = lambda hashes: hashes

    def fill(self, rows: Rows) -> None:
        for layer, hash in enumerate(mesh(self.length), ZERO):
            rows.put(MESH_HASHES, LayerId(layer), hash)

    def answer(self, demand: Any) -> Result:
        request = MeshHashRequest.codec.decode(demand.data)
        assert request.is_valid()
        layers = [*range(request.start, request.end, request.step), request.end]
        return protocols.MESH_HASH_LIST.encode(self.change([self.theirs[layer - ZERO] for layer in layers]))

    def find(self, layer: int | None = None) -> LayerId | None:
        at_layer = ZERO + self.length if layer is None else layer
        differing = LayerHash(LayerId(at_layer), self.theirs[at_layer - ZERO])
        return self.driver.run(lambda turn: self.finder.find(turn, A, differing))

    @property
    def questions(self) -> int:
        return len(self.driver.asked)


@pytest.mark.parametrize("fork", [ZERO + 1, ZERO + 2, ZERO + 99, ZERO + 100, ZERO + 500, ZERO + 999, ZERO + 1000])
def test_one_difference_in_a_thousand_layers_is_found_in_few_questions(fork: int) -> None:
    meshes = Meshes(1000, fork)
    assert meshes.find() == fork - 1
    assert meshes.questions <= 2  # a 99th each time


def test_every_fork_of_a_mesh_is_found() -> None:
    for fork in range(ZERO + 1, ZERO + 173):
        meshes = Meshes(172, fork)
        assert meshes.find() == fork - 1 and meshes.questions <= 2


def test_the_steps_grow_with_the_logarithm() -> None:
    assert Meshes(90, ZERO + 40).find() == ZERO + 39
    meshes = Meshes(20_000, ZERO + 12_345)
    assert meshes.find() == ZERO + 12_344 and meshes.questions <= 3


def test_where_a_peer_agreed_last_the_search_begins() -> None:
    meshes = Meshes(1000, ZERO + 900)
    meshes.finder.agree(A, LayerHash(LayerId(ZERO + 899), meshes.theirs[899]), GENESIS)
    assert meshes.find(ZERO + 900) == ZERO + 899 and meshes.questions == 0  # adjacent: nothing to ask
    meshes = Meshes(1000, ZERO + 900)
    meshes.finder.agree(A, LayerHash(LayerId(ZERO + 890), meshes.theirs[890]), GENESIS)
    assert meshes.find(ZERO + 950) == ZERO + 899 and meshes.questions == 1
    meshes = Meshes(1000, ZERO + 900)
    meshes.finder.agree(A, LayerHash(LayerId(ZERO + 880), Hash32(bytes(32))), GENESIS)  # we think otherwise now
    assert meshes.find() == ZERO + 899


@pytest.mark.parametrize(
    "change",
    [
        lambda hashes: [Hash32(bytes(32)), *hashes[1:]],
        lambda hashes: [*hashes[:-1], Hash32(bytes(32))],
        lambda hashes: hashes[:-1],
        lambda hashes: [*hashes, hashes[0]],
        lambda hashes: [],
    ],
    ids=["another first one", "another last one", "fewer", "more", "none"],
)
def test_a_peer_whose_mesh_changes_meanwhile_is_given_up(change: Any) -> None:
    meshes = Meshes(300, ZERO + 200)
    meshes.change = change
    assert meshes.find() is None and meshes.questions == 1


def test_a_peer_that_differs_nowhere_means_that_our_mesh_has_changed() -> None:
    meshes = Meshes(300, None)
    meshes.finder.agree(B, LayerHash(LayerId(ZERO + 5), meshes.theirs[5]), GENESIS)
    assert meshes.find() is None and meshes.finder.agreed == 0


def test_what_is_remembered_is_forgotten_in_time_and_bounded() -> None:
    meshes = Meshes(10, None)
    finder = meshes.finder
    for number in range(2000):
        finder.add_resynced(LayerHash(LayerId(number), Hash32(bytes(32))), GENESIS)
    assert len(finder._resynced) == PARAMETERS.max_resynced
    assert not finder.needs_resync(LayerHash(LayerId(1999), Hash32(bytes(32))))
    finder.agree(A, LayerHash(ZERO, Hash32(bytes(32))), GENESIS)
    finder.agree(C, LayerHash(ZERO, Hash32(bytes(32))), GENESIS)
    finder.forget_stale(Instant(GENESIS + PARAMETERS.max_stale // 2))
    assert finder.agreed == 2
    finder.forget_stale(Instant(GENESIS + PARAMETERS.max_stale))
    assert finder.agreed == 1 and not finder._resynced  # A is connected still


class Followed(Meshes):
    """A peer with activations behind its mesh, who names the ballots of so many layers and then is silent."""

    def __init__(self, fork: int, answers: int) -> None:
        super().__init__(100, fork)
        self.answers = answers
        self.latest = LayerId(ZERO + self.length)
        peers = self.driver.peers
        self.sync = OpinionSync(PARAMETERS, TIME, peers, LayerSync(PARAMETERS, peers), self.finder, self, self)

    def on_hare_output(self, layer: LayerId, block: BlockId) -> None:
        raise AssertionError("nothing is certified here")

    def missing_active_set(self, epoch: EpochId, ids: Sequence[AtxId]) -> Sequence[AtxId]:
        return ids

    def answer(self, demand: Any) -> Result:
        match demand.protocol:
            case protocols.EPOCH_ATXS:
                return FetchEpochData.codec.encode(FetchEpochData([]))
            case protocols.LAYER_BALLOTS:
                self.answers -= 1
                return LayerData.codec.encode(LayerData([])) if self.answers >= 0 else Failed("timeout")
        return super().answer(demand)

    def follow(self) -> list[ForkFollowed]:
        opinions = [(A, LayerOpinion(self.theirs[-1]))]
        self.driver.run(lambda turn: self.sync.agree(turn, LayerId(self.latest + 1), opinions, set()))
        events = [one.event for one in self.driver.effects if isinstance(one, Emit)]
        return [one for one in events if isinstance(one, ForkFollowed)]


def test_a_peer_is_followed_from_the_fork_to_its_end() -> None:
    peer = Followed(fork=ZERO + 41, answers=60)
    assert peer.follow() == [ForkFollowed(A, LayerId(ZERO + 40), peer.latest)]
    assert len(peer.driver.requests(protocols.LAYER_BALLOTS)) == 60
    assert not peer.finder.needs_resync(LayerHash(peer.latest, peer.theirs[-1]))


def test_a_peer_that_falls_silent_is_not_waited_for_in_every_layer() -> None:
    peer = Followed(fork=ZERO + 1, answers=3)
    assert peer.follow() == [] and len(peer.driver.requests(protocols.LAYER_BALLOTS)) == 4
    assert peer.finder.needs_resync(LayerHash(peer.latest, peer.theirs[-1]))  # in another run
