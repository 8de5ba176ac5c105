"""The deeds of a merge: copies are compared, files placed one after another, and only then removed from their sources.

New content is made under a temporary name, on stable storage before it gets its own; a source's file goes when the
destination's is on stable storage and was compared. Specified in protocol 01-post-tools, section 3.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from protocol.post.rules import LABEL_SIZE
from prover import durable
from prover.errors import DataError, EnvironmentFault, Interrupted
from prover.post.directory import Storage
from prover.post.merge import files as on_disk
from prover.post.merge.types import DataFile, FilePlan, How, MergePlan, Mode

COPY_BYTES = 32 << 20
SYNC_BYTES = 64 << 20
"""What may wait to be written at most, so that a stop never waits long for the disk."""

SPARE_BYTES = 1 << 20
"""Room on each disk beside the labels: small files and what the file system needs for itself."""

Phase = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""(what is done, its labels) -> a context that takes the labels done so far."""


@contextmanager
def silent(what: str, labels: int) -> Iterator[Callable[[int], None]]:
    """Nobody watches."""
    yield lambda done: None


class Placer:
    """Brings files into the directory `into`, and counts what it did. Methods raise Interrupted when `stop` says so."""

    def __init__(self, into: Path, mode: Mode, stop: Callable[[], bool], phase: Phase) -> None:
        self._into, self._mode, self._stop, self._phase = into, mode, stop, phase
        self.copied = 0
        """Bytes."""
        self.linked = 0
        self.moved = 0
        self.removed = 0

    def compare_all(self, plan: MergePlan) -> None:
        """Reads what two copies have in common. Raises DataError where they differ."""
        if not plan.labels_to_compare:
            return
        done = 0
        with self._phase("comparing", plan.labels_to_compare) as progress:
            for one in plan.files:
                for other in one.compare:
                    labels = min(one.chosen.labels, other.labels)
                    self._compare(one.chosen.target, other.target, labels, _from(done, progress))
                    done += labels

    def _compare(self, first: str, second: str, labels: int, progress: Callable[[int], None]) -> None:
        size = labels * LABEL_SIZE
        with (
            durable.explained(Path(first), "read"),
            open(first, "rb", buffering=0) as one,
            open(second, "rb", buffering=0) as two,
        ):
            position = 0
            while position < size:
                self._check_stop()
                wanted = min(on_disk.READ_BYTES, size - position)
                left, right = on_disk.read_exactly(one, wanted), on_disk.read_exactly(two, wanted)
                if left != right:
                    at = position + on_disk.first_difference(left, right)
                    raise DataError(
                        f"{first} and {second} differ from byte {at} on (label {at // LABEL_SIZE} of the file), though "
                        "both should hold the same labels. No source was changed. Run `smesher verify` on both "
                        "directories to see which one is damaged, then `smesher repair` it or leave it out."
                    )
                position += wanted
                progress(position // LABEL_SIZE)

    def place_all(self, plan: MergePlan) -> None:
        """Places every file of the plan. Raises EnvironmentFault, DataError."""
        done = 0
        with self._phase("merging", plan.labels_to_place) if plan.labels_to_place else silent("", 0) as progress:
            for one in plan.files:
                self._check_stop()
                self._place(one, _from(done, progress))
                if one.how is not How.KEEP:
                    done += one.chosen.labels
                    progress(done)
                if one.cut:
                    self._cut(one)
                if one.remove:
                    durable.sync_file(one.final)
                    for file in one.remove:
                        self._remove(file, one.final)
        for file in plan.discard:
            self._remove(file, "")

    def _place(self, one: FilePlan, progress: Callable[[int], None]) -> None:
        if one.how is How.KEEP:
            return
        temporary = on_disk.temporary(one, self._into)
        copied = one.how is How.COPY
        with durable.explained(Path(one.final), "write"):
            if one.how is How.SYMLINK:
                os.symlink(one.chosen.target, temporary)
                self.linked += 1
            elif one.how is How.LINK:
                copied = not on_disk.tried(os.link, one.chosen.target, temporary)
                self.linked += not copied
            elif one.how is How.RENAME:
                durable.sync_file(one.chosen.target)
                copied = not on_disk.tried(os.rename, one.chosen.target, one.final)
                self.moved += not copied
        if copied:
            if one.how is not How.COPY:  # links were possible a moment ago; the room was not counted
                self._check_room(one)
            self._copy(one, temporary, progress)
        with durable.explained(Path(one.final), "write"):
            if copied or one.how is not How.RENAME:
                if one.how is not How.SYMLINK:
                    durable.sync_file(temporary)
                os.replace(temporary, one.final)
            durable.sync_directory(os.path.dirname(one.final))
            if one.how is How.RENAME and not copied:
                durable.sync_directory(os.path.dirname(one.chosen.target))

    def _check_room(self, one: FilePlan) -> None:
        size, free = one.chosen.labels * LABEL_SIZE + SPARE_BYTES, Storage(Path(one.final).parent).free_bytes()
        if size > free:
            raise EnvironmentFault(
                f"{one.chosen.target} cannot be linked to {one.final} and has to be copied: {size} bytes are needed, "
                f"{free} are free. Free some space, then run the same command again; what was done is kept."
            )

    def _copy(self, one: FilePlan, temporary: str, progress: Callable[[int], None]) -> None:
        try:
            self._copy_labels(one.chosen.target, temporary, one.chosen.labels * LABEL_SIZE, progress)
            if self._mode is Mode.MOVE:
                self._compare(one.chosen.target, temporary, one.chosen.labels, lambda now: None)
        except Exception:
            with contextlib.suppress(OSError):  # the next merge removes what is left under such a name
                os.unlink(temporary)
            raise

    def _copy_labels(self, source: str, temporary: str, size: int, progress: Callable[[int], None]) -> None:
        with ExitStack() as stack:
            stack.enter_context(durable.explained(Path(temporary), f"copy {source} to"))
            reading = durable.open_file(source, os.O_RDONLY)
            stack.callback(os.close, reading)
            writing = durable.open_new(temporary)
            stack.callback(os.close, writing)
            position, flushed, inside = 0, 0, True
            while position < size:
                self._check_stop()
                count, inside = on_disk.copy_some(reading, writing, min(COPY_BYTES, size - position), inside)
                if not count:
                    raise DataError(f"{source} became shorter while it was copied. Is another program writing to it?")
                position += count
                self.copied += count
                if position - flushed >= SYNC_BYTES:
                    durable.sync(writing)
                    flushed = position
                progress(position // LABEL_SIZE)
            durable.sync(writing)
            if hasattr(os, "posix_fadvise"):  # what is compared next shall come from the disk
                os.posix_fadvise(writing, 0, 0, os.POSIX_FADV_DONTNEED)

    def _cut(self, one: FilePlan) -> None:
        with durable.explained(Path(one.final), "shorten"):
            durable.truncate(Path(one.final), one.chosen.labels * LABEL_SIZE)

    def _remove(self, file: DataFile, final: str) -> None:
        """Removes a source's name, and the content of a link that lies in a source."""
        with durable.explained(Path(file.path), "delete"):
            if file.is_link and file.inside and file.target != final:
                on_disk.unlink(file.target)
            if on_disk.unlink(file.path):
                self.removed += 1
            durable.sync_directory(os.path.dirname(file.path))

    def _check_stop(self) -> None:
        if self._stop():
            raise Interrupted("Stopped; nothing is lost. Run the same command again to go on.")


def _from(before: int, progress: Callable[[int], None]) -> Callable[[int], None]:
    """Progress of a part, after `before` labels of the parts before it."""
    return lambda done: progress(before + done)
