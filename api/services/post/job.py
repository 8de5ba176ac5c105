"""The proofs of the service: made by `prover.post.proof.job` from what is there; blocks, so each runs in a thread.

Data files are found by the number in a name, and what was missing is remembered. A proof that was made is kept beside
the saved pass until another one is made: a service or node that restarts at the wrong moment costs seconds instead of a
pass. Specified in protocol 01-post-tools, section 4.2.
"""

from __future__ import annotations

import base64
import json
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from api.clients.k2pow import RemotePow
from api.services.post.machine import Level
from api.services.post.options import Settings
from kernels import randomx
from protocol.errors import ProtocolError
from protocol.post.proof import Proof, proof_from_json, proof_to_json
from protocol.post.rules import commitment
from prover.errors import DataError, EnvironmentFault, Interrupted, ProofError
from prover.post import dataset, findings
from prover.post.check import BadLabel
from prover.post.directory import Storage
from prover.post.init import scrypt_n
from prover.post.init.scrypt_n import Label32
from prover.post.layout import file_name, file_number
from prover.post.proof import job, prove
from prover.post.proof.job import Phase
from prover.post.proof.prove import ProveParams
from prover.post.proof.randomx_cache import RandomXCache
from prover.post.proof.verify import PowHash

Say = Callable[[Level, str], None]
"""A sentence for the log; from any thread."""

LENIENT_NAME = re.compile(r"postdata_0*([0-9]{1,18})\.bin", re.ASCII)
NAMED = 3
"""Files that a sentence names; of more it gives the number."""


@dataclass(frozen=True, slots=True)
class Identity(job.ProofData):
    """A data directory that proofs are made over."""

    storage: DataFiles

    @property
    def name(self) -> str:
        """How the log calls it."""
        return self.metadata.node_id.hex()[:10]

    def incomplete(self) -> list[str]:
        """Sentences about files that are missing or short."""
        return prove.incomplete(self.layout, self.storage.data_files())

    def wrong_labels(self) -> list[BadLabel]:
        """Labels that a check or a proof has found wrong and nobody has mended."""
        try:
            return findings.current(self.storage, self.layout)
        except ProofError:
            return []  # what cannot be read is told by the proof that needs it

    def nonce_fault(self, settings: Settings) -> str:
        """What is wrong with the VRF nonce; empty also where the labels are not of this N, which a proof will tell."""
        if self.metadata.nonce is None:
            return "" if self.incomplete() else dataset.NO_NONCE
        label32 = one_label(settings)
        key = commitment(self.metadata.node_id, self.metadata.commitment_atx_id)
        stored = scrypt_n.samples(self.storage, self.layout)
        if not scrypt_n.matches(key, stored, settings.scrypt_n, label32):
            return ""
        return dataset.nonce_fault(self.metadata, lambda index: label32(key, index, settings.scrypt_n))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a proof has come. `position`, `nonces` are what the recorded operator's interface tells."""

    phase: Phase
    first_nonce: int
    end_nonce: int
    done: int = 0
    """Groups (k2pow) or labels."""
    total: int = 0
    hashes: int = 0
    """Tried for the group in work."""
    since: float = 0.0
    """When the phase began."""
    done_then: int = 0
    """What was done when the phase began: a saved pass goes on."""

    @property
    def position(self) -> int:
        """Bytes of the data that are done in this pass."""
        return self.done * 16 if self.phase in ("labels", "checking") else 0


class Job(Protocol):
    """What the service runs: `ProofJob`, or something else in its place."""

    @property
    def progress(self) -> Progress:
        """Where it stands."""

    @property
    def weakened(self) -> bool:
        """Whether some data was missing or could not be read."""

    @property
    def read_errors(self) -> int:
        """Files that could not be read to their end."""

    def run(self) -> Proof:
        """The proof, made and checked. Raises ProofError, KernelError, ProtocolError."""

    def stop(self) -> None:
        """Makes `run` raise Interrupted soon."""


