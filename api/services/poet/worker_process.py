"""The worker in a process of its own: both ends of the pipe between it and the registration.

Messages are lines of JSON. The child ends at a checkpoint when its input ends, so it never outlives the server
for long; the parent starts it again when it dies and hands the unfinished rounds over once more. After a round it
makes room for a fresh one: half of its memory is what a round has brought in. Specified in protocol 02-poet,
sections 7.6 and 8.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from api.edge.errors import Failure
from api.edge.lock import DirectoryLock
from api.services.poet.clock import SteadyClock, settling_ns
from api.services.poet.worker_link import Receive
from prover.poet.round.execution import Settings
from prover.poet.server.messages import Assignment, FromWorker, Progress, Stored, ToWorker, from_line, to_line
from prover.poet.server.rounds import Schedule
from prover.poet.server.worker import Worker, WorkerConfig

log = logging.getLogger("poet")

LONGEST_LINE = 1 << 26
RESTART_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits before the worker is started again, the last one from then on."""
STEADY_S = 60.0
"""A worker that lived so long counts as healthy again."""
LOCK_WAIT_S = 30.0
"""A worker whose server was killed needs a moment to save its round."""
LOCK_FILE = "smesher-worker.lock"
EXIT_STOPPED = 0
EXIT_RENEWED = 10
"""The worker has nothing to do after a round, and wants to be started afresh."""
COMMAND = (sys.executable, "-m", "api.services.poet.worker_process")


class ProcessWorker:
    """The parent's end. See `worker_link.WorkerLink`."""

    def __init__(self, config: WorkerConfig, command: Sequence[str] = COMMAND) -> None:
        """command: what is started; another one calls `main` with a clock of its own."""
        self._config = config
        self._command = command
        self._receive: Receive | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._unfinished: dict[int, Assignment] = {}
        self._supervisor: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """The worker's process, None while it is down."""
        return None if self._process is None else self._process.pid

    async def start(self, receive: Receive) -> None:
        """Starts the process and what watches it."""
        self._receive = receive
        self._supervisor = asyncio.get_running_loop().create_task(self._supervise())

    def tell(self, message: ToWorker) -> None:
        """Hands a message over, now or when the worker is there again."""
        if isinstance(message, Assignment):
            self._unfinished[message.round_id] = message
        else:
            self._unfinished.pop(message.round_id, None)
        self._send(to_line(message))

    def _send(self, line: bytes) -> None:
        process = self._process
        if process is not None and process.stdin is not None and not process.stdin.is_closing():
            process.stdin.write(line)

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while not self._stopping:
            began = loop.time()
            code = await self._run_once()
            if self._stopping:
                return
            if code == EXIT_RENEWED:
                continue
            failures = 1 if loop.time() - began > STEADY_S else failures + 1
            wait = RESTART_S[min(failures, len(RESTART_S)) - 1]
            problem = f"the worker ended with code {code}; it is started again in {wait:g} s"
            log.error("%s", problem)
            if self._receive is not None:
                self._receive(Progress("down", problem=problem))
            await asyncio.sleep(wait)

    async def _run_once(self) -> int:
        """One life of the process; returns its exit code."""
        self._process = process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            start_new_session=True,  # an interrupt at the terminal is for the server, which tells the worker
        )
        self._send(config_line(self._config))
        for assignment in self._unfinished.values():
            self._send(to_line(assignment))
        assert process.stdout is not None, "asked for above"
        try:
            async for line in process.stdout:
                message = from_line(line)
                if self._receive is not None and isinstance(message, FromWorker):
                    self._receive(message)
        except (ValueError, TypeError, KeyError) as error:
            log.error("the worker said something that is no message: %s", error)
            process.kill()
        code = await process.wait()
        self._process = None
        return code

    async def stop(self) -> None:
        """Ends the worker's input and waits for its end."""
        self._stopping = True
        process = self._process
        if process is not None and process.stdin is not None:
            process.stdin.close()
        if self._supervisor is not None:
            if process is None:
                self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)


def config_line(config: WorkerConfig) -> bytes:
    """The first line that a worker reads."""
    fields = {
        "datadir": str(config.datadir.resolve()),
        "schedule": asdict(config.schedule),
        "settings": asdict(config.settings),
    }
    return json.dumps(fields).encode() + b"\n"


def config_of(line: bytes) -> WorkerConfig:
    """The configuration in such a line."""
    fields: dict[str, Any] = json.loads(line)
    return WorkerConfig(Path(fields["datadir"]), Schedule(**fields["schedule"]), Settings(**fields["settings"]))


def main(clock: Callable[[], int] | None = None, leaves: Callable[[int], int | None] = lambda round_id: None) -> int:
    """The child: works until its input ends, or a round is done with.

    Exit codes: 0 told to stop, 1 directory in use, 3 environment, 10 to be started afresh.

    clock, leaves: as `Worker` takes them; without a clock it is the machine's, but for its jumps.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # a copy of standard input: the interpreter cannot end while a thread waits inside its own
    told = os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    first = told.readline()
    if not first:
        return EXIT_STOPPED
    config = config_of(first)
    try:
        lock = DirectoryLock.take(config.datadir / LOCK_FILE, "PoET worker", LOCK_WAIT_S)
    except Failure as error:
        log.error("%s", error)
        return error.exit_code
    writing = threading.Lock()

    def emit(message: FromWorker) -> None:
        with writing:
            try:
                sys.stdout.buffer.write(to_line(message))
                sys.stdout.buffer.flush()
            except BrokenPipeError:
                pass  # the server has gone; the end of the input follows

    now = clock or SteadyClock(settling_ns(config.schedule.cycle_gap_ns))
    worker = Worker(config, emit, clock=now, leaves=leaves, until_idle=True)
    told_to_stop = threading.Event()

    def stop() -> None:
        told_to_stop.set()
        worker.stop()

    def listen() -> None:
        for line in told:
            message = from_line(line)
            if isinstance(message, Assignment | Stored):
                worker.tell(message)
        stop()

    threading.Thread(target=listen, name="poet-messages", daemon=True).start()
    threading.Thread(target=_warm, name="poet-warm", daemon=True).start()
    signal.signal(signal.SIGTERM, lambda number, frame: stop())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        worker.run()
    finally:
        lock.release()
    return EXIT_STOPPED if told_to_stop.is_set() else EXIT_RENEWED


def _warm() -> None:
    """Loads the kernels before the first round closes."""
    from prover.poet.round import prove  # noqa: F401


if __name__ == "__main__":
    sys.exit(main())
