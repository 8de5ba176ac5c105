"""One proof from the request to the checked result: k2pow, the pass, the check of every label that is handed out.

What `prove` and the PoST service have in common. A wrong label among those of a winning nonce is left out, remembered
beside the data, and the same pass goes on to the next winner: one bad label costs one label, not every proof to come.
Specified in protocol 01-post, sections 4 to 6; the reference gives the bad proof away, or fails for ever.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from kernels.devices.types import Stopped
from kernels.randomx import Memory
from protocol.post.proof import (
    NONCES_PER_GROUP,
    Proof,
    ProofMetadata,
    proving_difficulty,
    required_bits,
    scale_pow_difficulty,
    unpack_indices,
)
from protocol.post.rules import LABEL_SIZE, commitment
from prover.errors import DataError, EnvironmentFault, Interrupted, MetadataError
from prover.post import findings, whose
from prover.post.check import BadLabel, read_labels
from prover.post.directory import Storage
from prover.post.init import scrypt_n
from prover.post.layout import Layout, file_name
from prover.post.metadata import PostMetadata
from prover.post.proof import verify
from prover.post.proof.pow import Search
from prover.post.proof.prove import ProveParams, Prover
from prover.post.proof.verify import Claim, Failure, Mode, PowHash, VerifyParams

MOST_LEFT_OUT = 64
"""Wrong labels of one file that are left out one by one; with more the rest of the file is."""

Phase = Literal["preparing", "randomx", "k2pow", "labels", "checking"]

_OF_LABELS = (Failure.INVALID_MSB, Failure.INVALID_LSB)


class CheckFailed(DataError):
    """A proof was found, or would be, but it is not valid."""


class Engine(Protocol):
    """What recomputes labels: `kernels.labels.cpu.LabelEngine`, or labels one by one."""

    def labels32(self, commitments: Sequence[bytes], indices: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Full labels of any indices."""

    def stop(self) -> None:
        """Makes a running call end early with `kernels.devices.types.Stopped`."""

    def close(self) -> None:
        """Gives memory and threads back."""


class PowSource(Protocol):
    """Who else finds proofs of work: k2pow services."""

    def finder(self, challenge: bytes, node_id: bytes, difficulty: bytes, nonces: int) -> Callable[[int], int]:
        """Nonce group -> solution."""

    def stop(self) -> None:
        """Makes a running search raise Interrupted."""

    def close(self) -> None:
        """Ends the search."""


class RandomX(Protocol):
    """Where RandomX memory is kept: `randomx_cache.RandomXCache`."""

    @property
    def state(self) -> str:
        """ "none", "building", "light" or "full"."""

    def lend(self, full: bool) -> AbstractContextManager[Memory]:
        """The memory, for as long as the context lasts."""


class Watch(Protocol):
    """Who follows a proof; called from the thread that makes it."""

    def enter(self, phase: Phase, first_nonce: int, done: int, total: int) -> None:
        """A phase begins; `total` groups (k2pow) or labels."""

    def advance(self, phase: Phase, first_nonce: int, done: int, total: int) -> None:
        """It goes on."""

    def hashes(self, count: int) -> None:
        """So many were tried for the group in work."""

    def note(self, text: str) -> None:
        """Something worth knowing."""


@dataclass(frozen=True, slots=True)
class ProofData:
    """What a proof is made from."""

    storage: Storage
    metadata: PostMetadata
    layout: Layout
    state_file: Path
    """Where a pass is saved."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the network demands of the proof, and what the labels were made with."""

    k1: int
    k2: int
    pow_difficulty: bytes
    """For one unit."""
    scrypt_n: int


