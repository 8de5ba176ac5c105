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
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from api.edge.errors import EXIT_USAGE, sentence
from api.services.node.events import UserEvent
from api.services.node.smeshing import Provider, Setup, SetupOptions, SetupState, SmeshingRefused
from kernels.devices.types import CPU_ID
from protocol.params.config.node import Config
from protocol.params.config.services import PostService
from protocol.pb.spacemesh.v1 import admin_types_pb2 as pb
from protocol.post.rules import LABEL_SIZE
from protocol.types.ids import Address, AtxId, NodeId
from prover.errors import ProofError
from prover.post import findings, metadata, record
from prover.post.directory import Storage
from prover.post.layout import file_number
from prover.post.proof.prove import STATE_NAME

from .child import Child, Hear, own, said
from .data_directory import absolute
from .identities import OwnIdentity
from .ports.keys import Smeshers
from .providers import providers

log = logging.getLogger("postService")

BACK_OFF_S, LONGEST_BACK_OFF_S = 1.0, 300.0
"""Until a program that ended by itself is started again: doubled each time."""
STEADY_S = 120.0
"""One that ran for so long is started again as if for the first time."""
JSON = "--json"
"""With it our own service says what it logs as events, with their levels."""
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
CLOSE_S = 10.0
"""More than a program takes to be ended."""
THROTTLED = "50"
"""Percent of the time in which labels are made, where they are to leave room for other work."""
SMALL_FILES = (metadata.FILE_NAME, record.FILE_NAME, findings.FILE_NAME, STATE_NAME, "smesher-proof-made.json")
"""What stands beside the labels and means nothing without them."""


class Coinbase(Protocol):
    """Where rewards go: `api.node.site.Coinbase`."""

    is_set: bool

    def __call__(self) -> Address:
        """Zeros where nobody has said."""

    def set(self, new: Address) -> None:
        """From the next activation on."""


Launch = Callable[[Sequence[str], Hear, Hear | None], Awaitable[Child]]
"""(command, who hears its errors, who hears its output) -> it, running. Raises OSError."""


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
        back_off_s: float = BACK_OFF_S,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._around, self._launch = around, launch
        self._back_off_s, self._clock_ns = back_off_s, clock_ns
        self.is_smeshing = around.coinbase.is_set
        self._options: SetupOptions | None = None
        self._state = SetupState.NOT_STARTED
        self._task: asyncio.Task[None] | None = None
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
        return await providers(benchmark=benchmark)

    async def start(self, coinbase: Address, options: SetupOptions) -> None:
        """As Smeshing says."""
        if self._task is not None and not self._task.done():
            raise SmeshingRefused("post service already started")
        program(self._around.config.post_service)
        if not self._around.address():
            raise SmeshingRefused("no listener for PoST services is open: set api.grpc-post-listener")
        data = Data(self._around.config, self._around.identity.node_id, options)
        try:
            await asyncio.to_thread(data.survey)
        except ProofError as error:
            raise SmeshingRefused(str(error).rstrip(".")) from None
        self._around.coinbase.set(coinbase)
        self.is_smeshing = True
        self._options, self._state = options, SetupState.PREPARED
        self._task = asyncio.ensure_future(self._run(data))
        self._task.add_done_callback(_told_if_failed)

    async def stop(self, *, delete_files: bool) -> None:
        """As Smeshing says. What was made stays, unless it is to be deleted."""
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
        await self._fill(data)
        if self._state is not SetupState.COMPLETE:
            return
        self._is_known = True
        self._around.smeshers.only([data.node_id])
        await self._serve(data)

    async def _fill(self, data: Data) -> None:
        pauses = _Pauses(self._back_off_s)
        while not (await asyncio.to_thread(data.survey)).is_complete:
            commitment = data.found.commitment
            if commitment is None:
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
                break
            self._state = SetupState.ERROR
            self._fail(commitment, failure.text)
            if not failure.may_pass:
                log.error("PoST data cannot be made: %s Mend that, then call StartSmeshing.", failure.text)
                return
            pause = pauses.next(0.0)
            log.error("PoST data was not made: %s It is tried again in %.0f s.", failure.text, pause)
            await asyncio.sleep(pause)
        self._state = SetupState.COMPLETE

    async def _make(self, data: Data, commitment: AtxId) -> _Failure | None:
        """One run of `smesher init`; why it came to no end."""
        last = [""]

        def hear_event(line: str) -> None:
            text = _error_in(line)
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
                words = self._service(data)
                hear_output = _relay_event if JSON in words else None
                child = await self._launch(words, _relay, hear_output)
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

    def _service(self, data: Data) -> list[str]:
        """The command of the PoST service."""
        config = self._around.config
        post, proving, scrypt, service = (
            config.post,
            config.smeshing.proving_opts,
            config.smeshing.opts.scrypt,
            config.post_service,
        )
        words = [
            *program(service),
            *("--address", f"http://{self._around.address()}"),
            *("--min-num-units", post.min_numunits),
            *("--max-num-units", post.max_numunits),
            *("--k1", post.k1),
            *("--k2", post.k2),
            *("--pow-difficulty", post.pow_difficulty.hex()),
            *("--dir", data.path),
            *("-n", scrypt.n),
            *("-r", scrypt.r),
            *("-p", scrypt.p),
            *("--threads", proving.threads),
            *("--nonces", proving.nonces),
            *("--randomx-mode", proving.randomx_mode),
            *("--watch-pid", os.getpid()),
            *("--max-retries", service.max_retries),
        ]
        return [str(word) for word in words]

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


