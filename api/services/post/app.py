"""A running PoST service: links to the node, the proof in work, the operator's interface, signals, the way out.

Everything lives on one event loop but the proof, which has a thread. Specified in protocol 01-post-tools, section 4;
exit codes: 0 the watched process is gone, 1 no connection in as many attempts as allowed, 130 and 143 told to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from api.edge import listen
from api.services.post.job import Identity, Job, ProofJob, Say, reason_of, shortened
from api.services.post.link import KeepAlive, Link
from api.services.post.machine import Effect, Level, PostService, Start
from api.services.post.operator import OperatorApi
from api.services.post.options import Settings
from api.services.post.reconnect import Reconnect
from api.services.post.status import One, Snapshot
from kernels import randomx
from kernels.errors import KernelError
from protocol.pb.spacemesh.v1 import post_types_pb2 as pb
from protocol.post.proof import Proof
from prover.errors import ProofError
from prover.post.check import BadLabel
from prover.post.proof.job import CheckFailed
from prover.post.proof.randomx_cache import LIGHT_IDLE_S, RandomXCache

log = logging.getLogger("post-service")
LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

TICK_S = 1.0
STOP_S = 1.4
"""What everything has to end, and a proof to save its pass, when the service is told to stop; it promises 2 s."""

EXIT_GONE, EXIT_INTERRUPTED, EXIT_TERMINATED = 0, 130, 143

Cache = RandomXCache[randomx.Memory]
OpenMemory = Callable[[bool, threading.Event], randomx.Memory]
"""(full, stop) -> RandomX memory; raises Stopped soon after `stop` is set."""

MakeJob = Callable[[Identity, bytes, Settings, Cache, Say], Job]
"""(identity, challenge, settings, RandomX, what to say) -> a proof to make: `ProofJob`."""


class App:
    """One service."""

    def __init__(
        self,
        settings: Settings,
        identities: Sequence[Identity],
        open_memory: OpenMemory,
        *,
        make_job: MakeJob = ProofJob,
        keep_alive: KeepAlive | None = None,
    ) -> None:
        self.settings, self.identities = settings, list(identities)
        self._halt = threading.Event()
        self.cache: Cache = RandomXCache(lambda full: open_memory(full, self._halt), light_idle_s=LIGHT_IDLE_S)
        self._make_job = make_job
        self.machine = PostService([one.metadata for one in identities])
        self.links = [
            Link(
                settings.address,
                settings.tls,
                Reconnect(settings.address.url, settings.reconnect_interval_s, settings.max_retries),
                partial(self._answer, place),
                partial(self._say, place),
                keep_alive=keep_alive,
            )
            for place in range(len(identities))
        ]
        self.operator = OperatorApi(self.snapshot)
        self.operator_port: int | None = None
        self._job: tuple[int, Job, threading.Thread] | None = None
        self._incomplete: list[Sequence[str]] = [() for _ in identities]
        self._read_errors = [0 for _ in identities]
        self._wrong_labels: list[Sequence[BadLabel]] = [() for _ in identities]
        self._nonce_faults = ["" for _ in identities]
        self._stopping = False
        self._end: asyncio.Future[int] | None = None
        self._clocks = time.time() - time.monotonic()

    async def serve(self, ready: Callable[[App], None] = lambda app: None) -> int:
        """Serves until something ends it; the exit code. Raises ProofError for what keeps it from serving."""
        loop = asyncio.get_running_loop()
        self._end = loop.create_future()
        with self._signals(loop):
            await self._listen()
            await asyncio.to_thread(self._look_at_data)
            tasks = [asyncio.create_task(link.run()) for link in self.links]
            tasks.append(asyncio.create_task(self._tick()))
            if self.settings.watch_pid is not None:
                tasks.append(asyncio.create_task(self._watch(self.settings.watch_pid)))
            for task in tasks:
                task.add_done_callback(self._task_ended)
            ready(self)
            try:
                return await self._end
            finally:
                await self._stop(tasks)

    def end(self, code: int) -> None:
        """Ends `serve` with this code; from the loop's thread."""
        if self._end is not None and not self._end.done():
            self._end.set_result(code)

    @property
    def busy(self) -> bool:
        """Whether a proof's thread is still running."""
        return self._job is not None and self._job[2].is_alive()

    def snapshot(self) -> Snapshot:
        """What is shown to the operator."""
        one = [self._one(place) for place in range(len(self.identities))]
        return Snapshot(self.settings, one, self.cache.state, time.monotonic(), self._date)

    # -- the node -------------------------------------------------------------------------------------------

    def _answer(self, place: int, request: pb.NodeRequest) -> pb.ServiceResponse:
        response, effects = self.machine.receive(place, request, time.monotonic())
        self._perform(effects)
        return response

    def _perform(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Start):
                self._start(effect)
            else:
                self._say(effect.identity, effect.level, effect.text)

    def _say(self, place: int, level: str, text: str) -> None:
        name = f"{self.identities[place].name}: " if len(self.identities) > 1 else ""
        log.log(LEVELS[level], "%s%s", name, text)

    # -- the proof ------------------------------------------------------------------------------------------

    def _start(self, effect: Start) -> None:
        if self._stopping:
            return
        loop, place = asyncio.get_running_loop(), effect.identity

        def say(level: Level, text: str) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._say, place, level, text)

        job = self._make_job(self.identities[place], effect.challenge, self.settings, self.cache, say)

        def work() -> None:
            result: Proof | Exception
            try:
                result = job.run()
            except Exception as error:  # whatever it is, the node is told and the next request starts afresh
                result = error
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._ended, place, job, result)

        self._read_errors[place] = 0
        thread = threading.Thread(target=work, name="proof", daemon=True)
        self._job = (place, job, thread)
        thread.start()

    def _ended(self, place: int, job: Job, result: Proof | Exception) -> None:
        self._job = None
        self._read_errors[place] = job.read_errors
        self._look_at_files(place)
        now = time.monotonic()
        if isinstance(result, Proof):
            self._perform(self.machine.made(place, result, now, weakened=job.weakened))
        elif not self._stopping:
            reason = reason_of(result)
            log.debug("", exc_info=result)
            self._perform(self.machine.failed(place, reason, now, in_check=isinstance(result, CheckFailed)))

    def _look_at_files(self, only: int | None = None) -> None:
        """Counts what is missing, for the operator; the start and each proof say it in the log."""
        for place, identity in enumerate(self.identities):
            if only in (None, place):
                try:
                    self._incomplete[place] = identity.incomplete()
                    self._wrong_labels[place] = identity.wrong_labels()
                except ProofError as error:
                    self._incomplete[place] = [str(error)]

    def _look_at_data(self) -> None:
        """Says which identity's files are missing or short, or its VRF nonce one that the network would refuse.

        The first proof, which would tell of the files, may be two weeks away; of the nonce no proof tells.
        """
        self._look_at_files()
        for place, identity in enumerate(self.identities):
            if self._incomplete[place]:
                self._say(
                    place,
                    "warning",
                    f"The data is not complete: {shortened(self._incomplete[place])}. A proof from it is weaker, or "
                    "there is none; complete the data with smesher init.",
                )
            with contextlib.suppress(ProofError, KernelError):  # data that cannot be read is told when a proof needs it
                self._nonce_faults[place] = identity.nonce_fault(self.settings)
            if self._nonce_faults[place]:
                self._say(place, "warning", self._nonce_faults[place])

    def _one(self, place: int) -> One:
        job = self._job[1] if self._job is not None and self._job[0] == place else None
        return One(
            self.identities[place],
            self.machine.states[place],
            self.links[place].policy,
            job.progress if job is not None else None,
            self._incomplete[place],
            self._wrong_labels[place],
            self._nonce_faults[place],
            job.read_errors if job is not None else self._read_errors[place],
        )

    def _date(self, moment: float) -> str:
        return datetime.fromtimestamp(moment + self._clocks).strftime("%Y-%m-%d %H:%M:%S")

    # -- beginning and end ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _signals(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        codes = {signal.SIGTERM: EXIT_TERMINATED, signal.SIGINT: EXIT_INTERRUPTED}
        mine = threading.current_thread() is threading.main_thread()
        for number, code in codes.items() if mine else ():
            loop.add_signal_handler(number, self.end, code)
        try:
            yield
        finally:
            for number in codes if mine else ():
                loop.remove_signal_handler(number)

    async def _listen(self) -> None:
        if self.settings.operator_address is None:
            return
        sock = listen.bind(self.settings.operator_address, "--operator-address")
        self.operator_port = listen.port_of(sock)
        await self.operator.start(sock)
        address = listen.Address(self.settings.operator_address.host, self.operator_port)
        log.info("The operator's interface is at http://%s/status.", address)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._end is None or self._end.done():
            return
        error = task.exception()
        if error is not None:
            self._end.set_exception(error)

    async def _tick(self) -> None:
        """Gives the data set back some time after the last proof."""
        while True:
            await asyncio.sleep(TICK_S)
            if await asyncio.to_thread(self.cache.release_idle):
                log.info("RandomX was not used for a while; its memory is given back.")

    async def _watch(self, pid: int) -> None:
        began = started_at(pid)
        while began is not None and started_at(pid) == began:
            await asyncio.sleep(TICK_S)
        log.info("The watched process %d is gone.", pid)
        self.end(EXIT_GONE)

    async def _stop(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        self._stopping = True
        self._halt.set()
        self.operator.stop_listening()
        until = time.monotonic() + STOP_S
        if self._job is not None:
            log.info("The proof in work is stopped; asked for again, it goes on where it was.")
            self._job[1].stop()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=STOP_S)
        await self.operator.stop()
        while self.busy and time.monotonic() < until:
            await asyncio.sleep(0.02)
        if not self.busy:
            self.cache.close()


def started_at(pid: int) -> str | None:
    """When a process began (in the system's own count); None when it is gone, a zombie or dead.

    Two processes that have the same number one after another differ in it.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in ("Z", "X", "x") else fields[19]
    except (OSError, IndexError):
        if Path("/proc/self/stat").exists():
            return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except (PermissionError, OverflowError):
        return "there"
    return "there"
