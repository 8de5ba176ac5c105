"""postdata_metadata.json: what a data directory holds, shared with the reference's programs.

Read is what at least one of the reference's two readers (post-rs; the Go library `post`) accepts, as long as
it has one meaning: fields present, ids of 32 bytes, one value a field. Each leniency below is one of a single
reader; a file that needs both readers' leniencies is read by no program and refused here too. Written is what
the Go library writes, byte for byte, with unknown fields kept. Specified in protocol 01-post, section 3.1.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from protocol.post.rules import LABEL_SIZE
from protocol.types.ids import ID_SIZE
from prover.errors import MetadataError
from prover.post import strict_json

FILE_NAME = "postdata_metadata.json"
"""The name of the file in a data directory."""

_U32_MAX = 2**32 - 1
_U64_MAX = 2**64 - 1

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class PostMetadata:
    """The content of postdata_metadata.json. scrypt's N is not in it."""

    node_id: bytes
    """32 bytes: the smesher's public key."""
    commitment_atx_id: bytes
    """32 bytes: the ATX that the labels commit to."""
    labels_per_unit: int
    """Labels in a unit (u64)."""
    num_units: int
    """Units (u32)."""
    max_file_size: int
    """Bytes of a full data file (u64)."""
    nonce: int | None = None
    """The VRF nonce: the index of a label (u64), perhaps beyond the data."""
    nonce_value: bytes | None = None
    """16 bytes: the label at the VRF nonce as it would be on disk."""
    last_position: int | None = None
    """The label index (u64) where the search beyond the data stands."""
    unknown: tuple[tuple[str, object], ...] = ()
    """Fields that are not ours, in their order, values as `strict_json.parse` gives them."""

    @property
    def num_labels(self) -> int:
        """Labels of all units together; may exceed 64 bits when the file says so."""
        return self.num_units * self.labels_per_unit


def decode(text: str | bytes, file: str = FILE_NAME) -> PostMetadata:
    """The metadata in a JSON text; `file` is how error messages call it.

    Raises MetadataError, and nothing else, when the text has no or no clear meaning.
    """
    try:
        document = strict_json.parse(text)
    except strict_json.JsonError as error:
        raise MetadataError(file, None, str(error)) from None
    reading = _Reading(file)
    unknown = reading.collect(document)
    metadata = PostMetadata(
        node_id=reading.required("NodeId", reading.id),
        commitment_atx_id=reading.required("CommitmentAtxId", reading.id),
        labels_per_unit=reading.required("LabelsPerUnit", reading.integer),
        num_units=reading.required("NumUnits", reading.integer),
        max_file_size=reading.required("MaxFileSize", reading.integer),
        nonce=reading.optional("Nonce", reading.integer),
        nonce_value=reading.optional("NonceValue", reading.nonce_value),
        last_position=reading.optional("LastPosition", reading.integer),
        unknown=unknown,
    )
    reading.check_somebody_reads_it()
    return metadata


def encode(metadata: PostMetadata) -> str:
    """The JSON text as the Go library writes it: tabs, no newline at the end, absent fields left out.

    Unknown fields follow the known ones.
    """
    fields: list[tuple[str, object]] = [
        ("NodeId", base64.b64encode(metadata.node_id).decode("ascii")),
        ("CommitmentAtxId", base64.b64encode(metadata.commitment_atx_id).decode("ascii")),
        ("LabelsPerUnit", metadata.labels_per_unit),
        ("NumUnits", metadata.num_units),
        ("MaxFileSize", metadata.max_file_size),
    ]
    if metadata.nonce is not None:
        fields.append(("Nonce", metadata.nonce))
    if metadata.nonce_value is not None:
        fields.append(("NonceValue", metadata.nonce_value.hex()))
    if metadata.last_position is not None:
        fields.append(("LastPosition", metadata.last_position))
    return strict_json.dump(strict_json.Members((*fields, *metadata.unknown)), "\t")


_ID = "32 bytes in standard base64"
_U64 = "an integer from 0 to 2^64 - 1"
_EXPECTED = {
    "NodeId": _ID,
    "CommitmentAtxId": _ID,
    "LabelsPerUnit": _U64,
    "NumUnits": "an integer from 0 to 2^32 - 1",
    "MaxFileSize": _U64,
    "Nonce": _U64,
    "NonceValue": "the 16 bytes of a label in hex",
    "LastPosition": _U64,
}
_ARRAY_FORM = tuple(name for name in _EXPECTED if name != "NonceValue")
_NAMES = {name.lower(): name for name in _EXPECTED}
_BASE64 = re.compile(r"([A-Za-z0-9+/]*)={0,2}")
_BASE64_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*")


