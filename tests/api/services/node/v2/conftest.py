"""A node with the first 63 layers of a recorded chain, and one with nothing but a genesis."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from node.store.memory import MemoryBackend
from protocol.types.ids import NodeId
from tests.support.imported_chain import SHORT, ImportedChain, imported_chain
from tests.support.node_backend import StoresBackend
from tests.vector_cases.harness import load

from .served import Node

VECTORS = SHORT.parents[1]


@pytest.fixture(scope="session")
def files() -> tuple[MemoryBackend, MemoryBackend]:
    return MemoryBackend(), MemoryBackend()


@pytest.fixture(scope="session")
def chain(files: tuple[MemoryBackend, MemoryBackend]) -> ImportedChain:
    """What was recorded. Not to be altered."""
    return imported_chain(SHORT, files)


@pytest.fixture(scope="session")
def recorded(chain: ImportedChain, files: tuple[MemoryBackend, MemoryBackend]) -> Iterator[Node]:
    """A node with that chain. Not to be altered."""
    loop = asyncio.new_event_loop()
    yield Node(StoresBackend(chain.config, files, loop=loop), loop)
    loop.close()


@pytest.fixture
def empty(chain: ImportedChain) -> Iterator[Node]:
    """A node of the same network, before anything happened."""
    loop = asyncio.new_event_loop()
    yield Node(StoresBackend(chain.config, loop=loop), loop)
    loop.close()


@pytest.fixture(scope="session")
def proof_of_two_activations() -> tuple[NodeId, bytes]:
    """Whom a recorded proof convicts, and the proof."""
    (stored,) = load(VECTORS / "api" / "grpc_malfeasance.json")["meta"]["stored"]
    return NodeId(bytes.fromhex(stored["smesher"])), bytes.fromhex(stored["proof"])
