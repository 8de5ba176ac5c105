"""What an initialisation has to do, decided before anything is touched: pure functions over what was found.

`check` refuses parameters that make no sense, `decide` compares them with the directory and gives the
deletions, cuts and label ranges, or the reason why not. Specified in protocol 01-post, sections 3 and 3.2;
stricter than the reference where it loses data in silence (sections 3.2 and 10).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import overload

from protocol.post.rules import LABEL_SIZE, MAX_LABELS, MIN_LABELS, check_scrypt_n
from protocol.types.ids import ID_SIZE
from prover.errors import DataError, MetadataError, UsageError
from prover.post import metadata as metadata_file
from prover.post import record as record_file
from prover.post.layout import Layout, file_name, looks_like_data
from prover.post.metadata import PostMetadata
from prover.post.record import Record

MIN_FILE_SIZE = 1024
"""Bytes; the reference accepts no smaller files."""


@dataclass(frozen=True, slots=True)
class Request:
    """What someone wants a directory to hold."""

    node_id: bytes
    commitment_atx_id: bytes
    labels_per_unit: int
    num_units: int
    max_file_size: int
    """Bytes, a multiple of 16."""
    scrypt_n: int
    min_num_units: int = 1
    max_num_units: int = 2**32 - 1
    k1: int = 26
    scrypt_r: int = 1
    scrypt_p: int = 1
    from_file: int | None = None
    to_file: int | None = None
    grow: bool = False
    """More units than before are wanted on purpose."""
    yes: bool = False
    """What would be lost may be lost."""

    @property
    def num_labels(self) -> int:
        """Labels of all units."""
        return self.labels_per_unit * self.num_units


@dataclass(frozen=True, slots=True)
class Found:
    """What stands in a directory."""

    files: Mapping[int, int] = field(default_factory=dict)
    """Data file number -> size in bytes."""
    metadata: bytes | None = None
    record: bytes | None = None
    strangers: Sequence[str] = ()
    """Names that a program of the reference takes for data files."""

    @property
    def num_labels(self) -> int:
        """Whole labels in all data files."""
        return sum(size // LABEL_SIZE for size in self.files.values())


@dataclass(frozen=True, slots=True)
class FilePlan:
    """What one data file needs."""

    number: int
    keep: int
    """Labels that are there and stay."""
    cut: bool
    """Whether the file is longer than the labels that stay: a partial label, or surplus given up."""
    target: int
    """Labels when it is complete."""


@dataclass(frozen=True, slots=True)
class FilePlans(Sequence[FilePlan]):
    """What each data file of a run needs, in order; made when it is asked for, since there may be millions of them."""

    layout: Layout
    numbers: range
    """The files of this run."""
    sizes: Mapping[int, int]
    """Data file number -> size in bytes, of those that are there."""

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, place: int) -> FilePlan: ...
    @overload
    def __getitem__(self, place: slice) -> FilePlans: ...
    def __getitem__(self, place: int | slice) -> FilePlan | FilePlans:
        if isinstance(place, slice):
            return FilePlans(self.layout, self.numbers[place], self.sizes)
        number = self.numbers[place]
        size, target = self.sizes.get(number, 0), self.layout.file_labels(number)
        keep = min(size // LABEL_SIZE, target)
        return FilePlan(number, keep, size > keep * LABEL_SIZE, target)

    @property
    def there(self) -> list[FilePlan]:
        """Only those that are on disk."""
        return [self[self.numbers.index(number)] for number in sorted(self.sizes) if number in self.numbers]

    @property
    def num_labels(self) -> int:
        """Labels of all of them when they are complete."""
        last = self.numbers[-1]
        return self.layout.first_label(last) + self.layout.file_labels(last) - self.layout.first_label(self.numbers[0])


@dataclass(frozen=True, slots=True)
class InitPlan:
    """Everything that an initialisation does, in this order: delete, cut, fill."""

    layout: Layout
    files: FilePlans
    delete: tuple[int, ...]
    """Numbers of data files beyond the last needed one."""
    metadata: PostMetadata
    """What the metadata has to say when work begins."""
    record: Record | None
    """smesher.json as found; None when there is none or it is void."""
    doubtful: frozenset[int]
    """Files that were longer than they may have been: no label of them is known to be in its place."""
    unproven: bool
    """There are labels but no metadata: what was asked for has to be proved by labels of every file."""
    damaged_record: str
    """Why smesher.json could not be read; empty: it could, or is not there."""
    covers_all: bool
    """Whether the run covers every file, so that a missing VRF nonce is searched beyond the data."""
    notes: tuple[str, ...]
    """What a person should know, in sentences."""

    @property
    def num_labels(self) -> int:
        """Labels that are to be in this run's files at the end."""
        return self.files.num_labels

    @property
    def lacks_labels(self) -> bool:
        """Whether labels of this run's files have to be made, as far as their sizes tell."""
        return self.labels_there < self.num_labels

    @property
    def labels_there(self) -> int:
        """Labels of this run's files that are there already."""
        return sum(one.keep for one in self.files.there)