class _Reading:
    """One text on its way to become metadata, with what keeps either reader from taking it."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: dict[str, list[tuple[str, object]]] = {}
        self.rust_refuses: str | None = None
        self.go_refuses: str | None = None

    def collect(self, document: object) -> tuple[tuple[str, object], ...]:
        """Sort the members of the document by field; returns the unknown ones."""
        pairs = strict_json.members(document)
        if pairs is None and isinstance(document, list):
            if len(document) != len(_ARRAY_FORM):
                raise MetadataError(
                    self.file,
                    None,
                    f"found an array of {len(document)} values, expected an object, or an array of "
                    f"{len(_ARRAY_FORM)} values ({', '.join(_ARRAY_FORM)})",
                )
            self._go_refuses("an array instead of an object")
            pairs = tuple(zip(_ARRAY_FORM, document, strict=True))
        if pairs is None:
            raise MetadataError(self.file, None, f"found {strict_json.describe(document)}, expected a JSON object")
        unknown: list[tuple[str, object]] = []
        for key, value in pairs:
            name = _field_name(key)
            if name is None:
                unknown.append((key, value))
            else:
                self.found.setdefault(name, []).append((key, value))
        return tuple(unknown)

    def required(self, name: str, read: Callable[[str, object], _T]) -> _T:
        """The value of a field that must be there and not null."""
        occurrences = self.found.get(name, [])
        if not occurrences:
            raise self._error(name, "the field is missing")
        values = [read(name, value) for _, value in occurrences]
        self._check_one_value(name, values)
        if name not in (key for key, _ in occurrences):
            self._rust_refuses(f"{occurrences[0][0]} instead of {name}")
        return values[0]

    def optional(self, name: str, read: Callable[[str, object], _T | None]) -> _T | None:
        """The value of a field that may be missing; null means the same as missing."""
        occurrences = self.found.get(name, [])
        values = [None if value is None else read(name, value) for _, value in occurrences]
        if not values:
            return None
        self._check_one_value(name, values)
        # post-rs does not know NonceValue, so it does not mind how that is written.
        if values[0] is not None and name != "NonceValue" and name not in (key for key, _ in occurrences):
            self._rust_refuses(f"{occurrences[0][0]} instead of {name}")
        return values[0]

    def id(self, name: str, value: object) -> bytes:
        """32 bytes from base64, or from an array of numbers."""
        if isinstance(value, list):
            if not all(isinstance(item, int) and not isinstance(item, bool) and 0 <= item < 256 for item in value):
                raise self._error(name, "found an array that does not consist of byte values (0 to 255)")
            self._rust_refuses(f"{name} as an array")
            return self._of_id_size(name, bytes(value), "")
        if not isinstance(value, str):
            raise self._error(name, f"found {strict_json.describe(value)}")
        digits = value.replace("\r", "").replace("\n", "")
        match = _BASE64.fullmatch(digits)
        if match is None or len(match.group(1)) % 4 == 1:
            raise self._error(name, f"found {strict_json.describe(value)}, which is not standard base64")
        body = match.group(1)
        hint = ", which looks like hex instead of base64" if re.fullmatch("[0-9a-fA-F]{64}", body) else ""
        decoded = self._of_id_size(name, base64.b64decode(body + "=" * (-len(body) % 4)), hint)
        if digits != value:
            self._rust_refuses(f"{name} with line breaks")
        # 43 digits carry 258 bits: two more than 32 bytes have.
        if _BASE64_DIGITS.index(body[-1]) % 4:
            self._rust_refuses(f"{name} with spare bits that are not zero")
        if len(digits) % 4:
            self._go_refuses(f"{name} without base64 padding")
        return decoded

    def integer(self, name: str, value: object) -> int:
        """An integer in the field's range, written without fraction, exponent and sign."""
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._error(name, f"found {strict_json.describe(value)}")
        if not 0 <= value <= (_U32_MAX if name == "NumUnits" else _U64_MAX):
            raise self._error(name, f"found {strict_json.describe(value)}")
        return value

    def nonce_value(self, name: str, value: object) -> bytes | None:
        """16 bytes from hex, cut or zero-filled as the Go initializer does; None when there is no value.

        Anything but hex is no value: post-rs does not look at the field.
        """
        if not isinstance(value, str) or not _HEX.fullmatch(value):
            self._go_refuses(f"{name} that is not hex")
            return None
        return bytes.fromhex(value)[:LABEL_SIZE].ljust(LABEL_SIZE, b"\0") if value else None

    def check_somebody_reads_it(self) -> None:
        """Raise MetadataError when each of the two readers refuses the text."""
        if self.rust_refuses is not None and self.go_refuses is not None:
            raise MetadataError(
                self.file,
                None,
                f"found {self.rust_refuses}, which post-rs refuses, and {self.go_refuses}, which the Go "
                "library refuses, expected a text that one of them reads",
            )

    def _check_one_value(self, name: str, values: Sequence[object]) -> None:
        if any(value != values[0] for value in values):
            keys = " and ".join(dict.fromkeys(key for key, _ in self.found[name]))
            raise self._error(name, f"found several values that differ (as {keys})", "one value")
        exact = [key for key, _ in self.found[name] if key == name]
        if len(exact) > 1 and name != "NonceValue":
            self._rust_refuses(f"{name} more than once")

    def _of_id_size(self, name: str, decoded: bytes, hint: str) -> bytes:
        if len(decoded) != ID_SIZE:
            raise self._error(name, f"found {len(decoded)} bytes{hint}")
        return decoded

    def _error(self, name: str, found: str, expected: str | None = None) -> MetadataError:
        return MetadataError(self.file, name, f"{found}, expected {expected or _EXPECTED[name]}")

    def _rust_refuses(self, what: str) -> None:
        self.rust_refuses = self.rust_refuses or what

    def _go_refuses(self, what: str) -> None:
        self.go_refuses = self.go_refuses or what


def _field_name(key: str) -> str | None:
    """The field that the Go library sees in a key: any case, and two letters outside ASCII."""
    return _NAMES.get(key.replace("\u017f", "s").replace("\u212a", "k").lower())
