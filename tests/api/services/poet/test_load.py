"""Many clients at once: idle ones, dripping ones, and those who come to register."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

import pytest

from bench import poet_server as load

SILENT, DRIPPING = 5_000, 5_000
REGISTERING = 64
SUBMITS = 1_000
SPARE_FILES = 500


def raise_file_limit(wanted: int) -> None:
    """Lets this process and those it starts open so many files, or skips the test and says why."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
        except (OSError, ValueError):
            pytest.skip(
                f"{wanted} open files are needed; the system allows {hard} and we may not raise it (ulimit -Hn)"
            )
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@pytest.mark.slow
@pytest.mark.parametrize("difficulty", [3])
def test_ten_thousand_idle_and_dripping_clients_do_not_stop_submits(tmp_path: Path, difficulty: int) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    raise_file_limit(SILENT + DRIPPING + REGISTERING + SPARE_FILES)
    process, port = load.start_server(str(tmp_path), difficulty, [])
    try:
        requests = load.requests(SUBMITS, difficulty, load.told_challenge(port))
        run, connected = asyncio.run(crowded(port, requests))
    finally:
        process.kill()
        process.wait()
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert connected == SILENT + DRIPPING
    assert (len(run.latencies), run.failed) == (SUBMITS, 0)
    assert load.count_stored(str(tmp_path)) == SUBMITS


async def crowded(port: int, requests: list[bytes]) -> tuple[load.Run, int]:
    """Registers while the others hold their connections; how many of them there were when it began."""
    held: list[asyncio.Transport] = []
    loop = asyncio.get_running_loop()
    for _ in range((SILENT + DRIPPING) // 500):
        made = await asyncio.gather(
            *(loop.create_connection(asyncio.Protocol, "127.0.0.1", port) for _ in range(500)),
        )
        held += [transport for transport, _ in made]
    connected = len(held)

    async def drip() -> None:
        while True:
            for transport in held[SILENT:]:
                if not transport.is_closing():
                    transport.write(b"G")
            await asyncio.sleep(1)

    dripping = asyncio.create_task(drip())
    run = await load.drive(port, requests, REGISTERING)
    dripping.cancel()
    for transport in held:
        transport.abort()
    return run, connected
