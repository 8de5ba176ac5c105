"""Vectors of all messages and stored records: layouts, encodings and the verdict on damaged bytes.

Values become our records by the position of their fields: names may differ, order may not. What is derived from a
record (ids, signed bytes, roots) is in `types_derived`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from protocol.codec.composites import Choice, Custom, Elements, Option, Struct
from protocol.codec.declare import Codec, CodecError, c64
from protocol.codec.primitives import ByteString, Compact, Fixed, FixedInteger, Text
from tests.fuzz.declared import declared
from tests.vector_cases.harness import Case, Context, Later, NotUnderstood, unknown_sections, vectors
from tests.vector_cases.types_derived import DERIVED

OTHER_NAMES = {
    "ATXMetadataV1": "activation.ATXMetadata",
    "MembershipMerkleProof": "poet.MembershipProof",
    "MerkleProofV1": "poet.MembershipProof",
    "MerkleProof": "poet.MerkleProof",
    "BlockHeader": "ballots.Vote",
    "Block": "blocks.InnerBlock",
    "Certificate": "certificates.Certificate",
    "CertOnWire": "poet.PoetCertificate",
    "Hare4IterRound": "hare.IterRound",
    "WalletState": "templates.WalletSpawnArguments",
    "MultisigState": "templates.MultisigSpawnArguments",
    "VaultState": "templates.VaultSpawnArguments",
    "MalfeasanceProofBody": "malfeasance.PROOF_DATA",
    "EmptyRangeMessage": "rangesync.EmptyRange",
    "FingerprintMessage": "rangesync.Fingerprint",
    "RangeContentsMessage": "rangesync.RangeContents",
    "ItemBatchMessage": "rangesync.ItemBatch",
    "ProbeMessage": "rangesync.Probe",
    "SampleMessage": "rangesync.Sample",
    "RecentMessage": "rangesync.Recent",
    "CompactHash": "rangesync.COMPACT_HASH",
    "KeyCollection": "rangesync.KEY_COLLECTION",
}
"""Types that have another name here, or one that two modules use."""

CLASSES = {
    "out_of_range": "non_canonical_or_out_of_range",
    "too_wide": "mode_too_wide",
    "unknown_type": "unknown_malfeasance_type",
}
"""Our reasons where the vectors have another word."""


def codec_of(type_name: str) -> Codec[Any]:
    """The codec of a type of the vectors. Raises NotUnderstood."""
    name = type_name.partition("/")[0]
    if name == "UnixTimestamp":
        return c64
    found = [codec for key, codec in declared().items() if key == OTHER_NAMES.get(name) or key.endswith(f".{name}")]
    if name in OTHER_NAMES:
        found = [declared()[OTHER_NAMES[name]]]
    if len(found) != 1:
        raise NotUnderstood(f"the type {type_name!r} has {len(found)} codecs here")
    return found[0]


def value_of(codec: Codec[Any], shown: Any) -> Any:
    """Our value for one of the vectors."""
    match codec:
        case Option():
            return None if shown is None else value_of(codec.inner, shown)
        case Compact() | FixedInteger():
            return int(shown["Inner"] if isinstance(shown, dict) else shown)
        case Fixed() | ByteString():
            return bytes.fromhex(shown)
        case Text():
            return shown
        case Elements():
            return tuple(value_of(codec.inner, one) for one in shown)
        case Custom(name="CompactHash"):
            return None if shown is None else bytes.fromhex(shown)
        case Custom(name="KeyCollection"):
            return tuple(bytes.fromhex(one) for one in shown)
        case Choice():
            return value_of(codec.options[int(shown["Type"])], shown["Data"])
        case Struct():
            if list(shown) == ["InnerBlock"]:
                shown = shown["InnerBlock"]
            if "RoundID" in shown and codec.name == "PoetProofMessage":
                shown = {**shown, "RoundID": shown["RoundID"].encode().hex()}  # a text there, bytes here
            assert len(shown) == len(codec.members), f"{codec.name} has fields {list(shown)}"
            assert codec.owner is not None
            return codec.owner(*(value_of(member, one) for member, one in zip(codec.members.values(), shown.values())))
    raise NotUnderstood(f"a value for {codec!r}")


@vectors("types/wire_*.json", variants=False)
def wire_cases(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, known=("description", "reference", "layouts", "values", "decode"))
    for name, layout in document["layouts"].items():
        yield Case(f"layout: {name}", lambda name=name, layout=layout: check_layout(name, layout))
    for entry in document["values"]:
        yield Case(entry["name"], lambda entry=entry: check_value(entry))
    bases = {entry["name"]: bytes.fromhex(entry["encoded"]) for entry in document["values"]}
    for entry in document["decode"]:
        yield Case(entry["name"], lambda entry=entry: check_decode(entry, bases[entry["base"]]))


# ---- layouts ----


def check_layout(name: str, layout: list[list[str]]) -> None:
    if name == "UnixTimestamp":
        assert layout == [["Inner", "c64"]], "the time of a certificate is one compact integer"
        return
    codec = codec_of(name)
    if name == "Block":
        assert layout == [["InnerBlock", "InnerBlock"]]
        return
    if isinstance(codec, Choice):
        assert layout[0] == ["Type", "byte"]
        said = dict(re.findall(r"(\d+) (\w+)", layout[1][1]))
        assert said == {str(int(tag)): option.name for tag, option in codec.options.items()}
        return
    assert isinstance(codec, Struct)
    assert len(layout) == len(codec.members), f"{list(codec.members)} for {layout}"
    family = re.match(r"Hare[34]|", name)[0]
    for (field, code), (ours, member) in zip(layout, codec.members.items()):
        assert is_same(code, member, family), f"{field} {code}: here {ours} is {member.name}"


def is_same(code: str, codec: Codec[Any], family: str) -> bool:
    """Whether a code of the vectors (03, section 1.1) says what the codec does."""
    if code.startswith("?"):
        return isinstance(codec, Option) and is_same(code[1:], codec.inner, family)
    if listed := re.fullmatch(r"\[(.*)\](?:<=)(\d+)|\[(.*);(\d+)\]", code):
        inner, limit, repeated, count = listed.groups()
        if not isinstance(codec, Elements):
            return False
        expected = (int(limit), None) if limit else (None, int(count))
        return (codec.limit, codec.count) == expected and is_same(inner or repeated, codec.inner, family)
    if code.startswith("str<="):
        return codec.name in (code, code.replace("str", "bytes"))
    if code in ("Value", "Body", "IterRound"):
        return codec.name in (code, family + code)
    if re.fullmatch(r"(bytes<=|[bcu])\d+|byte", code):
        return codec.name == code
    return codec is codec_of(code)


# ---- values and verdicts ----


def check_value(entry: dict[str, Any]) -> None:
    codec, encoded = codec_of(entry["type"]), bytes.fromhex(entry["encoded"])
    record = value_of(codec, entry["value"])
    found = codec.encode(record)
    assert found == encoded, f"encoded as {found.hex()}"
    decoded = codec.decode(encoded)
    assert decoded == record, f"decoded as {decoded}"
    assert codec.read(encoded + b"\x5a")[1] == len(encoded)
    derivations = DERIVED.get(entry["type"].partition("/")[0], {})
    for name, expected in entry.get("derived", {}).items():
        if name not in derivations:
            raise NotUnderstood(f"{name!r} is derived from a {entry['type']}")
        derived = derivations[name](decoded)
        assert derived == expected, f"{name} is {derived}, expected {expected}"


def check_decode(entry: dict[str, Any], base: bytes) -> None:
    codec = codec_of(entry["type"])
    data = patched(base, entry["patch"])
    try:
        record = codec.decode(data)
    except CodecError as error:
        assert not entry["ok"], f"refused: {error}"
        expected = entry["error"]
        found = CLASSES.get(error.reason, error.reason)
        assert found == expected or expected == "reference_panics", f"refused as {found}: {error}"
        assert error.offset is not None and 0 <= error.offset <= len(data), f"offset {error.offset}"
        return
    assert entry["ok"], f"accepted, expected {entry['error']}"
    encoded = codec.encode(record)
    expected = data if entry["reencoded"] == "same" else bytes.fromhex(entry["reencoded"])
    assert encoded == expected, f"encoded again as {encoded.hex()}"
    assert codec.decode(encoded) == record


def patched(base: bytes, patch: dict[str, Any]) -> bytes:
    """Bytes with a piece replaced."""
    at, inserted = patch["at"], bytes.fromhex(patch["insert"])
    if repeat := patch.get("then_repeat"):
        inserted += bytes.fromhex(repeat["unit"]) * repeat["count"]
    return base[:at] + inserted + base[at + patch["remove"] :]
