"""The mesh over a real ledger: layers out of order, restarts, and layers that tortoise changes its mind about."""

from __future__ import annotations

from collections.abc import Sequence

from node.ledger import state
from node.mesh.mesh import GENESIS_MESH_HASH, Mesh, MeshParameters
from node.mesh.tables import BLOCKS, MESH_HASHES, VALIDITY
from node.store.view import Rows
from node.tortoise.results import BlockResult, LayerResult
from protocol.crypto.hashing import hash32
from protocol.types.ballots import Vote
from protocol.types.blocks import InnerBlock
from protocol.types.ids import EMPTY_BLOCK_ID, BlockId, Hash32, LayerId, NodeId

from .world import BEFORE, FIRST, REWARDS, Node

GENESIS = LayerId(BEFORE)


class Tortoise:
    """Says what it is given."""

    def __init__(self) -> None:
        self.results: Sequence[LayerResult] = ()
        self.applied: list[LayerId] = []

    def on_block(self, vote: Vote) -> None: ...

    def on_hare_output(self, layer: LayerId, block: BlockId) -> None: ...

    def on_malfeasance(self, node: NodeId) -> None: ...

    def tally(self, last: LayerId) -> None: ...

    def on_applied(self, layer: LayerId, opinion: Hash32) -> bool:
        self.applied.append(layer)
        return True

    def updates(self) -> Sequence[LayerResult]:
        return self.results


def block(layer: int, height: int) -> InnerBlock:
    return InnerBlock(LayerId(layer), height, REWARDS, ())


def result(layer: int, *blocks: tuple[InnerBlock, bool, bool], is_verified: bool = True) -> LayerResult:
    """blocks: each with whether it is valid (else it is invalid), and whether it is here."""
    found = tuple(
        BlockResult(Vote(one.id(), one.layer, one.tick_height), is_valid, not is_valid, False, has_data, False)
        for one, is_valid, has_data in blocks
    )
    return LayerResult(LayerId(layer), is_verified, Hash32(hash32(layer.to_bytes(4, "big"))), found)


class World:
    def __init__(self, max_ahead: int = 10, node: Node | None = None) -> None:
        self.node = node or Node.with_transactions()
        self.tortoise = Tortoise()
        parameters = MeshParameters(GENESIS, max_ahead)
        self.mesh = Mesh(parameters, self.tortoise, self.node.executor, self.node.pool)
        self.node.kept.unit(self.mesh.start)

    def add(self, *blocks: InnerBlock) -> None:
        for one in blocks:
            self.node.kept.unit(lambda rows, one=one: self.mesh.add_block(rows, one))  # type: ignore[misc]

    def process(self, layer: int, *results: LayerResult) -> tuple[tuple[BlockId, ...], str | None]:
        self.tortoise.results = results
        found = self.node.kept.unit(lambda rows: self.mesh.process_layer(rows, LayerId(layer)))
        return found.missing, None if found.refused is None else found.refused.reason

    def applied(self, *layers: int) -> list[BlockId | None]:
        return self.node.kept.read(lambda view: [self.mesh.applied(view, LayerId(layer)) for layer in layers])

    def state_hash(self) -> Hash32:
        return self.node.kept.read(state.current_state_hash)


A, B, C = block(FIRST, 1), block(FIRST, 2), block(FIRST + 1, 3)


def test_a_new_mesh_has_its_genesis() -> None:
    world = World()
    assert world.node.kept.read(lambda view: view.get(MESH_HASHES, GENESIS)) == GENESIS_MESH_HASH
    assert world.applied(GENESIS, FIRST) == [EMPTY_BLOCK_ID, None]


def test_what_was_applied_otherwise_is_reverted_and_the_layers_above_follow() -> None:
    world, other = World(), World()
    for one in (world, other):
        one.add(A, B, C)
    world.process(FIRST + 1, result(FIRST, (A, True, True), (B, False, True)), result(FIRST + 1, (C, True, True)))
    assert world.applied(FIRST, FIRST + 1) == [A.id(), C.id()]
    changed = (result(FIRST, (B, True, True), (A, False, True)), result(FIRST + 1, (C, True, True)))
    assert world.process(FIRST + 1, *changed) == ((), None)
    assert world.applied(FIRST, FIRST + 1) == [B.id(), C.id()]
    other.process(FIRST + 1, *changed)
    assert world.state_hash() == other.state_hash()
    assert world.node.kept.read(lambda view: [view.get(VALIDITY, one.id()) for one in (A, B)]) == [False, True]


def test_a_block_that_is_not_here_holds_up_its_layer_and_those_above() -> None:
    world = World()
    world.add(C)
    first, second = result(FIRST, (A, True, False)), result(FIRST + 1, (C, True, True))
    assert world.process(FIRST + 1, first, second) == ((A.id(),), None)
    assert world.applied(FIRST, FIRST + 1) == [None, None]
    world.add(A)
    assert world.process(FIRST + 1, result(FIRST, (A, True, True)), second) == ((), None)
    assert world.applied(FIRST, FIRST + 1) == [A.id(), C.id()]


def test_a_layer_that_is_refused_leaves_the_ones_before() -> None:
    world = World()
    world.add(A)
    lost = block(FIRST + 1, 9)
    found = world.process(FIRST + 1, result(FIRST, (A, True, True)), result(FIRST + 1, (lost, True, True)))
    assert found == ((), "missing_block")
    assert world.applied(FIRST, FIRST + 1) == [A.id(), None] and world.tortoise.applied == [FIRST]


def test_started_again_it_is_where_it_was() -> None:
    world = World()
    world.add(A)
    world.process(FIRST, result(FIRST, (A, True, True)))
    again = World(node=world.node)
    assert (again.mesh.processed, again.mesh.in_state) == (FIRST, FIRST)
    assert again.node.kept.read(lambda view: view.get(BLOCKS, A.id())) == A


def test_only_a_prefix_counts_as_processed() -> None:
    world = World(max_ahead=2)
    for layer, expected in ((FIRST + 1, GENESIS), (FIRST + 2, GENESIS), (FIRST, FIRST + 2)):
        world.process(layer)
        assert world.mesh.processed == expected
    for layer in (FIRST + 4, FIRST + 5, FIRST + 6):  # one too many: the first is forgotten, and processed again later
        world.process(layer)
    world.process(FIRST + 3)
    assert world.mesh.processed == FIRST + 3
    world.process(FIRST + 4)
    assert world.mesh.processed == FIRST + 6


def test_the_same_block_again_changes_nothing() -> None:
    world = World()
    world.add(A)
    before = world.node.kept.everything()
    world.add(A)
    assert world.node.kept.everything() == before
    rows: Rows = Rows(world.node.kept.store.view())
    world.mesh.add_block(rows, A)
    assert world.mesh.latest == FIRST