def check(request: Request) -> None:
    """Refuses parameters that no directory can hold. Raises UsageError, or ProtocolError for scrypt's N."""
    for name, value in (("node id", request.node_id), ("commitment ATX id", request.commitment_atx_id)):
        if len(value) != ID_SIZE:
            raise UsageError(f"The {name} has {len(value)} bytes, expected {ID_SIZE} ({2 * ID_SIZE} hex digits).")
    check_scrypt_n(request.scrypt_n)
    if (request.scrypt_r, request.scrypt_p) != (1, 1):
        raise UsageError(
            f"scrypt r is {request.scrypt_r} and p is {request.scrypt_p}, expected 1 and 1: no network uses others."
        )
    if not request.min_num_units <= request.num_units <= request.max_num_units:
        raise UsageError(
            f"--num-units is {request.num_units}, expected {request.min_num_units} to {request.max_num_units}, "
            "the limits of the network. Choose another number or another network (--network, --min-num-units, "
            "--max-num-units)."
        )
    if request.max_file_size < MIN_FILE_SIZE:
        raise UsageError(f"--max-file-size is {request.max_file_size} bytes, expected at least {MIN_FILE_SIZE}.")
    if request.max_file_size % LABEL_SIZE:
        lower = request.max_file_size - request.max_file_size % LABEL_SIZE
        raise UsageError(
            f"--max-file-size is {request.max_file_size} bytes, expected a multiple of {LABEL_SIZE}: data in "
            f"other files cannot be proved. Use {lower}."
        )
    if request.labels_per_unit < 1 or request.num_units < 1:
        raise UsageError("--labels-per-unit and --num-units must be at least 1.")
    if request.num_labels > MAX_LABELS or request.num_labels * request.k1 >= 2**64:
        raise UsageError(
            f"--num-units {request.num_units} times --labels-per-unit {request.labels_per_unit} is "
            f"{request.num_labels} labels, more than the protocol can count."
        )
    if request.num_labels < MIN_LABELS:
        raise UsageError(
            f"{request.num_labels} labels are too few, expected at least {MIN_LABELS}: fewer cannot have a VRF "
            "nonce. Choose more units or more labels per unit."
        )


def decide(request: Request, found: Found, directory: str) -> InitPlan:
    """The plan for a request that passed `check`.

    Raises UsageError (the request conflicts with what is there), DataError or MetadataError (what is there
    is damaged or in the way). Nothing was changed then.
    """
    layout = Layout(request.num_labels, request.max_file_size)
    chosen = layout.files(request.from_file, request.to_file)
    notes = [
        f"{name} looks like a data file to other programs, but is none: it was not read, counted or changed."
        for name in found.strangers
    ]
    before = _metadata_before(request, found, directory)
    _compare(request, found, before, directory)
    surplus = _surplus(layout, found)
    if surplus and not request.yes:
        raise DataError(_surplus_message(request, before, surplus, directory))
    record, damaged = _record_before(request, found, directory)
    return InitPlan(
        layout=layout,
        files=FilePlans(layout, chosen, found.files),
        delete=tuple(number for number in found.files if number >= layout.num_files),
        metadata=_metadata_after(request, before),
        record=record,
        doubtful=_doubtful(layout, before, found),
        unproven=before is None and found.num_labels > 0,
        damaged_record=damaged,
        covers_all=len(chosen) == layout.num_files,
        notes=tuple(notes),
    )


def _metadata_before(request: Request, found: Found, directory: str) -> PostMetadata | None:
    path = f"{directory}/{metadata_file.FILE_NAME}"
    if found.metadata is None:
        return None
    try:
        return metadata_file.decode(found.metadata, path)
    except MetadataError as error:
        if found.num_labels or not request.yes:
            hint = "" if found.num_labels else " (there are no labels yet: with --yes it is written anew)"
            raise MetadataError(path, error.field, error.reason + hint) from None
        return None


