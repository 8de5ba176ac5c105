"""The spaces of small networks: PoST data made at the start, and proofs over it made in this process, in one thread.

The data is real, and so are the proofs; what a smesher would do with a service of its own is done beside the node,
since it takes a moment only. Implements `ports.proofs.Spaces`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api.edge.errors import exit_code, sentence
from node.contract.demands import Failed, HeldSpace, ProvenPost, Result
from node.runtime.workers import Work, Workers
from protocol.params.config.node import Config
from protocol.types.activation import PostMetadataV1, PostV1
from protocol.types.ids import AtxId, NodeId
from prover.post import metadata as metadata_file
from prover.post.directory import Storage
from prover.post.init import plan as planning
from prover.post.init.run import Initialisation, look
from prover.post.layout import Layout
from prover.post.metadata import PostMetadata
from prover.post.proof.job import Phase, ProofData, ProofJob, Rules
from prover.post.proof.prove import STATE_NAME, ProveParams
from prover.post.proof.randomx_cache import RandomXCache

from .ports.calls import Answered

if TYPE_CHECKING:
    from kernels import randomx

    Memory = RandomXCache[randomx.Memory]

log = getLogger("post")

MAX_FILE_SIZE = 1 << 20
STOP_S = 0.7
"""What a proof has to be broken off."""
NO_SPACE = Failed("not_connected", "The identity has no space here.")


@dataclass(frozen=True, slots=True)
class Space:
    """What one identity is to hold."""

    folder: Path
    units: int


def light_randomx() -> Memory:
    """RandomX as small networks need it, made at the first proof and given back when it is idle."""

    def light(full: bool) -> randomx.Memory:
        from kernels import randomx
        from protocol.post.proof import RANDOMX_KEY

        return randomx.Memory(RANDOMX_KEY)

    return RandomXCache(light)


class SharedTools:
    """What proofs are verified with, on the memory with which they are made. Implements `ports.proofs.Tools`."""

    full = False

    def __init__(self, memory: Memory, scrypt_n: int) -> None:
        from kernels.labels import cpu

        self._lent = memory.lend(False)
        self._memory = self._lent.__enter__()
        self.labels: Any = cpu.LabelEngine(cpu.devices()[0], scrypt_n)

    def hash(self, data: bytes) -> bytes:
        """As Tools says."""
        with closing(self._memory.machine()) as machine:
            return machine.hash(data)

    def close(self) -> None:
        """As Tools says: others keep the memory."""
        self.labels.close()
        self._lent.__exit__(None, None, None)


def make(config: Config, identity: NodeId, commitment: AtxId, space: Space) -> PostMetadata:
    """Fill the folder of a space, or go on where an earlier start has stopped. Raises ProofError, KernelError."""
    from kernels.devices import rig
    from kernels.labels import cpu

    storage, post = Storage(space.folder), config.post
    request = planning.Request(
        node_id=identity,
        commitment_atx_id=commitment,
        labels_per_unit=post.labels_per_unit,
        num_units=space.units,
        max_file_size=MAX_FILE_SIZE,
        scrypt_n=config.smeshing.opts.scrypt.n,
        min_num_units=post.min_numunits,
        max_num_units=post.max_numunits,
        k1=post.k1,
    )
    planning.check(request)
    storage.create()
    with storage.lock():
        plan = planning.decide(request, look(storage), str(space.folder))
        work = Initialisation(storage, request, plan, rig.label32)
        work.prepare()
        if not work.has_work:
            return work.metadata
        with rig.open_pool(cpu.devices()[:1], request.scrypt_n, 1, rig.Use(), _note) as pool:
            return work.run(pool)


class LocalSpaces:
    """Those of one node. Everything may be called from any thread."""

    def __init__(self, config: Config, memory: Memory, answered: Answered) -> None:
        """memory: RandomX, which all nodes of a process share."""
        self._config, self._memory, self._answered = config, memory, answered
        self._spaces: dict[NodeId, Space] = {}
        self._workers = Workers("post", 1, 100)
        self._is_open = True
        self._job: ProofJob | None = None
        """The one that is being made."""

    def add(self, identity: NodeId, space: Space) -> None:
        """A space that has been made."""
        self._spaces[identity] = space

    def prove(self, call: int, identity: NodeId, challenge: bytes) -> None:
        """As Spaces says."""
        self._put(call, identity, "prove_post", lambda space, metadata: self._prove(space, metadata, challenge))

    def describe(self, call: int, identity: NodeId) -> None:
        """As Spaces says."""
        self._put(call, identity, "describe_post", _held)

    def give_up(self, call: int) -> None:
        """As Spaces says. One that is being made is finished."""
        self._workers.give_up(call)

    def close(self) -> bool:
        """Begin no more, and break off what is being made. Whether nothing of it runs any more."""
        self._is_open = False
        job = self._job
        if job is not None:
            job.stop()
        return self._workers.close(STOP_S)

    def _put(self, call: int, identity: NodeId, kind: str, work: Callable[[Space, PostMetadata], Result]) -> None:
        space = self._spaces.get(identity)
        if space is None:
            self._answered(call, NO_SPACE)
        elif not self._workers.put(Work(call, kind, lambda: self._answered(call, _done(space, work)))):
            self._answered(call, Failed("busy", "More proofs of space wait than are taken."))

    def _prove(self, space: Space, metadata: PostMetadata, challenge: bytes) -> Result:
        from kernels.labels import cpu

        post, proving = self._config.post, self._config.smeshing.proving_opts
        scrypt_n = self._config.smeshing.opts.scrypt.n
        storage = Storage(space.folder)
        job = ProofJob(
            ProofData(
                storage, metadata, Layout(metadata.num_labels, metadata.max_file_size), space.folder / STATE_NAME
            ),
            challenge,
            Rules(post.k1, post.k2, post.pow_difficulty, scrypt_n),
            ProveParams(post.k1, post.k2, proving.nonces, 1),
            self._memory,
            _Silent(),
            full_randomx=False,
            engine=lambda: cpu.LabelEngine(cpu.devices()[0], scrypt_n),
        )
        self._job = job
        if not self._is_open:  # it was closed before there was anything to break off
            return Failed("cancelled", "The node is stopping.")
        try:
            proof = job.make()
        finally:
            self._job = None
        job.forget()
        return ProvenPost(
            PostV1(proof.nonce, proof.indices, proof.pow),
            PostMetadataV1(challenge, metadata.labels_per_unit),
            metadata.num_units,
            AtxId(metadata.commitment_atx_id),
            metadata.nonce,
        )


def _held(space: Space, metadata: PostMetadata) -> Result:
    return HeldSpace(AtxId(metadata.commitment_atx_id), metadata.num_units)


def _done(space: Space, work: Callable[[Space, PostMetadata], Result]) -> Result:
    """What comes of work over a space; what keeps it from being done is told to whoever asked."""
    path = space.folder / metadata_file.FILE_NAME
    try:
        data = Storage(space.folder).read_small(metadata_file.FILE_NAME)
        if data is None:
            return NO_SPACE
        return work(space, metadata_file.decode(data, str(path)))
    except Exception as error:  # a fault of this program is told as what it is, and the node goes on
        if exit_code(error) is None:
            log.error("a proof of space has failed", exc_info=error)
            return Failed("fault", f"{type(error).__name__}: {error} (a fault of this program)")
        return Failed("failed", sentence(error))


def _note(text: str) -> None:
    log.info("%s", text)


class _Silent:
    """A `Watch` of proofs that take a moment."""

    def enter(self, phase: Phase, first_nonce: int, done: int, total: int) -> None:
        """As Watch says."""

    def advance(self, phase: Phase, first_nonce: int, done: int, total: int) -> None:
        """As Watch says."""

    def hashes(self, count: int) -> None:
        """As Watch says."""

    def note(self, text: str) -> None:
        """As Watch says."""
        log.warning("%s", text)
