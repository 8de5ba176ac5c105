"""The recorded chain, and a node that has taken it up."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.recorded_chain import RecordedChain, Replay
from tests.vector_cases.harness import load

RECORD = Path(__file__).parents[2] / "vectors" / "chain" / "devnet_a_63.json.gz"


@pytest.fixture(scope="session")
def chain() -> RecordedChain:
    """A devnet of 63 layers."""
    return RecordedChain(load(RECORD))


@pytest.fixture(scope="session")
def whole_chain(chain: RecordedChain) -> Replay:
    """A node with all layers of the record. Others ask it; nothing is done to its rows."""
    found = Replay(chain)
    found.run(chain.last)
    return found
