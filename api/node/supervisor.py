"""Smeshing of the node itself, for its one identity: the data is made, and a PoST service runs over it.

| step | by |
|---|---|
| to what the labels are bound | the data, where there is some; else the engine (`commitments`) |
| labels that are missing | `smesher init` in a process of its own, which goes on where it was stopped |
| proofs | our `smesher post-service`, or the program that is configured, which connects to this node |

A program that ends by itself is told of and started again after a while; neither ends the node. Devices are looked at
only where labels are missing. Specified in protocol 04-activation-beacon-eligibility, section 8.3; 10-api, 3.8, 3.10.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from api.edge.errors import EXIT_USAGE, sentence
from api.services.node.events import UserEvent
from api.services.node.smeshing import Provider, Setup, SetupOptions, SetupState, SmeshingRefused
from protocol.params.config.node import Config
from protocol.pb.spacemesh.v1 import admin_types_pb2 as pb
from protocol.post.rules import LABEL_SIZE
from protocol.types.ids import Address, AtxId, NodeId
from prover.errors import ProofError
from prover.post.directory import Storage

from .child import Child, Hear, said
from .data_directory import absolute
from .identities import OwnIdentity
from .ports.keys import Smeshers
from .post_data import Data, delete, error_in
from .post_program import JSON, command, program, relay, relay_event
from .providers import providers

log = logging.getLogger("postService")

BACK_OFF_S, LONGEST_BACK_OFF_S = 1.0, 300.0
"""Until a program that ended by itself is started again: doubled each time."""
STEADY_S = 120.0
"""One that ran for so long is started again as if for the first time."""
CLOSE_S = 10.0
"""More than a program takes to be ended."""


class Coinbase(Protocol):
    """Where rewards go: `api.node.site.Coinbase`."""

    is_set: bool

    def __call__(self) -> Address:
        """Zeros where nobody has said."""

    def set(self, new: Address) -> None:
        """From the next activation on."""


Launch = Callable[[Sequence[str], Hear, Hear | None], Awaitable[Child]]
"""(command, who hears its errors, who hears its output) -> it, running. Raises OSError."""


class Devices(Protocol):
    """Who finds the devices of this machine: `providers.providers`."""

    async def __call__(self, *, benchmark: bool) -> Sequence[Provider]:
        """Raises SmeshingRefused."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a node gives to its supervisor."""

    config: Config
    identity: OwnIdentity
    smeshers: Smeshers
    coinbase: Coinbase
    choose: Callable[[NodeId], Awaitable[AtxId]]
    """To what new labels are bound."""
    address: Callable[[], str]
    """HOST:PORT of the listener of PoST services; empty while there is none."""
    tell: Callable[[UserEvent], None]


