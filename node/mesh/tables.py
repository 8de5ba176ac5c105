"""The rows of the mesh: blocks and ballots, what became of each block, and how far layers are processed.

Which block a layer has in the state is the ledger's row of the layer. Protocol 05-consensus, section 10.
"""

from __future__ import annotations

from typing import cast

from node.store.keys import LAYER, KeyCodec, compound, fixed
from node.store.table import Table
from protocol.codec.declare import boolean, codec_of
from protocol.types.ballots import Ballot
from protocol.types.blocks import InnerBlock
from protocol.types.ids import AtxId, BallotId, BlockId, Hash32, LayerId, NodeId

BLOCKS: Table[BlockId, InnerBlock] = Table(b"bl", "blocks", fixed(20), InnerBlock.codec)
BLOCKS_BY_LAYER = BLOCKS.index(b"bn", "blocks by layer", LAYER, lambda id, block: (block.layer,))
VALIDITY: Table[BlockId, bool] = Table(b"bv", "validity of blocks", fixed(20), boolean)
"""What tortoise has decided; no row: nothing yet."""
BALLOTS: Table[BallotId, Ballot] = Table(b"ba", "ballots", fixed(20), Ballot.codec)
BALLOTS_BY_SMESHER = BALLOTS.index(
    b"bs",
    "ballots by layer and smesher",
    cast(KeyCodec[tuple[LayerId, NodeId]], compound(LAYER, fixed(32))),
    lambda id, ballot: ((ballot.inner.layer, ballot.smesher_id),),
)
BALLOTS_BY_ATX = BALLOTS.index(
    b"bx",
    "ballots by ATX and layer",
    cast(KeyCodec[tuple[AtxId, LayerId]], compound(fixed(32), LAYER)),
    lambda id, ballot: ((ballot.inner.atx_id, ballot.inner.layer),),
)
MESH_HASHES: Table[LayerId, Hash32] = Table(b"mh", "mesh hashes", LAYER, codec_of(Hash32))
"""Our opinion on all layers up to this one, as it was when the layer was applied."""
NO_MESH_HASH = Hash32(bytes(32))
"""What is said to others where there is none."""
PROCESSED: Table[bytes, LayerId] = Table(b"mp", "last processed layer", fixed(0), codec_of(LayerId))
"""One row, of the key `ONLY`: the last layer before which none is left out."""

TABLES = (BLOCKS, VALIDITY, BALLOTS, MESH_HASHES, PROCESSED)
