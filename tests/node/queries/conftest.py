"""A recorded chain in stores, and all of its rows without an index, to compare with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from node.store.view import View
from tests.support.imported_chain import ImportedChain, imported_chain
from tests.support.node_stores import in_leveldb, in_memory


@pytest.fixture(scope="package", params=[in_memory, in_leveldb], ids=["memory", "leveldb"])
def chain(request: pytest.FixtureRequest) -> Iterator[ImportedChain]:
    """63 layers of a devnet."""
    with request.param() as backend, in_memory() as own:
        yield imported_chain(backends=(backend, own))


@pytest.fixture(scope="package")
def view(chain: ImportedChain) -> Iterator[View]:
    """What is stored."""
    found = chain.stores.view()
    yield found
    found.close()
