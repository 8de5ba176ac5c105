"""A proof of space-time: a proof of work for each nonce group, then passes over all labels until a nonce wins.

One pass serves all groups of its nonces. The hits of the threads (`scan`) are taken in the order of the data, so for
the same data, challenge and nonces the proof is always the same: the nonce whose K2-th good label comes first. A pass
is saved on the way, so that a restart goes on where it was.
Specified in protocol 01-post, section 5.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from protocol.post.proof import (
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
from protocol.post.rules import LABEL_SIZE
from prover.errors import DataError, EnvironmentFault, Interrupted, UsageError
from prover.post.directory import Storage
from prover.post.layout import Layout, file_name
from prover.post.metadata import PostMetadata
from prover.post.proof.scan import Batch, Batches, Scan
from prover.post.proof.verify import Unusable

STATE_NAME = "smesher-proof.json"
SAVE_SECONDS = 20.0
FindPow = Callable[[int], int]
"""Nonce group -> the lowest k2pow solution for it."""


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
    skipped: set[int] = field(default_factory=set)
    """Files of which the rest is left out after a read error."""
    left_out: set[int] = field(default_factory=set)
    """Labels that are wrong on disk: they count for no nonce."""
    gone: list[range] = field(default_factory=list)
    """Labels of files that are left out whole, within the batch in which that was found; later batches are skipped."""

    def add(
        self, labels: Sequence[tuple[int, int]], k2: int, holds: Callable[[int], bool] = lambda nonce: True
    ) -> int | None:
        """Takes the (nonce, label index) hits of the next batch in order; the nonce that wins, if one does.

        `holds` is asked about a nonce with K2 labels; where it says no, it has left some of them out (`leave_out`).
        """
        for nonce, label in labels:
            if label in self.left_out or any(label in belong for belong in self.gone):
                continue
            found = self.hits.setdefault(nonce, [])
            found.append(label)
            if len(found) >= k2 and holds(nonce):
                return nonce
        self.next_batch += 1
        return None

    def leave_out(self, labels: Iterable[int]) -> None:
        """These labels count no more."""
        self.left_out.update(labels)
        self._drop(self.left_out)

    def leave_out_file(self, file: int, belong: range) -> None:
        """No label of a file counts any more."""
        self.skipped.add(file)
        self.gone.append(belong)
        self._drop(belong)

    def _drop(self, labels: Container[int]) -> None:
        for found in self.hits.values():
            found[:] = [label for label in found if label not in labels]


def incomplete(layout: Layout, sizes: Mapping[int, int]) -> list[str]:
    """Sentences about files that are missing or short; surplus bytes and files are never read."""
    wanted = {file: layout.file_size(file) for file in range(layout.num_files)}
    return [
        f"{file_name(file)} " + ("is missing" if file not in sizes else f"has {sizes[file]} of {size} bytes")
        for file, size in wanted.items()
        if sizes.get(file, 0) < size
    ]


def cores_for(threads: int) -> tuple[int, ...]:
    """A processor for each of so many threads, among those that this process may use.

    Raises UsageError when there are fewer, or the system has no such thing.
    """
    if not hasattr(os, "sched_getaffinity"):
        raise UsageError("This system does not let threads be pinned to processors.")
    usable = sorted(os.sched_getaffinity(0))
    if threads > len(usable):
        raise UsageError(f"{threads} threads cannot be pinned to {len(usable)} processors, expected at most as many.")
    return tuple(usable[:threads])


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
        pow_difficulty: bytes = b"",
        judge: Callable[[Proof], Unusable] = lambda proof: Unusable(),
        left_out: Sequence[int] = (),
        progress: Callable[[str, int, int], None] = lambda phase, done, total: None,
        note: Callable[[str], None] = lambda message: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`pow_difficulty`: a saved pass whose proofs of work were found for another one begins anew.

        `judge` tells what of a winner's labels cannot be used; nothing: it is the proof. What it raises, `run` raises.
        `left_out`: labels that are known to be wrong.
        """
        params.check()
        self._pow_difficulty = pow_difficulty
        self._storage, self._metadata, self._challenge = storage, metadata, challenge
        self._params, self._find_pow = params, find_pow
        self._layout = Layout(metadata.num_labels, metadata.max_file_size)
        self._difficulty: Difficulty = proving_difficulty(params.k1, metadata.num_labels)
        self._batches = Batches(self._layout, storage.data_files())
        self._state_file = state_file
        self._judge, self._left_out = judge, left_out
        self._progress, self._note, self._clock = progress, note, clock
        self._stop = threading.Event()
        self.weakened: list[str] = []
        """Sentences about data that could not be read: the proof was made without it."""
        self.first_nonce = 0
        """Of the pass in work, for whoever watches."""
        self.done = (0, self._batches.labels)
        """Labels of it that are read, and all."""

    def stop(self) -> None:
        """Makes `run` raise Interrupted soon; the pass is saved."""
        self._stop.set()

    def run(self, *, keep_state: bool = False) -> Proof:
        """The proof. With `keep_state` the saved pass stays until `forget`: who is killed before he has written the
        proof finds it again in a moment.

        Raises Interrupted after `stop`; DataError when no nonce up to 4095 has enough good labels.
        """
        current = self._load() or Pass(0, {})
        current.leave_out(self._left_out)
        for file in sorted(current.skipped):
            self._skip_rest(current, file, f"{self._storage.path / file_name(file)} could not be read before.")
        while True:
            self.first_nonce = current.start
            if current.start // NONCES_PER_GROUP >= MAX_GROUPS:
                self.forget()  # the data may be repaired, then everything is to be tried again
                raise DataError(
                    "No proof was found: no nonce from 0 to 4095 has enough good labels. The data is damaged, or was "
                    "made with another identity or scrypt N; run smesher verify."
                )
            self._find_pows(current)
            winner = self._scan(current)
            if winner is not None:
                if not keep_state:
                    self.forget()
                return self._proof(current, winner)
            current = Pass(current.start + self._params.nonces, {}, left_out=current.left_out)
            self._save(current)

    def _proof(self, current: Pass, winner: int) -> Proof:
        indices = pack_indices(current.hits[winner][: self._params.k2], required_bits(self._metadata.num_labels))
        return Proof(winner, indices, current.pows[winner // NONCES_PER_GROUP])

    def _holds(self, current: Pass, winner: int) -> bool:
        """Whether a nonce with K2 labels wins; labels that cannot be used are left out, and files full of them."""
        unusable = self._judge(self._proof(current, winner))
        if not unusable.labels:
            return True
        current.leave_out(unusable.labels)
        for file, fault in unusable.files.items():
            first = self._layout.first_label(file)
            belong = range(first, first + self._layout.file_labels(file))
            current.leave_out_file(file, belong)
            self._weaken(f"{fault} The file is left out, so the proof is weaker.")
        return False

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
        from kernels.scan import aes

        groups = self._groups(current)
        nonces = range(groups.start * NONCES_PER_GROUP, groups.stop * NONCES_PER_GROUP)
        scanner = aes.Scanner(
            [group_key(self._challenge, group, current.pows[group]) for group in groups],
            [lazy_key(self._challenge, nonce, current.pows[nonce // NONCES_PER_GROUP]) for nonce in nonces],
            self._difficulty.msb,
            self._difficulty.lsb,
        )
        saved_at = self._clock()
        scan = Scan(self._storage, self._params.threads, cores=self._params.cores, stop=self._stop)
        in_order = scan.in_order(self._batches, current.next_batch, scanner, current.skipped.__contains__)
        with contextlib.closing(in_order):
            for batch, scanned in in_order:
                self._check_stop(current)
                usable = batch.file not in current.skipped
                known = len(current.left_out)
                winner = current.add(
                    self._decode(batch, scanned.hits, groups) if usable else [],
                    self._params.k2,
                    lambda nonce: self._holds(current, nonce),
                )
                if winner is not None:
                    return winner
                if scanned.fault and batch.file not in current.skipped:
                    self._skip_rest(current, batch.file, scanned.fault)
                self.done = self._batches.labels_before(current.next_batch), self._batches.labels
                self._progress("labels", *self.done)
                if len(current.left_out) > known or self._clock() - saved_at >= SAVE_SECONDS:
                    self._save(current)
                    saved_at = self._clock()
        return None

    def _skip_rest(self, current: Pass, file: int, fault: str) -> None:
        current.skipped.add(file)
        self._weaken(f"{fault} The rest of {file_name(file)} is skipped, so the proof is weaker.")

    def _weaken(self, sentence: str) -> None:
        self.weakened.append(sentence)
        self._note(sentence)

    def _decode(self, batch: Batch, numbers: npt.NDArray[np.uint64], groups: range) -> list[tuple[int, int]]:
        """(nonce, label index) of what the scanner found, in the order of the pass."""
        if not len(numbers):
            return []
        first = self._layout.first_label(batch.file) + batch.offset // LABEL_SIZE
        nonce = numbers & np.uint64(15)
        within = numbers >> np.uint64(4) & np.uint64(7)
        chunk, group = np.divmod(numbers >> np.uint64(7), np.uint64(len(groups)))
        labels = (chunk * np.uint64(8) + within).tolist()
        nonces = ((group + np.uint64(groups.start)) * np.uint64(16) + nonce).tolist()
        return [(number, first + label) for number, label in zip(nonces, labels, strict=True)]

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
                self._batches.sizes,
                self._pow_difficulty,
            )
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def _save(self, current: Pass) -> None:
        """Keeps the pass; where that is refused the pass goes on, with a note."""
        if self._state_file is None:
            return
        document = {
            "Key": self._key(),
            "Start": current.start,
            "Pows": {str(group): power for group, power in current.pows.items()},
            "NextBatch": current.next_batch,
            "Hits": {str(nonce): labels for nonce, labels in current.hits.items()},
            "Skipped": sorted(current.skipped),
            "LeftOut": sorted(current.left_out),
        }
        try:
            Storage(self._state_file.parent).replace(self._state_file.name, json.dumps(document).encode())
        except EnvironmentFault as error:
            self._note(f"{error} The pass goes on, but a restart would begin it anew.")
            self._state_file = None

    def _load(self) -> Pass | None:
        """The saved pass, if it belongs to this proof; one that cannot be read is of no use and is written anew."""
        data = Storage(self._state_file.parent).read_small(self._state_file.name) if self._state_file else None
        if data is None:
            return None
        try:
            document = json.loads(data)
            if document["Key"] != self._key():
                return None
            saved = Pass(
                int(document["Start"]),
                {int(group): int(power) for group, power in document["Pows"].items()},
                int(document["NextBatch"]),
                {int(nonce): [int(label) for label in labels] for nonce, labels in document["Hits"].items()},
                {int(file) for file in document["Skipped"]},
                {int(label) for label in document.get("LeftOut", ())},
            )
            if not 0 <= saved.next_batch <= len(self._batches) or saved.start < 0 or saved.start % NONCES_PER_GROUP:
                raise ValueError("no such place in the pass")
            return saved
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self._note(f"{self._state_file} cannot be read; the proof begins anew.")
            return None

    def forget(self) -> None:
        """Removes the saved pass: its proof is written, or the data has turned out to be wrong."""
        if self._state_file is not None and self._state_file.exists():
            Storage(self._state_file.parent).remove(self._state_file.name)
