"""The host of peers: what a connection, a question and a message of gossip cost this process; the other side is in one
of its own (`bench.peers_child`).

The figures of the network's own host and of another library on another day are in protocol 09b, section 7.1.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from rich.table import Table

from bench.settings import ROOT, Settings, Show
from node.contract.demands import PeerRequest, Request, Result
from node.contract.inputs import NotSent, Sent
from node.contract.messages import Message, Origin, PeerId
from node.contract.verdicts import ACCEPT
from node.p2p.host.host import Host
from node.p2p.host.parameters import Framing, HostParameters
from node.p2p.wire import multiaddr
from node.p2p.wire.key_file import PeerKey
from node.sim.chance import Chance
from protocol.numbers.durations import SECOND

PARAMETERS = HostParameters(
    b"bench-1", ("ax1", "tx1"), {"hs/1": Framing.ENVELOPE}, listen=(multiaddr.from_text("/ip4/127.0.0.1/tcp/0"),)
)
LARGE = 64 << 20
PEERS = 20
LOST_S = 3.0
"""After so long without a message the rest is taken for lost."""
ASKED = {
    "connect, ms": 4.0,
    "question out, ms of processor time": 0.15,
    "question in, ms of processor time": 0.15,
    "64 MiB fetched, MB/s": 150.0,
    "gossip in at 5,000/s, ms of processor time": 0.05,
    "gossip in, messages a second": 20_000.0,
    "of them lost, %": 0.0,
    "idle with 20 peers, % of a core": 0.5,
    "memory with 20 peers, MB": 60.0,
}
AT_LEAST = ("64 MiB fetched, MB/s", "gossip in, messages a second")


@dataclass
class Quiet:
    """Who stands behind a host: takes everything, and answers with as many zeros as it is asked for."""

    host: Host
    waiting: dict[int, asyncio.Future[Any]] = field(default_factory=dict)
    messages: int = 0

    def heard(self, topic: str, data: bytes, peer: PeerId) -> None:
        """As Receiver says."""
        self.messages += 1
        self.host.judge(Message(topic, data, Origin.GOSSIP, self.host.gossiping.now(), peer), ACCEPT)

    def asked(self, number: int, request: PeerRequest) -> None:
        """As Receiver says."""
        size = int.from_bytes(request.data[:4], "big")
        self.host.reply(number, bytes(size) if size else request.data)

    def returned(self, call: int, result: Result | Sent | NotSent) -> None:
        """As Receiver says."""
        if call in self.waiting:
            self.waiting.pop(call).set_result(result)


async def settled(condition: Callable[[], bool]) -> None:
    """Until something holds."""
    while not condition():
        await asyncio.sleep(0.001)


async def asked(host: Host, receiver: Quiet, number: int, request: Request) -> Any:
    """The answer to a question."""
    answer = receiver.waiting[number] = asyncio.get_running_loop().create_future()
    host.request(number, request)
    return await answer


class Other:
    """The process of the other side."""

    def __init__(self, process: asyncio.subprocess.Process, addresses: list[str]) -> None:
        self._process = process
        self.addresses = [multiaddr.from_text(one) for one in addresses]

    @classmethod
    async def start(cls, hosts: int) -> Other:
        """So many hosts."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bench.peers_child",
            str(hosts),
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        return cls(process, json.loads(await process.stdout.readline()))

    def tell(self, **order: object) -> None:
        """What it is to do."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")

    async def done(self) -> None:
        """Until it has done it."""
        assert self._process.stdout is not None
        await self._process.stdout.readline()

    async def stop(self) -> None:
        """Let it end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


async def _measure(settings: Settings) -> dict[str, float]:
    found: dict[str, float] = {}
    other = await Other.start(1)
    host = Host(PeerKey(b"\1" * 32), PARAMETERS, Chance(7))
    receiver = Quiet(host)
    host.open(receiver)
    await host.start()
    connects = []
    for _ in range(settings.rounds):
        began = time.perf_counter()
        host.connect(other.addresses[0])
        await settled(lambda: bool(host.peers()))
        connects.append((time.perf_counter() - began) * 1e3)
        if len(connects) < settings.rounds:
            host._links[host.peers()[0]].close()
            await settled(lambda: not host.peers())
            await asyncio.sleep(0.05)
    found["connect, ms"] = median(connects)
    (peer,) = host.peers()
    await settled(lambda: bool(host.gossiping.router.mesh("tx1")))
    count = max(200, int(4000 * settings.seconds))
    began = time.process_time()
    for number in range(count):
        await asked(host, receiver, number, Request("hs/1", bytes(32), peer, 5 * SECOND))
    spent = time.process_time() - began
    found["question out, ms of processor time"] = spent / count * 1e3
    other.tell(do="ask", count=count)
    began = time.process_time()
    await other.done()
    found["question in, ms of processor time"] = (time.process_time() - began) / count * 1e3
    rates = []
    for number in range(max(2, settings.rounds // 2)):
        began = time.perf_counter()
        answer = await asked(host, receiver, number, Request("hs/1", LARGE.to_bytes(4, "big"), peer, 60 * SECOND))
        rates.append(len(answer) / (time.perf_counter() - began) / 1e6)
    found["64 MiB fetched, MB/s"] = median(rates)
    for name, rate, messages in (("at 5,000/s", 5000, int(20_000 * settings.seconds)), ("", 0, 40_000)):
        before, began, wall = receiver.messages, time.process_time(), time.perf_counter()
        other.tell(do="publish", count=messages, rate=rate, size=200)
        await other.done()
        last, seen = time.perf_counter(), before
        while receiver.messages - before < messages and time.perf_counter() - last < LOST_S:
            if receiver.messages > seen:
                last, seen = time.perf_counter(), receiver.messages
            await asyncio.sleep(0.001)
        spent, came = time.process_time() - began, receiver.messages - before
        if rate:
            found[f"gossip in {name}, ms of processor time"] = spent / max(came, 1) * 1e3
        else:
            found["gossip in, messages a second"] = came / (last - wall)
            found["of them lost, %"] = (messages - came) / messages * 100
    await host.stop()
    await other.stop()
    return found


async def _idle(settings: Settings) -> dict[str, float]:
    other = await Other.start(PEERS)
    host = Host(PeerKey(b"\2" * 32), PARAMETERS, Chance(7))
    host.open(Quiet(host))
    await host.start()
    for address in other.addresses:
        host.connect(address)
        await asyncio.sleep(0)
    while len(host.peers()) < PEERS:
        for address in other.addresses:
            host.connect(address)
        await asyncio.sleep(0.05)
    await asyncio.sleep(1)
    gc.collect()
    seconds = max(2.0, 10 * settings.seconds)
    began = time.process_time()
    await asyncio.sleep(seconds)
    found = {
        "idle with 20 peers, % of a core": (time.process_time() - began) / seconds * 100,
        "memory with 20 peers, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    await host.stop()
    await other.stop()
    return found


def run(settings: Settings, show: Show) -> dict[str, object]:
    """The figures, beside what was asked of them."""
    found = asyncio.run(_idle(settings))  # first: memory is the most that there ever was
    found = {**asyncio.run(_measure(settings)), **found}
    table = Table("", "here", "asked")
    for name, asked_for in ASKED.items():
        bound = "at least" if name in AT_LEAST else "at most"
        shown = f"{found[name]:,.3g}" if found[name] < 1000 else f"{found[name]:,.0f}"
        table.add_row(name, shown, f"{bound} {asked_for:,g}")
    show(table)
    return dict(found)
