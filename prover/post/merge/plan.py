"""What a merge has to do, decided before anything is touched: pure functions over what was found.

The parts of a split initialisation hold files with absolute numbers and agree in five fields; of every file the
longest copy is taken, of the VRF nonces the one with the smallest value. Specified in protocol 01-post-tools,
section 3, and 01-post, sections 2.2, 3 and 3.1.

How a file travels: complete regular files on the destination's disk are hard-linked, links to files elsewhere
become links to the same files, the rest is copied. A file that `init` would append to is never hard-linked: two
directories would append to one file. With `Mode.MOVE` files are renamed where that is possible, else copied and
removed. A link whose target lies outside the sources stays a link (its target does not move); a target inside a
source moves like any file, since a source is what may be deleted afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence

from protocol.post.rules import LABEL_SIZE
from prover.errors import DataError, EnvironmentFault, UsageError
from prover.post import identity as identity_file
from prover.post import metadata as metadata_file
from prover.post import record as record_file
from prover.post.layout import Layout, file_name
from prover.post.merge.types import DataFile, Directory, FilePlan, How, MergePlan, Mode
from prover.post.metadata import PostMetadata

FIELDS = ("NodeId", "CommitmentAtxId", "LabelsPerUnit", "NumUnits", "MaxFileSize")
"""What all parts of one initialisation have in common."""


def decide(
    sources: Sequence[Directory],
    into: Directory,
    mode: Mode,
    joined: Collection[tuple[str, str]] = (),
    asked_scrypt_n: int | None = None,
) -> MergePlan:
    """The plan of a merge.

    `joined` holds the pairs (directory of a file, directory of its destination) between which files can be
    linked, or renamed when they are to be moved. Raises UsageError when the parts do not belong together,
    DataError when a part is damaged, EnvironmentFault when a disk is absent. Nothing was changed then.
    """
    common = _common(sources, into, mode)
    layout = Layout(common.num_labels, common.max_file_size)
    scrypt_n = _agreed_scrypt_n([into, *sources], asked_scrypt_n)
    identity = _identity([into, *sources])
    _check_files([into, *sources], layout)
    files: list[FilePlan] = []
    discard: list[DataFile] = []
    for number in sorted({number for one in (into, *sources) for number in one.files}):
        planned = _plan_file(number, sources, into, mode, joined, layout)
        if planned is not None:
            files.append(planned)
        elif mode is Mode.MOVE:
            discard.extend(one.files[number] for one in sources if number in one.files)
    present = [one.number for one in files if one.chosen.labels]
    return MergePlan(
        common=common,
        layout=layout,
        files=tuple(files),
        discard=tuple(discard),
        missing=tuple(_gaps(present, layout.num_files)),
        incomplete=tuple(one.number for one in files if one.chosen.labels and not one.complete),
        scrypt_n=scrypt_n,
        identity=identity if into.identity is None else None,
        notes=tuple(_notes(files, mode)),
    )


# -- what all parts have in common --------------------------------------------------------------------------


def _common(sources: Sequence[Directory], into: Directory, mode: Mode) -> PostMetadata:
    for one in sources:
        emptied = mode is Mode.MOVE and not one.files and into.metadata is not None
        if one.metadata is None and not emptied:
            raise DataError(
                f"{one.path} has no {metadata_file.FILE_NAME}: it is no data directory, or the file was lost. "
                "Restore the file from a copy, or leave the directory out."
            )
    known = [(one.path, one.metadata) for one in (into, *sources) if one.metadata is not None]
    if into.metadata is None and into.begun is not None:
        known.insert(0, (f"{into.path} (begun by an interrupted merge)", into.begun))
    elif into.metadata is None and into.files:
        labels = sum(file.labels for file in into.files.values())
        raise DataError(
            f"{into.path} holds {labels} labels but no {metadata_file.FILE_NAME}, so nobody can say whose they are. "
            "Restore that file from a copy, or choose an empty directory."
        )
    first_path, first = known[0]
    wrong = []
    for path, metadata in known[1:]:
        for name, ours, theirs in zip(FIELDS, _fields(first), _fields(metadata)):
            if ours != theirs:
                wrong.append(f"{name}: {ours} in {first_path}, {theirs} in {path}")
    if wrong:
        raise UsageError(
            f"These directories are not parts of one initialisation. {'; '.join(wrong)}. Nothing was changed; leave "
            "out the directories that do not belong together."
        )
    return PostMetadata(
        first.node_id, first.commitment_atx_id, first.labels_per_unit, first.num_units, first.max_file_size
    )


def _fields(metadata: PostMetadata) -> tuple[str, str, str, str, str]:
    return (
        metadata.node_id.hex(),
        metadata.commitment_atx_id.hex(),
        str(metadata.labels_per_unit),
        str(metadata.num_units),
        str(metadata.max_file_size),
    )


def _agreed_scrypt_n(directories: Iterable[Directory], asked: int | None) -> int | None:
    values = [
        (one.record.scrypt_n, f"{one.path}/{record_file.FILE_NAME}") for one in directories if one.record is not None
    ]
    if asked is not None:
        values.append((asked, "--network or --scrypt-n"))
    if len({value for value, _ in values}) > 1:
        said = ", ".join(f"{value} ({where})" for value, where in values)
        raise UsageError(
            f"scrypt N differs: {said}. Mixed data cannot be proved; leave out what was made with another N."
        )
    return values[0][0] if values else None


def _identity(directories: Iterable[Directory]) -> bytes | None:
    keys = [(one.identity, f"{one.path}/{identity_file.FILE_NAME}") for one in directories if one.identity is not None]
    if len({key.strip().lower() for key, _ in keys}) > 1:
        raise UsageError(
            f"The identity keys differ: {', '.join(path for _, path in keys)}. No key is ever overwritten; move those "
            "that do not belong to this data away, then merge again."
        )
    return keys[0][0] if keys else None


# -- the data files -----------------------------------------------------------------------------------------


def _check_files(directories: Sequence[Directory], layout: Layout) -> None:
    numbers: dict[tuple[int, int], DataFile] = {}
    for directory in directories:
        for number, file in directory.files.items():
            allowed = layout.file_size(number)
            if file.labels * LABEL_SIZE > allowed:
                raise DataError(
                    f"{file.path} has {file.size} bytes, expected at most {allowed}: it holds labels that do not "
                    f"belong to this data, which has {layout.num_files} files. Nothing was changed. Check NumUnits and "
                    "MaxFileSize; `smesher init --yes` deletes surplus in its own directory."
                )
            if not file.there:
                continue
            other = numbers.setdefault((file.device, file.inode), file)
            if other.number != number:
                raise DataError(
                    f"{other.path} and {file.path} are the same file on disk under two numbers, so one of them is "
                    "wrong. Nothing was changed; remove the wrong link."
                )


def _plan_file(
    number: int,
    sources: Sequence[Directory],
    into: Directory,
    mode: Mode,
    joined: Collection[tuple[str, str]],
    layout: Layout,
) -> FilePlan | None:
    """The plan for one number; None when nobody has a whole label of it."""
    ours = into.files.get(number)
    theirs = [one.files[number] for one in sources if number in one.files]
    # A link in the destination to what a source holds gives way: the source's file stays as it is, or moves.
    borrowed = ours is not None and ours.is_link and any(ours.target == one.target for one in theirs)
    if ours is not None and ours.is_link and not borrowed:
        final, device = ours.target, ours.device
    else:
        final, device = f"{into.path}/{file_name(number)}", into.device
    # what was moved away before an interruption: its link is all that is left
    moved = [one for one in theirs if _was_moved(one, ours, mode)]
    for one in theirs:
        if not one.there and one not in moved:
            raise DataError(
                f"{one.path} is a link to {one.target}, which is not there. Is that disk mounted? Nothing was changed; "
                "mount it, or remove the link."
            )

    def reaches(one: DataFile) -> bool:
        return (os.path.dirname(one.target), os.path.dirname(final)) in joined

    candidates = [one for one in theirs if one.there]
    if ours is not None and ours.there and not (borrowed and mode is Mode.MOVE):
        candidates.insert(0, ours)
    most = max((one.labels for one in candidates), default=0)
    if not most and not (candidates and candidates[0] is ours):
        return None
    longest = [one for one in candidates if one.labels == most]
    chosen = min(longest, key=lambda one: (one is not ours, not reaches(one), one.tail > 0))
    complete = most == layout.file_labels(number)
    shared = ours is not None and (borrowed or any(ours.same_content(one) for one in theirs))
    how = _how(chosen, ours, shared, complete, mode, reaches(chosen))
    if how is not How.KEEP and device < 0:
        raise EnvironmentFault(
            f"{into.path}/{file_name(number)} is a link to {final}, whose directory is not there. Is that disk "
            "mounted? Nothing was changed; mount it, or remove the link."
        )
    if how is How.SYMLINK:
        final, device = f"{into.path}/{file_name(number)}", into.device
    return FilePlan(
        number=number,
        chosen=chosen,
        how=how,
        final=final,
        device=device,
        complete=complete,
        compare=_distinct(chosen, candidates),
        # links first: while a link stands its target is still to be found
        remove=tuple(sorted(theirs, key=lambda one: not one.is_link)) if mode is Mode.MOVE else (),
    )


def _was_moved(one: DataFile, ours: DataFile | None, mode: Mode) -> bool:
    return not one.there and mode is Mode.MOVE and one.inside and ours is not None and ours.labels > 0


def _distinct(chosen: DataFile, candidates: Iterable[DataFile]) -> tuple[DataFile, ...]:
    """The candidates that are other files on disk than the chosen one and each other, and hold labels."""
    seen = [chosen]
    for one in candidates:
        if one.labels and not any(one.same_content(other) for other in seen):
            seen.append(one)
    return tuple(seen[1:])


def _how(chosen: DataFile, ours: DataFile | None, shared: bool, complete: bool, mode: Mode, reaches: bool) -> How:
    if chosen is ours:
        # cutting a file that a source has too would change the source
        return How.COPY if chosen.tail and shared and mode is not Mode.MOVE else How.KEEP
    placed = ours is not None and ours.is_link and not shared
    if mode is Mode.MOVE:
        if chosen.is_link and not chosen.inside and not placed:
            return How.SYMLINK
        # what is outside the sources may be somebody else's: it is copied, never taken away
        return How.RENAME if reaches and (chosen.inside or not chosen.is_link) else How.COPY
    if mode is Mode.COPY or chosen.tail:
        return How.COPY
    if chosen.is_link and not placed:
        return How.SYMLINK
    return How.LINK if reaches and complete else How.COPY


def _gaps(present: Sequence[int], num_files: int) -> Iterator[range]:
    following = 0
    for number in (*present, num_files):
        if number > following:
            yield range(following, number)
        following = number + 1


def _notes(files: Iterable[FilePlan], mode: Mode) -> Iterator[str]:
    linked = 0
    for one in files:
        if one.chosen.tail:
            yield (
                f"{one.chosen.path} ends with {one.chosen.tail} bytes of a partial label, which are not carried over: "
                f"the file in the destination has {one.chosen.labels} labels."
            )
        if mode is Mode.LINK and one.how in (How.LINK, How.SYMLINK):
            linked += 1
        if mode is Mode.LINK and one.how is How.SYMLINK and not one.complete:
            yield (
                f"{one.chosen.target} is incomplete and stays one file for both directories: fill it in one "
                "of them only."
            )
        if mode is Mode.MOVE:
            for file in one.remove:
                if file.is_link and not file.inside and file.target != one.final and one.how is not How.SYMLINK:
                    yield (
                        f"{file.path} is a link: only the link is removed, {file.target} stays. The destination has "
                        "its content."
                    )
    if linked:
        yield (
            f"{linked} files are linked: source and destination share them, so a change of one is a change of both "
            "(use --copy for files of their own)."
        )
