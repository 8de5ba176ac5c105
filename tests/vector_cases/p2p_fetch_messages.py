"""Vectors of the messages of fetching: p2p/fetch_messages.json.

Values that a client reads only inside an answer, epochs and lists of ids, are bare lists there. The count of hashes of
one request wraps around in 32 bits in the recorded program, which then takes it for valid; ours is counted in full, and
refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from node.fetch import protocols
from protocol.codec.declare import Codec, CodecError, c32
from protocol.crypto.hashing import hash32
from protocol.types.fetch import (
    FetchEpochData,
    LayerData,
    LayerOpinion,
    MaliciousIDs,
    MeshHashes,
    MeshHashRequest,
    OpinionRequest,
    RequestBatch,
    RequestMessage,
    ResponseBatch,
    ResponseMessage,
    ServerResponse,
    batch_id,
)
from tests.vector_cases.harness import Case, Context, NotUnderstood, unknown_sections, vectors

CODECS: dict[str, Codec[Any]] = {
    "RequestMessage": RequestMessage.codec,
    "RequestBatch": RequestBatch.codec,
    "ResponseMessage": ResponseMessage.codec,
    "ResponseBatch": ResponseBatch.codec,
    "Response": ServerResponse.codec,
    "LayerID": c32,
    "EpochID": c32,
    "OpinionRequest": OpinionRequest.codec,
    "LayerOpinion": LayerOpinion.codec,
    "EpochData": FetchEpochData.codec,
    "MaliciousIDs": MaliciousIDs.codec,
    "MeshHashes": MeshHashes.codec,
    "MeshHashRequest": MeshHashRequest.codec,
    "LayerData": LayerData.codec,
}
CLASSES = {
    "over_limit": "limit",
    "trailing_bytes": "trailing",
    "out_of_range": "noncanonical",
    "too_wide": "noncanonical",
}
"""The words of the vectors for our reasons."""
WRAPPING = 1 << 32


@vectors("p2p/fetch_messages.json", variants=False)
def cases(document: Any, context: Context) -> Iterator[Case]:
    yield from unknown_sections(document, known=("encode", "decode", "mesh_hash_requests"))
    for position, entry in enumerate(document["encode"]):
        yield Case(f"encode[{position}] {entry['name']}", lambda entry=entry: check_encode(entry))
    for position, entry in enumerate(document["decode"]):
        yield Case(f"decode[{position}] {entry['name']}", lambda entry=entry: check_decode(entry))
    for position, entry in enumerate(document["mesh_hash_requests"]):
        yield Case(f"mesh_hash_requests[{position}]", lambda entry=entry: check_mesh_hash_request(entry))


def codec_of(name: str) -> Codec[Any]:
    if name not in CODECS:
        raise NotUnderstood(f"the type {name!r}")
    return CODECS[name]


def ids(shown: Any) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(one) for one in shown or ())


def request(shown: Any) -> RequestMessage:
    return RequestMessage(shown["hint"], bytes.fromhex(shown["hash"]))  # type: ignore[arg-type]


def response(shown: Any) -> ResponseMessage:
    return ResponseMessage(bytes.fromhex(shown["hash"]), bytes.fromhex(shown["data"]))  # type: ignore[arg-type]


def optional(shown: str | None) -> bytes | None:
    return None if shown is None else bytes.fromhex(shown)


VALUES: dict[str, Callable[[Any], Any]] = {
    "RequestMessage": request,
    "RequestBatch": lambda one: RequestBatch(bytes.fromhex(one["id"]), tuple(map(request, one["requests"]))),  # type: ignore[arg-type]
    "ResponseMessage": response,
    "ResponseBatch": lambda one: ResponseBatch(bytes.fromhex(one["id"]), tuple(map(response, one["responses"]))),  # type: ignore[arg-type]
    "Response": lambda one: ServerResponse(bytes.fromhex(one["data"]), one["error"]),
    "LayerID": int,
    "EpochID": int,
    "OpinionRequest": lambda one: OpinionRequest(one["layer"], optional(one["block"])),  # type: ignore[arg-type]
    "LayerOpinion": lambda one: LayerOpinion(bytes.fromhex(one["prev_agg_hash"]), optional(one["certified"])),  # type: ignore[arg-type]
    "EpochData": lambda one: FetchEpochData(ids(one)),  # type: ignore[arg-type]
    "MaliciousIDs": lambda one: MaliciousIDs(ids(one)),  # type: ignore[arg-type]
    "MeshHashes": lambda one: MeshHashes(ids(one)),  # type: ignore[arg-type]
    "LayerData": lambda one: LayerData(ids(one)),  # type: ignore[arg-type]
}


def check_encode(entry: Any) -> None:
    codec, value = codec_of(entry["type"]), VALUES[entry["type"]](entry["value"])
    if isinstance(value, RequestBatch):
        assert batch_id(value.requests) == value.id
    try:
        encoded = codec.encode(value)
    except CodecError as error:
        found = CLASSES.get(error.reason, error.reason)
        assert found == entry.get("encode_error"), f"not encoded: {error}"
        return
    assert "encode_error" not in entry, f"encoded, expected {entry['encode_error']}"
    if "hex" in entry:
        assert encoded.hex() == entry["hex"], encoded.hex()
    else:
        assert (len(encoded), hash32(encoded).hex()) == (entry["length"], entry["hex_blake3"])
    assert codec.decode(encoded) == value


def check_decode(entry: Any) -> None:
    codec, data = codec_of(entry["type"]), bytes.fromhex(entry["hex"])
    try:
        value = codec.decode(data)
    except CodecError as error:
        found = CLASSES.get(error.reason, error.reason)
        assert not entry["ok"] and found == entry["error"], f"refused as {found}: {error}"
        return
    assert entry["ok"], f"accepted, expected {entry['error']}"
    assert codec.decode(codec.encode(value)) == value


def check_mesh_hash_request(entry: Any) -> None:
    data = bytes.fromhex(entry["hex"])
    asked = MeshHashRequest.codec.decode(data)
    assert (asked.start, asked.end, asked.step) == (entry["from"], entry["to"], entry["step"])
    assert MeshHashRequest.codec.encode(asked) == data
    if entry.get("built_by_client"):
        assert MeshHashRequest.between(asked.start, asked.end) == asked
    if asked.step and asked.end >= asked.start and asked.count() >= WRAPPING:
        assert entry["count"] == asked.count() - WRAPPING and entry["valid"] and not asked.is_valid()
        return
    assert asked.is_valid() is entry["valid"]
    if "count" in entry:
        assert asked.count() == entry["count"]
    if asked.is_valid():
        answer = protocols.MESH_HASH_LIST.encode([bytes(32)] * asked.count())  # type: ignore[list-item]
        assert len(protocols.read_mesh_hashes(asked, answer)) == asked.count()
