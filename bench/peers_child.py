"""The other side of `bench.peers`: hosts in a process of their own, told what to do on standard input.

A JSON object a line: {"do": "publish", "count": N, "rate": a second, 0 for as fast as it goes, "size": bytes},
{"do": "ask", "count": N}. It prints the addresses of its hosts first, then a line when each thing is done.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from typing import Any

from bench.peers import PARAMETERS, Quiet, asked, settled
from node.contract.demands import Request
from node.p2p.host.host import Host
from node.p2p.wire import peer_id
from node.p2p.wire.key_file import PeerKey
from node.sim.chance import Chance
from protocol.numbers.durations import SECOND


async def publish(host: Host, order: dict[str, Any]) -> None:
    """Messages of one topic, no faster than they are to come."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(order["count"]):
        if order["rate"]:
            due = began + number / order["rate"]
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
        elif number % 500 == 0:
            await asyncio.sleep(0)
        host.publish(number, "tx1", number.to_bytes(8, "big") * (order["size"] // 8))


async def ask(host: Host, receiver: Quiet, order: dict[str, Any]) -> None:
    """Questions, one after another."""
    (peer,) = host.peers()
    for number in range(order["count"]):
        await asked(host, receiver, number, Request("hs/1", bytes(32), peer, 5 * SECOND))


async def main(count: int) -> None:
    """So many hosts, until standard input ends."""
    hosts, receivers = [], []
    for number in range(count):
        host = Host(PeerKey(number.to_bytes(32, "big")), PARAMETERS, Chance(number))
        receivers.append(Quiet(host))
        host.open(receivers[-1])
        await host.start()
        hosts.append(host)
    print(json.dumps([f"{host.listening[0]}/p2p/{peer_id.to_text(host.key.id)}" for host in hosts]), flush=True)
    loop, orders = asyncio.get_running_loop(), asyncio.Queue[str]()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(orders.put_nowait, line)
        loop.call_soon_threadsafe(orders.put_nowait, "")

    threading.Thread(target=read, daemon=True).start()
    while line := await orders.get():
        order = json.loads(line)
        await settled(lambda: bool(hosts[0].peers()))
        if order["do"] == "publish":
            await publish(hosts[0], order)
        else:
            await ask(hosts[0], receivers[0], order)
        print("done", flush=True)
    for host in hosts:
        await host.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
