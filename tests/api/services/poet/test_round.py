"""A whole round on real time: many clients, processes that die on the way, a proof that everybody can check."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from api.clients.poet.client import PoetClient
from api.clients.poet.service import Registered, RemotePoet, ServiceConfig, membership
from api.services.poet.app import App
from api.services.poet.config import load
from api.services.poet.worker_process import ProcessWorker
from bench.poet_server import start_server

MEMBERS = 200
PHASE_SHIFT_NS = 5 * 10**9


@pytest.mark.slow
@pytest.mark.parametrize("worker_dies", [False, True])
def test_round_from_registration_to_membership(tmp_path: Path, worker_dies: bool) -> None:
    asyncio.run(whole_round(tmp_path, worker_dies))


async def whole_round(directory: Path, worker_dies: bool) -> None:
    words = [f"--poetdir={directory}", "--epoch-duration=10s", "--phase-shift=5s", "--cycle-gap=5s"]
    words += [f"--{name}=127.0.0.1:0" for name in ("rpclisten", "config-rpclisten", "restlisten")]
    app = App(load([*words, "--lps=1000"], {}))
    await app.start()
    try:
        client = PoetClient(f"127.0.0.1:{app.rest_port}", retry_delay_s=0.2, retry_max=30)
        poet = RemotePoet(client, ServiceConfig(PHASE_SHIFT_NS, request_timeout_s=60))
        challenges = [os.urandom(32) for _ in range(MEMBERS)]
        registered = await asyncio.gather(
            *(register(poet, index, challenge) for index, challenge in enumerate(challenges))
        )
        assert {one.round_id for one in registered} == {"0"}
        await asyncio.sleep(max(0.0, (app.config.schedule.start(0) - time.time_ns()) / 1e9 + 1.5))
        if worker_dies:
            assert isinstance(app.service.worker, ProcessWorker) and app.service.worker.pid is not None
            os.kill(app.service.worker.pid, signal.SIGKILL)
            late = await register(poet, MEMBERS, os.urandom(32))
            assert late.round_id == "1", "registration goes on without the worker"
        found = await poet.proof("0")
        assert found.message.proof.leaf_count >= 150
        assert sorted(found.members) == sorted(challenges)
        for challenge in challenges:
            proof = membership(found, challenge)
            assert proof is not None
        assert await poet.proof("0") is found, "the second identity downloads it again"
    finally:
        await app.stop()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find the worker")
def test_round_of_a_server_that_is_killed_while_it_registers_and_while_it_works(tmp_path: Path) -> None:
    asyncio.run(killed_round(tmp_path))


async def killed_round(directory: Path) -> None:
    phase_s, duration_s = 16, 6  # two starts of a server have to fit in, on a machine that does other things too
    genesis = int(time.time()) + 1
    flags = [
        f"--genesis-time={time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(genesis))}",
        f"--phase-shift={phase_s}s",
        f"--epoch-duration={2 * duration_s}s",
        f"--cycle-gap={duration_s}s",
        "--lps=1000",
    ]
    port = free_port()
    flags.append(f"--restlisten=127.0.0.1:{port}")
    process, _ = await asyncio.to_thread(start_server, str(directory), 0, flags)
    try:
        client = PoetClient(f"127.0.0.1:{port}", retry_delay_s=0.2, retry_max=100)
        poet = RemotePoet(client, ServiceConfig(phase_s * 10**9, request_timeout_s=120))
        challenges = [os.urandom(32) for _ in range(MEMBERS)]
        registering = asyncio.gather(*(register(poet, index, one) for index, one in enumerate(challenges)))
        await asyncio.sleep(0.15)
        process = await killed_and_started(process, directory, flags)
        assert {one.round_id for one in await registering} == {"0"}
        await asyncio.sleep(max(0.0, genesis + phase_s + 1.5 - time.time()))
        process = await killed_and_started(process, directory, flags)
        found = await poet.proof("0")
        assert found.message.proof.leaf_count >= 150
        assert sorted(found.members) == sorted(challenges)
        assert all(membership(found, challenge) for challenge in challenges)
        process.terminate()
        assert await asyncio.to_thread(process.wait, 30) == 0
    finally:
        process.kill()
        process.wait()


async def killed_and_started(
    process: subprocess.Popen[bytes], directory: Path, flags: list[str]
) -> subprocess.Popen[bytes]:
    """Ends both processes as `kill -9` does and starts the server again."""
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in (process.pid, *map(int, workers)):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    started, _ = await asyncio.to_thread(start_server, str(directory), 0, flags)
    return started


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def register(poet: RemotePoet, index: int, challenge: bytes) -> Registered:
    public, secret = crypto_sign_seed_keypair((index + 1).to_bytes(32, "big"))
    prefix = bytes(20) + b"\x04"
    signature = crypto_sign(prefix + challenge, secret)[:64]
    return await poet.submit(prefix, challenge, signature, public, time.time_ns() + 3600 * 10**9)
