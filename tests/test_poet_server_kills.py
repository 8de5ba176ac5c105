"""Kills at random moments of tiny rounds: the round ends with the same proof, every acknowledged submit is in it."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from api.poet_client.messages import read_proof
from api.poet_client.service import membership, verify_round

EPOCH_S = 8.0
GAP_S = 3.0
KILLS = int(os.environ.get("POET_KILLS", "6"))
"""How often the server is killed in each run; POET_KILLS=100 for a long one."""


class RealServer:
    """`smesher poet` in a process of its own, started again after every kill on the same ports."""

    def __init__(self, directory: Path, genesis: float) -> None:
        self.ports = free_ports(3)
        rest, rpc, configuration = self.ports
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(genesis))
        self.command = [
            sys.executable,
            "-m",
            "bench.poet_server",
            "--serve",
            f"--poetdir={directory}",
            f"--genesis-time={stamp}",
            f"--restlisten=127.0.0.1:{rest}",
            f"--rpclisten=127.0.0.1:{rpc}",
            f"--config-rpclisten=127.0.0.1:{configuration}",
            f"--epoch-duration={EPOCH_S}s",
            "--phase-shift=4s",
            f"--cycle-gap={GAP_S}s",
            "--lps=1000",
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it serves."""
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert b'"serving"' in line, f"it did not start: {line!r}"

    def kill(self) -> None:
        """As `kill -9`: the server, and with it often the worker."""
        assert self.process is not None
        workers = children(self.process.pid) if random.random() < 0.5 else []
        for pid in (self.process.pid, *workers):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """As an operator stops it; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def get(self, path: str) -> bytes | None:
        """The body of a GET, None where the answer is not 200."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[0]}{path}", timeout=5) as answer:
                body: bytes = answer.read()
                return body
        except (urllib.error.URLError, OSError):
            return None

    def submit(self, index: int) -> tuple[str, bytes] | None:
        """Registers a fresh challenge: round and challenge if it was acknowledged."""
        public, secret = crypto_sign_seed_keypair(index.to_bytes(32, "big"))
        challenge = os.urandom(32)
        params: dict[str, Any] = json.loads(self.get("/v1/pow_params") or b"{}").get("powParams", {})
        body = json.dumps(
            {
                "powParams": params,
                "challenge": base64.b64encode(challenge).decode(),
                "pubkey": base64.b64encode(public).decode(),
                "signature": base64.b64encode(crypto_sign(challenge, secret)[:64]).decode(),
            }
        ).encode()
        try:
            url = f"http://127.0.0.1:{self.ports[0]}/v1/submit"
            with urllib.request.urlopen(url, data=body, timeout=5) as answer:
                return json.load(answer)["roundId"], challenge
        except (urllib.error.URLError, OSError):
            return None


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find the worker")
def test_kills_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    random.seed(7)
    server = RealServer(tmp_path, time.time())
    server.start()
    acknowledged: dict[str, list[bytes]] = {}
    index = 0
    for _ in range(KILLS):
        until = time.monotonic() + random.uniform(0.2, EPOCH_S / 2)
        while time.monotonic() < until:
            index += 1
            answered = server.submit(index)
            if answered is not None:
                acknowledged.setdefault(answered[0], []).append(answered[1])
            time.sleep(0.05)
        server.kill()
        server.start()
    assert acknowledged, "nothing was registered between the kills"
    last = max(int(round_id) for round_id in acknowledged)
    deadline = time.monotonic() + 3 * EPOCH_S + 20
    bodies: dict[str, bytes] = {}
    while len(bodies) < len(acknowledged) and time.monotonic() < deadline:
        for round_id in acknowledged.keys() - bodies.keys():
            body = server.get(f"/v1/proofs/{round_id}")
            if body is not None:
                bodies[round_id] = body
        time.sleep(0.2)
    assert server.stop() == 0
    assert bodies.keys() == acknowledged.keys(), f"no proof of {acknowledged.keys() - bodies.keys()} up to {last}"
    for round_id, challenges in acknowledged.items():
        found = read_proof(bodies[round_id], round_id)
        verify_round(found)
        for challenge in challenges:
            assert membership(found, challenge) is not None, "an acknowledged submit is not in the tree"
    assert not any((tmp_path / "data" / "rounds").glob(f"[0-{last}]/state.bin"))
