"""smesher-findings.json: the wrong labels that a check or a proof came upon, so that a repair knows where to look.

A finding belongs to the bytes in which it was found: where others stand now, it is void. It is void, too, when the
label was recomputed since and is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from protocol.post.rules import LABEL_SIZE
from prover.errors import MetadataError
from prover.post import strict_json
from prover.post.check import BadLabel, Findings, read_labels
from prover.post.directory import Storage
from prover.post.layout import Layout, file_name, file_number

FILE_NAME = "smesher-findings.json"
FILE_BYTES = 512 << 20
"""Of the file at most."""

KEPT = 1_000_000
"""Wrong labels that the file names at most: of more, whole ranges are to be repaired."""


def current(storage: Storage, layout: Layout) -> list[BadLabel]:
    """What was found and still stands on disk as it was found. Raises MetadataError, which says what to do."""
    text = storage.read_small(FILE_NAME, FILE_BYTES)
    if text is None:
        return []
    found = decode(text, str(storage.path / FILE_NAME))
    for bad in found:
        if not _has_place(bad, layout):
            raise _error(
                str(storage.path / FILE_NAME), "BadLabels", f"label {bad.index} has another place in this data"
            )
    held = {number: size // LABEL_SIZE for number, size in storage.data_files().items()}
    stands = []
    for bad in found:
        position = bad.offset // LABEL_SIZE
        if position < held.get(bad.file, 0):
            stored = read_labels(storage, bad.file, [position])
            if stored[0].tobytes() == bad.found:
                stands.append(bad)
    return stands


def _has_place(bad: BadLabel, layout: Layout) -> bool:
    return 0 <= bad.index < layout.num_labels and layout.locate(bad.index) == (bad.file, bad.offset)


def update(storage: Storage, before: Iterable[BadLabel], looked_at: Callable[[BadLabel], bool], now: Findings) -> None:
    """Keeps what is wrong now and what was not looked at; the file goes when nothing is left.

    Raises EnvironmentFault where the directory cannot be written.
    """
    wrong = {bad.index for bad in now.labels}
    kept = [bad for bad in before if not looked_at(bad) and bad.index not in wrong]
    left = Findings(labels=sorted([*kept, *now.labels], key=lambda bad: bad.index), short=now.short)
    if not left.good:
        storage.replace(FILE_NAME, encode(left).encode())
    elif FILE_NAME in storage.names():
        storage.remove(FILE_NAME)


def add(storage: Storage, layout: Layout, labels: Sequence[BadLabel]) -> None:
    """Keeps these beside what is there. Raises EnvironmentFault where the directory cannot be written."""
    try:
        before = current(storage, layout)
    except MetadataError:
        before = []  # nobody can read it: what is known now is of more use
    update(storage, before, lambda bad: False, Findings(labels=list(labels)))


def encode(findings: Findings) -> str:
    """The content of the file."""
    document: dict[str, object] = {
        "BadLabels": [
            {
                "Index": bad.index,
                "File": file_name(bad.file),
                "Offset": bad.offset,
                "Found": bad.found.hex(),
                "Expected": bad.expected.hex(),
            }
            for bad in findings.labels[:KEPT]
        ],
        "ShortFiles": [
            {"File": file_name(bad.file), "Bytes": bad.size, "Expected": bad.expected} for bad in findings.short
        ],
    }
    return strict_json.dump(document, "  ") + "\n"


def decode(text: bytes, file: str) -> list[BadLabel]:
    """The bad labels of a findings file. Raises MetadataError when it is not one."""
    try:
        document = strict_json.parse(text)
    except strict_json.JsonError as error:
        raise _error(file, None, str(error)) from None
    entries = dict(strict_json.members(document) or ()).get("BadLabels")
    if not isinstance(entries, list):
        raise _error(file, "BadLabels", f"found {strict_json.describe(entries)}, expected a list")
    return [_bad_label(entry, file) for entry in entries]


def _bad_label(entry: object, file: str) -> BadLabel:
    fields = dict(strict_json.members(entry) or ())
    index, offset, name = fields.get("Index"), fields.get("Offset"), fields.get("File")
    try:
        number = file_number(str(name))
        found, expected = (bytes.fromhex(str(fields.get(key))) for key in ("Found", "Expected"))
    except ValueError:
        number = None
    if number is None or not all(type(value) is int and value >= 0 for value in (index, offset)):
        raise _error(
            file, "BadLabels", f"found {strict_json.describe(entry)}, expected Index, File, Offset, Found and Expected"
        )
    assert isinstance(index, int) and isinstance(offset, int)
    return BadLabel(index, number, offset, found, expected)


def _error(file: str, field: str | None, reason: str) -> MetadataError:
    return MetadataError(file, field, reason, remedy="Delete it: smesher verify finds again what is damaged")
