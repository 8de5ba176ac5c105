"""Joins the parts of a split initialisation: looks, decides (`plan`), compares, places, and only then removes.

At any instant every label is in a source or, under its final name, in the destination. New content is made
under a temporary name that no program takes for data, flushed, and renamed. smesher.json follows the last
data file, the metadata everything else; until then `.merge.json` says whose labels the destination holds. A
source's file goes when the destination's is on stable storage and was compared; its metadata goes last. So the
same call, repeated after any interruption, ends with the same result. Specified in protocol 01-post-tools, section 3.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from protocol.post.rules import commitment
from prover import durable
from prover.errors import DataError, EnvironmentFault
from prover.post import findings
from prover.post import identity as identity_file
from prover.post import metadata as metadata_file
from prover.post import record as record_file
from prover.post.directory import Storage, nearest
from prover.post.init import scrypt_n
from prover.post.init.plan import strangers
from prover.post.init.scrypt_n import Label32
from prover.post.layout import file_number
from prover.post.merge import files as on_disk
from prover.post.merge import plan as planning
from prover.post.merge import small
from prover.post.merge.place import SPARE_BYTES, Phase, Placer, silent
from prover.post.merge.types import DataFile, Directory, MergePlan, Mode
from prover.post.metadata import PostMetadata

_PROBE = ".merge.probe"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a merge has done, and what the destination holds now."""

    metadata: PostMetadata
    scrypt_n: int | None
    files: int
    """Data files with labels in the destination."""
    labels: int
    bytes_copied: int
    linked: int
    """Files that got a hard link or a link."""
    moved: int
    """Files that were renamed."""
    removed: int
    """Names of data files that were removed from the sources."""
    missing: tuple[range, ...]
    incomplete: tuple[int, ...]