class DataFiles(Storage):
    """A directory as the network's prover sees it: `postdata_01.bin` is file 1 where there is no `postdata_1.bin`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._actual: dict[str, str] = {}
        """Usual name of a data file -> the name that stands for it."""

    def data_files(self) -> dict[int, int]:
        """As `Storage.data_files`."""
        found: dict[int, tuple[str, int]] = {}
        for name, size in sorted(self.names().items()):
            match = LENIENT_NAME.fullmatch(name)
            if match is not None and (int(match[1]) not in found or file_number(name) is not None):
                found[int(match[1])] = (name, size)
        self._actual = {file_name(number): name for number, (name, _) in found.items() if name != file_name(number)}
        return {number: size for number, (_, size) in sorted(found.items())}

    def renamed(self) -> list[str]:
        """Names that stood for those of data files when they were listed last."""
        return list(self._actual.values())

    def read_into(self, name: str, offset: int, target: memoryview | bytearray | Any) -> int:
        """As `Storage.read_into`."""
        return super().read_into(self._actual.get(name, name), offset, target)

    def read(self, name: str, offset: int, size: int) -> bytes:
        """As `Storage.read`."""
        return super().read(self._actual.get(name, name), offset, size)


class ProofJob:
    """Makes one proof for the node, from what is there, and keeps it for a restart."""

    def __init__(
        self,
        identity: Identity,
        challenge: bytes,
        settings: Settings,
        cache: RandomXCache[randomx.Memory],
        say: Say,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._identity, self._challenge, self._settings = identity, challenge, settings
        self._cache, self._say, self._clock = cache, say, clock
        self._stopped = threading.Event()
        self._job: job.ProofJob | None = None
        self._missing: list[str] = []
        self.progress = Progress("preparing", 0, settings.nonces, since=clock())

    def stop(self) -> None:
        """Makes `run` raise Interrupted soon; the pass is saved."""
        self._stopped.set()
        if self._job is not None:
            self._job.stop()

    def run(self) -> Proof:
        """The proof, made or found kept, and checked.

        Raises CheckFailed when the data gives no valid proof, other ProofErrors, KernelError, ProtocolError.
        """
        settings = self._settings
        if settings.pinned_cores:
            os.sched_setaffinity(0, settings.pinned_cores)  # this thread and those that it starts
        making = self._job = job.ProofJob(
            self._identity,
            self._challenge,
            job.Rules(settings.k1, settings.k2, settings.pow_difficulty, settings.scrypt_n),
            ProveParams(settings.k1, settings.k2, settings.nonces, settings.threads, settings.pinned_cores),
            self._cache,
            self,
            full_randomx=settings.full_randomx,
            engine=lambda: _labels(settings),
            remote=self._remote_pow,
        )
        kept = self._kept()
        if kept is not None:
            self._compile()
            if making.verdict(kept).valid:
                self._say("info", "The proof for this challenge was made before and is still there.")
                return kept
        self._look_at_data(making)
        if self._stopped.is_set():
            raise Interrupted("Stopped.")
        proof = making.make()
        self._keep(proof)
        making.forget()
        return proof

    def _remote_pow(self, pow_hash: PowHash) -> RemotePow | None:
        remote = self._settings.remote_pow
        if remote is None:
            return None
        return RemotePow(
            remote.urls,
            parallelism=remote.parallelism,
            backoff_s=remote.backoff_s,
            pow_hash=pow_hash,
            note=self.note,
            token=remote.token,
        )

    # -- what the proof tells on its way (`prover.post.proof.job.Watch`) --------------------------------------

    def note(self, text: str) -> None:
        """Something worth knowing."""
        self._say("warning", text)

    def enter(self, phase: Phase, first_nonce: int, done: int, total: int) -> None:
        """A phase begins."""
        self.progress = Progress(
            phase, first_nonce, first_nonce + self._settings.nonces, done, total, since=self._clock(), done_then=done
        )

    def advance(self, phase: Phase, first_nonce: int, done: int, total: int) -> None:
        """It goes on."""
        self.progress = replace(self.progress, done=done, total=total, hashes=0)

    def hashes(self, count: int) -> None:
        """So many were tried for the group in work."""
        self.progress = replace(self.progress, hashes=count)

    @property
    def weakened(self) -> bool:
        """Whether some data was missing or could not be read."""
        return bool(self._missing or self.read_errors)

    @property
    def read_errors(self) -> int:
        """Files that could not be used to their end."""
        return len(set(self._job.weakened)) if self._job is not None else 0

    # -- before the pass ------------------------------------------------------------------------------------

    def _look_at_data(self, making: job.ProofJob) -> None:
        """Says what is missing; raises DataError where no proof can come of what is there."""
        identity = self._identity
        if not identity.storage.data_files():
            raise DataError(f"{identity.storage.path} has no data files.")
        for name in identity.storage.renamed():
            self.note(f"{name} is taken for a data file as the network's prover does; give it its usual name.")
        self._missing = identity.incomplete()
        if self._missing:
            self.note(
                f"The data is not complete: {shortened(self._missing)}. The proof is made from what is there, so it is "
                "weaker, or there is none; complete the data with smesher init."
            )
        self._compile()
        making.look(one_label(self._settings))

    def _compile(self) -> None:
        from kernels.labels import cpu
        from kernels.scan import aes

        if not (cpu.is_compiled() and aes.is_compiled()):
            self._say("info", "The kernels are compiled for this processor (once, some seconds).")
            cpu.compile_kernels()
            aes.compile_kernels()

    # -- the kept proof -------------------------------------------------------------------------------------

    @property
    def _kept_file(self) -> Path:
        return self._identity.state_file.with_stem(f"{self._identity.state_file.stem}-made")

    def _kept(self) -> Proof | None:
        """The proof that was made last, if it was for this challenge; whether it holds is checked by the caller."""
        try:
            data = Storage(self._kept_file.parent).read_small(self._kept_file.name)
            document = json.loads(data) if data is not None else {}
            if document["challenge"] != base64.b64encode(self._challenge).decode():
                return None
            return proof_from_json(document["proof"])
        except (ValueError, KeyError, TypeError, RecursionError, ProtocolError, EnvironmentFault):
            return None

    def _keep(self, proof: Proof) -> None:
        document = {"challenge": base64.b64encode(self._challenge).decode(), "proof": proof_to_json(proof)}
        try:
            Storage(self._kept_file.parent).replace(self._kept_file.name, json.dumps(document).encode())
        except EnvironmentFault as error:
            self.note(f"The proof is not kept for a restart: {error}")


def one_label(settings: Settings) -> Label32:
    """(commitment, index, scrypt N) -> a full label, with the service's r and p."""
    from kernels.labels import scalar as scrypt_scalar

    return lambda key, index, n: scrypt_scalar.label32(key, index, n, settings.scrypt_r, settings.scrypt_p)


