"""What clients can do to consensus: when hare comes to its output, without and with clients that load a node's API.

A devnet of two nodes, one of them loaded; real stores and proofs, layers of two seconds. Clients are processes of their
own, each with several connections that send transactions and ask for accounts as fast as they are answered. Printed:
the delay of hare's output after the layer's start, latency of acknowledged transactions, and how many were refused.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.settings import Settings
from node.contract.ports import Clock
from node.hare.events import HareAgreed
from node.runtime.facts import Facts
from node.sim.keys import SimKey
from node.sim.virtual.transfers import Wallet
from node.store.view import Rows
from protocol.numbers.layers import NetworkTime
from protocol.types import address

CLIENTS, CONNECTIONS = 2, 8
"""Processes, and connections of each."""
ACCOUNTS = 20_000
SEED = 3
FIRST = 18
"""The first layer that is looked at: blocks are made from layer 16 on."""
LAYERS = 10
"""Without clients, and then with them."""
COINS = 10**12


@dataclass
class Outputs:
    """An onlooker: when hare agreed."""

    time: NetworkTime
    clock: Clock
    delays: dict[int, float] = field(default_factory=dict)
    """Milliseconds after the start of the layer."""

    def committed(self, rows: Rows, events: Sequence[object], facts: Facts) -> None:
        """As Onlooker says."""
        for event in events:
            if isinstance(event, HareAgreed):
                self.delays[event.layer] = (self.clock.now() - self.time.start_ns(event.layer)) / 1e6


def run(settings: Settings, show: Callable[[object], None]) -> dict[str, object]:
    """Delays in milliseconds, and what the clients were answered; `show` prints them as they come."""
    from api.edge.loop import run_loop

    with TemporaryDirectory(dir=settings.directory) as folder:
        return run_loop(lambda: _measured(Path(folder).resolve(), show))


async def _measured(folder: Path, show: Callable[[object], None]) -> dict[str, object]:
    from api.node.devnet import HRP, Devnet, Plan
    from api.node.serving import Services

    accounts = {address.to_text(Wallet(SimKey(SEED, n, b"")).address, HRP): COINS for n in range(ACCOUNTS)}
    devnet = Devnet(Plan(folder, 2, accounts), Services)
    await devnet.start()
    try:
        node = devnet.nodes[0]
        outputs = Outputs(node.parameters.time, devnet.clock)
        node.driver.onlookers.append(outputs)
        await _until(devnet.clock, node.parameters.time.start_ns(FIRST + LAYERS))
        quiet = [outputs.delays[layer] for layer in sorted(outputs.delays) if FIRST <= layer < FIRST + LAYERS]
        show(f"hare's output without clients: {_shown(quiet)}")
        target, genesis_id = node.addresses["public"], node.parameters.genesis_id.hex()
        seconds = LAYERS * node.parameters.time.layer_duration_ns / 1e9
        words = [sys.executable, "-m", "bench.node_load", target, genesis_id, str(seconds)]
        clients = [subprocess.Popen([*words, str(n)], stdout=subprocess.PIPE) for n in range(CLIENTS)]
        answers = await asyncio.gather(*(asyncio.to_thread(client.communicate) for client in clients))
        loaded = [outputs.delays[layer] for layer in sorted(outputs.delays) if layer > FIRST + LAYERS]
        show(f"hare's output with {CLIENTS * CONNECTIONS} connections: {_shown(loaded)}")
        found: dict[str, list[Any]] = {"latencies": [], "accounts": [0], "refused": [0]}
        for text, _ in answers:
            for name, value in json.loads(text).items():
                found[name] = found[name] + (value if isinstance(value, list) else [value])
        submits = found["latencies"]
        show(
            f"{len(submits) / seconds:,.0f} transactions acknowledged in a second, {_shown(submits)}; "
            f"{sum(found['refused'])} refused, {sum(found['accounts']) / seconds:,.0f} accounts asked for in a second"
        )
        return {
            "hare_ms": _figures(quiet),
            "hare_loaded_ms": _figures(loaded),
            "submit_ms": _figures(submits),
            "submits_per_second": round(len(submits) / seconds),
            "refused": sum(found["refused"]),
            "accounts_per_second": round(sum(found["accounts"]) / seconds),
            "longest_turn_ms": round(1e3 * node.driver.measures.longest_s, 1),
            "latest_tick_ms": round(node.driver.measures.latest_ns / 1e6, 1),
        }
    finally:
        await devnet.stop()


async def _until(clock: Clock, moment: int) -> None:
    await asyncio.sleep(max(0, moment - clock.now()) / 1e9)


def _figures(values: Sequence[float]) -> dict[str, float]:
    listed = sorted(values)
    if not listed:
        return {}
    middle, high = (listed[min(len(listed) - 1, int(share * len(listed)))] for share in (0.5, 0.99))
    return {"median": round(middle, 1), "p99": round(high, 1), "count": len(listed)}


def _shown(values: Sequence[float]) -> str:
    found = _figures(values)
    return f"{found['median']:.1f} ms, p99 {found['p99']:.1f} ms ({found['count']:.0f})" if found else "none"


# ---- a client ----


def client(target: str, genesis_id: bytes, seconds: float, number: int) -> dict[str, object]:
    """Sends and asks on all its connections; latencies in milliseconds."""
    import grpc.aio

    from protocol.pb.spacemesh.v1 import global_state_types_pb2, tx_types_pb2

    from_, to = ACCOUNTS * number // CLIENTS, ACCOUNTS * (number + 1) // CLIENTS
    left = iter(range(from_, to))
    latencies: list[float] = []
    counts = {"refused": 0, "accounts": 0}

    async def connection(until: float) -> None:
        async with grpc.aio.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            submit = channel.unary_unary(
                "/spacemesh.v1.TransactionService/SubmitTransaction",
                request_serializer=tx_types_pb2.SubmitTransactionRequest.SerializeToString,
                response_deserializer=tx_types_pb2.SubmitTransactionResponse.FromString,
            )
            account = channel.unary_unary(
                "/spacemesh.v1.GlobalStateService/Account",
                request_serializer=global_state_types_pb2.AccountRequest.SerializeToString,
                response_deserializer=global_state_types_pb2.AccountResponse.FromString,
            )
            while time.monotonic() < until and (next_ := next(left, None)) is not None:
                wallet = Wallet(SimKey(SEED, next_, genesis_id))
                began = time.monotonic()
                try:
                    await submit(tx_types_pb2.SubmitTransactionRequest(transaction=wallet.spawn()), timeout=10)
                    latencies.append(1e3 * (time.monotonic() - began))
                    text = address.to_text(wallet.address, "stest")
                    await account(global_state_types_pb2.AccountRequest(account_id={"address": text}), timeout=10)
                    counts["accounts"] += 1
                except grpc.RpcError:
                    counts["refused"] += 1

    async def all_of_them() -> None:
        until = time.monotonic() + seconds
        await asyncio.gather(*(connection(until) for _ in range(CONNECTIONS)))

    asyncio.run(all_of_them())
    return {"latencies": [round(one, 2) for one in latencies], **counts}


if __name__ == "__main__":
    print(json.dumps(client(sys.argv[1], bytes.fromhex(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))))
