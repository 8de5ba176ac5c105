"""What a block follows from, where it turns: order of proposals, the highest of them, a share that just suffices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from node.blocks.errors import BlockRefused
from node.blocks.metadata import NO_MESH_HASH, AgreedProposal, BlockMetadata, metadata
from node.blocks.parameters import BlockParameters
from node.mesh.tables import MESH_HASHES
from node.store.view import View
from protocol.types.ballots import EpochData
from protocol.types.blocks import AnyReward, RatNum
from protocol.types.ids import EMPTY_BALLOT_ID, AtxId, Beacon, Hash32, LayerId, ProposalId
from tests.support.node_stores import Kept

LAYER = LayerId(9)
MESH, OTHER = Hash32(b"m" * 32), Hash32(b"o" * 32)


@dataclass(frozen=True, slots=True)
class Atx:
    weight: int
    base_tick_height: int


class Atxs:
    def atx(self, layer: LayerId, id: AtxId) -> Atx | None:
        return Atx(100, id[0])


def proposal(atx: int, eligibilities: int = 1, mesh_hash: Hash32 = NO_MESH_HASH) -> AgreedProposal:
    """Of an ATX whose ticks begin at its number; it has three slots in the epoch."""
    data = EpochData(Hash32(bytes(32)), Beacon(bytes(4)), 3)
    id = ProposalId(bytes([255 - atx]) * 20)
    return AgreedProposal(id, AtxId(bytes([atx]) * 32), EMPTY_BALLOT_ID, data, eligibilities, mesh_hash, ())


def made(proposals: Sequence[AgreedProposal]) -> BlockMetadata:
    kept = Kept()
    kept.unit(lambda rows: rows.put(MESH_HASHES, LayerId(LAYER - 1), MESH))

    def of(view: View) -> BlockMetadata:
        return metadata(view, BlockParameters(1000, 70), Atxs(), LAYER, proposals)

    return kept.read(of)


def test_rewards_come_by_activation_and_the_block_is_as_high_as_its_highest() -> None:
    for proposals in ([proposal(5, 2), proposal(7), proposal(3)], [proposal(3), proposal(7), proposal(5, 2)]):
        found = made(proposals)
        assert found.tick_height == 7
        assert [one.atx_id[0] for one in found.rewards] == [3, 5, 7]
        assert found.rewards[1] == AnyReward(AtxId(b"\5" * 32), RatNum(200, 3))


@pytest.mark.parametrize(("share", "is_optimistic"), [(6, False), (7, True), (8, True)])
def test_a_block_is_executed_first_where_enough_agree_on_the_mesh(share: int, is_optimistic: bool) -> None:
    assert made([proposal(1, share, MESH), proposal(2, 10 - share, NO_MESH_HASH)]).is_optimistic is is_optimistic


def agreed(proposals: Sequence[AgreedProposal]) -> bool | str:
    """Whether a block is executed first, or why there is none."""
    try:
        return made(proposals).is_optimistic
    except BlockRefused as error:
        return error.reason


def test_who_knows_too_little_of_the_mesh_agrees_on_nothing() -> None:
    assert agreed([proposal(1, 10)]) is False
    assert agreed([proposal(1, 3, MESH), proposal(2, 7)]) is False
    assert agreed([proposal(1, 10, OTHER)]) == "bad_mesh_hash"
