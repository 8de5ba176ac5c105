"""What the results of tortoise ask of the state: which layers can be applied, and where they differ from it.

Protocol 05-consensus, section 10.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from node.tortoise.results import LayerResult
from protocol.types.ids import EMPTY_BLOCK_ID, BlockId, LayerId


def target(result: LayerResult) -> BlockId:
    """The block that a layer should have: the first valid one, else what hare came to; zeros for none."""
    for block in result.blocks:
        if block.is_valid:
            return block.vote.id
    for block in result.blocks:
        if block.is_hare_output and not block.is_invalid:
            return block.vote.id
    return EMPTY_BLOCK_ID


def applicable(results: Sequence[LayerResult], next: LayerId) -> tuple[Sequence[LayerResult], tuple[BlockId, ...]]:
    """The layers before the first one in which a block that counts is not here, and all such blocks.

    next: the layer after the last one in the state; where it or one before it misses a block, nothing is applicable.
    """
    missing: list[BlockId] = []
    first: int | None = None
    for place, layer in enumerate(results):
        for block in layer.blocks:
            if (block.is_valid or block.is_hare_output or block.is_locally_supported) and not block.has_data:
                missing.append(block.vote.id)
                first = place if first is None else first
    if first is None:
        return results, ()
    return (results[:first] if results[first].layer > next else ()), tuple(missing)


def first_changed(results: Sequence[LayerResult], applied: Callable[[LayerId], BlockId | None]) -> LayerId | None:
    """The lowest layer that was applied with another block than it should have; None where there is none."""
    changed = [
        result.layer for result in results if (block := applied(result.layer)) is not None and block != target(result)
    ]
    return min(changed, default=None)
