"""What the tortoise tells of a layer: its blocks, and what is thought of each. Protocol 06-tortoise, section 11."""

from __future__ import annotations

from dataclasses import dataclass

from node.tortoise.state import Layer, State
from node.tortoise.thresholds import crosses
from node.tortoise.votes import AGAINST, SUPPORT
from protocol.types.ballots import Vote
from protocol.types.ids import Hash32, LayerId


@dataclass(frozen=True, slots=True)
class BlockResult:
    """One block."""

    vote: Vote
    is_valid: bool
    is_invalid: bool
    is_hare_output: bool
    has_data: bool
    is_locally_supported: bool
    """Whether its margin crosses the local threshold."""


@dataclass(frozen=True, slots=True)
class LayerResult:
    """One layer."""

    layer: LayerId
    is_verified: bool
    opinion: Hash32
    """Ours, up to this layer."""
    blocks: tuple[BlockResult, ...]
    """By height and id."""


def result_of(state: State, layer: Layer) -> LayerResult:
    """What is thought of a layer now."""
    return LayerResult(
        layer.number,
        state.verified >= layer.number,
        layer.opinion,
        tuple(
            BlockResult(
                block.vote(),
                is_valid=block.validity == SUPPORT,
                is_invalid=block.validity == AGAINST,
                is_hare_output=block.hare == SUPPORT,
                has_data=block.data,
                is_locally_supported=crosses(block.margin, state.local_threshold) == SUPPORT,
            )
            for block in layer.blocks
        ),
    )
