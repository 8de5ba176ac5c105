"""The figures of a node: what they count, how they are asked for, and what is left out where the engine has no time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.edge.metrics import Family, written
from api.edge.rpc import Failed, Status
from api.services.node import metrics
from api.services.node.metrics import page
from node.ledger.tables import LAYERS, REWARDS, AppliedLayer
from node.store.view import Rows
from protocol.types.ids import Address, BlockId, Hash32, LayerId, NodeId, TransactionId
from protocol.types.transactions import Reward
from tests.support.node_metrics import LAYER, MeasuredNode, measured_node
from tests.support.served import ask


def run(test: Callable[[MeasuredNode], Awaitable[None]]) -> None:
    async def main() -> None:
        with measured_node() as node:
            await test(node)

    asyncio.run(main())


async def values(node: MeasuredNode) -> dict[str, float]:
    """Every sample by its name and labels, as Prometheus reads them."""
    node.metrics._kept_until = 0.0
    text = (await node.metrics.text()).decode()
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if not line.startswith("#")
    }


def test_what_machines_tell_of_is_counted() -> None:
    async def test(node: MeasuredNode) -> None:
        found = await values(node)
        assert found['spacemesh_blocks_generate{outcome="block"}'] == 1
        assert found['spacemesh_blocks_generate{outcome="too_many_waiting"}'] == 1
        assert found['spacemesh_hare_session{stage="result"}'] == 1
        assert found["smesher_hare_output_seconds_count"] == 1
        assert found['spacemesh_syncer_sync_state{state="gossip_synced"}'] == 1
        assert found['spacemesh_syncer_sync_state{state="synced"}'] == 0
        assert found['smesher_engine_failures_total{machine="hare"}'] == 1
        assert found['smesher_proposals_total{outcome="beacon_missing"}'] == 1
        assert found["smesher_convicted_total"] == found["spacemesh_syncer_adopted_cert"] == 1
        assert found['spacemesh_txs_gossip_txs{outcome="saved"}'] == 5
        assert found['spacemesh_txs_gossip_txs{outcome="known"}'] == 2
        assert found['spacemesh_p2p_received_messages_count{protocol="tx1"}'] == 7
        assert found['spacemesh_p2p_rejected{protocol="b1"}'] == 1
        assert (found["spacemesh_p2p_total_peers"], found["spacemesh_p2p_total_connections"]) == (1, 2)
        assert found['smesher_layer{kind="current"}'] == LAYER
        assert found['smesher_store_bytes{store="state"}'] == 4096
        assert found["smesher_api_streams"] == 3
        method = 'method="spacemesh.v1.NodeService/Status"'
        assert found[f'smesher_api_requests_total{{{method},code="invalid_argument"}}'] == 1
        assert found[f"smesher_api_request_seconds_total{{{method}}}"] == 0.75

    run(test)


def test_applied_layers_are_counted_from_their_rows() -> None:
    async def test(node: MeasuredNode) -> None:
        with node.backend.view() as view:
            rows = Rows(view)
            ids = [TransactionId(bytes([number]) * 32) for number in range(3)]
            rows.put(LAYERS, LayerId(9), AppliedLayer(Hash32(bytes(32)), BlockId(bytes(20)), (), ids))
            reward = Reward(LayerId(9), 70, 60, Address(bytes(24)), NodeId(bytes(32)))
            rows.put(REWARDS, (LayerId(9), reward.smesher_id), reward)
            node.counted.committed(rows, (), node.backend.facts)
        found = await values(node)
        assert (found["spacemesh_vm_txs"], found["spacemesh_vm_rewards"], found["spacemesh_vm_subsidy"]) == (3, 70, 60)

    run(test)


def test_queues_that_are_full_are_told_of() -> None:
    async def test(node: MeasuredNode) -> None:
        node.driver.inbox.refused[next(iter(node.driver.inbox.waiting()))] += 4
        node.driver.questions.refused = 2
        found = await values(node)
        assert found['smesher_queue_refused_total{queue="returned"}'] == 4
        assert found['smesher_queue_refused_total{queue="questions"}'] == 2
        assert found['smesher_queue_waiting{queue="urgent"}'] == 0

    run(test)


@pytest.mark.parametrize("why", ["busy", "late"])
def test_what_the_engine_has_no_time_for_is_left_out(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask_engine(question: Any) -> Any:
        if why == "busy":
            raise Failed(Status.RESOURCE_EXHAUSTED, "busy")
        await asyncio.Event().wait()

    async def test(node: MeasuredNode) -> None:
        assert "spacemesh_tortoise_mode" in await values(node)
        monkeypatch.setattr(node.backend, "ask", ask_engine)
        monkeypatch.setattr(metrics, "ASKED_S", 0.01)
        found = await values(node)
        assert "spacemesh_tortoise_mode" not in found and "spacemesh_vm_applied_layer" in found

    run(test)


def test_a_reading_is_kept_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(node: MeasuredNode) -> None:
        monkeypatch.setattr(metrics, "KEPT_S", 1000.0)
        first = await node.metrics.text()
        node.metrics.count("a.B/C", Status.OK, 1.0)
        assert await node.metrics.text() is first
        assert 'method="a.B/C"' in str(await values(node))

    run(test)


def test_the_page_is_what_prometheus_reads() -> None:
    async def test(node: MeasuredNode) -> None:
        import socket

        server = page(node.metrics)
        port = await server.listen([socket.create_server(("127.0.0.1", 0))])
        try:
            reply = await asyncio.to_thread(ask, port, "GET", "/metrics")
            other = await asyncio.to_thread(ask, port, "GET", "/")
        finally:
            await server.stop(0)
        assert (reply.status, other.status) == (200, 404)
        assert reply.header("content-type") == "text/plain; version=0.0.4; charset=utf-8"
        families = list(text_string_to_metric_families(reply.text))
        assert {"smesher_engine_turns", "smesher_hare_output_seconds"} <= {one.name for one in families}
        assert all(one.documentation for one in families)

    run(test)


def test_names_and_labels_are_written_as_they_are() -> None:
    family = Family("a_b", "counter", "With\na \\ line", [({"x": 'y"\\\n'}, 1.5), ({"x": ""}, 2.0)])
    assert written([family]) == (
        b'# HELP a_b With\\na \\\\ line\n# TYPE a_b counter\na_b{x="y\\"\\\\\\n"} 1.5\na_b{x=""} 2.0\n'
    )
    assert written([Family("c", "gauge", "h", [({}, 3.0)])]) == b"# HELP c h\n# TYPE c gauge\nc 3.0\n"
