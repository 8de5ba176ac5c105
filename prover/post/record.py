"""smesher.json: what we know about a data directory and postdata_metadata.json has no field for.

scrypt's N decides what the labels are, yet the shared metadata does not hold it (protocol 01-post, section
3.2). How much of a file is known to be on stable storage tells what a power cut, or a disk that failed, may have
taken. Other programs ignore the file; unknown fields in it are kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from protocol.errors import ProtocolError
from protocol.post.rules import check_scrypt_n
from prover.errors import MetadataError
from prover.post import strict_json

FILE_NAME = "smesher.json"
"""The name of the file in a data directory."""

_FORMER = ("BootId",)
"""Fields of earlier versions that say nothing any more: within one boot, too, a disk may have lost what was written."""

_FILE_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
_U64_MAX = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Search:
    """How far the batch that the search beyond the data works on has come, so that a kill loses seconds of it."""

    start: int
    """The first label of the batch (`LastPosition` of the metadata)."""
    position: int
    """The first label that was not looked at yet."""
    best: int | None = None
    """The index of the smallest label so far that is below the threshold."""


@dataclass(frozen=True, slots=True)
class Record:
    """The content of smesher.json."""

    scrypt_n: int
    """scrypt's N that the labels were made with."""
    durable: tuple[tuple[int, int], ...] = ()
    """(file number, labels of that file known to be on stable storage), in ascending order of the files.

    Of files that are being written, or were when a run ended badly: what they have beyond is doubtful.
    """
    unknown: tuple[tuple[str, object], ...] = ()
    """Fields that are not ours, in their order, values as `strict_json.parse` gives them."""
    search: Search | None = None
    """The batch in work of the search for a VRF nonce beyond the data."""


def decode(text: str | bytes, file: str = FILE_NAME) -> Record:
    """The record in a JSON text; `file` is how error messages call it.

    Raises MetadataError, and nothing else, when the text is not such a record.
    """
    try:
        document = strict_json.parse(text)
    except strict_json.JsonError as error:
        raise MetadataError(file, None, str(error)) from None
    pairs = strict_json.members(document)
    if pairs is None:
        raise MetadataError(file, None, f"found {strict_json.describe(document)}, expected a JSON object")
    known: dict[str, object] = {}
    unknown: list[tuple[str, object]] = []
    for key, value in pairs:
        if key in _FORMER:
            continue
        if key not in ("ScryptN", "Durable", "Search"):
            unknown.append((key, value))
        elif key in known:
            raise MetadataError(file, key, "the field is there more than once, expected one value")
        else:
            known[key] = value
    return Record(
        scrypt_n=_scrypt_n(known, file),
        durable=_durable(known, file),
        search=_search(known, file),
        unknown=tuple(unknown),
    )


def encode(record: Record) -> str:
    """The JSON text of a record: two spaces of indent, a newline at the end, absent fields left out."""
    fields: list[tuple[str, object]] = [("ScryptN", record.scrypt_n)]
    if record.durable:
        fields.append(("Durable", {str(k): labels for k, labels in sorted(record.durable)}))
    if record.search is not None:
        search: dict[str, object] = {"Start": record.search.start, "Position": record.search.position}
        if record.search.best is not None:
            search["Best"] = record.search.best
        fields.append(("Search", search))
    return strict_json.dump(strict_json.Members((*fields, *record.unknown)), "  ") + "\n"


def _scrypt_n(known: dict[str, object], file: str) -> int:
    if "ScryptN" not in known:
        raise MetadataError(file, "ScryptN", "the field is missing, expected a power of two from 2")
    value = known["ScryptN"]
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return check_scrypt_n(value)
        except ProtocolError:
            pass
    raise MetadataError(file, "ScryptN", f"found {strict_json.describe(value)}, expected a power of two from 2")


def _durable(known: dict[str, object], file: str) -> tuple[tuple[int, int], ...]:
    value = known.get("Durable")
    if value is None:
        return ()
    pairs = strict_json.members(value)
    if pairs is None:
        raise MetadataError(file, "Durable", f"found {strict_json.describe(value)}, expected an object")
    durable: dict[int, int] = {}
    for key, labels in pairs:
        if not _FILE_NUMBER.fullmatch(key) or int(key) in durable:
            raise MetadataError(
                file,
                "Durable",
                f"found the key {strict_json.describe(key)}, expected the number of a data file, each once",
            )
        if not isinstance(labels, int) or isinstance(labels, bool) or not 0 <= labels <= _U64_MAX:
            raise MetadataError(
                file,
                "Durable",
                f"found {strict_json.describe(labels)} for file {key}, expected a number of labels",
            )
        durable[int(key)] = labels
    return tuple(sorted(durable.items()))


def _search(known: dict[str, object], file: str) -> Search | None:
    value = known.get("Search")
    if value is None:
        return None
    pairs = strict_json.members(value)
    fields = dict(pairs or ())
    numbers = [fields.get("Start"), fields.get("Position"), fields.get("Best", 0)]
    if pairs is None or not all(
        isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= _U64_MAX for number in numbers
    ):
        raise MetadataError(
            file,
            "Search",
            f"found {strict_json.describe(value)}, expected an object with the label indices Start, Position "
            "and perhaps Best",
        )
    start, position, best = (number for number in numbers if isinstance(number, int))
    return Search(start, position, best if "Best" in fields else None)
