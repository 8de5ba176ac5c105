"""Initialisation: carries out a plan, so that at any instant the directory is one that the next run goes on from.

Order within a batch: a better VRF nonce is saved first, then the labels are appended; so no nonce is lost
and every label on disk is right. What was appended is flushed to stable storage every few seconds, and
`smesher.json` notes how far: after a power cut the labels beyond that note are checked before anything is
appended. Specified in protocol 01-post, sections 2.2, 3 and 3.2.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from kernels.devices.types import Stopped, VrfCandidate
from protocol.post.rules import LABEL_SIZE, commitment, vrf_difficulty
from prover.errors import DataError, Interrupted, UsageError
from prover.post import metadata as metadata_file
from prover.post import record as record_file
from prover.post.books import Books
from prover.post.directory import Storage
from prover.post.init import scrypt_n, vrf_nonce
from prover.post.init.plan import FilePlan, Found, InitPlan, Request, strangers
from prover.post.init.scrypt_n import Label32
from prover.post.layout import file_name
from prover.post.metadata import PostMetadata
from prover.post.record import Record

SYNC_SECONDS = 3.0
"""What was appended is on stable storage after at most this time and what one flush takes."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an initialisation stands."""

    phase: str
    """One of "fill", "scan", "search"."""
    done: int
    """Labels of this phase that are there, those from before included."""
    total: int | None
    """Labels of this phase; None for the search beyond the data, which ends when it finds one."""


def look(storage: Storage) -> Found:
    """What stands in a directory; an absent one holds nothing."""
    if not storage.exists():
        return Found()
    names = storage.names()
    return Found(
        files=storage.data_files(),
        metadata=storage.read_small(metadata_file.FILE_NAME),
        record=storage.read_small(record_file.FILE_NAME),
        strangers=strangers(names),
    )


