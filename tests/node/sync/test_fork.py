"""Where two meshes part: found in few questions, whatever a peer answers."""

from __future__ import annotations

from typing import Any

import pytest

from node.contract.demands import Result
from node.contract.instants import Instant
from node.contract.messages import PeerId
from node.fetch import protocols
from node.mesh.tables import MESH_HASHES
from node.store.view import Rows
from node.sync.fork import ForkFinder, LayerHash
from node.sync.parameters import SyncParameters
from protocol.crypto.hashing import hash32
from protocol.types.fetch import MeshHashRequest
from protocol.types.ids import (
    Hash32,
    LayerId,
)
from tests.node.contract.world import GENESIS

from .chain import FIRST
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
