"""The leaf rate of a whole server under load, against the same loop alone.

`python -m bench.poet_rate` starts a server whose round is in work, its hashing thread on a processor of its own, and
sends it a steady stream of submits; server and clients share another processor. In turns the server is halted and
the bare loop runs on the hashing thread's processor from the same leaf on. Rates are by the wall clock, so that all
waiting counts; how long the thread waited for its processor is shown beside it. Protocol 02-poet, section 3.1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bench import poet_server
from kernels.posw import sha256
from prover.poet.round import layers
from prover.poet.server.records import read_round_state

CONNECTIONS = 64
SETTLE_S = 1.5
"""After the server was halted or set going, before anything is counted."""
PHASE_SHIFT_S = 3
FIRST_LEAVES_TIMEOUT_S = 30.0
KEPT_HEIGHT = 12

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Moment:
    """How far the hashing thread was at a checkpoint."""

    leaves: int
    seconds: float
    """Since it began."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What the system has counted for a thread, in seconds."""

    running: float
    waiting: float
    """Ready to run, without a processor."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast leaves were made."""

    per_second: float
    """By the wall clock."""
    waited: float
    """The share of that time in which the thread was ready to run and another program had its processor."""

    @property
    def own(self) -> float:
        """Leaves a second of the rest of that time, waits for anything of ours included."""
        return self.per_second / (1 - self.waited)


def spent_by(process: int | str, thread: int | str) -> Spent:
    """What a thread has taken so far."""
    running, waiting, _ = Path(f"/proc/{process}/task/{thread}/schedstat").read_text().split()
    return Spent(int(running) / 1e9, int(waiting) / 1e9)


class Server:
    """A server with a round in work."""

    def __init__(self, directory: Path, genesis: str, hashing_cpu: int) -> None:
        words = [f"--genesis-time={genesis}", f"--phase-shift={PHASE_SHIFT_S}s", f"--cpu={hashing_cpu}"]
        self._process, self.port = poet_server.start_server(str(directory), 0, words)
        self._worker = 0
        self._data = directory / "data"

    def wait_for_leaves(self) -> None:
        """Until the round is in work and has a checkpoint of this process."""
        deadline = time.monotonic() + FIRST_LEAVES_TIMEOUT_S
        while self.status()["mean_leaves_per_second"] == 0:
            if time.monotonic() > deadline:
                raise SystemExit("the server's round does not begin")
            time.sleep(0.1)
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        self._worker = int(children[0])

    def status(self) -> dict[str, Any]:
        """The worker's part of the status."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/status.json", timeout=10) as answer:
            worker: dict[str, Any] = json.load(answer)["worker"]
        return worker

    def spent(self) -> Spent:
        """The hashing thread's times."""
        return spent_by(self._worker, (self._data / "round.tid").read_text())

    async def next_checkpoint(self) -> Moment:
        """Waits for one and tells where the thread was then, by the worker's own clock."""
        loop = asyncio.get_running_loop()
        before = (await loop.run_in_executor(None, self.status))["num_leaves"]
        while True:
            await asyncio.sleep(0.05)
            now = await loop.run_in_executor(None, self.status)
            if now["num_leaves"] != before:
                return Moment(now["num_leaves"], now["num_leaves"] / now["mean_leaves_per_second"])

    @contextmanager
    def halted(self) -> Iterator[None]:
        """Stands still meanwhile."""
        for pid in (self._process.pid, self._worker):
            os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(SETTLE_S)
            yield
        finally:
            for pid in (self._process.pid, self._worker):
                os.kill(pid, signal.SIGCONT)

    def kill(self) -> None:
        """Ends both processes, as `kill -9` does."""
        for pid in (self._process.pid, *([self._worker] if self._worker else [])):
            os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def killed_after(self, seconds: float) -> float:
        """Seconds of work that a kill after so long costs."""
        began, now = time.monotonic(), self.status()
        seen = (time.monotonic(), now["num_leaves"])
        while time.monotonic() - began < seconds:
            time.sleep(0.01)
            now = self.status()
            if now["num_leaves"] != seen[1]:
                seen = (time.monotonic(), now["num_leaves"])
        rate = now["mean_leaves_per_second"]
        made = seen[1] + rate * (time.monotonic() - seen[0])
        self.kill()
        directory = self._data / "rounds" / "0"
        log = layers.open_log(directory, read_round_state(directory).execution.statement, KEPT_HEIGHT)
        return float((made - (log.recorded << log.height)) / rate)


def loop_alone(cpu: int, first_leaf: int, seconds: float, guess: float) -> Rate:
    """The bare loop, in a thread bound to a processor."""
    rates: list[Rate] = []

    def work() -> None:
        os.sched_setaffinity(0, {cpu})
        leaves = int(seconds * guess)
        control = np.zeros(3, np.int64)
        control[sha256.DONE], control[sha256.LIMIT] = first_leaf, first_leaf + leaves
        control[sha256.TAKEN] = control[sha256.LIMIT] >> KEPT_HEIGHT
        statement, ring = sha256.as_array(bytes(32)), np.zeros(32 * 64, np.uint8)
        began, before = time.perf_counter(), spent_by("self", threading.get_native_id())
        sha256.advance(statement, sha256.new_slots(), ring, KEPT_HEIGHT, control)
        took, after = time.perf_counter() - began, spent_by("self", threading.get_native_id())
        rates.append(Rate(leaves / took, (after.waiting - before.waiting) / took))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return rates[0]