class _ScalarLabels:
    """Labels with scrypt's r and p other than 1: no network uses them, so they are only made right, not fast."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def labels32(self, commitments: Any, indices: Any) -> npt.NDArray[np.uint8]:
        """As `LabelEngine.labels32`."""
        from kernels.labels import scalar as scrypt_scalar

        n, r, p = self._settings.scrypt_n, self._settings.scrypt_r, self._settings.scrypt_p
        rows = [scrypt_scalar.label32(key, index, n, r, p) for key, index in zip(commitments, indices, strict=True)]
        return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), 32)

    def stop(self) -> None:
        """Each label is made at once."""

    def close(self) -> None:
        """Nothing is held."""


def _labels(settings: Settings) -> Any:
    """The engine that recomputes labels; close it."""
    from kernels.labels import cpu

    if (settings.scrypt_r, settings.scrypt_p) != (1, 1):
        return _ScalarLabels(settings)
    return cpu.LabelEngine(cpu.devices()[0], settings.scrypt_n, settings.threads)


def shortened(sentences: Sequence[str]) -> str:
    """The first of many, and how many more there are."""
    more = len(sentences) - NAMED
    return "; ".join(sentences[:NAMED]) + (f" and {more} more" if more > 0 else "")


def reason_of(error: Exception) -> str:
    """Why a proof could not be made, for people."""
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    if isinstance(error, MemoryError):
        return "memory is short."
    text = str(error) or type(error).__name__
    from kernels.errors import KernelError

    if isinstance(error, (ProofError, ProtocolError, KernelError)):
        return text
    return f"{type(error).__name__}: {text} (this is a fault of smesher; please report it with the log)"
