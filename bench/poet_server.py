"""Durable submits over HTTP: rate, CPU of the server, latency, and that none is lost.

`python -m bench.poet_server` starts a server of its own on an empty directory and drives it from another process
in a closed loop. Server and clients are pinned to different CPUs where there are two. `--slow N` holds N
connections that send a byte a second meanwhile, `--silent N` ones that send nothing. How long the start took and the
memory of all processes of the server, idle before and after the load, is told too. Prints a table, and with `--json`
one object.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

START_TIMEOUT_S = 20.0
IDLE_S = 2.0
"""Before memory is looked at."""


def requests(count: int, difficulty: int, pow_challenge: bytes, first: int = 0) -> list[bytes]:
    """Complete HTTP requests of so many members, each signed by a key of its own, the keys numbered from `first`."""
    from protocol.poet.registration import has_leading_zero_bits, pow_hash

    made = []
    for index in range(first, first + count):
        public, secret = crypto_sign_seed_keypair(index.to_bytes(32, "big"))
        prefix, challenge = bytes(20) + b"\x04", os.urandom(32)
        nonce = 0
        while difficulty and not has_leading_zero_bits(pow_hash(pow_challenge, public, challenge, nonce), difficulty):
            nonce += 1
        signature = crypto_sign(prefix + challenge, secret)[:64]
        body = json.dumps(
            {
                "nonce": str(nonce),
                "powParams": {"difficulty": difficulty, "challenge": text(pow_challenge)},
                "prefix": text(prefix),
                "challenge": text(challenge),
                "pubkey": text(public),
                "signature": text(signature),
                "deadline": "2099-01-01T00:00:00Z",
            }
        ).encode()
        head = (
            "POST /v1/submit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


def text(value: bytes) -> str:
    """Standard base64."""
    return base64.b64encode(value).decode()


class Client(asyncio.Protocol):
    """One connection of the closed loop: the next request goes when the answer is there."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._sent = 0.0
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: connected."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def _next(self) -> None:
        assert self._transport is not None
        request = self._run.take()
        if request is None:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """asyncio: an answer, whole."""
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self._received = body[length:]
        self._run.answered(head.startswith(b"HTTP/1.1 200"), time.perf_counter() - self._sent)
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: closed."""
        self._run.closed(error)


class Run:
    """A load of requests over some connections."""

    def __init__(self, load: list[bytes]) -> None:
        self._load = iter(load)
        self.latencies: list[float] = []
        self.failed = 0
        self.open = 0
        self.done = asyncio.Event()

    def take(self) -> bytes | None:
        """The next request, None when there is none."""
        return next(self._load, None)

    def answered(self, accepted: bool, latency_s: float) -> None:
        """One answer."""
        self.latencies.append(latency_s)
        self.failed += not accepted

    def closed(self, error: Exception | None) -> None:
        """A connection has ended."""
        self.open -= 1
        if self.open == 0:
            self.done.set()


async def drive(port: int, load: list[bytes], connections: int) -> Run:
    """The whole load in a closed loop."""
    run = Run(load)
    loop = asyncio.get_running_loop()
    run.open = connections
    for _ in range(connections):
        await loop.create_connection(lambda: Client(run), "127.0.0.1", port)
    await run.done.wait()
    return run


async def hold(port: int, silent: int, slow: int) -> None:
    """Connections that send nothing, or a byte a second; one that the server closes is opened again."""

    async def one(drips: bool) -> None:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                while not writer.is_closing():
                    if drips:
                        writer.write(b"G")
                        await writer.drain()
                    await asyncio.sleep(1)
            except OSError:
                await asyncio.sleep(1)

    await asyncio.gather(*(one(index >= silent) for index in range(silent + slow)))


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    """Resident memory of a process and its children, each page that they share counted in each."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in (pid, *children))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def start_server(directory: str, difficulty: int, extra: list[str]) -> tuple[subprocess.Popen[bytes], int]:
    """A server on free ports; its process and HTTP port."""
    process, ports = start_listening(directory, difficulty, extra)
    return process, ports["http"]