def _compare(request: Request, found: Found, before: PostMetadata | None, directory: str) -> None:
    if before is None:
        return
    pairs = (
        ("NodeId", before.node_id.hex(), request.node_id.hex(), "--node-id"),
        (
            "CommitmentAtxId",
            before.commitment_atx_id.hex(),
            request.commitment_atx_id.hex(),
            "--commitment-atx-id",
        ),
        ("LabelsPerUnit", before.labels_per_unit, request.labels_per_unit, "--network or --labels-per-unit"),
        ("MaxFileSize", before.max_file_size, request.max_file_size, "--max-file-size"),
    )
    different = [
        f"{name}: {there} in the metadata, {wanted} asked for ({option})"
        for name, there, wanted, option in pairs
        if there != wanted
    ]
    if different and (found.num_labels or not request.yes):
        advice = (
            "Run the command with the values of the directory, or choose another directory."
            if found.num_labels
            else "There are no labels yet: with --yes the metadata is written anew."
        )
        raise UsageError(
            f"{directory}/{metadata_file.FILE_NAME} does not match: " + "; ".join(different) + f". {advice}"
        )
    if not found.num_labels:
        return
    if request.num_units > before.num_units and not request.grow:
        raise UsageError(
            f"NumUnits: {before.num_units} in {directory}/{metadata_file.FILE_NAME}, {request.num_units} asked for "
            "(--num-units). With --grow the data is extended to the larger number."
        )
    if request.num_units < before.num_units and not request.yes:
        kept = Layout(request.num_labels, request.max_file_size)
        lost = sum(max(0, size - kept.file_size(number)) for number, size in found.files.items())
        raise UsageError(
            f"NumUnits: {before.num_units} in {directory}/{metadata_file.FILE_NAME}, {request.num_units} asked for "
            f"(--num-units). That would delete {lost // LABEL_SIZE} labels ({lost} bytes). With --yes it is done."
        )


def _doubtful(layout: Layout, before: PostMetadata | None, found: Found) -> frozenset[int]:
    """Files with more bytes than belonged into them before: other programs append to a label that was cut in two."""
    known = layout if before is None else Layout(before.num_labels, max(LABEL_SIZE, before.max_file_size))
    return frozenset(
        number
        for number, size in found.files.items()
        if number < layout.num_files and size > max(known.file_size(number), layout.file_size(number))
    )


def _surplus(layout: Layout, found: Found) -> list[tuple[int, int]]:
    """(file number, bytes) beyond what belongs into each file."""
    return [
        (number, size - layout.file_size(number))
        for number, size in found.files.items()
        if size > layout.file_size(number)
    ]


def _surplus_message(
    request: Request, before: PostMetadata | None, surplus: Sequence[tuple[int, int]], directory: str
) -> str:
    listed = ", ".join(f"{file_name(number)} ({size} bytes too many)" for number, size in surplus[:5])
    more = f" and {len(surplus) - 5} more" if len(surplus) > 5 else ""
    return (
        f"{directory} holds more than {request.num_units} units need: {listed}{more}. Nothing was changed. Check "
        "the number of units; with --yes the surplus is deleted."
    )


def _record_before(request: Request, found: Found, directory: str) -> tuple[Record | None, str]:
    """smesher.json, and why it is of no use. All it says can be found out again, so a damaged one stops nobody."""
    if found.record is None:
        return None, ""
    try:
        record = record_file.decode(found.record, f"{directory}/{record_file.FILE_NAME}")
    except MetadataError as error:
        return None, error.reason
    if record.scrypt_n != request.scrypt_n:
        if not found.num_labels:
            return None, ""
        raise UsageError(
            f"scrypt N: the labels in {directory} were made with N = {record.scrypt_n} ({record_file.FILE_NAME}), "
            f"{request.scrypt_n} asked for (--network or --scrypt-n). Mixed data cannot be proved."
        )
    return record, ""


def _metadata_after(request: Request, before: PostMetadata | None) -> PostMetadata:
    """What the reference writes on construction: the request, and of the old metadata the nonce and what is unknown."""
    same = before is not None and (
        before.node_id,
        before.commitment_atx_id,
        before.labels_per_unit,
    ) == (request.node_id, request.commitment_atx_id, request.labels_per_unit)
    keep = before if same else None
    return PostMetadata(
        node_id=request.node_id,
        commitment_atx_id=request.commitment_atx_id,
        labels_per_unit=request.labels_per_unit,
        num_units=request.num_units,
        max_file_size=request.max_file_size,
        nonce=keep.nonce if keep else None,
        # a value without its nonce says nothing, and would hide every candidate
        nonce_value=keep.nonce_value if keep and keep.nonce is not None else None,
        last_position=keep.last_position if keep else None,
        unknown=keep.unknown if keep else (),
    )


def strangers(names: Mapping[str, int]) -> list[str]:
    """Of the names in a directory those that programs of the reference take for data files."""
    return sorted(name for name in names if looks_like_data(name))
