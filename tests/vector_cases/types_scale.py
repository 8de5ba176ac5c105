"""Vectors of the encoding itself: integers, texts, lists and options, limits, nesting, trailing bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Annotated, Any

from protocol.codec.declare import (
    DEFAULT_LIMIT,
    LIST_NESTING,
    NESTING,
    Codec,
    CodecError,
    Record,
    boolean,
    byte,
    byte_string,
    c8,
    c16,
    c32,
    c64,
    fixed,
    option,
    record,
    text,
    u16,
    u32,
    u64,
    up_to,
    vector,
)
from protocol.crypto.hashing import hash32
from protocol.types.activation import ATXMetadata
from tests.vector_cases.harness import Case, Context, Later, NotUnderstood, unknown_sections, vectors

CLASSES = {"out_of_range": "non_canonical_or_out_of_range", "too_wide": "mode_too_wide"}
"""Our reasons where the vectors have another word."""

PLAIN: dict[str, Codec[Any]] = {
    "c8": c8,
    "c16": c16,
    "c32": c32,
    "c64": c64,
    "u16": u16,
    "u32": u32,
    "u64": u64,
    "byte": byte,
    "bool": boolean,
    "layer": c32,
    "b32": fixed(32),
}


@cache
def codec_of(code: str, limit: int = DEFAULT_LIMIT) -> Codec[Any]:
    """The codec for a code of the vectors. Raises NotUnderstood."""
    if code in PLAIN:
        return PLAIN[code]
    if code.startswith("?"):
        return option(codec_of(code[1:]))
    name, _, said = code.partition("<=")
    limit = int(said) if said else limit
    if name == "bytes":
        return byte_string(limit)
    if name == "string":
        return text(limit)
    if listed := re.fullmatch(r"\[(.+)\]", name):
        return vector(codec_of(listed[1]), limit)
    raise NotUnderstood(f"the type {code!r}")


def same(found: object, expected: object, what: str = "found") -> None:
    assert found == expected, f"{what} {found}, expected {expected}"


def outcome(action: Any) -> Any:
    """What it gives, or the class of the error."""
    try:
        return action()
    except CodecError as error:
        return {"error": CLASSES.get(error.reason, error.reason)}


@vectors("types/scale.json", variants=False)
def scale_cases(document: Any, context: Context) -> Iterator[Case | Later]:
    checks = {
        "integers_encode": check_integer,
        "integers_decode": check_decoding,
        "values_encode": check_encoding,
        "values_decode": check_decoding,
        "sequences_encode": check_long_encoding,
        "sequences_decode": check_long_decoding,
        "nesting": check_nesting,
        "slice_api": check_list,
        "trailing": check_trailing,
    }
    yield from unknown_sections(document, known=("description", "reference", *checks))
    for section, check in checks.items():
        for position, entry in enumerate(document[section]):
            yield Case(f"{section} {position}", lambda check=check, entry=entry: check(entry))


def check_integer(entry: dict[str, Any]) -> None:
    value = int(entry["value"])
    for code in ("c8", "c16", "c32", "c64", "u16", "u32", "u64"):
        if code in entry:
            same(PLAIN[code].encode(value).hex(), entry[code], code)
            same(PLAIN[code].decode(bytes.fromhex(entry[code])), value, code)
        else:
            same(outcome(lambda code=code: PLAIN[code].encode(value)), {"error": CLASSES["out_of_range"]}, code)
    if "compact_length" in entry:
        same(len(c64.encode(value)), entry["compact_length"], "length")


def shown(value: Any, code: str) -> Any:
    """A value in the form of the vectors."""
    if value is None or code == "bool":
        return value
    if code.startswith("?"):
        return shown(value, code[1:])
    if code == "[string]":
        return {"hex_items": [one.encode("utf-8", "surrogateescape").hex() for one in value]}
    if code.startswith("["):
        return list(value)
    if isinstance(value, str):
        return {"hex": value.encode("utf-8", "surrogateescape").hex()}
    return value.hex() if isinstance(value, bytes) else value


def check_decoding(entry: dict[str, Any]) -> None:
    data = bytes.fromhex(entry["input"])
    for code, expected in entry.items():
        if code == "input":
            continue

        def read(code: str = code) -> dict[str, Any]:
            value, consumed = codec_of(code).read(data)
            if code == "[string]" and not value:
                consumed = 0  # The reference forgets to count what it read: a figure that nobody uses.
            return {"value": shown(value, code), "consumed": consumed}

        found = outcome(read)
        if isinstance(expected.get("value"), str) and isinstance(found.get("value"), int):
            found["value"] = str(int(found["value"]))
        same(found, expected, code)


def check_encoding(entry: dict[str, Any]) -> None:
    code, value = entry["type"], entry["value"]
    if code == "byte_array":
        same(fixed(len(value) // 2).encode(bytes.fromhex(value)).hex(), entry["encoded"])
        return
    codec = codec_of(code, entry["limit"] or DEFAULT_LIMIT)
    if code in ("bytes", "?b32"):
        value = None if value is None else bytes.fromhex(value)
    elif code.startswith("[c"):
        value = [int(one) for one in value]
    elif code.startswith("?c"):
        value = None if value is None else int(value)
    found = outcome(lambda: {"encoded": codec.encode(value).hex()})
    same(found, {key: entry[key] for key in ("encoded", "error") if key in entry})
    if "encoded" in entry:
        same(shown(codec.decode(bytes.fromhex(entry["encoded"])), code), shown(value, code), "decoded")


def check_long_encoding(entry: dict[str, Any]) -> None:
    value = bytes.fromhex(entry["value"]["unit"]) * entry["value"]["count"]
    found = outcome(lambda: {"encoded": byte_string(entry["limit"]).encode(value)})
    if "error" in entry:
        same(found, {"error": entry["error"]})
        return
    same(found["encoded"], bytes.fromhex(entry["length_prefix"]) + value)
    same(len(found["encoded"]), entry["encoded_length"], "length")


def check_long_decoding(entry: dict[str, Any]) -> None:
    given = entry["input"]
    data = bytes.fromhex(given["prefix"]) + bytes.fromhex(given["unit"]) * given["count"]

    def read() -> dict[str, int]:
        value, consumed = byte_string(entry["limit"]).read(data)
        return {"length": len(value), "consumed": consumed}

    same(outcome(read), {key: entry[key] for key in ("length", "consumed", "error") if key in entry})


@cache
def chain(kind: str, levels: int) -> Any:
    """A record that holds one of its kind, and so on. The last one is empty and never comes to be."""
    fields: dict[str, Any] = {}
    if levels:
        inner = chain(kind, levels - 1)
        fields["inner"] = (
            inner | None if kind == "option_of_struct" else Annotated[Sequence[inner], up_to(DEFAULT_LIMIT)]
        )
    return record(type("Level", (Record,), {"__annotations__": fields}))


def check_nesting(entry: dict[str, Any]) -> None:
    kind = entry["kind"]
    if kind not in ("option_of_struct", "slice_of_struct"):
        raise NotUnderstood(f"the kind {kind!r}")
    is_option = kind == "option_of_struct"
    levels = entry["present_levels" if is_option else "non_empty_levels"]
    value: Any = None if is_option else ()
    for depth in range(1, levels + 1):
        value = chain(kind, depth)(value)
        value = value if is_option else (value,)
    top = chain(kind, levels + 1)
    record, data = top(value), bytes.fromhex(entry["bytes"])
    for name, limit in (("bare", LIST_NESTING), ("codec", NESTING)):
        encoded = outcome(lambda limit=limit: {"ok": top.codec.encode(record, limit)})
        same(encoded.get("error", "ok"), entry[f"encode_{name}"], f"encode_{name}")
        decoded = outcome(lambda limit=limit: {"ok": top.codec.decode(data, limit)})
        same(decoded.get("error", "ok"), entry[f"decode_{name}"], f"decode_{name}")
        assert encoded.get("ok", data) == data
        assert decoded.get("ok", record) == record


def check_list(entry: dict[str, Any]) -> None:
    codec = vector(codec_of(entry["elem"]))
    if "value" in entry:
        given = entry["value"]
        repeated = isinstance(given, dict)
        value = [given["unit"]] * given["count"] if repeated else [bytes.fromhex(one) for one in given]
        found = outcome(lambda: {"encoded": codec.encode(value, LIST_NESTING)})
        same(found.get("error"), entry.get("error"), "error")
        if "encoded" in entry:
            same(found["encoded"].hex(), entry["encoded"])
        if "encoded_length" in entry:
            same(len(found["encoded"]), entry["encoded_length"], "length")
        if "blake3" in entry:
            same(hash32(found["encoded"]).hex(), entry["blake3"], "hash")
        return
    given = entry["decode_input"]
    if isinstance(given, dict):
        data = bytes.fromhex(given["prefix"]) + bytes.fromhex(given["unit"]) * given["count"]
    else:
        data = bytes.fromhex(given)
    found = outcome(lambda: {"count": len(codec.read(data, nesting=LIST_NESTING)[0])})
    same("error" not in found, entry["ok"], "accepted")
    same(found.get("error"), entry.get("error"), "error")
    if "count" in entry:
        same(found["count"], entry["count"], "count")


def check_trailing(entry: dict[str, Any]) -> None:
    if entry["type"] != "ATXMetadata":
        raise NotUnderstood(f"the type {entry['type']!r}")
    data = bytes.fromhex(entry["input"])
    found = outcome(lambda: {"ok": ATXMetadata.codec.decode(data)})
    same(found.get("error", "ok"), entry["decode_whole_buffer"], "whole buffer")
    read = outcome(lambda: {"consumed": ATXMetadata.codec.read(data)[1]})
    if "decode_from_reader" in entry:
        same(read.get("error", "ok"), entry["decode_from_reader"], "reader")
        same(read.get("consumed"), entry.get("consumed"), "consumed")
