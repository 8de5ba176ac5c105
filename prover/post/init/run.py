"""Initialisation: carries out a plan, so that at any instant the directory is one that the next run goes on from.

Order within a batch: a better VRF nonce is saved first, then the labels are appended; so no nonce is lost
and every label on disk is right. What was appended is flushed to stable storage every few seconds, and
`smesher.json` notes how far: what a run that ended badly left beyond that note, by a kill, a power cut or a sync that
failed, is made again before anything is appended. Specified in protocol 01-post, sections 2.2, 3 and 3.2.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from shlex import quote

import numpy as np

from kernels.devices.types import Stopped, VrfCandidate
from protocol.post.rules import LABEL_SIZE, commitment, vrf_difficulty
from prover.errors import DataError, Interrupted, UsageError
from prover.post import metadata as metadata_file
from prover.post import record as record_file
from prover.post import whose
from prover.post.books import Books
from prover.post.directory import Storage
from prover.post.init import scrypt_n, stored, vrf_nonce
from prover.post.init.plan import Found, InitPlan, Request, strangers
from prover.post.init.scrypt_n import Label32
from prover.post.layout import file_name
from prover.post.metadata import PostMetadata
from prover.post.record import Record

Labels32 = Callable[[bytes, Sequence[int], int], Sequence[bytes]]
"""(commitment, indices, scrypt N) -> the full labels."""

SYNC_SECONDS = 3.0
"""What was appended is on stable storage after at most this time and what one flush takes."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an initialisation stands."""

    phase: str
    """One of "redo", "fill", "scan", "search"."""
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
        labels32: Labels32 | None = None,
        batch_size: int = vrf_nonce.BATCH_SIZE,
        clock: Callable[[], float] = time.monotonic,
        note: Callable[[str], None] = lambda message: None,
    ) -> None:
        """`labels32` computes many labels at once, and faster than `label32` one after another."""
        if batch_size < 1:
            raise UsageError(f"The batch size of the search for a VRF nonce is {batch_size}, expected at least 1.")
        self._storage = storage
        self._request = request
        self._plan = plan
        self._label32 = label32
        self._labels32 = labels32 or (lambda key, indices, n: [label32(key, index, n) for index in indices])
        self._batch_size = batch_size
        self._clock = clock
        self._progress: Callable[[Progress], None] = lambda progress: None
        self._note = note
        self._commitment = commitment(request.node_id, request.commitment_atx_id)
        self._difficulty = vrf_difficulty(request.num_labels)
        self._books = Books(storage, plan.metadata, plan.record or Record(request.scrypt_n))
        self.labels_written = 0
        """By this run, those that were made again included."""
        self._keep = {one.number: one.keep for one in plan.files}
        self._doubts: dict[int, int] = {}
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
        if self._plan.damaged_record:
            aside = self._storage.set_aside(record_file.FILE_NAME)
            self._note(
                f"{record_file.FILE_NAME} cannot be read ({self._plan.damaged_record}). It is kept as {aside} and "
                "written anew; scrypt N is what was asked for and fits the labels."
            )
        self._settle_cuts()
        self._doubts = self._find_doubts()
        self._check_stored()
        metadata = self._with_nonce_value(self.metadata)
        for number in self._plan.delete:
            self._storage.remove(file_name(number))
        self._books.note_durable(self._doubts)
        for one in self._plan.files.there:
            if one.cut:
                if one.number not in self._doubts:  # killed before the cut is durable, the next run looks at it again
                    self._books.note_durable({**self._doubts, one.number: self._keep[one.number]})
                self._storage.truncate(file_name(one.number), self._keep[one.number] * LABEL_SIZE)
        self._books.save_metadata(metadata)
        self._books.note_durable(self._doubts)

    def _find_doubts(self) -> dict[int, int]:
        """File number -> labels that are beyond doubt, for files that have more.

        What an earlier run wrote and did not see on stable storage, whether this run needs the file or not: a power
        cut or a failing disk may have taken it, and a sync now would say nothing. And files that were too long.
        """
        sizes = self._storage.data_files()
        doubts = dict(self._books.record.durable) | dict.fromkeys(self._plan.doubtful, 0)
        return {
            number: safe
            for number, safe in doubts.items()
            if number not in self._plan.delete and self._held(number, sizes) > safe
        }

    def _settle_cuts(self) -> None:
        """Cuts files of an earlier run again where it is not known whether the cut has reached the disk."""
        sizes = self._storage.data_files()
        for number, _ in self._books.record.durable:
            if number in sizes:
                self._storage.truncate(file_name(number), sizes[number])

    def _held(self, number: int, sizes: Mapping[int, int]) -> int:
        """Labels of a file that are there and stay."""
        return min(sizes.get(number, 0) // LABEL_SIZE, self._target(number))

    def _target(self, number: int) -> int:
        return self._plan.layout.file_labels(number)

    def _check_stored(self) -> None:
        """Raises UsageError or DataError when what is on disk is not what is asked for."""
        layout, directory = self._plan.layout, str(self._storage.path)
        samples = scrypt_n.samples(self._storage, layout, self._doubts)
        try:
            scrypt_n.confirm(self._commitment, samples, self._request.scrypt_n, self._label32, directory)
        except DataError as error:
            raise DataError(f"{error}{self._whose(samples)}") from None
        if self._plan.unproven:
            sizes = self._storage.data_files()
            held = {number: self._doubts.get(number, self._held(number, sizes)) for number in sizes}
            stored.check(stored.spread_labels(self._storage, layout, held), layout, self._right_labels, directory)
            self._note(
                f"{metadata_file.FILE_NAME} was lost. Labels of every file were recomputed and are those of node "
                f"{self._request.node_id.hex()}: it is written anew, and the VRF nonce is searched."
            )
        else:
            held = {one.number: self._doubts.get(one.number, one.keep) for one in self._plan.files.there}
            stored.check(stored.last_labels(self._storage, layout, held), layout, self._right_labels, directory)

    def _whose(self, samples: Sequence[scrypt_n.Sample]) -> str:
        request = self._request
        owner = whose.find(self._storage, request.node_id, request.commitment_atx_id, samples, self._label32)
        return f" {owner}" if owner else ""

    def _right_labels(self, indices: Sequence[int]) -> list[bytes]:
        return [label[:LABEL_SIZE] for label in self._labels32(self._commitment, indices, self._request.scrypt_n)]

    def _with_nonce_value(self, metadata: PostMetadata) -> PostMetadata:
        """A nonce without its value gets it; after growing, one that no longer suffices is dropped. What is wrong is
        said and left, as other programs leave it: `smesher nonce` writes a right one."""
        if metadata.nonce is None:
            return metadata
        path = self._storage.path
        if metadata.nonce > vrf_nonce.MAX_INDEX:
            raise DataError(
                f"{path / metadata_file.FILE_NAME}, field Nonce: found {metadata.nonce}, expected a label index up to "
                "2^64 - 2. Remove the field; the nonce is then searched again."
            )
        label = self._label32(self._commitment, metadata.nonce, self._request.scrypt_n)
        if label >= self._difficulty and self._request.grow:
            self._note("The VRF nonce does not suffice for the larger number of units; another is searched.")
            return replace(metadata, nonce=None, nonce_value=None)
        if label >= self._difficulty:
            self._note(
                f"The VRF nonce {metadata.nonce} is not valid for this data: run `smesher nonce {quote(str(path))}` to "
                "search a valid one."
            )
        elif metadata.nonce_value not in (None, label[:LABEL_SIZE]):
            self._note(
                f"The NonceValue of the metadata is not the label at {metadata.nonce}: run `smesher nonce "
                f"{quote(str(path))}` to write the right one."
            )
        if metadata.nonce_value is None or self._request.grow:
            metadata = replace(metadata, nonce_value=label[:LABEL_SIZE])
        return metadata

    # -- work -------------------------------------------------------------------------------------------

    @property
    def has_work(self) -> bool:
        """Whether labels have to be computed, on disk or for the search of a nonce."""
        missing = any(self._keep[one.number] < one.target for one in self._plan.files)
        return missing or bool(self._doubts) or (self.metadata.nonce is None and self._plan.covers_all)

    def run(
        self, source: vrf_nonce.LabelSource, progress: Callable[[Progress], None] = lambda progress: None
    ) -> PostMetadata:
        """Fills what is missing, then finds a VRF nonce if the run covers all files and none was found yet."""
        self._progress = progress
        all_new = self._plan.covers_all and not any(self._keep.values())
        try:
            self._redo(source)
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

    def _redo(self, source: vrf_nonce.LabelSource) -> None:
        """Makes doubtful labels again and writes them over what is there, whatever that looks like.

        Also where they read well: after a sync that failed the system may show what the disk has not got.
        """
        sizes = self._storage.data_files()
        done, total = 0, sum(self._held(number, sizes) - safe for number, safe in self._doubts.items())
        for number, safe in sorted(self._doubts.items()):
            name, first = file_name(number), self._plan.layout.first_label(number)
            at, end = safe, self._held(number, sizes)
            if number in self._plan.doubtful:
                self._note(f"{name} was too long, so its labels may be shifted: all {end} are made again.")
            else:
                self._note(
                    f"{name} was being written when an earlier run ended, and not all may have reached the disk: "
                    f"checking its last {end - at} labels, which are written again."
                )
            wrong, synced_at = 0, self._clock()
            with closing(source.run(self._commitment, [(first + at, end - at)])) as batches:
                for batch in batches:
                    size = len(batch.labels)
                    found = self._storage.read(name, at * LABEL_SIZE, size * LABEL_SIZE)
                    wrong += int((batch.labels != np.frombuffer(found, np.uint8).reshape(size, -1)).any(axis=1).sum())
                    self._consider(batch.candidate)
                    self._storage.write_over(name, at * LABEL_SIZE, batch.labels.tobytes())
                    at, done = at + size, done + size
                    self.labels_written += size
                    self._progress(Progress("redo", done, total))
                    if self._clock() - synced_at >= SYNC_SECONDS:
                        self._storage.sync(name)
                        self._doubts[number] = at
                        self._books.note_durable(self._doubts)
                        synced_at = self._clock()
            self._storage.finish(name)
            del self._doubts[number]
            self._books.note_durable(self._doubts)
            if wrong:
                self._note(f"{wrong} of them were wrong in {name}.")

    def _fill(self, source: vrf_nonce.LabelSource) -> None:
        layout = self._plan.layout
        ranges = [
            (layout.first_label(one.number) + self._keep[one.number], one.target - self._keep[one.number])
            for one in self._plan.files
            if self._keep[one.number] < one.target
        ]
        if not ranges:
            return
        there, total = sum(self._keep.values()), self._plan.num_labels
        self._progress(Progress("fill", there, total))
        writing: int | None = None
        synced_at = self._clock()
        try:
            for batch in source.run(self._commitment, ranges):
                number, _ = layout.locate(batch.start)
                if number != writing:
                    writing = number
                    self._books.note_durable({number: self._keep[number]})
                self._consider(batch.candidate)
                self._storage.append(file_name(number), batch.labels.tobytes())
                self._keep[number] += len(batch.labels)
                there += len(batch.labels)
                self.labels_written += len(batch.labels)
                self._progress(Progress("fill", there, total))
                if self._keep[number] == self._target(number):
                    self._storage.finish(file_name(number))
                    writing = None
                elif self._clock() - synced_at >= SYNC_SECONDS:
                    self._storage.sync(file_name(number))
                    self._books.note_durable({number: self._keep[number]})
                    synced_at = self._clock()
        except Stopped:
            if writing is not None:
                self._storage.sync(file_name(writing))
            self._books.note_durable({})
            raise
        self._books.note_durable({})

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
