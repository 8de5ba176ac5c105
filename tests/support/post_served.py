"""A PoST service inside a test: an App in a thread of this process, whose proofs wait until the test lets them go."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from api.edge.listen import Address as Socket
from api.services.post.app import App, Cache
from api.services.post.job import DataFiles, Identity, Job, Progress, ProofJob
from api.services.post.link import KeepAlive
from api.services.post.options import Address, Settings
from kernels import randomx
from protocol.post.proof import Proof
from prover.errors import Interrupted
from prover.post.layout import Layout
from prover.post.metadata import FILE_NAME, decode
from prover.post.proof import prove
from tests.support.post_node import wait_for
from tests.support.served import Reply, ask
from tests.vector_cases.post_verify import machines

ANY_HASH = b"\xff" * 32

# what a service says is not part of a test's output
logging.getLogger("post-service").addHandler(logging.NullHandler())
logging.getLogger("post-service").propagate = False


class SharedMemory:
    """The light RandomX of the test run, which is not closed with a service."""

    full = False

    def machine(self) -> randomx.Machine:
        return machines().memory.machine()

    def close(self) -> None:
        """Others use it."""


def open_shared(full: bool, stop: threading.Event) -> Any:
    """For `App`: no RandomX of its own."""
    return SharedMemory()


class HeldJob:
    """A proof that begins when the test says so."""

    def __init__(self, job: Job, go: threading.Event) -> None:
        self._job, self._go = job, go
        self._stopped = False

    @property
    def progress(self) -> Progress:
        return self._job.progress

    @property
    def weakened(self) -> bool:
        return self._job.weakened

    @property
    def read_errors(self) -> int:
        return self._job.read_errors

    def run(self) -> Proof:
        while not self._go.wait(0.02):
            if self._stopped:
                raise Interrupted("stopped")
        return self._job.run()

    def stop(self) -> None:
        self._stopped = True
        self._job.stop()


def identity(path: Path, state: Path | None = None) -> Identity:
    """A data directory; the pass is saved beside it unless `state` says where."""
    storage = DataFiles(path)
    text = storage.read_small(FILE_NAME)
    assert text is not None, f"{path} has metadata"
    metadata = decode(text)
    layout = Layout(metadata.num_labels, metadata.max_file_size)
    return Identity(storage, metadata, layout, state or path / prove.STATE_NAME)


def settings_for(address: str, **named: Any) -> Settings:
    """Small data, any pow, one thread, quick reconnects."""
    host, _, port = address.partition("://")[2].rpartition(":")
    given: dict[str, Any] = {
        "address": Address(address, host, int(port), address.startswith("https")),
        "reconnect_interval_s": 0.05,
        "min_num_units": 1,
        "pow_difficulty": ANY_HASH,
        "scrypt_n": 2,
        "nonces": 64,
        "randomx_mode": "light",
        "operator_address": Socket("127.0.0.1", 0),
        **named,
    }
    return Settings(**given)


class Service:
    """A service. Use as a context manager. `go` lets proofs begin; it is set unless `held`."""

    def __init__(
        self,
        settings: Settings,
        *directories: Path,
        held: bool = False,
        make_job: Callable[..., Job] = ProofJob,
        open_memory: Callable[[bool, threading.Event], Any] = open_shared,
        keep_alive: KeepAlive | None = None,
    ) -> None:
        self.go = threading.Event()
        if not held:
            self.go.set()
        self.jobs: list[Job] = []
        self.code: int | None = None
        self.error: BaseException | None = None

        def make(identity: Identity, challenge: bytes, settings: Settings, cache: Cache, say: Any) -> Job:
            job = HeldJob(make_job(identity, challenge, settings, cache, say), self.go)
            self.jobs.append(job)
            return job

        self.app = App(
            settings,
            [identity(one) for one in directories],
            open_memory,
            make_job=make,
            keep_alive=keep_alive,
        )
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="post-service")

    def __enter__(self) -> Service:
        self._thread.start()
        assert self._ready.wait(30), "the service starts"
        if self.error is not None:
            self._thread.join()
            raise self.error
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends it as a signal would."""
        if self._loop is not None and self._thread.is_alive():
            try:
                self._loop.call_soon_threadsafe(self.app.end, 143)
            except RuntimeError:
                pass  # it has just ended by itself
        self.join()

    def join(self) -> int | None:
        """Waits for the end; the exit code."""
        self._thread.join(30)
        assert not self._thread.is_alive(), "the service ends"
        return self.code

    def _run(self) -> None:
        async def serve() -> int:
            self._loop = asyncio.get_running_loop()
            return await self.app.serve(lambda app: self._ready.set())

        try:
            self.code = asyncio.run(serve())
        except BaseException as error:
            self.error = error
        finally:
            self._ready.set()

    def ask(self, method: str, path: str, **headers: str) -> Reply:
        """One request to the operator's interface."""
        assert self.app.operator_port is not None, "it has one"
        return ask(self.app.operator_port, method, path, headers=headers)

    def status(self) -> str:
        """The recorded operator's status."""
        return self.ask("GET", "/status").text

    def wait_status(self, text: str) -> None:
        """Until the status is this."""
        wait_for(lambda: self.status() == text or None, f"status {text}")