class Initialisation:
    """One run over one directory, whose lock the caller holds.

    `prepare` checks what is there and changes only what the plan says; `run` computes and writes. Raises
    DataError or UsageError when the data is not what it should be, EnvironmentFault when the disk refuses,
    Interrupted when the label source was stopped; in every case the directory can be resumed.
    """

    def __init__(
        self,
        storage: Storage,
        request: Request,
        plan: InitPlan,
        label32: Label32,
        *,
        boot_id: str | None = None,
        batch_size: int = vrf_nonce.BATCH_SIZE,
        clock: Callable[[], float] = time.monotonic,
        progress: Callable[[Progress], None] = lambda progress: None,
        note: Callable[[str], None] = lambda message: None,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"The batch size of the search for a VRF nonce is {batch_size}, expected at least 1.")
        self._storage = storage
        self._request = request
        self._plan = plan
        self._label32 = label32
        self._boot_id = boot_id
        self._batch_size = batch_size
        self._clock = clock
        self._progress = progress
        self._note = note
        self._commitment = commitment(request.node_id, request.commitment_atx_id)
        self._difficulty = vrf_difficulty(request.num_labels)
        self._books = Books(storage, plan.metadata, plan.record or Record(request.scrypt_n))
        self.labels_written = 0
        self._keep = {one.number: one.keep for one in plan.files}
        self._suspects: dict[int, int] = {}
        self._stopped = False

    def stop(self) -> None:
        """Ends a search in the data soon; what computes labels is stopped by its own `stop`."""
        self._stopped = True

    @property
    def metadata(self) -> PostMetadata:
        """What the metadata says now."""
        return self._books.metadata

    # -- before work ------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Checks that the labels on disk are ours, then deletes, cuts and writes the small files as planned."""
        self._storage.sync_directory()  # a kill may have come between a file and its name
        self._suspects = self._settle_doubts()
        found = scrypt_n.samples(self._storage, self._plan.layout, self._suspects)
        scrypt_n.confirm(self._commitment, found, self._request.scrypt_n, self._label32, str(self._storage.path))
        for one in self._plan.files:
            self._check_last_label(one)
        metadata = self._with_nonce_value(self.metadata)
        for number in self._plan.delete:
            self._storage.remove(file_name(number))
        for one in self._plan.files:
            if one.cut:
                if not self._suspects:  # should this be killed before the cut is durable, the next run flushes the file
                    self._books.note_durable(one.number, self._keep[one.number], self._boot_id)
                self._storage.truncate(file_name(one.number), self._keep[one.number] * LABEL_SIZE)
        self._books.save_metadata(metadata)
        if not self._suspects:
            self._books.note_all_durable()

    def _settle_doubts(self) -> dict[int, int]:
        """File number -> labels that are safe, for files whose later labels a power cut may have taken.

        Files of an earlier run that was killed, whether this run needs them or not: while the machine has not
        gone down since, what was written is there and is flushed now; otherwise it has to be recomputed.
        """
        record, sizes = self._books.record, self._storage.data_files()
        doubtful = {
            number: safe
            for number, safe in record.durable
            if number not in self._plan.delete and min(sizes.get(number, 0) // LABEL_SIZE, self._target(number)) > safe
        }
        if record.boot_id is None or record.boot_id != self._boot_id:
            return doubtful
        for number, _ in record.durable:
            if number in sizes:
                self._storage.finish(file_name(number))
        return {}

    def _target(self, number: int) -> int:
        return self._plan.layout.file_labels(number)

    def _check_suspects(self, source: vrf_nonce.LabelSource) -> None:
        """Recomputes the labels that a power cut may have taken; a file is cut before its first wrong one."""
        sizes = self._storage.data_files()
        for number, safe in self._suspects.items():
            name, first = file_name(number), self._plan.layout.first_label(number)
            there = min(sizes[number] // LABEL_SIZE, self._target(number))
            self._note(f"The machine went down while {name} was written: checking its last {there - safe} labels.")
            right = safe
            with closing(source.run(self._commitment, [(first + safe, there - safe)])) as batches:
                for batch in batches:
                    size = len(batch.labels)
                    stored = self._storage.read(name, right * LABEL_SIZE, size * LABEL_SIZE)
                    differs = (batch.labels != np.frombuffer(stored, np.uint8).reshape(size, -1)).any(axis=1)
                    wrong = np.flatnonzero(differs)
                    right += int(wrong[0]) if len(wrong) else size
                    if len(wrong):
                        self._note(f"{name} is cut after {right} labels; the rest is made again.")
                        break
            if number in self._keep:
                self._keep[number] = right
            if right < there:
                self._storage.truncate(name, right * LABEL_SIZE)
            self._storage.finish(name)
        if self._suspects:
            self._suspects = {}
            self._books.note_all_durable()

    def _check_last_label(self, one: FilePlan) -> None:
        keep = self._suspects.get(one.number, self._keep[one.number])
        if not 0 < keep < one.target:
            return
        stored = self._storage.read(file_name(one.number), (keep - 1) * LABEL_SIZE, LABEL_SIZE)
        index = self._plan.layout.first_label(one.number) + keep - 1
        right = self._right_label(index)
        if stored != right:
            raise DataError(
                f"{self._storage.path / file_name(one.number)}: the last label (index {index}, byte offset "
                f"{(keep - 1) * LABEL_SIZE}) is {stored.hex()}, expected {right.hex()}. Nothing was appended. Run "
                f"`smesher verify {self._storage.path}` to find all wrong labels and `smesher repair "
                f"{self._storage.path}` to rewrite them."
            )

    def _right_label(self, index: int) -> bytes:
        return self._label32(self._commitment, index, self._request.scrypt_n)[:LABEL_SIZE]

    def _with_nonce_value(self, metadata: PostMetadata) -> PostMetadata:
        """A nonce without its value gets it; after growing, a nonce that no longer suffices is dropped."""
        if metadata.nonce is None:
            return metadata
        if metadata.nonce > vrf_nonce.MAX_INDEX:
            raise DataError(
                f"{self._storage.path / metadata_file.FILE_NAME}, field Nonce: found {metadata.nonce}, expected a "
                "label index up to 2^64 - 2. Remove the field; the nonce is then searched again."
            )
        if metadata.nonce_value is None or self._request.grow:
            label = self._label32(self._commitment, metadata.nonce, self._request.scrypt_n)
            metadata = replace(metadata, nonce_value=label[:LABEL_SIZE])
            if label >= self._difficulty:
                if self._request.grow:
                    self._note("The VRF nonce does not suffice for the larger number of units; another is searched.")
                    metadata = replace(metadata, nonce=None, nonce_value=None)
                else:
                    self._note(
                        f"The VRF nonce {metadata.nonce} is not valid for this data: run `smesher nonce "
                        f"{self._storage.path}` to search a valid one."
                    )
        return metadata

    # -- work -------------------------------------------------------------------------------------------

    @property
    def has_work(self) -> bool:
        """Whether labels have to be computed, on disk or for the search of a nonce."""
        missing = any(self._keep[one.number] < one.target for one in self._plan.files)
        return missing or bool(self._suspects) or (self.metadata.nonce is None and self._plan.covers_all)

    def run(self, source: vrf_nonce.LabelSource) -> PostMetadata:
        """Fills what is missing, then finds a VRF nonce if the run covers all files and none was found yet."""
        all_new = self._plan.covers_all and not any(self._keep.values())
        try:
            self._check_suspects(source)
            self._fill(source)
            if self.metadata.nonce is None and self._plan.covers_all:
                if not all_new:
                    self._scan_data()
                if self.metadata.nonce is None:
                    vrf_nonce.search_beyond(
                        self._books,
                        source,
                        self._commitment,
                        self._request.scrypt_n,
                        self._label32,
                        self._batch_size,
                        clock=self._clock,
                        progress=lambda done: self._progress(Progress("search", done, None)),
                    )
        except Stopped:
            raise Interrupted("Stopped; run the same command again to go on.") from None
        finally:
            self._storage.close()
        return self.metadata

    def _fill(self, source: vrf_nonce.LabelSource) -> None:
        layout = self._plan.layout
        ranges = [
            (layout.first_label(one.number) + self._keep[one.number], one.target - self._keep[one.number])
            for one in self._plan.files
            if self._keep[one.number] < one.target
        ]
        if not ranges:
            return
        targets = {one.number: one.target for one in self._plan.files}
        there, total = sum(self._keep.values()), self._plan.num_labels
        self._progress(Progress("fill", there, total))
        writing: int | None = None
        synced_at = self._clock()
        try:
            for batch in source.run(self._commitment, ranges):
                number, _ = layout.locate(batch.start)
                if number != writing:
                    writing = number
                    self._books.note_durable(number, self._keep[number], self._boot_id)
                self._consider(batch.candidate)
                self._storage.append(file_name(number), batch.labels.tobytes())
                self._keep[number] += len(batch.labels)
                self.labels_written += len(batch.labels)
                self._progress(Progress("fill", there + self.labels_written, total))
                if self._keep[number] == targets[number]:
                    self._storage.finish(file_name(number))
                    writing = None
                elif self._clock() - synced_at >= SYNC_SECONDS:
                    self._storage.sync(file_name(number))
                    self._books.note_durable(number, self._keep[number], self._boot_id)
                    synced_at = self._clock()
        except Stopped:
            if writing is not None:
                self._storage.sync(file_name(writing))
            self._books.note_all_durable()
            raise
        self._books.note_all_durable()

    def _consider(self, candidate: VrfCandidate) -> None:
        if vrf_nonce.replaces(candidate.label32, self._difficulty, self.metadata.nonce_value):
            self._books.save_nonce(candidate.index, candidate.label32[:LABEL_SIZE])

    def _scan_data(self) -> None:
        """The data is complete, but parts of it were made before and the nonce they had is lost."""
        total = self._plan.num_labels
        best, wrong = vrf_nonce.search_data(
            self._storage,
            self._plan.layout,
            [one.number for one in self._plan.files],
            self._commitment,
            self._request.scrypt_n,
            self._label32,
            lambda done: self._progress(Progress("scan", done, total)),
            lambda: self._stopped,
        )
        for message in wrong:
            self._note(message)
        if best is not None:
            self._books.save_nonce(best.index, best.value)
