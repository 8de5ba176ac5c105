"""The API of a node over sockets: processor time of the server for a request, and how many it answers in a second.

`python -m bench.node_api`: the server is a process of its own, over a LevelDB of fifty thousand transactions; clients
are threads here, each with a connection of its own. Linux, for the processor time of another process.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import message_factory

from api.services.node.backend import NetworkFacts, PeerFacts
from api.services.node.bus import Bus
from api.services.node.listeners import Listeners
from api.services.node.v2.package import V2ALPHA1
from bench.poet_server import cpu_seconds
from bench.queries import BUSY, LAYER_COUNT, put_layer
from node.assembly.parameters import parameters_of
from node.contract.instants import Instant
from node.runtime.facts import Facts
from node.schema import OWN, STATE
from node.store.level import open_own_store, open_store
from node.store.stores import Stores
from node.store.view import Rows, View
from protocol.params.config import networks
from protocol.params.config.services import Api
from protocol.pb.spacemesh.v1 import global_state_pb2
from protocol.types.address import to_text
from protocol.types.ids import LayerId

ANY = "127.0.0.1:0"
PAGE = 100
LEAST = 20
"""Requests before the time of one is told."""


# ---- the server ----


class Stored:
    """A Backend that has rows, and runs nothing."""

    version = build = ""

    def __init__(self, folder: Path) -> None:
        services = ["global", "transaction_v2alpha1", "account_v2alpha1", "layer_v2alpha1", "reward_v2alpha1"]
        api = Api(
            public_services=tuple(services),
            private_services=(),
            post_services=(),
            grpc_public_listener=ANY,
            grpc_json_listener=ANY,
        )
        self.config = replace(networks.BY_NAME["mainnet"], api=api)
        self.parameters = parameters_of(self.config)
        self.bus = Bus(asyncio.get_running_loop())
        self.peering = self
        self.facts = Facts(True, True, *[LayerId(LAYER_COUNT)] * 4)
        self._stores = Stores(open_store(folder / "state", STATE), open_own_store(folder / "own", OWN))

    def network(self) -> NetworkFacts:
        return NetworkFacts("a node")

    def peers(self) -> Sequence[PeerFacts]:
        return ()

    def now(self) -> Instant:
        return Instant(self.parameters.time.start_ns(LAYER_COUNT))

    @contextmanager
    def view(self) -> Iterator[View]:
        view = self._stores.view()
        try:
            yield view
        finally:
            view.close()


async def serve(folder: Path) -> None:
    """Prints the ports, then serves until its input is closed."""
    backend: Any = Stored(folder)
    listeners = Listeners(backend, {})
    print(json.dumps(dict(await listeners.open())), flush=True)
    listeners.serving()
    await asyncio.to_thread(sys.stdin.read)
    await listeners.stop()


def fill(folder: Path) -> None:
    """The stores of a node with a chain of spends."""
    dice = random.Random(1)
    store = open_store(folder / "state", STATE)
    for number in range(1, LAYER_COUNT + 1):
        view = store.view()
        rows = Rows(view)
        put_layer(rows, LayerId(number), dice)
        store.write(rows)
        view.close()
    store.close()
    open_own_store(folder / "own", OWN).close()


# ---- the clients ----

Client = Callable[[], object]
"""Sends one request and takes the answer."""


def grpc_client(port: int, service: Any, method: str, **fields: Any) -> Client:
    """One connection."""
    descriptor = service.methods_by_name[method]
    request = message_factory.GetMessageClass(descriptor.input_type)(**fields).SerializeToString()
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)])
    call = channel.unary_unary(f"/{service.full_name}/{method}")
    return lambda: call(request)


def json_client(port: int, path: str, body: Any) -> Client:
    """One connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    data = json.dumps(body).encode()

    def ask() -> None:
        connection.request("POST", path, data, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status

    return ask


def clients(ports: dict[str, int]) -> dict[str, Callable[[], Client]]:
    """What is asked, by name."""
    text = to_text(BUSY, networks.BY_NAME["mainnet"].main.network_hrp)
    accounts = global_state_pb2.DESCRIPTOR.services_by_name["GlobalStateService"]
    lists = V2ALPHA1.services["TransactionService"]
    account = {"address": text}
    page = {"limit": PAGE, "offset": 3, "include_result": True, "sort_order": 1}
    return {
        "Account": lambda: grpc_client(ports["public"], accounts, "Account", account_id=account),
        "JSON account": lambda: json_client(ports["json"], "/v1/globalstate/account", {"accountId": account}),
        "v2 list of 100 with results": lambda: grpc_client(ports["public"], lists, "List", **page),
        "the same of one account": lambda: grpc_client(ports["public"], lists, "List", address=text, **page),
    }


def measure(pid: int, make: Callable[[], Client], connections: int, seconds: float) -> tuple[float, float]:
    """Processor time of the server for a request in microseconds, and requests in a second."""
    ready = [make() for _ in range(connections)]
    for ask in ready:
        for _ in range(LEAST):
            ask()
    counts = [0] * connections
    began, spent, ends = time.perf_counter(), cpu_seconds(pid), time.perf_counter() + seconds

    def work(place: int) -> None:
        while time.perf_counter() < ends:
            ready[place]()
            counts[place] += 1

    threads = [threading.Thread(target=work, args=(place,)) for place in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    count = sum(counts)
    return 1e6 * (cpu_seconds(pid) - spent) / count, count / (time.perf_counter() - began)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, whatever the figures are."""
    parser = argparse.ArgumentParser(prog="python -m bench.node_api", description="What a node's API costs.")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S", help="one measurement (default 5)")
    parser.add_argument("--directory", type=Path, default=Path(), metavar="D", help="where data is written")
    options = parser.parse_args(argv)
    if options.serve is not None:
        asyncio.run(serve(options.serve))
        return 0
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        fill(Path(name))
        command = [sys.executable, "-m", "bench.node_api", "--serve", name]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            assert server.stdin is not None and server.stdout is not None, "asked for above"
            ports = json.loads(server.stdout.readline())
            for what, make in clients(ports).items():
                for connections in (1, 8):
                    cost, rate = measure(server.pid, make, connections, options.seconds)
                    print(
                        f"{what:28} {connections} connections {cost:8.0f} us of the server {rate:8.0f} requests/s",
                        flush=True,
                    )
            server.stdin.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
