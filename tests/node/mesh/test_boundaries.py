"""Which block a layer has, and what two words of one smesher or of two committees come to."""

from __future__ import annotations

from node.certificates.tables import CERTIFICATES, StoredCertificate
from node.mesh.mesh import Mesh, MeshParameters
from node.mesh.plan import target
from node.store.view import Rows
from node.tortoise.results import BlockResult, LayerResult
from protocol.types.ballots import Ballot, InnerBallot, Vote, Votes
from protocol.types.certificates import Certificate
from protocol.types.ids import (
    EMPTY_BALLOT_ID,
    EMPTY_BLOCK_ID,
    AtxId,
    BlockId,
    EdSignature,
    Hash32,
    LayerId,
    NodeId,
)
from protocol.types.malfeasance import BallotProof

from .test_mesh import GENESIS, Tortoise
from .world import FIRST, Node

A, B = BlockId(b"a" * 20), BlockId(b"b" * 20)


def found(id: BlockId, *, is_valid: bool = False, is_invalid: bool = False, is_hare: bool = False) -> BlockResult:
    return BlockResult(Vote(id, LayerId(FIRST), 1), is_valid, is_invalid, is_hare, True, False)


def layer(*blocks: BlockResult) -> LayerResult:
    return LayerResult(LayerId(FIRST), True, Hash32(bytes(32)), blocks)


def test_a_layer_has_its_first_valid_block_else_what_hare_came_to() -> None:
    assert target(layer(found(A, is_valid=True), found(B, is_valid=True, is_hare=True))) == A
    assert target(layer(found(A), found(B, is_hare=True))) == B
    assert target(layer(found(A, is_invalid=True, is_hare=True), found(B))) == EMPTY_BLOCK_ID
    assert target(layer()) == EMPTY_BLOCK_ID


class Told(Tortoise):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: list[BlockId] = []
        self.malicious: list[NodeId] = []

    def on_hare_output(self, layer: LayerId, block: BlockId) -> None:
        self.outputs.append(block)

    def on_malfeasance(self, node: NodeId) -> None:
        self.malicious.append(node)


def mesh_of(node: Node) -> tuple[Mesh, Told]:
    tortoise = Told()
    return Mesh(MeshParameters(GENESIS, 10), tortoise, node.executor, node.pool), tortoise


def ballot(smesher: bytes, opinion: bytes) -> Ballot:
    inner = InnerBallot(LayerId(FIRST), AtxId(smesher), Hash32(opinion), EMPTY_BALLOT_ID, None)
    return Ballot(inner, EdSignature(bytes(64)), NodeId(smesher), Votes(EMPTY_BALLOT_ID), ())


def test_a_second_ballot_of_a_smesher_in_a_layer_convicts_it_and_the_same_one_again_does_not() -> None:
    node = Node.with_transactions()
    mesh, tortoise = mesh_of(node)
    first, second, other = ballot(b"s" * 32, b"1" * 32), ballot(b"s" * 32, b"2" * 32), ballot(b"o" * 32, b"1" * 32)

    def add(one: Ballot, *, is_malicious: bool = False) -> BallotProof | None:
        def unit(rows: Rows) -> BallotProof | None:
            proof = mesh.add_ballot(rows, one, is_malicious=is_malicious)
            assert proof is None or isinstance(proof.proof, BallotProof)
            return None if proof is None else proof.proof

        return node.kept.unit(unit)

    assert [add(first), add(first), add(other), add(second, is_malicious=True)] == [None] * 4
    proof = add(ballot(b"s" * 32, b"3" * 32))
    assert proof is not None
    assert {message.smesher_id for message in proof.messages} == {NodeId(b"s" * 32)}
    assert len({message.inner.msg_hash for message in proof.messages}) == 2
    assert tortoise.malicious == [NodeId(b"s" * 32)]


def test_what_hare_came_to_is_told_unless_two_blocks_are_certified() -> None:
    for certified, expected in (((), [A]), ((A,), [A]), ((A, B), [])):
        node = Node.with_transactions()
        mesh, tortoise = mesh_of(node)

        def unit(rows: Rows, mesh: Mesh = mesh, certified: tuple[BlockId, ...] = certified) -> None:
            for block in certified:
                row = StoredCertificate(Certificate(block, ()), len(certified) == 1)
                rows.put(CERTIFICATES, (LayerId(FIRST), block), row)
            mesh.save_hare_output(rows, LayerId(FIRST), A)

        node.kept.unit(unit)
        assert tortoise.outputs == expected
