"""Parameters of blocks. Protocol 05-consensus, sections 1 and 8."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BlockParameters:
    """What all nodes of a network have in common, and how much waits."""

    gas_limit: int
    """Of a block that is not executed before it is made; 0: none."""
    optimistic_threshold: int
    """Percent of the eligibilities that must share a mesh hash, so that a block is executed before it is made."""
    max_waiting: int = 100
    """Hare outputs that wait: for proposals, and for the layers before them to be applied. The oldest go first."""
    max_fetching: int = 1000
    """Missing blocks that are asked for at once."""