class Stream:
    """Submits at a steady rate over some connections, whatever the answers take."""

    def __init__(self, port: int, per_second: float) -> None:
        self._port = port
        self._per_second = per_second
        self._next_key = 0
        self._stopping = False
        self.accepted = 0
        self.refused = 0
        self.latencies: list[float] = []

    async def run(self, challenge: bytes, seconds: float) -> None:
        """Sends for so long."""
        count = int(seconds * self._per_second)
        load = poet_server.requests(count, 0, challenge, first=self._next_key)
        self._next_key += count
        began = time.perf_counter() + 0.1
        await asyncio.gather(*(self._one(load[index::CONNECTIONS], began, index) for index in range(CONNECTIONS)))

    async def _one(self, load: list[bytes], began: float, place: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        for number, request in enumerate(load):
            due = began + (number * CONNECTIONS + place) / self._per_second
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            self.latencies.append(time.perf_counter() - due)
            if head.startswith(b"HTTP/1.1 200"):
                self.accepted += 1
            else:
                self.refused += 1
        writer.close()


async def under_load(server: Server, stream: Stream | None, challenge: bytes, seconds: float) -> Rate:
    """The server's round between two checkpoints."""
    sending = None
    if stream is not None:
        sending = asyncio.create_task(stream.run(challenge, SETTLE_S + seconds + 3))
    await asyncio.sleep(SETTLE_S)
    first, spent = await server.next_checkpoint(), server.spent()
    await asyncio.sleep(seconds)
    last, now = await server.next_checkpoint(), server.spent()
    if sending is not None:
        await sending
    took = last.seconds - first.seconds
    return Rate((last.leaves - first.leaves) / took, (now.waiting - spent.waiting) / took)


def fewest_interrupts(cpus: list[int]) -> int:
    """The processor that devices disturb least: every durable write of the server ends with an interrupt somewhere."""
    counts = dict.fromkeys(cpus, 0)
    lines = Path("/proc/interrupts").read_text().splitlines()
    columns = [int(word.removeprefix("CPU")) for word in lines[0].split()]
    for line in lines[1:]:
        name, *words = line.split()
        if name.removesuffix(":").isdigit():
            for cpu, count in zip(columns, words):
                if cpu in counts:
                    counts[cpu] += int(count)
    return min(cpus, key=lambda cpu: counts[cpu])


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All rounds; the figures are medians."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise SystemExit("two processors are needed: one hashes, the other one serves")
    hashing = fewest_interrupts(cpus) if arguments.cpu is None else arguments.cpu
    serving = next(cpu for cpu in cpus if cpu != hashing)
    os.sched_setaffinity(0, {serving})  # what is started from here stays there, but for the hashing thread
    alone: list[Rate] = []
    rows: dict[str, list[Rate]] = {"idle": [], "loaded": []}
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        genesis = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        server = Server(Path(directory), genesis, hashing)
        try:
            server.wait_for_leaves()
            challenge = poet_server.told_challenge(server.port)
            stream = Stream(server.port, arguments.rate)
            loop_alone(hashing, 0, 0.1, 50_000)
            for _ in range(arguments.rounds):
                leaves = server.status()["num_leaves"]
                with server.halted():
                    alone.append(loop_alone(hashing, leaves, arguments.seconds, 60_000))
                rows["loaded"].append(asyncio.run(under_load(server, stream, challenge, arguments.seconds)))
                rows["idle"].append(asyncio.run(under_load(server, None, challenge, arguments.seconds)))
        finally:
            server.kill()
        dice = random.Random(1)
        lost_by_kills = []
        for _ in range(arguments.kills):
            server = Server(Path(directory), genesis, hashing)
            server.wait_for_leaves()
            lost_by_kills.append(server.killed_after(1 + 2 * dice.random()))
    figures: dict[str, Any] = {
        "rounds": arguments.rounds,
        "hashing_cpu": hashing,
        "submits_per_second": arguments.rate,
        "accepted": stream.accepted,
        "refused": stream.refused,
        "p99_ms": round(poet_server.percentile(stream.latencies, 0.99) * 1e3, 1),
        "loop_alone": _median(alone, lambda rate: rate.per_second),
        "loop_alone_own": _median(alone, lambda rate: rate.own),
        "loop_alone_waited_percent": _median(alone, lambda rate: 100 * rate.waited),
    }
    for name, found in rows.items():
        pairs = list(zip(found, alone, strict=True))
        figures[name] = _median(found, lambda rate: rate.per_second)
        figures[f"{name}_own"] = _median(found, lambda rate: rate.own)
        figures[f"{name}_waited_percent"] = _median(found, lambda rate: 100 * rate.waited)
        figures[f"{name}_lost_percent"] = _median(
            pairs, lambda pair: 100 * (1 - pair[0].per_second / pair[1].per_second)
        )
        figures[f"{name}_own_lost_percent"] = _median(pairs, lambda pair: 100 * (1 - pair[0].own / pair[1].own))
    figures["kills"] = len(lost_by_kills)
    figures["most_lost_by_a_kill_seconds"] = round(max(lost_by_kills, default=0.0), 2)
    return figures


def _median(found: list[T], figure: Callable[[T], float]) -> float:
    return round(statistics.median(map(figure, found)), 2)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="The leaf rate under load against the loop alone.")
    parser.add_argument("--rate", type=float, default=1000.0, help="submits a second (default 1000)")
    parser.add_argument("--seconds", type=float, default=6.0, help="one measurement (default 6)")
    parser.add_argument("--rounds", type=int, default=5, help="turns (default 5)")
    parser.add_argument("--kills", type=int, default=10, help="at the end (default 10)")
    parser.add_argument("--cpu", type=int, default=None, help="that hashes (default: the one with fewest interrupts)")
    parser.add_argument("--directory", default=None, help="where the server's directory is made")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = measure(arguments)
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:28} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
