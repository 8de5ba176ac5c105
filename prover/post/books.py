"""The two small files of a data directory as one run keeps them: the shared metadata and our own record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from prover.post import metadata as metadata_file
from prover.post import record as record_file
from prover.post.directory import Storage
from prover.post.metadata import PostMetadata
from prover.post.record import Record, Search


class Books:
    """What the files say; saving writes them atomically, and only when their text changes."""

    def __init__(self, storage: Storage, metadata: PostMetadata, record: Record) -> None:
        self._storage = storage
        self.metadata = metadata
        self.record = record

    def save_metadata(self, metadata: PostMetadata) -> None:
        """From now on the metadata is this."""
        self.metadata = metadata
        self._save(metadata_file.FILE_NAME, metadata_file.encode(metadata))

    def save_nonce(self, nonce: int, value: bytes | None) -> None:
        """From now on this is the VRF nonce; `value` is the first 16 bytes of its label."""
        self.save_metadata(replace(self.metadata, nonce=nonce, nonce_value=value))

    def save_record(self, record: Record) -> None:
        """From now on the record is this."""
        self.record = record
        self._save(record_file.FILE_NAME, record_file.encode(record))

    def note_durable(self, labels: Mapping[int, int]) -> None:
        """These files are being written, or what they hold is doubtful: so many of their labels are beyond doubt."""
        self.save_record(replace(self.record, durable=tuple(sorted(labels.items()))))

    def note_search(self, search: Search | None) -> None:
        """How far the batch in work of the search beyond the data has come."""
        self.save_record(replace(self.record, search=search))

    def _save(self, name: str, text: str) -> None:
        data = text.encode()
        if self._storage.read_small(name) != data:
            self._storage.replace(name, data)