class ProofJob:
    """Makes one proof. `make` blocks; `stop` may be called from any thread."""

    def __init__(
        self,
        data: ProofData,
        challenge: bytes,
        rules: Rules,
        params: ProveParams,
        memory: RandomX,
        watch: Watch,
        *,
        full_randomx: bool,
        engine: Callable[[], Engine],
        remote: Callable[[PowHash], PowSource | None] = lambda pow_hash: None,
    ) -> None:
        """`full_randomx`: whether the full data set is wanted for a search here."""
        params.check()
        proving_difficulty(rules.k1, data.metadata.num_labels)
        self._data, self._challenge, self._rules, self._params = data, challenge, rules, params
        self._memory, self._watch, self._full, self._open_engine = memory, watch, full_randomx, engine
        self._commitment = commitment(data.metadata.node_id, data.metadata.commitment_atx_id)
        self.difficulty = scale_pow_difficulty(rules.pow_difficulty, data.metadata.num_units)
        """Of k2pow, for the units of the data."""
        self._remote = remote(self.pow_hash)
        self._finder: Callable[[int], int] | None = None
        self._search: Search | None = None
        self._engine: Engine | None = None
        self._prover: Prover | None = None
        self._stopped = threading.Event()
        self._phase: tuple[Phase, int] = ("preparing", 0)
        self._left_in: Counter[int] = Counter()
        self.wrong: list[BadLabel] = []
        """Labels that are wrong on disk and were left out."""

    @property
    def weakened(self) -> list[str]:
        """Sentences about data that could not be read, or is too damaged to be used."""
        return self._prover.weakened if self._prover is not None else []

    def stop(self) -> None:
        """Makes `make` raise Interrupted soon; the pass is saved."""
        self._stopped.set()
        for part in (self._prover, self._search, self._remote, self._engine):
            if part is not None:
                part.stop()

    def make(self) -> Proof:
        """The proof, made and checked. The saved pass stays until `forget`.

        Raises CheckFailed when the data gives no valid proof, other ProofErrors, KernelError, ProtocolError.
        """
        data = self._data
        known = self._known_wrong()
        self._prover = Prover(
            data.storage,
            data.metadata,
            self._challenge,
            self._params,
            self._find_pow,
            state_file=data.state_file,
            pow_difficulty=self.difficulty,
            progress=self._advance,
            note=self._watch.note,
            judge=self._wrong_labels,
            left_out=[bad.index for bad in known],
        )
        if self._stopped.is_set():
            raise Interrupted("Stopped.")
        try:
            return self._prover.run(keep_state=True)
        except CheckFailed:
            self.forget()
            raise
        finally:
            if self._remote is not None:
                self._remote.close()

    def forget(self) -> None:
        """Removes the saved pass: its proof is written, or the data has turned out to be wrong."""
        if self._prover is not None:
            self._prover.forget()

    def look(self, label32: Callable[[bytes, int, int], bytes]) -> None:
        """Raises CheckFailed where no label that is looked at is right: a pass over that data would be in vain."""
        data, n = self._data, self._rules.scrypt_n
        found = scrypt_n.samples(data.storage, data.layout)
        if not found or scrypt_n.matches(self._commitment, found, n, label32):
            return
        owner = whose.find(data.storage, data.metadata.node_id, data.metadata.commitment_atx_id, found, label32)
        raise CheckFailed(
            f"None of the labels in {data.storage.path} that were looked at is right for this identity, its commitment "
            f"ATX and scrypt N = {n}: the metadata or the N is wrong, or the data is damaged. {owner}"
            f"{' ' if owner else ''}Run smesher verify {quote(str(data.storage.path))}."
        )

    def verdict(self, proof: Proof) -> verify.Verdict:
        """All indices, as the network would check them."""
        rules, metadata = self._rules, self._data.metadata
        demanded = VerifyParams(
            rules.k1, rules.k2, rules.pow_difficulty, 1, 2**32 - 1, metadata.labels_per_unit, rules.scrypt_n
        )
        claimed = ProofMetadata(metadata.node_id, metadata.commitment_atx_id, self._challenge, metadata.num_units)
        with self._labels() as engine:
            return verify.check(Claim(proof, claimed, Mode.all(rules.k2)), demanded, engine, self.pow_hash)

    @contextmanager
    def _labels(self) -> Iterator[Engine]:
        """The engine that recomputes labels; of a large N each takes long, so that `stop` ends it too."""
        with closing(self._open_engine()) as engine:
            self._engine = engine
            if self._stopped.is_set():
                engine.stop()
            try:
                yield engine
            except Stopped:
                raise Interrupted("Stopped.") from None
            finally:
                self._engine = None

    def pow_hash(self, data: bytes) -> bytes:
        """One RandomX hash, in light mode where nothing else is there; a wrong pow would cost a pass."""
        with self._memory.lend(False) as memory, closing(memory.machine()) as machine:
            return machine.hash(data)

    # -- labels that are wrong ------------------------------------------------------------------------------

    def _known_wrong(self) -> list[BadLabel]:
        """What an earlier check or proof has found and nobody has mended."""
        try:
            known = findings.current(self._data.storage, self._data.layout)
        except MetadataError as error:
            self._watch.note(str(error))
            return []
        if known:
            self._watch.note(
                f"{len(known)} labels are known to be wrong ({findings.FILE_NAME}) and are left out; run smesher "
                f"repair {quote(str(self._data.storage.path))}."
            )
        return known

    def _wrong_labels(self, proof: Proof) -> verify.Unusable:
        """What of a winner's labels is wrong on disk; nothing: the proof holds.

        Raises CheckFailed where the proof does not hold though its labels are right, or nothing of it is.
        """
        self._enter("checking", *self._done)
        verdict = self.verdict(proof)
        if verdict.valid:
            return verify.Unusable()
        bad = self._compared(proof) if verdict.failure in _OF_LABELS else []
        values = {label.found for label in bad}
        if not bad or (len(values) == self._rules.k2 and len({label.file for label in bad}) > 1):
            raise CheckFailed(verify.own_proof_fault(verdict, self._data.layout, self._data.storage.path))
        self._remember(bad)
        return verify.Unusable(frozenset(label.index for label in bad), self._too_damaged(bad))

    def _compared(self, proof: Proof) -> list[BadLabel]:
        """The labels of a proof that are not on disk what they have to be."""
        data = self._data
        bits = required_bits(data.metadata.num_labels)
        indices = sorted(set(unpack_indices(proof.indices, bits, self._rules.k2)))
        with self._labels() as engine:
            right = engine.labels32([self._commitment] * len(indices), indices)
        bad = []
        for index, label in zip(indices, right, strict=True):
            number, offset = data.layout.locate(index)
            found = read_labels(data.storage, number, [offset // LABEL_SIZE])[0].tobytes()
            expected = label[:LABEL_SIZE].tobytes()
            if found != expected:
                bad.append(BadLabel(index, number, offset, found, expected))
        return bad

    def _too_damaged(self, bad: Sequence[BadLabel]) -> dict[int, str]:
        """Files that are left out whole, and why."""
        self._left_in.update(label.file for label in bad)
        return {
            number: f"{self._data.storage.path / file_name(number)} has more than {MOST_LEFT_OUT} wrong labels."
            for number in {label.file for label in bad}
            if self._left_in[number] > MOST_LEFT_OUT
        }

    def _remember(self, bad: Sequence[BadLabel]) -> None:
        data = self._data
        self.wrong.extend(bad)
        first = bad[0]
        more = f" and {len(bad) - 1} others" if len(bad) > 1 else ""
        self._watch.note(
            f"Label {first.index} in {file_name(first.file)} at byte offset {first.offset}{more} would have made the "
            "proof invalid: wrong on disk, left out, and the pass goes on. Run smesher repair "
            f"{quote(str(data.storage.path))}."
        )
        try:
            findings.add(data.storage, data.layout, bad)
        except EnvironmentFault as error:
            self._watch.note(f"They are not kept beside the data: {error}")

    # -- k2pow, and what is shown ---------------------------------------------------------------------------

    def _find_pow(self, group: int) -> int:
        """From the k2pow services, if there are some, else found here."""
        metadata, nonces = self._data.metadata, self._params.nonces
        place, groups = group - self._first_nonce // NONCES_PER_GROUP, nonces // NONCES_PER_GROUP
        if self._remote is not None:
            if self._phase[0] != "k2pow" or not place:
                self._enter("k2pow", place, groups)
            self._finder = self._finder or self._remote.finder(
                self._challenge, metadata.node_id, self.difficulty, nonces
            )
            return self._finder(group)
        if self._memory.state == "none" or (self._full and self._memory.state != "full"):
            self._enter("randomx", 0, 0)
        with self._memory.lend(self._full) as memory:
            self._enter("k2pow", place, groups)
            self._search = Search(
                memory,
                group,
                self._challenge,
                metadata.node_id,
                self.difficulty,
                threads=self._params.threads,
                progress=self._watch.hashes,
            )
            if self._stopped.is_set():
                self._search.stop()
            return self._search.run()

    @property
    def _first_nonce(self) -> int:
        return self._prover.first_nonce if self._prover is not None else 0

    @property
    def _done(self) -> tuple[int, int]:
        return self._prover.done if self._prover is not None else (0, 0)

    def _enter(self, phase: Phase, done: int, total: int) -> None:
        self._phase = phase, self._first_nonce
        self._watch.enter(phase, self._first_nonce, done, total)

    def _advance(self, phase: str, done: int, total: int) -> None:
        known: Phase = "k2pow" if phase == "k2pow" else "labels"
        if self._phase != (known, self._first_nonce):
            self._enter(known, done, total)
        else:
            self._watch.advance(known, self._first_nonce, done, total)
