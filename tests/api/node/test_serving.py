"""The listeners of a composed node: what clients and probes find there, what is counted and told, and the way out."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import grpc.aio
import pytest

from api.edge.errors import EnvironmentFault
from api.node.composition import Composition, Parts
from api.node.serving import Services
from api.node.site import open_stores
from api.node.start import Prepared, prepared
from api.services.node.events import AccountChanged, StatusChanged, TransactionAdded
from node.p2p.memory import MemoryNetwork
from node.runtime.clock import SetClock
from protocol.params.config.services import Main
from protocol.pb.grpc.health.v1 import health_pb2
from protocol.types.transactions import RawTx
from tests.support.served import ask
from tests.support.served_api import everywhere

from .standalone_node import GENESIS, config_of, wallet_of

WAIT_S = 60.0


def composed(folder: Path, port: int = 0) -> tuple[Composition, AbstractContextManager[Prepared]]:
    config = everywhere(config_of(folder))
    main: Main = replace(config.main, metrics=True, metrics_port=port)
    held = prepared(replace(config, main=main), now_ns=GENESIS.unix_ns)
    found = held.__enter__()
    clock = SetClock(GENESIS.unix_ns)
    return Composition(found, Parts(lambda clock, parameters: MemoryNetwork(clock).host(), Services, clock)), held


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Composition]:
    node, held = composed(folder)
    try:
        await node.start()
        await node.backend.ask(lambda rooms, view: None)
        yield node
    finally:
        await node.stop()
        held.__exit__(None, None, None)


async def health(address: str, name: str = "") -> int:
    async with grpc.aio.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service=name).SerializeToString()
        answer = await channel.unary_unary("/grpc.health.v1.Health/Check")(request, timeout=WAIT_S)
        return health_pb2.HealthCheckResponse.FromString(answer).status


async def figures(node: Composition) -> str:
    port = int(node.addresses["metrics"].rpartition(":")[2])
    return (await asyncio.to_thread(ask, port, "GET", "/metrics")).text


def test_every_listener_serves_and_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as node:
            assert list(node.addresses) == ["public", "private", "post", "json", "metrics"]
            for name in ("public", "private", "post"):
                assert await health(node.addresses[name]) == 1
            text = await figures(node)
            assert 'smesher_api_requests_total{method="grpc.health.v1.Health/Check",code="ok"} 3.0' in text
            assert "smesher_engine_turns_total" in text and "spacemesh_tortoise_mode" in text
            assert 'smesher_store_bytes{store="' in text

    asyncio.run(main())


def test_what_is_committed_reaches_who_listens(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as node:
            raw = wallet_of(node.prepared.config).spawn()
            bus = node.backend.bus
            with bus.subscribe(TransactionAdded, AccountChanged, size=10) as told, bus.subscribe(StatusChanged, size=9):
                assert (await node.backend.submit(raw)).is_accepted
                async with asyncio.timeout(WAIT_S):
                    added, touched = await anext(told), await anext(told)
            assert isinstance(added, TransactionAdded) and added.id == RawTx.of(raw).id
            assert isinstance(touched, AccountChanged) and touched.address == added.principal
            assert 'spacemesh_txs_gossip_txs{outcome="saved"} 1.0' in await figures(node)

    asyncio.run(main())


def test_a_port_of_the_metrics_that_is_taken_leaves_nothing_open(tmp_path: Path) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            node, held = composed(tmp_path, taken.getsockname()[1])
            with pytest.raises(EnvironmentFault, match="--metrics-port"):
                await node.start()
            open_stores(node.prepared.data).close()
            held.__exit__(None, None, None)

    asyncio.run(main())
