"""post/metadata.json: texts of postdata_metadata.json, and what each of the reference's readers says.

Whether a text has one meaning is decided from the document: from the fields that the readers report, and from
the keys in the text where only the Go library reads it (it takes anything for a missing field and the last of
many values). Protocol 01-post, section 3.1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from prover.errors import MetadataError
from prover.post.metadata import PostMetadata, decode, encode
from tests.vector_cases.harness import Case, Context, Later, NotUnderstood, unknown_sections, vectors

REQUIRED = ("NodeId", "CommitmentAtxId", "LabelsPerUnit", "NumUnits", "MaxFileSize")
FIELDS = (*REQUIRED, "Nonce", "NonceValue", "LastPosition")

Reading = dict[str, int | bytes | None]
"""What a reader of the reference, or ours, found: all fields but NonceValue."""


@vectors("post/metadata.json", variants=False)
def metadata_texts(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, known=("cases",))
    for entry in document["cases"]:
        yield Case(entry["name"], lambda entry=entry: check_entry(entry))


def check_entry(entry: dict[str, Any]) -> None:
    if entry.keys() != {"name", "text", "post_rs", "post_go"}:
        raise NotUnderstood(f"an entry has the keys {sorted(entry)}")
    check(entry["text"], entry["post_rs"], entry["post_go"])


def check(text: str, rust: dict[str, Any], go: dict[str, Any]) -> None:
    """Ours reads what one of the two reads with one meaning, refuses the rest, and writes as Go does."""
    readings = [reading_of(answer) for answer in (rust, go) if accepted(answer)]
    if not readings or not one_meaning(text, readings, only_go=not accepted(rust)):
        try:
            found = decode(text)
        except MetadataError:
            return
        raise AssertionError(f"expected a refusal, got {found}")
    metadata = decode(text)
    expected = merged(readings)
    assert ours(metadata) == expected, f"expected {expected}, got {ours(metadata)}"
    value = nonce_value(text, go)
    assert metadata.nonce_value == value, f"expected the nonce value {value!r}, got {metadata.nonce_value!r}"
    if accepted(go) and reading_of(go) == expected and go["nonce_value"] == (value or b"").hex():
        # Go drops unknown fields, ours keeps them.
        known = PostMetadata(**{**fields_of(metadata), "unknown": ()})
        assert encode(known) == go["rewritten"], f"expected {go['rewritten']!r}, wrote {encode(known)!r}"
    assert decode(encode(metadata)) == metadata
    for answer in (rust, go):
        if accepted(answer) and reading_of(answer) == expected:
            assert ours(decode(answer["rewritten"])) == expected


def accepted(answer: dict[str, Any]) -> bool:
    if not isinstance(answer.get("ok"), bool):
        raise NotUnderstood("a reader's answer says neither that it accepted nor that it refused")
    return bool(answer["ok"])


def reading_of(answer: dict[str, Any]) -> Reading:
    return {
        "node_id": bytes.fromhex(answer["node_id"]),
        "commitment_atx_id": bytes.fromhex(answer["commitment_atx_id"]),
        **{name: int(answer[name]) for name in ("labels_per_unit", "num_units", "max_file_size")},
        **{name: int(answer[name]) if name in answer else None for name in ("nonce", "last_position")},
    }


def ours(metadata: PostMetadata) -> Reading:
    fields = fields_of(metadata)
    return {name: value for name, value in fields.items() if name not in ("nonce_value", "unknown")}


def fields_of(metadata: PostMetadata) -> dict[str, Any]:
    return {name: getattr(metadata, name) for name in PostMetadata.__slots__}


def merged(readings: list[Reading]) -> Reading:
    """The values that at least one reader found; post-rs sees no value under a key in another case."""
    return {
        name: next((reading[name] for reading in readings if reading[name] is not None), None) for name in readings[0]
    }


def one_meaning(text: str, readings: list[Reading], only_go: bool) -> bool:
    """Ids of 32 bytes, the same values by all readers, required fields present, one value a field."""
    for name in readings[0]:
        if len({reading[name] for reading in readings if reading[name] is not None}) > 1:
            return False
    if any(len(value) != 32 for reading in readings for value in reading.values() if isinstance(value, bytes)):
        return False
    if not only_go:
        return True
    values = values_by_field(text)
    return all(values[name] and None not in values[name] for name in REQUIRED) and all(
        value == found[0] for found in values.values() for value in found
    )


def values_by_field(text: str) -> dict[str, list[Any]]:
    """Every value that the text gives for each field, whatever the case of the keys."""
    pairs = json.loads(text, object_pairs_hook=list)
    keys = {name.lower(): name for name in FIELDS}
    values: dict[str, list[Any]] = {name: [] for name in FIELDS}
    for pair in pairs or []:
        if isinstance(pair, tuple) and pair[0].lower() in keys:
            values[keys[pair[0].lower()]].append(pair[1])
    return values


def nonce_value(text: str, go: dict[str, Any]) -> bytes | None:
    """The 16 bytes as the Go initializer writes them again; none where they are null, empty or no hex."""
    if accepted(go):
        digits = go["nonce_value"]
    else:
        found = values_by_field(text)["NonceValue"]
        digits = found[0] if found else ""
    if not isinstance(digits, str) or not re.fullmatch("(?:[0-9a-fA-F]{2})+", digits):
        return None
    return bytes.fromhex(digits)[:16].ljust(16, b"\0")