class Supervised:
    """The smeshing of one identity. Also `api.services.node.smeshing.Smeshing`. All in one loop."""

    is_supervised = True

    def __init__(
        self,
        around: Surroundings,
        *,
        launch: Launch = Child.start,
        devices: Devices = providers,
        back_off_s: float = BACK_OFF_S,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._around, self._launch, self._devices = around, launch, devices
        self._back_off_s, self._clock_ns = back_off_s, clock_ns
        self.is_smeshing = around.coinbase.is_set
        self._options: SetupOptions | None = None
        self._state = SetupState.NOT_STARTED
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        """Starts and stops, one after another: none of them deletes what another one has begun."""
        self._is_known = False
        """Whether the identity has its data, so that activations are made for it."""
        around.smeshers.only([])

    # ---- Smeshing ----

    def identities(self) -> Sequence[tuple[NodeId, str]]:
        """As Smeshing says."""
        own = self._around.identity
        return [(own.node_id, own.name)] if self._is_known else []

    def coinbase(self) -> Address:
        """As Smeshing says."""
        return self._around.coinbase()

    def set_coinbase(self, coinbase: Address) -> None:
        """As Smeshing says."""
        self._around.coinbase.set(coinbase)

    def setup(self) -> Setup:
        """As Smeshing says."""
        options = self._options
        if options is None:
            return Setup()
        try:
            sizes = Storage(absolute(options.data_dir)).data_files().values()
        except ProofError:
            sizes = dict[int, int]().values()
        return Setup(self._state, sum(size // LABEL_SIZE for size in sizes), options)

    async def providers(self, *, benchmark: bool) -> Sequence[Provider]:
        """As Smeshing says."""
        return await self._devices(benchmark=benchmark)

    async def start(self, coinbase: Address, options: SetupOptions) -> None:
        """As Smeshing says."""
        async with self._turn:
            await self._start(coinbase, options)

    async def _start(self, coinbase: Address, options: SetupOptions) -> None:
        if self._task is not None and not self._task.done():
            raise SmeshingRefused("post service already started")
        program(self._around.config.post_service)
        if not self._around.address():
            raise SmeshingRefused("no listener for PoST services is open: set api.grpc-post-listener")
        data = Data(self._around.config, self._around.identity.node_id, options)
        try:
            found = await asyncio.to_thread(data.survey)
        except ProofError as error:
            raise SmeshingRefused(str(error).rstrip(".")) from None
        self._around.coinbase.set(coinbase)
        self.is_smeshing = True
        self._options, self._state = options, SetupState.PREPARED
        if found.is_complete:
            self._completed(data)
        self._task = asyncio.ensure_future(self._run(data))
        self._task.add_done_callback(_told_if_failed)

    async def stop(self, *, delete_files: bool) -> None:
        """As Smeshing says. What was made stays, unless it is to be deleted."""
        async with self._turn:
            await self._stop(delete_files)

    async def _stop(self, delete_files: bool) -> None:
        if not self.is_smeshing:
            raise SmeshingRefused("not started")
        await self.close()
        self.is_smeshing = self._is_known = False
        self._around.smeshers.only([])
        if delete_files and self._options is not None:
            try:
                await asyncio.to_thread(delete, absolute(self._options.data_dir))
            except ProofError as error:
                raise SmeshingRefused(str(error).rstrip(".")) from None
            self._options, self._state = None, SetupState.NOT_STARTED

    async def begin(self) -> None:
        """At the start of the node: smesh if that is configured. What is wrong with the data is told, and not fatal."""
        smeshing = self._around.config.smeshing
        if not smeshing.start:
            return
        opts = smeshing.opts
        options = SetupOptions(opts.datadir, opts.numunits, opts.maxfilesize, opts.provider, opts.throttle)
        try:
            await self.start(self._around.coinbase(), options)
        except SmeshingRefused as error:
            log.error("Smeshing does not begin: %s. Mend it, then start the node again, or call StartSmeshing.", error)
            self._fail(bytes(0), f"{error}")

    async def close(self, within_s: float = CLOSE_S) -> None:
        """End what runs. Programs are asked to end, then ended; those that have not in time end by themselves."""
        task, self._task = self._task, None
        if task is None or task.done():
            return
        task.cancel()
        await asyncio.wait([task], timeout=within_s)
        if self._state in (SetupState.PREPARED, SetupState.IN_PROGRESS):
            self._state = SetupState.PAUSED

    # ---- what runs ----

    async def _run(self, data: Data) -> None:
        """Until it is cancelled, or the data can never be made as it is asked for."""
        if self._state is not SetupState.COMPLETE:
            await self._fill(data)
        if self._state is SetupState.COMPLETE:
            await self._serve(data)

    async def _fill(self, data: Data) -> None:
        """Until all labels are there, or never can be."""
        pauses = _Pauses(self._back_off_s)
        while (failure := await self._try_to_fill(data)) is not None:
            self._state = SetupState.ERROR
            self._fail(data.found.commitment or bytes(0), failure.text)
            if not failure.may_pass:
                log.error("PoST data cannot be made: %s Mend that, then call StartSmeshing.", failure.text)
                return
            pause = pauses.next(0.0)
            log.error("PoST data was not made: %s It is tried again in %.0f s.", failure.text, pause)
            await asyncio.sleep(pause)
        self._completed(data)

    async def _try_to_fill(self, data: Data) -> _Failure | None:
        """Make what is missing; why it came to no end."""
        try:
            found = await asyncio.to_thread(data.survey)
        except ProofError as error:
            return _Failure(str(error), True)
        if found.is_complete:
            return None
        commitment = found.commitment
        if commitment is None:
            log.info("New labels are bound to the highest activation; which that is, is known once all are here.")
            commitment = await self._around.choose(data.node_id)
        self._state = SetupState.IN_PROGRESS
        self._tell(
            "The labels that are missing are made. Leave the node running, or go on later: what is made stays.",
            init_start=pb.EventInitStart(smesher=data.node_id, commitment=commitment),
        )
        log.info("PoST data is made in %s, bound to %s.", data.path, commitment.hex())
        failure = await self._make(data, commitment)
        if failure is None:
            self._tell(
                "All labels are made. The PoST service starts now, and the first proof is made over them.",
                init_complete=pb.EventInitComplete(smesher=data.node_id),
            )
            log.info("The PoST data in %s is complete.", data.path)
        return failure

    def _completed(self, data: Data) -> None:
        """The identity has its data: its activations are made from now on."""
        self._state, self._is_known = SetupState.COMPLETE, True
        self._around.smeshers.only([data.node_id])

    async def _make(self, data: Data, commitment: AtxId) -> _Failure | None:
        """One run of `smesher init`; why it came to no end."""
        last = [""]

        def hear_event(line: str) -> None:
            text = error_in(line)
            if text:
                last[0] = text

        try:
            child = await self._launch(
                data.command(commitment), lambda line: log.info("init: %s", said(line)), hear_event
            )
        except OSError as error:
            return _Failure(sentence(error), True)
        try:
            code = await child.wait()
        finally:
            await child.stop()
        if code == 0:
            return None
        return _Failure(last[0] or f"smesher init ended with code {code}.", code != EXIT_USAGE)

    async def _serve(self, data: Data) -> None:
        pauses = _Pauses(self._back_off_s)
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                words = command(self._around.config, data.path, self._around.address())
                child = await self._launch(words, relay, relay_event if JSON in words else None)
            except OSError as error:
                why = sentence(error)
            else:
                self._tell(
                    "The PoST service was started; it connects to this node and makes its proofs.",
                    post_service_started=pb.EventPostServiceStarted(),
                )
                log.info("The PoST service was started, as process %d.", child.pid)
                try:
                    why = f"it ended by itself with code {await child.wait()}"
                finally:
                    await child.stop()
                    self._tell(
                        "The PoST service does not run. Unless smeshing was stopped, the node starts it again.",
                        post_service_stopped=pb.EventPostServiceStopped(),
                    )
            pause = pauses.next(loop.time() - began)
            log.error("The PoST service does not run: %s. It is started again in %.0f s.", why.rstrip("."), pause)
            await asyncio.sleep(pause)

    # ---- what is told ----

    def _tell(self, text: str, *, failure: bool = False, **details: Any) -> None:
        event = pb.Event(failure=failure, help=text, **details)
        event.timestamp.FromNanoseconds(self._clock_ns())
        self._around.tell(UserEvent(event))

    def _fail(self, commitment: bytes, text: str) -> None:
        failed = pb.EventInitFailed(smesher=self._around.identity.node_id, commitment=commitment, error=text)
        self._tell(f"No labels are made: {text.rstrip('.')}.", failure=True, init_failed=failed)


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why data was not made."""

    text: str
    """A sentence."""
    may_pass: bool
    """Whether another try can end otherwise."""


class _Pauses:
    """How long until the next try."""

    def __init__(self, first_s: float) -> None:
        self._first_s = self._next_s = first_s

    def next(self, ran_s: float) -> float:
        """After one that ran for so long."""
        if ran_s >= STEADY_S:
            self._next_s = self._first_s
        pause = self._next_s
        self._next_s = min(2 * pause, LONGEST_BACK_OFF_S)
        return pause


def _told_if_failed(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("Smeshing has ended: %s", sentence(error), exc_info=error)