def start_listening(
    directory: str, difficulty: int, extra: list[str]
) -> tuple[subprocess.Popen[bytes], dict[str, int]]:
    """A server on free ports; its process and the ports "http" and "grpc"."""
    words = ["--json", "--poetdir", directory, "--epoch-duration", "1h", "--phase-shift", "30m"]
    for listener in ("rpclisten", "config-rpclisten", "restlisten"):
        words += [f"--{listener}", "127.0.0.1:0"]
    command = [sys.executable, "-m", "bench.poet_server", "--serve", *words, "--pow-difficulty", str(difficulty)]
    process = subprocess.Popen([*command, *extra], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None, "asked for above"
    event = json.loads(process.stdout.readline())
    return process, {name: int(event[name]) for name in ("http", "grpc")}


def percentile(values: list[float], share: float) -> float:
    """The value below which this share lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """One run; the figures."""
    cpus = sorted(os.sched_getaffinity(0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = arguments.silent + arguments.slow + arguments.connections + 100
    if hard < wanted:
        raise SystemExit(f"{wanted} open files are needed, the system allows {hard}; raise it with ulimit -n")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(wanted, hard)), hard))
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        began = time.perf_counter()
        process, port = start_server(directory, arguments.difficulty, [])
        started = time.perf_counter() - began
        holder = None
        try:
            os.sched_setaffinity(process.pid, {cpus[-1]})
            os.sched_setaffinity(0, {cpus[0]})
            challenge = told_challenge(port)
            time.sleep(IDLE_S)
            idle = memory_mb(process.pid)
            load = requests(arguments.submits, arguments.difficulty, challenge)
            if arguments.silent or arguments.slow:
                words = ["--hold", str(port), "--silent", str(arguments.silent), "--slow", str(arguments.slow)]
                holder = subprocess.Popen([sys.executable, "-m", "bench.poet_server", *words])
                time.sleep(3)
            before, began = cpu_seconds(process.pid), time.perf_counter()
            run = asyncio.run(drive(port, load, arguments.connections))
            wall, cpu = time.perf_counter() - began, cpu_seconds(process.pid) - before
            time.sleep(IDLE_S)
            idle_after = memory_mb(process.pid)
            process.send_signal(signal.SIGKILL)
            process.wait()
            stored = count_stored(directory)
        finally:
            if holder is not None:
                holder.kill()
            process.kill()
            process.wait()
    answered = len(run.latencies)
    return {
        "submits": answered,
        "connections": arguments.connections,
        "submits_per_second": round(answered / wall, 1),
        "server_cpu_us": round(cpu / answered * 1e6, 1),
        "p50_ms": round(percentile(run.latencies, 0.5) * 1e3, 1),
        "p99_ms": round(percentile(run.latencies, 0.99) * 1e3, 1),
        "refused": run.failed,
        "lost_after_kill": answered - run.failed - stored,
        "difficulty": arguments.difficulty,
        "start_seconds": round(started, 2),
        "idle_mb": round(idle, 1),
        "idle_after_load_mb": round(idle_after, 1),
        "silent": arguments.silent,
        "slow": arguments.slow,
    }


def told_challenge(port: int) -> bytes:
    """The challenge of the proof of work."""
    import urllib.request

    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/pow_params", timeout=START_TIMEOUT_S) as answer:
        return base64.b64decode(json.load(answer)["powParams"]["challenge"])


def count_stored(directory: str) -> int:
    """Members in the databases of a server that was killed."""
    from prover.poet.server.store import RoundStore

    total = 0
    for path in (Path(directory) / "db" / "rounds").iterdir():
        store = RoundStore.open(path)
        total += store.count()
        store.close()
    return total


def main() -> int:
    """The command line."""
    if "--serve" in sys.argv:
        from api.cli.output import Output
        from api.cli.poet.serve import run as serve

        words = sys.argv[sys.argv.index("--serve") + 1 :]
        return serve(argparse.Namespace(words=words), Output(json=True))
    parser = argparse.ArgumentParser(description="Durable submits over HTTP.")
    parser.add_argument("--submits", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=512)
    parser.add_argument("--difficulty", type=int, default=0, help="of the proof of work")
    parser.add_argument("--silent", type=int, default=0, help="connections that send nothing")
    parser.add_argument("--slow", type=int, default=0, help="connections that send a byte a second")
    parser.add_argument("--directory", default=None, help="where the server's directory is made")
    parser.add_argument("--hold", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.hold:
        asyncio.run(hold(arguments.hold, arguments.silent, arguments.slow))
        return 0
    figures = measure(arguments)
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:20} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
