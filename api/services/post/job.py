"""One proof from the request to the checked result: k2pow, pass, self-check; blocks, so it runs in a thread.

It proves from what is there, by the number in a file's name, and remembers what was missing. A proof that was made
is kept beside the saved pass until another one is made: a service or node that restarts at the wrong moment costs
seconds instead of a pass. Specified in protocol 01-post, sections 4 to 6, and 01-post-tools, section 4.2.
"""

from __future__ import annotations

import base64
import json
import os
import re
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from api.clients.k2pow import RemotePow
from api.services.post.machine import Level
from api.services.post.options import Settings
from kernels import randomx
from protocol.errors import ProtocolError
from protocol.post.proof import (
    NONCES_PER_GROUP,
    Proof,
    ProofMetadata,
    proof_from_json,
    proof_to_json,
    proving_difficulty,
    scale_pow_difficulty,
)
from protocol.post.rules import commitment
from prover.errors import DataError, EnvironmentFault, Interrupted, ProofError
from prover.post.directory import Storage
from prover.post.init import scrypt_n
from prover.post.layout import Layout, file_name, file_number
from prover.post.metadata import PostMetadata
from prover.post.proof import prove, verify
from prover.post.proof.pow import Search
from prover.post.proof.prove import ProveParams, Prover
from prover.post.proof.randomx_cache import RandomXCache
from prover.post.proof.verify import Claim, Mode, Verdict, VerifyParams

Phase = Literal["preparing", "randomx", "k2pow", "labels", "checking"]
Say = Callable[[Level, str], None]
"""A sentence for the log; from any thread."""

LENIENT_NAME = re.compile(r"postdata_0*([0-9]{1,18})\.bin", re.ASCII)
NAMED = 3
"""Files that a sentence names; of more it gives the number."""


