"""A proof of space-time: a proof of work for each nonce group, then passes over all labels until a nonce wins.

One pass serves all groups of its nonces. Threads read and scan pieces of 1 MiB in any order; their hits are
taken in the order of the data, so for the same data, challenge and nonces the proof is always the same: the
nonce whose K2-th good label comes first. A pass is saved on the way, so that a restart goes on where it was.
Specified in protocol 01-post, section 5.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from protocol.post import LABEL_SIZE
from protocol.post_proof import (
    MAX_GROUPS,
    NONCES_PER_GROUP,
    Difficulty,
    Proof,
    group_key,
    lazy_key,
    pack_indices,
    proving_difficulty,
    required_bits,
)
from prover.errors import DataError, EnvironmentFault, Interrupted, UsageError
from prover.post.layout import Layout, file_name
from prover.post.metadata import PostMetadata
from prover.post.storage import Storage

BATCH_BYTES = 1 << 20
CHUNK_LABELS = 8
"""Labels of one chunk: a tail of a batch that is not a whole chunk is skipped."""

STATE_NAME = "smesher-proof.json"
SAVE_SECONDS = 20.0
AHEAD = 4
"""Batches that may wait for their turn, for each thread."""

FindPow = Callable[[int], int]
"""Nonce group -> the lowest k2pow solution for it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A piece of one file that is read and scanned at once."""

    number: int
    """Place in the order of the pass."""
    file: int
    offset: int
    labels: int
    """A multiple of 8."""


@dataclass(frozen=True, slots=True)
class ProveParams:
    """What the network and the user ask of a proof."""

    k1: int
    k2: int
    nonces: int
    """Nonces of one pass, a multiple of 16."""
    threads: int
    cores: tuple[int, ...] = ()
    """Processors to pin the threads to; empty: none."""

    def check(self) -> None:
        """Raises UsageError for a number of nonces or threads that cannot be."""
        if self.nonces < NONCES_PER_GROUP or self.nonces % NONCES_PER_GROUP or self.nonces > MAX_GROUPS * 16:
            raise UsageError(
                f"The number of nonces is {self.nonces}, expected a multiple of {NONCES_PER_GROUP} from 16 to 4096."
            )
        if self.threads < 1:
            raise UsageError(f"The number of threads is {self.threads}, expected at least 1.")


@dataclass(slots=True)
class Pass:
    """The hits of one pass, as far as it has come. Pure: fed with batches in their order."""

    start: int
    """The first nonce."""
    pows: dict[int, int]
    """Group -> solution."""
    next_batch: int = 0
    hits: dict[int, list[int]] = field(default_factory=dict)
    """Nonce -> label indices in the order of discovery, at most K2."""

    def add(self, labels: Sequence[tuple[int, int]], k2: int) -> int | None:
        """Takes the (nonce, label index) hits of the next batch in order; the nonce that wins, if one does."""
        for nonce, label in labels:
            found = self.hits.setdefault(nonce, [])
            found.append(label)
            if len(found) == k2:
                return nonce
        self.next_batch += 1
        return None


def batches(layout: Layout, sizes: dict[int, int]) -> list[Batch]:
    """All batches of a pass in order: files by the number in their name, each in pieces of 1 MiB."""
    found: list[Batch] = []
    for file, size in sorted(sizes.items()):
        usable = min(size, layout.file_size(file))
        for offset in range(0, usable, BATCH_BYTES):
            labels = min(BATCH_BYTES, usable - offset) // LABEL_SIZE
            if labels >= CHUNK_LABELS:
                found.append(Batch(len(found), file, offset, labels - labels % CHUNK_LABELS))
    return found


def incomplete(layout: Layout, sizes: dict[int, int]) -> list[str]:
    """Sentences about files that are missing or short."""
    return [
        f"{file_name(file)} "
        + ("is missing" if file not in sizes else f"has {sizes[file]} of {layout.file_size(file)} bytes")
        for file in range(layout.num_files)
        if sizes.get(file, 0) < layout.file_size(file)
    ]


class Prover:
    """Makes one proof. `run` blocks; `stop` may be called from any thread."""

    def __init__(
        self,
        storage: Storage,
        metadata: PostMetadata,
        challenge: bytes,
        params: ProveParams,
        find_pow: FindPow,
        *,
        state_file: Path | None = None,
        progress: Callable[[str, int, int], None] = lambda phase, done, total: None,
        note: Callable[[str], None] = lambda message: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        params.check()
        self._storage, self._metadata, self._challenge = storage, metadata, challenge
        self._params, self._find_pow = params, find_pow
        self._layout = Layout(metadata.num_labels, metadata.max_file_size)
        self._difficulty: Difficulty = proving_difficulty(params.k1, metadata.num_labels)
        self._batches = batches(self._layout, storage.data_files())
        self._state_file = state_file
        self._progress, self._note, self._clock = progress, note, clock
        self._stop = threading.Event()
        self._local = threading.local()

    def stop(self) -> None:
        """Makes `run` raise Interrupted soon; the pass is saved."""
        self._stop.set()

    def run(self) -> Proof:
        """The proof.

        Raises Interrupted after `stop`; DataError when no nonce up to 4095 has enough good labels.
        """
        current = self._load() or Pass(0, {})
        while True:
            if current.start // NONCES_PER_GROUP >= MAX_GROUPS:
                raise DataError(
                    "No proof was found: no nonce from 0 to 4095 has enough good labels. The data is damaged, or was "
                    "made with another identity or scrypt N; run smesher verify."
                )
            self._find_pows(current)
            winner = self._scan(current)
            if winner is not None:
                self._forget()
                bits = required_bits(self._metadata.num_labels)
                indices = pack_indices(current.hits[winner], bits)
                return Proof(winner, indices, current.pows[winner // NONCES_PER_GROUP])
            current = Pass(current.start + self._params.nonces, {})
            self._save(current)

    def _groups(self, current: Pass) -> range:
        first = current.start // NONCES_PER_GROUP
        return range(first, min(MAX_GROUPS, first + self._params.nonces // NONCES_PER_GROUP))

    def _find_pows(self, current: Pass) -> None:
        groups = self._groups(current)
        for group in groups:
            if group not in current.pows:
                self._check_stop(current)
                current.pows[group] = self._find_pow(group)
                self._save(current)
            self._progress("k2pow", group - groups.start + 1, len(groups))

    def _scan(self, current: Pass) -> int | None:
        from kernels import aes

        groups = self._groups(current)
        nonces = range(groups.start * NONCES_PER_GROUP, groups.stop * NONCES_PER_GROUP)
        ciphers = aes.keys(
            [group_key(self._challenge, group, current.pows[group]) for group in groups],
            [lazy_key(self._challenge, nonce, current.pows[nonce // NONCES_PER_GROUP]) for nonce in nonces],
        )
        total = sum(batch.labels for batch in self._batches)
        done = sum(batch.labels for batch in self._batches[: current.next_batch])
        saved_at = self._clock()
        for batch, hits in self._in_order(current.next_batch, ciphers, len(groups)):
            self._check_stop(current)
            winner = current.add(self._decode(batch, hits, groups), self._params.k2)
            if winner is not None:
                return winner
            done += batch.labels
            self._progress("labels", done, total)
            if self._clock() - saved_at >= SAVE_SECONDS:
                self._save(current)
                saved_at = self._clock()
        return None

    def _decode(self, batch: Batch, hits: npt.NDArray[np.uint64], groups: range) -> list[tuple[int, int]]:
        first = self._layout.first_label(batch.file) + batch.offset // LABEL_SIZE
        numbers = np.sort(hits)
        nonce = numbers & np.uint64(15)
        within = numbers >> np.uint64(4) & np.uint64(7)
        chunk, group = np.divmod(numbers >> np.uint64(7), np.uint64(len(groups)))
        labels = (chunk * np.uint64(8) + within).tolist()
        nonces = ((group + np.uint64(groups.start)) * np.uint64(16) + nonce).tolist()
        return [(number, first + label) for number, label in zip(nonces, labels, strict=True)]

    def _in_order(
        self, first: int, ciphers: tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]], groups: int
    ) -> Iterator[tuple[Batch, npt.NDArray[np.uint64]]]:
        """Every batch from `first` on with its hits, in order; threads work ahead."""
        waiting: list[Future[npt.NDArray[np.uint64]]] = []
        taken = yielded = first
        cores = iter(self._params.cores)
        lock = threading.Lock()

        def pin() -> None:
            with lock:
                core = next(cores, None)
            if core is not None and hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(0, {core})

        with ThreadPoolExecutor(self._params.threads, "prove", initializer=pin) as pool:
            try:
                while yielded < len(self._batches):
                    while taken < len(self._batches) and len(waiting) < AHEAD * self._params.threads:
                        waiting.append(pool.submit(self._scan_batch, self._batches[taken], ciphers, groups))
                        taken += 1
                    yield self._batches[yielded], waiting.pop(0).result()
                    yielded += 1
            finally:
                for job in waiting:
                    job.cancel()

    def _scan_batch(
        self, batch: Batch, ciphers: tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]], groups: int
    ) -> npt.NDArray[np.uint64]:
        from kernels import aes

        if self._stop.is_set():
            return np.empty(0, np.uint64)
        if not hasattr(self._local, "data"):
            self._local.data = np.zeros(BATCH_BYTES // 8 + 2 * aes.STEP, np.uint64)
            self._local.candidates = np.empty(aes.STRETCH * 16 + 64, np.uint16)
        data, candidates = self._local.data, self._local.candidates
        hits = np.empty(2 * aes.STRETCH * 16 * groups, np.uint64)
        count = self._read(batch, data)
        limits, found, position = np.zeros(2, np.int64), [], 0
        while position < count:
            aes.scan(
                data,
                position,
                count,
                *ciphers,
                groups,
                self._difficulty.msb,
                np.uint64(self._difficulty.lsb),
                candidates,
                hits,
                limits,
            )
            position = int(limits[0])
            found.append(hits[: limits[1]].copy())
        return np.concatenate(found) if found else np.empty(0, np.uint64)

    def _read(self, batch: Batch, data: npt.NDArray[np.uint64]) -> int:
        """Reads a batch; the number of labels that can be used. A read error skips them, with a note."""
        size = batch.labels * LABEL_SIZE
        try:
            read = self._storage.read_into(file_name(batch.file), batch.offset, data.view(np.uint8)[:size])
        except EnvironmentFault as error:
            self._note(f"{error} The rest of this piece is skipped, so the proof is weaker.")
            return 0
        labels = read // LABEL_SIZE
        return labels - labels % CHUNK_LABELS

    def _check_stop(self, current: Pass) -> None:
        if self._stop.is_set():
            self._save(current)
            raise Interrupted("Stopped; run the same command again to go on.")

    # -- the saved pass -----------------------------------------------------------------------------------

    def _key(self) -> str:
        """What a saved pass belongs to: another challenge, identity, size or number of nonces begins anew."""
        metadata = self._metadata
        text = repr(
            (
                metadata.node_id,
                metadata.commitment_atx_id,
                metadata.num_labels,
                metadata.num_units,
                metadata.max_file_size,
                self._challenge,
                self._params.k1,
                self._params.k2,
                self._params.nonces,
                self._batches,
            )
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def _save(self, current: Pass) -> None:
        if self._state_file is None:
            return
        document = {
            "Key": self._key(),
            "Start": current.start,
            "Pows": {str(group): power for group, power in current.pows.items()},
            "NextBatch": current.next_batch,
            "Hits": {str(nonce): labels for nonce, labels in current.hits.items()},
        }
        Storage(self._state_file.parent).replace(self._state_file.name, json.dumps(document).encode())

    def _load(self) -> Pass | None:
        """The saved pass, if it belongs to this proof; one that cannot be read is of no use and is written anew."""
        data = Storage(self._state_file.parent).read_small(self._state_file.name) if self._state_file else None
        if data is None:
            return None
        try:
            document = json.loads(data)
            if document["Key"] != self._key():
                return None
            return Pass(
                int(document["Start"]),
                {int(group): int(power) for group, power in document["Pows"].items()},
                int(document["NextBatch"]),
                {int(nonce): [int(label) for label in labels] for nonce, labels in document["Hits"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            self._note(f"{self._state_file} cannot be read; the proof begins anew.")
            return None

    def _forget(self) -> None:
        if self._state_file is not None and self._state_file.exists():
            Storage(self._state_file.parent).remove(self._state_file.name)
