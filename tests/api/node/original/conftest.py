"""An original node's data directory, for tests that change it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.imported_chain import ImportedChain, imported_chain
from tests.support.original_node import OriginalNode


@pytest.fixture(scope="package")
def chain() -> ImportedChain:
    """63 layers of a devnet, which nobody changes."""
    return imported_chain()


@pytest.fixture
def original(chain: ImportedChain, tmp_path: Path) -> OriginalNode:
    """The data of a node of that chain, with an identity of its own."""
    return OriginalNode(tmp_path / "theirs", chain)


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """Where our data is to be."""
    return tmp_path / "ours"
