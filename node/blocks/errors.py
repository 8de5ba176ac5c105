"""What a block is not made for, and which blocks of peers are not taken."""

from __future__ import annotations

from node.errors import NodeError


class BlockRefused(NodeError):
    """reason, of one to be made: proposal_missing, atx_not_found, ref_ballot_not_found, ref_ballot_without_epoch_data,
    no_slots, duplicate_atx, proposal_tx_missing, proposal_tx_header_missing, bad_mesh_hash; of one from a peer:
    wrong_hash, before_genesis, no_rewards, zero_weight, duplicate_reward."""
