"""post/datadir.json: initialisation, check and nonce search on directories in every state.

A directory is rebuilt from what the document says: sizes before, which files equalled a fresh run, the metadata
text. Then ours has to end as recorded, except where it differs on purpose; whether it does is decided from the
directory and the request, never from a case's name:

* a label that is cut in two is made again (the reference goes on misaligned);
* surplus bytes, labels or files, and fewer units: refused; with `yes` done as recorded (surplus bytes go too);
* names that only look like data files: named, not counted, left alone;
* another scrypt N than the labels have: refused;
* unknown fields of the metadata are kept; NonceValue null is absent;
* a nonce that is lost: the data is searched first;
* metadata that is lost: what was asked for is proved on labels of every file, then it is written anew;
* metadata of someone else, or broken, without labels: refused; with `yes` overwritten as recorded;
* MaxFileSize no multiple of 16, parameters that crash the reference: refused.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from kernels.devices import find, pool
from kernels.devices.types import SelectionError
from kernels.errors import KernelError
from protocol.errors import ProtocolError
from protocol.post.rules import LABEL_SIZE, commitment, vrf_difficulty
from prover.errors import DataError, EnvironmentFault, Interrupted, MetadataError, ProofError, UsageError
from prover.post import check as pos
from prover.post import metadata as metadata_file
from prover.post.directory import Storage
from prover.post.init import vrf_nonce
from prover.post.init.plan import Request
from prover.post.layout import Layout, file_name, file_number, looks_like_data
from prover.post.metadata import PostMetadata
from tests.vector_cases.harness import Case, Context, Later, NotUnderstood, unknown_sections, vectors
from tests.vector_cases.post_support import Run, all_labels, engine, initialise, label32, open_pool

KNOWN_CHANGES = {
    "batch",
    "cancelled",
    "commitment_atx_id",
    "from_file",
    "labels_per_unit",
    "max_file_size",
    "max_num_units",
    "min_num_units",
    "n",
    "node_id",
    "num_units",
    "p",
    "provider",
    "r",
    "to_file",
}


@vectors("post/datadir.json")
def data_directories(document: Any, context: Context) -> Iterator[Case | Later]:
    from tests.vector_cases.post_datadir_prove import check_prove

    yield from unknown_sections(document, known=("base", "status_values", "initialize", "operations"))
    base = document["base"]
    for entry in document["initialize"]:
        yield Case(f"initialize: {entry['name']}", partial(Initialize(base, entry, context).check))
    for entry in document["operations"]:
        operation = entry["operation"]["op"]
        if operation == "prove":
            yield Case(f"operations: {entry['name']}", partial(check_prove, base, entry, context))
        elif operation in ("verifypos", "search"):
            yield Case(f"operations: {entry['name']}", partial(check_operation, base, entry, context))
        else:
            yield Case(f"operations: {entry['name']}", partial(_unknown, operation))


def _unknown(operation: str) -> None:
    raise NotUnderstood(f"operation {operation!r}")


def request_of(options: dict[str, Any]) -> Request:
    return Request(
        node_id=bytes.fromhex(options["node_id"]),
        commitment_atx_id=bytes.fromhex(options["commitment_atx_id"]),
        labels_per_unit=int(options["labels_per_unit"]),
        num_units=options["num_units"],
        max_file_size=int(options["max_file_size"]),
        scrypt_n=options["n"],
        scrypt_r=options.get("r", 1),
        scrypt_p=options.get("p", 1),
        min_num_units=options.get("min_num_units", 1),
        max_num_units=options.get("max_num_units", 2**32 - 1),
        from_file=options.get("from_file"),
        to_file=options.get("to_file"),
    )


@dataclass
class Labels:
    """The right labels of the base, as a fresh run has them."""

    request: Request

    def __post_init__(self) -> None:
        key = commitment(self.request.node_id, self.request.commitment_atx_id)
        self.full = all_labels(key, self.request.num_labels, self.request.scrypt_n)
        self.layout = Layout(self.request.num_labels, self.request.max_file_size)

    def file(self, number: int) -> bytes:
        first = self.layout.first_label(number)
        return b"".join(label[:LABEL_SIZE] for label in self.full[first : first + self.layout.file_labels(number)])


class Initialize:
    """One entry of `initialize`."""

    def __init__(self, base: dict[str, Any], entry: dict[str, Any], context: Context) -> None:
        self.base, self.entry, self.context = base, entry, context
        self.options = {**base, **entry["change"]}

    def check(self) -> None:
        unknown = self.entry["change"].keys() - KNOWN_CHANGES
        if unknown:
            raise NotUnderstood(f"unknown options {sorted(unknown)}")
        self.request = request_of(self.options)
        self.original = Labels(request_of(self.base))
        self.before = self._metadata_before()
        self.files = {
            number: size
            for name, size in self.entry["files_before"].items()
            if (number := file_number(name)) is not None
        }
        self.has_labels = any(size >= LABEL_SIZE for size in self.files.values())
        refusal = self._refused_on_purpose()
        if refusal is not None:
            self._check_refusal(refusal)
            if self._yes_helps():
                self.request = replace(self.request, yes=True)
                self._check_outcome()
        else:
            self._check_outcome()

    # -- what ours does on purpose -----------------------------------------------------------------------

    def _metadata_before(self) -> PostMetadata | None:
        text = self.entry.get("metadata_before")
        try:
            return None if text is None else metadata_file.decode(text)
        except MetadataError:
            return None

    def _refused_on_purpose(self) -> type[ProofError] | None:
        """The error that ours ends with where the reference goes on; None: as recorded."""
        request, before = self.request, self.before
        if self.entry["result"] == "process_aborts" or (
            request.max_file_size % LABEL_SIZE and self.entry["result"] == "ok"
        ):
            return UsageError
        if self.entry["result"] != "ok":
            return None
        if not self.has_labels and self.entry.get("metadata_before") is not None:
            if before is None:
                return MetadataError
            mine = (request.node_id, request.commitment_atx_id, request.labels_per_unit, request.max_file_size)
            theirs = (before.node_id, before.commitment_atx_id, before.labels_per_unit, before.max_file_size)
            return UsageError if mine != theirs else None
        if self.has_labels and before is not None and request.num_units < before.num_units:
            return UsageError
        if self._surplus():
            return DataError
        if self.has_labels and request.scrypt_n != self.base["n"]:
            return UsageError
        return None

    def _yes_helps(self) -> bool:
        return (
            self.entry["result"] == "ok"
            and not self.request.max_file_size % LABEL_SIZE
            and not (self.has_labels and self.request.scrypt_n != self.base["n"])
        )

    def _surplus(self) -> bool:
        layout = Layout(self.request.num_labels, self.request.max_file_size)
        return any(size > layout.file_size(number) for number, size in self.files.items())

    # -- running ours -------------------------------------------------------------------------------------

    def _directory(self) -> Path:
        """The directory before, and with it the files whose content was not what a fresh run has."""
        path = self.context.temporary("data")
        for name, size in self.entry["files_before"].items():
            number = file_number(name)
            if name == metadata_file.FILE_NAME:
                content = self.entry["metadata_before"].encode()
                assert len(content) == size, "the size of the metadata is not that of its text"
            elif number is not None and self.original.layout.file_labels(number):
                right = self.original.file(number)
                content = right[:size] + bytes(range(1, 256)) * (max(0, size - len(right)) // 255 + 1)
                if self._was_damaged(name, size):
                    content = content[:96] + bytes(16) + content[112:]
            else:
                content = bytes(range(1, 1 + size % 255)) * (size // max(1, size % 255) + 1)
            (path / name).write_bytes(content[:size])
        return path

    def _was_damaged(self, name: str, size: int) -> bool:
        """Same size before and after, right size, and yet not what a fresh run holds: a wrong label."""
        equal = self.entry["files_equal_to_a_fresh_run"].get(name, True)
        number = file_number(name)
        assert number is not None
        return not equal and size == self.original.layout.file_size(number) == self.entry["files_after"].get(name)

    def _run(self, path: Path) -> Run:
        source: Callable[[int], pool.Pool] = open_pool
        if self.options.get("provider", 0) is None:
            source = lambda n: pool.Pool([])  # noqa: E731
        elif "provider" in self.options:
            wanted = [str(self.options["provider"])]
            source = lambda n: open_pool(n) if find.select(find.devices(), wanted) else pool.Pool([])  # noqa: E731
        if self.options.get("cancelled"):

            def source(n: int) -> pool.Pool:
                opened = open_pool(n)
                opened.stop()
                return opened

        with self._no_permission(path):
            return initialise(path, self.request, source, batch_size=int(self.options["batch"]))

    def _no_permission(self, path: Path) -> Any:
        """Where the recorded run met a missing permission, the system says no to the same thing here."""
        if self.entry["result"] != "permission":
            return mock.patch("os.getpid", os.getpid)
        real_open = os.open
        short = [number for number, size in self.files.items() if size < self.original.layout.file_size(number)]

        def refused(name: object) -> bool:
            if not self.files:  # a directory that cannot be written
                return True
            if self.entry["stage"] == "initialize":  # a data file that cannot be written
                return os.path.basename(str(name)) in [file_name(number) for number in short]
            return False

        def guarded_open(name: Any, flags: int, *rest: Any, **named: Any) -> int:
            if flags & (os.O_WRONLY | os.O_RDWR) and Path(str(name)).parent == path and refused(name):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(name))
            if (
                os.path.basename(str(name)) == metadata_file.FILE_NAME and self.entry["stage"] == "new" and self.files
            ):  # metadata that cannot be read
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(name))
            return real_open(name, flags, *rest, **named)

        return mock.patch.multiple("os", open=guarded_open)

    def _check_refusal(self, kind: type[ProofError]) -> None:
        path = self._directory()
        content = _content(path)
        try:
            run = self._run(path)
        except (ProofError, ProtocolError) as error:
            expected = (kind, ProtocolError) if kind is UsageError else (kind,)
            assert isinstance(error, expected), f"refused with {type(error).__name__}: {error}"
            assert _content(path) == content, "refused, but the directory was changed"
            return
        raise AssertionError(f"expected a refusal ({kind.__name__}), got metadata {run.metadata}")

    def _check_outcome(self) -> None:
        result = self.entry["result"]
        path = self._directory()
        content = _content(path)
        try:
            run = self._run(path)
        except (ProofError, ProtocolError, KernelError) as error:
            assert _is(error, result), f"expected {result}, got {type(error).__name__}: {error}"
            if result not in ("cancelled", "no_provider", "invalid_provider"):
                assert _content(path) == content, "refused, but the directory was changed"
            return
        if result == "metadata_missing" and self.has_labels:
            self._check_files(run, content)
            nonce, value = self._expected_nonce()
            assert (run.metadata.nonce, run.metadata.nonce_value) == (nonce, value) if run.metadata else False
            return
        assert result == "ok", f"expected {result}, ended well with {run.metadata}"
        self._check_files(run, content)
        self._check_metadata(run)

    # -- what has to be there afterwards ---------------------------------------------------------------------

    def _check_files(self, run: Run, before: dict[str, bytes]) -> None:
        strangers = [name for name in self.entry["files_before"] if looks_like_data(name)]
        for name in strangers:
            assert any(name in note for note in run.notes), f"{name} is not named"
        fresh = (
            self.original if self.request.max_file_size == self.original.layout.max_file_size else Labels(self.request)
        )
        layout = Layout(self.request.num_labels, self.request.max_file_size)
        after = run.data()
        chosen = layout.files(self.request.from_file, self.request.to_file)
        for number in chosen:
            right = fresh.file(number)[: layout.file_size(number)]
            name = file_name(number)
            if name in before and self._was_damaged(name, len(before[name])):
                assert after[number] == before[name], f"{name} was changed although nothing was missing"
            else:
                assert after[number] == right, f"{name} is not what a fresh run makes ({len(after[number])} bytes)"
        assert sorted(after) == sorted({*chosen, *(number for number in self.files if number < layout.num_files)})
        recorded = {name: size for name, size in self.entry["files_after"].items() if file_number(name) is not None}
        if not any(size % LABEL_SIZE for size in recorded.values()):
            assert {file_name(number): len(data) for number, data in after.items()} == recorded
        for name, data in before.items():
            if file_number(name) is None and name != metadata_file.FILE_NAME:
                assert (run.storage.path / name).read_bytes() == data, f"{name} was changed"

    def _check_metadata(self, run: Run) -> None:
        assert run.metadata_text is not None
        mine = json.loads(run.metadata_text)
        recorded = json.loads(self.entry["metadata_after"])
        before = json.loads(self.entry["metadata_before"]) if self.before is not None else {}
        expected = {**recorded, **{key: value for key, value in before.items() if key not in KNOWN_FIELDS}}
        if self._nonce_may_differ(before):
            nonce, value = self._expected_nonce()
            expected.pop("LastPosition", None)
            expected.update(Nonce=nonce, NonceValue=value.hex())
            expected = {name: expected[name] for name in (*KNOWN_FIELDS, *expected) if name in expected}
        assert list(mine.items()) == list(expected.items()), f"expected {expected}, wrote {mine}"
        if expected == recorded:
            assert run.metadata_text == self.entry["metadata_after"]

    def _nonce_may_differ(self, before: dict[str, Any]) -> bool:
        null_value = "NonceValue" in before and before["NonceValue"] is None
        lost = self.has_labels and "Nonce" not in before
        return null_value or lost

    def _expected_nonce(self) -> tuple[int, bytes]:
        """The rule: the stored nonce, better ones among the labels made now, else the smallest in the data."""
        labels, difficulty = self.original.full, vrf_difficulty(self.request.num_labels)
        stored = self.before.nonce if self.before else None
        best = None if stored is None else (labels[stored], stored)
        made = [
            index
            for index in range(self.request.num_labels)
            if self.original.layout.locate(index)[1] + LABEL_SIZE
            > self.files.get(self.original.layout.locate(index)[0], 0)
        ]
        for among in (made, range(self.request.num_labels)):
            for index in among:
                if labels[index] < difficulty and (best is None or labels[index] < best[0]):
                    best = (labels[index], index)
            if best is not None:
                return best[1], best[0][:LABEL_SIZE]
        raise NotUnderstood("no label of the data is below the threshold")


KNOWN_FIELDS = (
    "NodeId",
    "CommitmentAtxId",
    "LabelsPerUnit",
    "NumUnits",
    "MaxFileSize",
    "Nonce",
    "NonceValue",
    "LastPosition",
)


def _content(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(path.iterdir())}


def _is(error: Exception, result: str) -> bool:
    """Whether an error of ours is the one that the vectors call `result`."""
    text = str(error)
    kind, _, field = result.partition(":")
    return {
        "config_mismatch": isinstance(error, UsageError) and f"{field}:" in text,
        "metadata_missing": isinstance(error, DataError) and metadata_file.FILE_NAME in text,
        "metadata_syntax": isinstance(error, MetadataError),
        "labels_range": "Nonce" in text or "--from-file" in text,
        "file_range": isinstance(error, UsageError) and "--from-file" in text and "--to-file" in text,
        "num_units_out_of_range": isinstance(error, UsageError) and "--num-units" in text,
        "max_file_size_too_small": isinstance(error, UsageError) and "--max-file-size" in text,
        "batch_size_zero": isinstance(error, UsageError) and "batch size" in text,
        "scrypt_parameter_zero": "scrypt N is 0" in text or "scrypt r" in text,
        "n_not_power_of_two": isinstance(error, ProtocolError) and error.reason == "scrypt_n",
        "r_or_p_not_one": isinstance(error, UsageError) and "scrypt r" in text,
        "id_length": isinstance(error, UsageError) and "expected 32" in text,
        "no_provider": isinstance(error, pool.AllDevicesFailed),
        "invalid_provider": isinstance(error, SelectionError),
        "cancelled": isinstance(error, Interrupted),
        "permission": isinstance(error, EnvironmentFault) and "permission" in text,
    }.get(kind, False)


# -- operations ----------------------------------------------------------------------------------------------


def check_operation(base: dict[str, Any], entry: dict[str, Any], context: Context) -> None:
    check = _check_verify if entry["operation"]["op"] == "verifypos" else _check_search
    check(base, entry, context)


def _check_verify(base: dict[str, Any], entry: dict[str, Any], context: Context) -> None:
    """The directory is told by the verdict: where a wrong label is, else which kind of fault was met."""
    operation = entry["operation"]
    right = Labels(request_of(base))
    scrypt_n = operation.get("n", base["n"])
    for damage in _damages(entry, operation, right):
        path = context.temporary("verify")
        _write(path, right, damage)
        valid, place = _verify(path, right.layout, operation, scrypt_n)
        assert valid == entry["valid"], f"{damage}: expected valid {entry['valid']}, got {valid}"
        if "file" in entry:
            expected = (entry["file"], int(entry["offset"]))
            assert place is not None and (expected in place), (
                f"expected {expected} among {place[:5] if place else place}"
            )


@dataclass(frozen=True)
class Damage:
    """What is wrong with a directory."""

    label: tuple[int, int] | None = None
    missing: int | None = None
    short: int | None = None
    long: int | None = None
    no_metadata: bool = False


def _damages(entry: dict[str, Any], operation: dict[str, Any], right: Labels) -> list[Damage]:
    last = right.layout.num_files - 1
    if entry["result"] == "ok":
        # valid whatever stands outside the files that are looked at, and with surplus bytes
        outside = operation.get("to_file", last) + 1
        damages = [Damage(), Damage(long=last)]
        return [*damages, Damage(label=(outside, 96))] if outside <= last else damages
    if entry["result"] == "invalid_label":
        place = (entry["file"], int(entry["offset"]))
        return [Damage()] if operation.get("n", right.request.scrypt_n) != right.request.scrypt_n else [Damage(place)]
    if entry["result"] == "invalid_argument":
        if operation.get("to_file", 0) > last:
            return [Damage()]
        return [Damage(missing=1), Damage(short=2), Damage(no_metadata=True)]
    raise NotUnderstood(f"result {entry['result']!r}")


def _write(path: Path, right: Labels, damage: Damage) -> None:
    for number in range(right.layout.num_files):
        content = right.file(number)
        if damage.label is not None and damage.label[0] == number:
            offset = damage.label[1]
            content = content[:offset] + bytes(16) + content[offset + 16 :]
        content = content[:-16] if damage.short == number else content
        content += bytes(5) if damage.long == number else b""
        if damage.missing != number:
            (path / file_name(number)).write_bytes(content)
    if not damage.no_metadata:
        request = right.request
        metadata = PostMetadata(
            request.node_id,
            request.commitment_atx_id,
            request.labels_per_unit,
            request.num_units,
            request.max_file_size,
        )
        (path / metadata_file.FILE_NAME).write_text(metadata_file.encode(metadata))


def _verify(
    path: Path, layout: Layout, operation: dict[str, Any], scrypt_n: int
) -> tuple[bool, list[tuple[int, int]] | None]:
    storage = Storage(path)
    text = storage.read_small(metadata_file.FILE_NAME)
    if text is None:
        return False, None
    metadata = metadata_file.decode(text)
    first, last = operation.get("from_file"), operation.get("to_file")
    try:
        files = layout.files(first, last)
    except UsageError:
        # the reference finds nothing to check in an empty range, and so nothing wrong
        is_empty = first is not None and last is not None and 0 <= last < first
        return is_empty, [] if is_empty else None
    findings = pos.sizes(storage, layout, files)
    work = pos.planned(layout, storage, files, operation["fraction"], seed=7)
    key = commitment(metadata.node_id, metadata.commitment_atx_id)
    pos.check(storage, layout, key, work, engine(scrypt_n), findings, lambda done: None)
    return findings.good, [(bad.file, bad.offset) for bad in findings.labels]


def _check_search(base: dict[str, Any], entry: dict[str, Any], context: Context) -> None:
    """Which files were there is told by the result; the nonce is then the smallest label in them."""
    right = Labels(request_of(base))
    layout, difficulty = right.layout, vrf_difficulty(right.request.num_labels)
    result, operation = entry["result"], entry["operation"]
    path = context.temporary("search")
    files = layout.files(operation.get("from_file"), operation.get("to_file"))
    if result == "metadata_missing":
        assert "metadata_text" not in entry
        _write(path, right, Damage(no_metadata=True))
        assert Storage(path).read_small(metadata_file.FILE_NAME) is None
        return
    if result == "file_truncated":
        _write(path, right, Damage(short=1))
        findings = pos.sizes(Storage(path), layout, files)
        assert [(bad.file, bad.size) for bad in findings.short] == [(1, layout.file_size(1) - 16)]
        return
    whole = min((label, index) for index, label in enumerate(right.full) if label < difficulty)
    if result == "nonce_not_found":
        present = [] if operation.get("to_file") is None else list(files)
    elif result == "ok":
        gone = [] if int(entry["nonce"]) == whole[1] else [layout.locate(whole[1])[0]]
        present = [number for number in files if number not in gone]
    else:
        raise NotUnderstood(f"result {result!r}")
    _write(path, right, Damage())
    key = commitment(right.request.node_id, right.request.commitment_atx_id)
    best, wrong = vrf_nonce.search_data(
        Storage(path), layout, present, key, right.request.scrypt_n, label32, lambda done: None
    )
    assert not wrong
    if result == "nonce_not_found":
        assert best is None, f"found {best}"
        return
    assert best is not None, "no nonce found"
    assert (str(best.index), best.value.hex()) == (entry["nonce"], entry["nonce_value"]), f"found {best}"
