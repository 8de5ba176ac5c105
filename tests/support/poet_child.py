"""A PoET server in two processes whose clock is a file, and whose rounds end at a fixed number of leaves.

`python -m tests.support.poet_child server DIRECTORY LEAVES FLAG...` serves until told to stop; it starts
`... worker DIRECTORY LEAVES` itself. Killed and started again at any moment, a round lasts as long as the file says,
and has a proof that is known beforehand. `Server` is what a test holds of it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import struct
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from api.services.poet import app, service, worker_process
from api.services.poet.config import load
from prover.poet.round.execution import Settings
from prover.poet.server.rounds import Schedule
from prover.poet.server.worker import WorkerConfig

SECOND_NS = 10**9
SCHEDULE = Schedule(1_800_000_000 * SECOND_NS, 100 * SECOND_NS, 50 * SECOND_NS, 20 * SECOND_NS)
FLAGS = (
    "--genesis-time=2027-01-15T08:00:00Z",
    "--epoch-duration=100s",
    "--phase-shift=50s",
    "--cycle-gap=20s",
    "--rpclisten=127.0.0.1:0",
    "--config-rpclisten=127.0.0.1:0",
    "--restlisten=127.0.0.1:0",
    "--metrics-port=0",
)
REPOSITORY = Path(__file__).resolve().parents[2]
KEPT_HEIGHT = 2
CHECKPOINT_S = 0.03
LOOK_S = 0.02

CLOCK_FILE = "clock"


def set_clock(directory: Path, now_ns: int) -> None:
    """What every process of the server takes for the time from now on."""
    path = directory / CLOCK_FILE
    temporary = path.with_suffix(".new")
    temporary.write_bytes(struct.pack("<q", now_ns))
    temporary.replace(path)


def clock_of(directory: Path) -> Callable[[], int]:
    """Reads that time."""
    path = directory / CLOCK_FILE
    return lambda: int(struct.unpack("<q", path.read_bytes())[0])


class Server:
    """The server as processes that are killed and started again, on other ports every time. A context manager."""

    def __init__(self, directory: Path, leaves: int) -> None:
        self._log = directory / "stderr.log"
        self._command = [
            sys.executable,
            "-m",
            "tests.support.poet_child",
            "server",
            str(directory),
            str(leaves),
            *FLAGS,
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: dict[str, int] = {}

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()

    @property
    def pid(self) -> int:
        """The registration's process."""
        assert self._process is not None
        return self._process.pid

    @property
    def workers(self) -> list[int]:
        """The worker's process, if there is one at the moment."""
        return [int(word) for word in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def start(self) -> None:
        """Starts it and waits until it serves."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=log, cwd=REPOSITORY)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert b'"serving"' in line, f"it did not start: {line!r}"
        self._ports = json.loads(line)["ports"]

    def kill(self, server: bool = True, worker: bool = True) -> None:
        """As `kill -9`."""
        workers = self.workers if worker else []
        for pid in ([self.pid] if server else []) + workers:
            os.kill(pid, signal.SIGKILL)
        if server:
            self._ended()

    def stop(self) -> int:
        """As an operator stops it; the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._ended()

    def _ended(self) -> int:
        assert self._process is not None and self._process.stdout is not None
        self._process.stdout.close()
        return self._process.wait(20)

    @property
    def said(self) -> str:
        """What all its processes have said on standard error."""
        return self._log.read_text()

    def get(self, path: str, port: str = "http", body: bytes | None = None) -> bytes | None:
        """The body of an answer, None where it is not 200."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._ports[port]}{path}", data=body, timeout=5) as answer:
                found: bytes = answer.read()
                return found
        except (urllib.error.URLError, OSError):
            return None

    def submit(self, index: int, challenge: bytes) -> str | None:
        """Registers a challenge with a key of its own: the round, None where it was not acknowledged."""
        public, secret = crypto_sign_seed_keypair(index.to_bytes(32, "big"))
        params: dict[str, Any] = json.loads(self.get("/v1/pow_params") or b"{}").get("powParams", {})
        body = {
            "powParams": params,
            "challenge": base64.b64encode(challenge).decode(),
            "pubkey": base64.b64encode(public).decode(),
            "signature": base64.b64encode(crypto_sign(challenge, secret)[:64]).decode(),
        }
        answer = self.get("/v1/submit", body=json.dumps(body).encode())
        return None if answer is None else str(json.loads(answer)["roundId"])


def serve(directory: Path, leaves: int, flags: list[str]) -> None:
    """The server's process."""
    service.CLOCK_CHECK_S = LOOK_S  # type: ignore[misc]
    config = load([f"--poetdir={directory}", *flags], {})
    settings = Settings(config.lps, checkpoint_s=CHECKPOINT_S, kept_height=KEPT_HEIGHT)
    command = (sys.executable, "-m", "tests.support.poet_child", "worker", str(directory), str(leaves))
    worker = worker_process.ProcessWorker(WorkerConfig(config.datadir, config.schedule, settings), command)

    def ready(running: app.App) -> None:
        ports = {"http": running.rest_port, "metrics": running.metrics_port}
        print(json.dumps({"event": "serving", "ports": ports}), flush=True)

    now = clock_of(directory)  # it goes on by leaps, but nobody sets it: both clocks show the same
    asyncio.run(app.App(config, wall=now, monotonic=now, worker=worker).serve(ready))


def main() -> int:
    """Both roles."""
    role, directory, leaves = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if role == "worker":
        return worker_process.main(clock_of(directory), lambda round_id: leaves)
    serve(directory, leaves, sys.argv[4:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