class Merge:
    """One merge of `sources` into the directory `into`.

    `run` raises UsageError, DataError or EnvironmentFault before anything was changed when the parts do not
    belong together, are damaged, or do not fit; Interrupted when `stop` says so. `label32` is called where a
    nonce's value is not known, and to check what is.
    """

    def __init__(
        self,
        sources: Sequence[Path],
        into: Path,
        *,
        label32: Label32,
        mode: Mode = Mode.LINK,
        asked_scrypt_n: int | None = None,
        stop: Callable[[], bool] = lambda: False,
        note: Callable[[str], None] = lambda message: None,
        phase: Phase = silent,
    ) -> None:
        on_disk.check_places(sources, into)
        self._sources = [Storage(path.resolve()) for path in sources]
        self._into = Storage(into.resolve())
        self._label32 = functools.cache(label32)
        self._mode = mode
        self._asked = asked_scrypt_n
        self._note = note
        self._placer = Placer(self._into.path, mode, stop, phase)

    def run(self) -> Outcome:
        """Does all of it; see the class for what it raises."""
        with ExitStack() as locks:
            for source in self._sources:
                # nobody writes to what cannot be written, and its lock file could not be made
                if self._mode is Mode.MOVE or os.access(source.path, os.W_OK):
                    locks.enter_context(source.lock())
            existed = self._into.exists()
            if existed:
                locks.enter_context(self._into.lock())
                self._clean()
            sources, into = self._look()
            plan = planning.decide(sources, into, self._mode, self._joined(sources, into), self._asked)
            for note in plan.notes:
                self._note(note)
            self._note_rest()
            self._check_machine(plan, sources)
            self._placer.compare_all(plan)
            known_n, nonce, value = self._nonce(plan, [into, *sources])
            metadata = small.merged_metadata(plan.common, [into, *sources], nonce, value)
            if not existed:
                self._into.create()
                locks.enter_context(self._into.lock())
                self._check_still_empty()
            self._begin(plan, [into, *sources], metadata, known_n)
            self._placer.place_all(plan)
            self._write_small(plan, [into, *sources], metadata, known_n)
            if self._mode is Mode.MOVE:
                self._empty(plan, sources)
            return self._outcome(plan, metadata, known_n)

    # -- looking ----------------------------------------------------------------------------------------

    def _look(self) -> tuple[list[Directory], Directory]:
        roots = [(str(source.path), source.path.stat().st_dev) for source in self._sources]
        sources = [on_disk.read_directory(source, roots, self._into.path) for source in self._sources]
        if not self._into.exists():
            place = nearest(self._into.path)
            return sources, Directory(str(self._into.path), place.stat().st_dev)
        into = on_disk.read_directory(self._into, [], self._into.path)
        return sources, into

    def _clean(self) -> None:
        """Removes what an interrupted merge left: copies and links under temporary names, never the only ones."""
        places = {self._into.path, *(Path(target).parent for target in self._link_targets())}
        for place in (one for one in places if one.is_dir()):
            with durable.explained(place, "read the directory"):
                for name in os.listdir(place):
                    match = on_disk.TEMPORARY.fullmatch(name)
                    if match and name == on_disk.temporary_name(match[1], place, self._into.path):
                        with durable.explained(place / name, "delete"):
                            (place / name).unlink()

    def _link_targets(self) -> list[str]:
        with durable.explained(self._into.path, "read the directory"):
            return [
                os.path.realpath(entry.path)
                for entry in os.scandir(self._into.path)
                if file_number(entry.name) is not None and entry.is_symlink()
            ]

    def _joined(self, sources: Sequence[Directory], into: Directory) -> set[tuple[str, str]]:
        """Pairs of directories on one disk between which files can be linked (or renamed, to be moved)."""
        pairs: dict[tuple[str, str], DataFile] = {}
        for source in sources:
            for number, file in source.files.items():
                ours = into.files.get(number)
                places = {(into.path, into.device)}
                if ours is not None and ours.is_link:
                    places.add((os.path.dirname(ours.target), ours.device))
                for place, device in places:
                    if file.there and file.device == device:
                        pairs.setdefault((os.path.dirname(file.target), place), file)
        if self._mode is Mode.COPY:
            return set()
        return {pair for pair, file in pairs.items() if self._can_join(file, pair[1])}

    def _can_join(self, file: DataFile, place: str) -> bool:
        probe = nearest(Path(place)) / _PROBE
        try:
            probe.unlink(missing_ok=True)
            if self._mode is Mode.MOVE:
                trial = Path(file.target).parent / _PROBE
                os.close(os.open(trial, os.O_WRONLY | os.O_CREAT, durable.FILE_MODE))
                try:
                    os.rename(trial, probe)
                finally:
                    trial.unlink(missing_ok=True)
            else:
                os.link(file.target, probe)
            probe.unlink()
        except OSError:
            return False
        return True

    def _note_rest(self) -> None:
        for one in (*self._sources, *([self._into] if self._into.exists() else [])):
            names = one.names()
            for name in strangers(names):
                self._note(
                    f"{one.path / name} looks like a data file to other programs, but is none: it was not read, "
                    "counted or changed."
                )
            if findings.FILE_NAME in names and one is not self._into:
                self._note(
                    f"{one.path} has findings of an earlier verification ({findings.FILE_NAME}), which are not carried "
                    "over: run `smesher verify` on the merged data."
                )

    def _check_machine(self, plan: MergePlan, sources: Sequence[Directory]) -> None:
        """Raises EnvironmentFault when something cannot be written or does not fit."""
        if self._into.exists():
            self._into.check_writable([metadata_file.FILE_NAME])
        if self._mode is Mode.MOVE:
            for source in self._sources:
                source.check_writable([])
        short = []
        for size, place in plan.needed().values():
            free = Storage(Path(place)).free_bytes()
            if size + SPARE_BYTES > free:
                short.append(
                    f"the disk of {place} has {free} bytes free ({free / 2**30:.2f} GiB), {size + SPARE_BYTES} are "
                    f"needed ({(size + SPARE_BYTES) / 2**30:.2f} GiB)"
                )
        if short:
            raise EnvironmentFault(
                f"There is not enough room: {'; '.join(short)}. Nothing was changed. Free some space, or put links to "
                "files on other disks into the destination."
            )

    # -- the nonce and scrypt N -------------------------------------------------------------------------

    def _nonce(self, plan: MergePlan, directories: Sequence[Directory]) -> tuple[int | None, int | None, bytes | None]:
        """scrypt N, where it is known; the best nonce of all parts and its value."""
        key = commitment(plan.common.node_id, plan.common.commitment_atx_id)
        found = small.nonces(directories)
        n = plan.scrypt_n
        unsure = [one for one in (self._into, *self._sources) if self._without_record(one, directories)]
        if n is not None:
            for one in unsure:
                scrypt_n.confirm(key, scrypt_n.samples(one, plan.layout), n, self._label32, str(one.path))
        elif small.must_recompute(found):
            samples = [(scrypt_n.samples(one, plan.layout), one) for one in unsure]
            stored, place = next(((some, one) for some, one in samples if some), ([], self._into))
            n = scrypt_n.find(key, stored, self._label32, str(place.path))
            self._note(f"scrypt N is not recorded; stored labels say {n}.")
        known = n
        label = None if known is None else lambda index: self._label32(key, index, known)
        chosen = small.choose_nonce(found, label)
        if chosen is None:
            return n, None, None
        index, value, wrong = chosen
        for nonce in wrong:
            self._note(f"The NonceValue given for label {nonce} is not that label: the recomputed value was used.")
        return n, index, value

    @staticmethod
    def _without_record(one: Storage, directories: Sequence[Directory]) -> bool:
        """Whether a directory has labels whose scrypt N is written nowhere."""
        return any(
            directory.path == str(one.path)
            and directory.record is None
            and any(f.labels for f in directory.files.values())
            for directory in directories
        )

    # -- placing ----------------------------------------------------------------------------------------

    def _check_still_empty(self) -> None:
        if self._into.data_files() or self._into.read_small(metadata_file.FILE_NAME) is not None:
            raise DataError(f"{self._into.path} was filled by another program just now. Run the same command again.")

    def _begin(self, plan: MergePlan, directories: Sequence[Directory], metadata: PostMetadata, n: int | None) -> None:
        """Notes what has to be known when the merge is resumed and some files have left their sources."""
        into = directories[0]
        if into.metadata is None and into.begun is None:
            self._into.replace(on_disk.BEGUN_NAME, metadata_file.encode(plan.common).encode())
        self._write_record(plan, directories, metadata, n)

    # -- small files, and emptying the sources ----------------------------------------------------------

    def _write_small(
        self, plan: MergePlan, directories: Sequence[Directory], metadata: PostMetadata, n: int | None
    ) -> None:
        if plan.identity is not None:
            self._into.create_secret(identity_file.FILE_NAME, plan.identity)
        self._write_record(plan, directories, metadata, n)
        self._replace(metadata_file.FILE_NAME, metadata_file.encode(metadata))
        if self._into.read_small(on_disk.BEGUN_NAME) is not None:
            self._into.remove(on_disk.BEGUN_NAME)

    def _write_record(
        self, plan: MergePlan, directories: Sequence[Directory], metadata: PostMetadata, n: int | None
    ) -> None:
        if n is not None:
            record = small.merged_record(n, directories, plan, metadata.last_position)
            self._replace(record_file.FILE_NAME, record_file.encode(record))

    def _replace(self, name: str, text: str) -> None:
        data = text.encode()
        if self._into.read_small(name) != data:
            self._into.replace(name, data)

    def _empty(self, plan: MergePlan, sources: Sequence[Directory]) -> None:
        """Removes the small files of the sources; the metadata last, since without it a source is none."""
        for source, found in zip(self._sources, sources):
            for name, there in (
                (identity_file.FILE_NAME, found.identity is not None),
                (record_file.FILE_NAME, found.record is not None),
                (metadata_file.FILE_NAME, found.metadata is not None),
            ):
                if there:
                    source.remove(name)

    def _outcome(self, plan: MergePlan, metadata: PostMetadata, n: int | None) -> Outcome:
        held = [one.chosen.labels for one in plan.files if one.chosen.labels]
        return Outcome(
            metadata=metadata,
            scrypt_n=n,
            files=len(held),
            labels=sum(held),
            bytes_copied=self._placer.copied,
            linked=self._placer.linked,
            moved=self._placer.moved,
            removed=self._placer.removed,
            missing=plan.missing,
            incomplete=plan.incomplete,
        )
