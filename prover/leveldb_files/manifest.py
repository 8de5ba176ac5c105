"""The manifest: a log of what tables there are, which log is open, and how far the numbers are used up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .findings import number, text

_COMPARATOR, _LOG, _NEXT_FILE, _LAST_SEQUENCE, _POINTER, _DELETED, _NEW, _PREVIOUS_LOG = 1, 2, 3, 4, 5, 6, 7, 9
_TEXT = "a text in an edit of the manifest"


@dataclass(slots=True)
class Manifest:
    """The state that all edits of a manifest lead to."""

    comparator: bytes = b""
    log_number: int = 0
    """Logs from this number on hold what no table holds yet."""
    previous_log: int = 0
    """A log below it that does so, too; 0: none."""
    next_file: int = 0
    last_sequence: int = 0
    tables: dict[int, int] = field(default_factory=dict)
    """Sizes in bytes, by number."""


def read_manifest(records: Iterable[bytes]) -> Manifest:
    """Apply all edits. Raises ValueError for one that is none."""
    manifest = Manifest()
    for record in records:
        _apply(manifest, record)
    return manifest


def _apply(manifest: Manifest, record: bytes) -> None:
    at = 0
    added: dict[int, int] = {}
    removed: set[int] = set()
    while at < len(record):
        tag, at = number(record, at)
        if tag == _COMPARATOR:
            manifest.comparator, at = text(record, at, _TEXT)
        elif tag == _LOG:
            manifest.log_number, at = number(record, at)
        elif tag == _NEXT_FILE:
            manifest.next_file, at = number(record, at)
        elif tag == _LAST_SEQUENCE:
            manifest.last_sequence, at = number(record, at)
        elif tag == _PREVIOUS_LOG:
            manifest.previous_log, at = number(record, at)
        elif tag == _POINTER:
            _, at = number(record, at)
            _, at = text(record, at, _TEXT)
        elif tag == _DELETED:
            _, at = number(record, at)
            file, at = number(record, at)
            removed.add(file)
        elif tag == _NEW:
            _, at = number(record, at)
            file, at = number(record, at)
            added[file], at = number(record, at)
            _, at = text(record, at, _TEXT)
            _, at = text(record, at, _TEXT)
        else:
            raise ValueError(f"an edit of the manifest has the unknown tag {tag}")
    for file in removed:
        manifest.tables.pop(file, None)
    manifest.tables.update(added)  # a table that only changes its level is removed and added in one edit