class CheckFailed(DataError):
    """A proof was found, but it is not valid."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A data directory that proofs are made over."""

    storage: DataFiles
    metadata: PostMetadata
    layout: Layout
    state_file: Path
    """Where a pass is saved."""

    @property
    def name(self) -> str:
        """How the log calls it."""
        return self.metadata.node_id.hex()[:10]

    def incomplete(self) -> list[str]:
        """Sentences about files that are missing or short."""
        return prove.incomplete(self.layout, self.storage.data_files())


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
    """Makes one proof."""

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
        self._difficulty = scale_pow_difficulty(settings.pow_difficulty, identity.metadata.num_units)
        self._stopped = threading.Event()
        self._prover: Prover | None = None
        self._search: Search | None = None
        self._finder: Callable[[int], int] | None = None
        remote = settings.remote_pow
        self._remote: RemotePow | None = None
        if remote is not None:
            self._remote = RemotePow(
                remote.urls,
                parallelism=remote.parallelism,
                backoff_s=remote.backoff_s,
                pow_hash=self._pow_hash,
                note=self._warn,
                token=remote.token,
            )
        self._missing: list[str] = []
        self.progress = Progress("preparing", 0, settings.nonces, since=clock())

    def stop(self) -> None:
        """Makes `run` raise Interrupted soon; the pass is saved."""
        self._stopped.set()
        for part in (self._prover, self._search, self._remote):
            if part is not None:
                part.stop()

    def run(self) -> Proof:
        """The proof, made or found kept, and checked.

        Raises CheckFailed when the data gives no valid proof, other ProofErrors, KernelError, ProtocolError.
        """
        settings, metadata = self._settings, self._identity.metadata
        if settings.pinned_cores:
            os.sched_setaffinity(0, settings.pinned_cores)  # this thread and those that it starts
        params = ProveParams(settings.k1, settings.k2, settings.nonces, settings.threads, settings.pinned_cores)
        params.check()
        proving_difficulty(settings.k1, metadata.num_labels)
        kept = self._kept()
        if kept is not None and self._verdict(kept).valid:
            self._say("info", "The proof for this challenge was made before and is still there.")
            return kept
        self._look_at_data()
        self._prover = Prover(
            self._identity.storage,
            metadata,
            self._challenge,
            params,
            self._find_pow,
            state_file=self._identity.state_file,
            pow_difficulty=self._difficulty,
            progress=self._advance,
            note=self._warn,
        )
        if self._stopped.is_set():
            raise Interrupted("Stopped.")
        try:
            proof = self._prover.run(keep_state=True)
        finally:
            if self._remote is not None:
                self._remote.close()
        self._check(proof)
        self._keep(proof)
        self._prover.forget()
        return proof

    def _warn(self, text: str) -> None:
        self._say("warning", text)

    def _enter(self, phase: Phase, done: int = 0, total: int = 0) -> None:
        first = self._prover.first_nonce if self._prover else 0
        self.progress = Progress(
            phase, first, first + self._settings.nonces, done, total, since=self._clock(), done_then=done
        )

    def _advance(self, phase: str, done: int, total: int) -> None:
        known: Phase = "k2pow" if phase == "k2pow" else "labels"
        assert self._prover is not None, "it is the prover that calls"
        if self.progress.phase != known or self.progress.first_nonce != self._prover.first_nonce:
            self._enter(known, done, total)
        else:
            self.progress = replace(self.progress, done=done, total=total, hashes=0)

    @property
    def weakened(self) -> bool:
        """Whether some data was missing or could not be read."""
        return bool(self._missing or self.read_errors)

    @property
    def read_errors(self) -> int:
        """Files that could not be read to their end."""
        return len(set(self._prover.weakened)) if self._prover is not None else 0

    # -- before the pass ------------------------------------------------------------------------------------

    def _look_at_data(self) -> None:
        """Says what is missing; raises DataError where no proof can come of what is there."""
        identity, n = self._identity, self._settings.scrypt_n
        if not identity.storage.data_files():
            raise DataError(f"{identity.storage.path} has no data files.")
        for name in identity.storage.renamed():
            self._warn(f"{name} is taken for a data file as the network's prover does; give it its usual name.")
        self._missing = identity.incomplete()
        if self._missing:
            self._warn(
                f"The data is not complete: {shortened(self._missing)}. The proof is made from what is there, so it is "
                "weaker, or there is none; complete the data with smesher init."
            )
        self._compile()
        if (self._settings.scrypt_r, self._settings.scrypt_p) != (1, 1):
            return
        from kernels.labels import scalar as scrypt_scalar

        key = commitment(identity.metadata.node_id, identity.metadata.commitment_atx_id)
        found = scrypt_n.samples(identity.storage, identity.layout)
        if found and not scrypt_n.matches(key, found, n, scrypt_scalar.label32):
            raise CheckFailed(
                f"None of the labels in {identity.storage.path} that were looked at is right for this identity, its "
                f"commitment ATX and scrypt N = {n}: postdata_metadata.json or -n is wrong, or the data is damaged. "
                "Run smesher verify."
            )

    def _compile(self) -> None:
        from kernels.labels import cpu
        from kernels.scan import aes

        if not (cpu.is_compiled() and aes.is_compiled()):
            self._say("info", "The kernels are compiled for this processor (once, some seconds).")
            cpu.compile_kernels()
            aes.compile_kernels()

    # -- k2pow ----------------------------------------------------------------------------------------------

    def _find_pow(self, group: int) -> int:
        """From the k2pow services, if there are some, else found here."""
        metadata, settings = self._identity.metadata, self._settings
        assert self._prover is not None, "it is the prover that asks"
        first = self._prover.first_nonce // NONCES_PER_GROUP
        place, groups = group - first, settings.nonces // NONCES_PER_GROUP
        if self._remote is not None:
            if self.progress.phase != "k2pow" or not place:
                self._enter("k2pow", place, groups)
            self._finder = self._finder or self._remote.finder(
                self._challenge, metadata.node_id, self._difficulty, settings.nonces
            )
            return self._finder(group)
        with self._borrow(settings.full_randomx) as memory:
            self._enter("k2pow", place, groups)
            search = self._search = Search(
                memory,
                group,
                self._challenge,
                metadata.node_id,
                self._difficulty,
                threads=settings.threads,
                progress=self._hashed,
            )
            if self._stopped.is_set():
                search.stop()
            return search.run()

    def _hashed(self, hashes: int) -> None:
        self.progress = replace(self.progress, hashes=hashes)

    def _pow_hash(self, data: bytes) -> bytes:
        """One RandomX hash, in light mode where nothing else is there; a wrong pow would cost a pass."""
        with self._cache.lend(False) as memory, closing(memory.machine()) as machine:
            return machine.hash(data)

    def _borrow(self, full: bool) -> Any:
        if self._cache.state == "none" or (full and self._cache.state != "full"):
            self._enter("randomx")
        return self._cache.lend(full)

    # -- after the pass -------------------------------------------------------------------------------------

    def _check(self, proof: Proof) -> None:
        self._enter("checking", self.progress.done, self.progress.total)
        verdict = self._verdict(proof)
        if verdict.valid:
            return
        assert self._prover is not None, "it has found the proof"
        self._prover.forget()  # the hits of damaged labels with it
        raise CheckFailed(verify.own_proof_fault(verdict, self._identity.layout, self._identity.storage.path))

    def _verdict(self, proof: Proof) -> Verdict:
        settings, metadata = self._settings, self._identity.metadata
        rules = VerifyParams(
            settings.k1,
            settings.k2,
            settings.pow_difficulty,
            1,
            2**32 - 1,
            metadata.labels_per_unit,
            settings.scrypt_n,
        )
        claimed = ProofMetadata(metadata.node_id, metadata.commitment_atx_id, self._challenge, metadata.num_units)
        self._compile()
        with closing(_labels(settings)) as labels:
            return verify.check(Claim(proof, claimed, Mode.all(settings.k2)), rules, labels, self._pow_hash)

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
        except (ValueError, KeyError, TypeError, ProtocolError, EnvironmentFault):
            return None

    def _keep(self, proof: Proof) -> None:
        document = {"challenge": base64.b64encode(self._challenge).decode(), "proof": proof_to_json(proof)}
        try:
            Storage(self._kept_file.parent).replace(self._kept_file.name, json.dumps(document).encode())
        except EnvironmentFault as error:
            self._warn(f"The proof is not kept for a restart: {error}")


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

    def close(self) -> None:
        """Nothing is held."""


def _labels(settings: Settings) -> Any:
    """The engine that recomputes labels; close it."""
    from kernels.labels import cpu

    if (settings.scrypt_r, settings.scrypt_p) != (1, 1):
        return _ScalarLabels(settings)
    return cpu.LabelEngine(cpu.devices()[0], settings.scrypt_n, settings.threads)


def shortened(sentences: list[str]) -> str:
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
