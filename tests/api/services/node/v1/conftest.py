"""A node on the first layers of a recorded chain, whose services are called in process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.migration.take import Taker, take_all
from tests.support.imported_chain import SHORT, chain_records, imported_chain
from tests.support.served_v1 import ServedNode


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ServedNode]:
    """The chain of 63 layers, with the clock in the layer behind it."""
    with asyncio.Runner() as runner:
        served = empty_node(runner, tmp_path)
        for _ in take_all(served.backend.stores, Taker(), chain_records(imported_chain(SHORT).document)):
            pass
        served.backend.at_layer(64)
        yield served


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[ServedNode]:
    """The same network, and nothing stored."""
    with asyncio.Runner() as runner:
        yield empty_node(runner, tmp_path)


def empty_node(runner: asyncio.Runner, folder: Path) -> ServedNode:
    """A node of the chain's network without rows."""
    return ServedNode(imported_chain(SHORT).config, runner, folder)