# -- the data ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Survey:
    """What is there of the data."""

    is_complete: bool
    commitment: AtxId | None
    """To which it is bound; None: there is none yet."""


class Data:
    """The data of one identity, as it is wanted."""

    def __init__(self, config: Config, node_id: NodeId, options: SetupOptions) -> None:
        self._config, self.node_id, self._options = config, node_id, options
        self.path: Path = absolute(options.data_dir)
        self.found = Survey(False, None)

    def survey(self) -> Survey:
        """What is there; reads small files alone. Raises ProofError where it is other data than is wanted."""
        from prover.post.init.plan import Request, check, decide  # which brings what makes labels
        from prover.post.init.run import look

        storage, config = Storage(self.path), self._config
        found = look(storage)
        before = None
        if found.metadata is not None:
            before = metadata.decode(found.metadata, str(self.path / metadata.FILE_NAME))
        request = Request(
            node_id=self.node_id,
            commitment_atx_id=bytes(32) if before is None else before.commitment_atx_id,
            labels_per_unit=config.post.labels_per_unit,
            num_units=self._options.num_units,
            max_file_size=self._options.max_file_size if before is None else before.max_file_size,
            scrypt_n=config.smeshing.opts.scrypt.n,
            min_num_units=config.post.min_numunits,
            max_num_units=config.post.max_numunits,
            k1=config.post.k1,
        )
        check(request)
        plan = decide(request, found, str(self.path))
        is_complete = before is not None and before.nonce is not None and not plan.lacks_labels
        self.found = Survey(is_complete, None if before is None else AtxId(before.commitment_atx_id))
        return self.found

    def command(self, commitment: AtxId) -> list[str]:
        """What makes what is missing."""
        config, options = self._config, self._options
        words = [
            *("init", "--json", "--data-dir", self.path),
            *("--node-id", self.node_id.hex()),
            *("--commitment-atx-id", commitment.hex()),
            *("--num-units", options.num_units),
            *("--labels-per-unit", config.post.labels_per_unit),
            *("--scrypt-n", config.smeshing.opts.scrypt.n),
            *("--min-num-units", config.post.min_numunits),
            *("--max-num-units", config.post.max_numunits),
        ]
        if self.found.commitment is None:
            words += ["--max-file-size", options.max_file_size]
        if options.provider == CPU_ID:
            words.append("--cpu")
        elif options.provider is not None:
            words += ["--provider", options.provider]
        if options.throttle:
            words += ["--throttle", THROTTLED]
        return own(*(str(word) for word in words))


def delete(path: Path) -> None:
    """Removes labels and what stands beside them; nothing else. Raises ProofError."""
    storage = Storage(path)
    if not storage.exists():
        return
    with storage.lock():
        for name in storage.names():
            if file_number(name) is not None or name in SMALL_FILES:
                storage.remove(name)


def program(configured: PostService) -> list[str]:
    """The PoST service: the program that is configured, else ours. Raises SmeshingRefused."""
    default = next(one.default for one in fields(PostService) if one.name == "post_service_cmd")
    command = configured.post_service_cmd
    if not command or command == default:
        return own("post-service", JSON)
    if not os.access(command, os.X_OK):
        raise SmeshingRefused(f"POSTService.PostServiceCmd is {command}, which is no program that can be started")
    return [command]


def _error_in(line: str) -> str:
    """The text of an error among events; empty for all others."""
    try:
        event: Any = json.loads(line)
    except ValueError:
        return ""
    if not isinstance(event, dict) or event.get("event") != "error":
        return ""
    return said(str(event.get("message", "")))


def _relay(line: str) -> None:
    """A line of the PoST service, for our log, at its own level."""
    text = said(line)
    words = text.upper().split(maxsplit=4)[:4]
    if "ERROR" in words:
        log.error("%s", text)
    elif "WARN" in words or "WARNING" in words:
        log.warning("%s", text)
    else:
        log.info("%s", text)


def _relay_event(line: str) -> None:
    """An event of our own PoST service: what it logs, at its own level."""
    try:
        event: Any = json.loads(line)
    except ValueError:
        _relay(line)
        return
    if isinstance(event, dict) and "message" in event:
        level = LEVELS.get(str(event.get("level")), logging.ERROR if event.get("event") == "error" else logging.INFO)
        log.log(level, "%s", said(str(event["message"])))


def _told_if_failed(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("Smeshing has ended: %s", sentence(error), exc_info=error)
