"""Requests and answers of the PoET service as JSON, with the rules of the reference's gateway.

What is read: one JSON value (text after it is ignored), names in lowerCamelCase or snake_case, each at most
once, unknown ones skipped, null for absent; integers as number or text; bytes in either alphabet of base64, with
or without padding. What is written has every field and no blank. Specified in protocol 02-poet, section 9.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn

from protocol.numbers.time import ZERO_SECONDS, Time
from protocol.poet.registration import PowParams
from prover.poet.server.records import ProofRecord
from prover.poet.server.registration import Code, Refused, Registered, Submit

WHITE_SPACE = b" \t\r\n"
SECOND_NS = 1_000_000_000
MAX_MESSAGE_SIZE = 4_194_304
"""Bytes of a request as protobuf; the gateway's server refuses larger ones."""

MIN_TIME_S = ZERO_SECONDS
MAX_TIME_S = 253_402_300_799


class Malformed(ValueError):
    """The body is not a request. The text begins as the reference's does."""


class _Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with every field that was given, in order."""

    __slots__ = ()


def _refuse_constant(name: str) -> NoReturn:
    raise Malformed(f"invalid character {name[0]!r} looking for beginning of value")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Pairs, parse_float=_Number, parse_int=_Number, parse_constant=_refuse_constant
)


def decode_submit(body: bytes) -> Submit:
    """The request in the body of POST /v1/submit. Raises Malformed."""
    text = body.lstrip(WHITE_SPACE)
    if not text:
        return Submit()
    try:
        value, _ = _DECODER.raw_decode(text.decode())
    except UnicodeDecodeError:
        raise Malformed("proto: syntax error (line 1:1): invalid UTF-8 in string") from None
    except json.JSONDecodeError as error:
        if error.pos >= len(error.doc) or "Unterminated" in error.msg:
            raise Malformed("unexpected EOF") from None
        character = error.doc[error.pos]
        raise Malformed(f"invalid character {character!r} looking for beginning of value") from None
    except (RecursionError, ValueError) as error:
        raise Malformed(f"proto: {error}") from None
    if not isinstance(value, _Pairs):
        raise Malformed(f"proto: syntax error (line 1:1): unexpected token {_token(value)}")
    fields: dict[str, Any] = {}
    _read_object(value, SUBMIT_FIELDS, fields)
    if "pow_params" in fields:
        fields["pow_params"] = PowParams(
            fields["pow_params"].get("challenge", b""), fields["pow_params"].get("difficulty", 0)
        )
    if "certificate" in fields:
        certificate = fields["certificate"]
        fields["certificate"] = (certificate.get("data", b""), certificate.get("signature", b""))
    return Submit(**fields)


Reader = Callable[[str, Any], Any]
Fields = dict[str, tuple[str, Reader]]


def _read_object(pairs: _Pairs, known: Fields, into: dict[str, Any]) -> None:
    seen: set[str] = set()
    for name, value in pairs:
        entry = known.get(name)
        if entry is None:
            continue
        target, read = entry
        if target in seen:
            raise Malformed(f'proto: (line 1:1): duplicate field "{name}"')
        seen.add(target)
        if value is not None:
            into[target] = read(name, value)


def _invalid(kind: str, name: str, value: Any) -> Malformed:
    return Malformed(f"proto: (line 1:1): invalid value for {kind} field {name}: {_token(value)}")


def _token(value: Any) -> str:
    if isinstance(value, _Number):
        return value
    if isinstance(value, _Pairs):
        return "{"
    if isinstance(value, list):
        return "["
    return json.dumps(value)


def _read_bytes(name: str, value: Any) -> bytes:
    if not isinstance(value, str) or isinstance(value, _Number):
        raise _invalid("bytes", name, value)
    text = value
    if "-" in text or "_" in text:
        if "+" in text or "/" in text:
            raise _invalid("bytes", name, value)
        text = text.replace("-", "+").replace("_", "/")
    if "\n" in text or "\r" in text:
        text = text.replace("\n", "").replace("\r", "")
    missing = -len(text) % 4
    if missing:
        if "=" in text or missing == 3:
            raise _invalid("bytes", name, value)
        text += "=" * missing
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise _invalid("bytes", name, value) from None


PLAIN_DIGITS = re.compile(r"0|[1-9][0-9]*")
ANY_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,6})?")


def _unsigned(bits: int) -> Reader:
    def read(name: str, value: Any) -> int:
        if isinstance(value, str):
            number = _whole(value)
            if number is not None and number < 1 << bits:
                return number
        raise _invalid(f"uint{bits}", name, value)

    return read


def _whole(text: str) -> int | None:
    """The non-negative integer that a JSON number stands for; None for others and for what is no number."""
    if PLAIN_DIGITS.fullmatch(text) and text.isascii():
        return int(text) if len(text) <= 20 else None
    if not ANY_NUMBER.fullmatch(text) or len(text) > 64 or text[0] == "-":
        return None
    value = Decimal(text)
    if value.adjusted() > 20 or value != value.to_integral_value():
        return None
    return int(value)


TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)


def _read_timestamp(name: str, value: Any) -> int | None:
    """Unix nanoseconds; None for the zero time, which stands for no deadline."""
    if not isinstance(value, str) or isinstance(value, _Number):
        raise Malformed(f"proto: syntax error (line 1:1): unexpected token {_token(value)}")
    match = TIMESTAMP.fullmatch(value)
    invalid = f"google.protobuf.Timestamp value {_token(value)}"
    if match is None:
        raise Malformed(f"proto: (line 1:1): invalid {invalid}")
    if match[1].startswith("0000"):
        raise Malformed(f"proto: (line 1:1): google.protobuf.Timestamp value out of range: {_token(value)}")
    try:
        moment = Time.parse(value)
    except (ValueError, OverflowError):
        raise Malformed(f"proto: (line 1:1): invalid {invalid}") from None
    if not MIN_TIME_S <= moment.seconds <= MAX_TIME_S:
        raise Malformed(f"proto: (line 1:1): google.protobuf.Timestamp value out of range: {_token(value)}")
    return None if moment.is_zero else moment.unix_ns


def _message(known: Fields) -> Reader:
    def read(name: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, _Pairs):
            raise Malformed(f"proto: syntax error (line 1:1): unexpected token {_token(value)}")
        fields: dict[str, Any] = {}
        _read_object(value, known, fields)
        return fields

    return read


def _fields(**entries: Reader) -> Fields:
    """The names that a message's fields go by, in both spellings."""
    known: Fields = {}
    for name, read in entries.items():
        head, *tail = name.split("_")
        for spelling in (name, head + "".join(word.capitalize() for word in tail)):
            known[spelling] = (name, read)
    return known


POW_PARAMS_FIELDS = _fields(difficulty=_unsigned(32), challenge=_read_bytes)
CERTIFICATE_FIELDS = _fields(data=_read_bytes, signature=_read_bytes)
SUBMIT_FIELDS = _fields(
    nonce=_unsigned(64),
    pow_params=_message(POW_PARAMS_FIELDS),
    prefix=_read_bytes,
    challenge=_read_bytes,
    pubkey=_read_bytes,
    signature=_read_bytes,
    deadline=_read_timestamp,
    certificate=_message(CERTIFICATE_FIELDS),
    certificate_pubkey_hint=_read_bytes,
)
SUBMIT_FIELDS["certificatePubkeyHint"] = SUBMIT_FIELDS["certificate_pubkey_hint"] = ("hint", _read_bytes)
SUBMIT_FIELDS["deadline"] = ("deadline_ns", _read_timestamp)


def submit_size(request: Submit) -> int:
    """The bytes that a request has as protobuf."""
    total = _varint_size(request.nonce) + 1 if request.nonce else 0
    params = request.pow_params
    inner = (1 + _varint_size(params.difficulty) if params.difficulty else 0) + _field_size(params.challenge)
    if inner:
        total += 1 + _varint_size(inner) + inner
    for value in (request.prefix, request.challenge, request.pubkey, request.signature, request.hint):
        total += _field_size(value)
    if request.certificate is not None:
        inner = sum(_field_size(value) for value in request.certificate)
        total += 1 + _varint_size(inner) + inner
    if request.deadline_ns is not None:
        seconds, nanos = divmod(request.deadline_ns, SECOND_NS)
        inner = (1 + _varint_size(seconds % (1 << 64)) if seconds else 0) + (1 + _varint_size(nanos) if nanos else 0)
        total += 1 + _varint_size(inner) + inner
    return total


def proof_size(record: ProofRecord) -> int:
    """The bytes that the answer with a proof has as protobuf."""
    merkle = _field_size(record.nip.root) + sum(
        _item_size(one) for one in (*record.nip.proven_leaves, *record.nip.proof_nodes)
    )
    proof = 1 + _varint_size(merkle) + merkle + sum(_item_size(one) for one in record.members)
    if record.num_leaves:
        proof += 1 + _varint_size(record.num_leaves)
    return 1 + _varint_size(proof) + proof + _field_size(record.service_pubkey)


def _varint_size(value: int) -> int:
    return max(1, (value.bit_length() + 6) // 7)


def _field_size(value: bytes) -> int:
    return _item_size(value) if value else 0


def _item_size(value: bytes) -> int:
    return 1 + _varint_size(len(value)) + len(value)


def too_large(size: int, limit: int) -> Refused:
    """What the reference's gRPC layer says to a message above its limit."""
    return Refused(Code.RESOURCE_EXHAUSTED, f"grpc: received message larger than max ({size} vs. {limit})")


# Answers


def duration(nanoseconds: int) -> str:
    """A duration as the gateway writes it: 0, 3, 6 or 9 digits after the point."""
    sign = "-" if nanoseconds < 0 else ""
    seconds, nanos = divmod(abs(nanoseconds), SECOND_NS)
    fraction = f".{nanos:09d}"
    for _ in range(2):
        fraction = fraction.removesuffix("000")
    return f"{sign}{seconds}{fraction.removesuffix('.000')}s"


def encode_registered(answer: Registered, now_ns: int) -> bytes:
    """The body of an accepted submit."""
    left = duration(answer.end_ns - now_ns)
    return f'{{"roundId":"{answer.round_id}","roundEnd":"{left}"}}'.encode()


def encode_error(refused: Refused) -> bytes:
    """The body of every error."""
    return f'{{"code":{int(refused.code)},"message":{go_string(refused.message)},"details":[]}}'.encode()


def encode_pow_params(params: PowParams) -> bytes:
    """The body of /v1/pow_params."""
    return (
        f'{{"powParams":{{"difficulty":{params.difficulty},"challenge":"{base64_text(params.challenge)}"}}}}'
    ).encode()


def encode_info(pubkey: bytes, phase_shift_ns: int, cycle_gap_ns: int, certifier: tuple[str, bytes] | None) -> bytes:
    """The body of /v1/info; `certifier` is url and key."""
    shown = "null"
    if certifier is not None:
        shown = f'{{"url":{go_string(certifier[0])},"pubkey":"{base64_text(certifier[1])}"}}'
    return (
        f'{{"servicePubkey":"{base64_text(pubkey)}","phaseShift":"{duration(phase_shift_ns)}",'
        f'"cycleGap":"{duration(cycle_gap_ns)}","certifier":{shown}}}'
    ).encode()


def encode_proof(record: ProofRecord) -> bytes:
    """The body of /v1/proofs/{id}."""
    nip = record.nip
    return (
        f'{{"proof":{{"proof":{{"root":"{base64_text(nip.root)}",'
        f'"provenLeaves":{_texts(nip.proven_leaves)},"proofNodes":{_texts(nip.proof_nodes)}}},'
        f'"members":{_texts(record.members)},"leaves":"{record.num_leaves}"}},'
        f'"pubkey":"{base64_text(record.service_pubkey)}"}}'
    ).encode()


def _texts(values: Sequence[bytes]) -> str:
    return "[" + ",".join(f'"{base64_text(value)}"' for value in values) + "]"


def base64_text(value: bytes) -> str:
    """Standard base64."""
    return b64encode(value).decode()


def go_string(text: str) -> str:
    """A JSON string as protobuf-JSON writes it: beyond ASCII as it is."""
    return json.dumps(text, ensure_ascii=False)


def http_date(now_ns: int) -> str:
    """The value of a Date header."""
    return datetime.fromtimestamp(now_ns // SECOND_NS, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")


HTTP_STATUS: dict[Code, tuple[int, str]] = {
    Code.OK: (200, "OK"),
    Code.CANCELED: (499, "status code 499"),
    Code.UNKNOWN: (500, "Internal Server Error"),
    Code.INVALID_ARGUMENT: (400, "Bad Request"),
    Code.DEADLINE_EXCEEDED: (504, "Gateway Timeout"),
    Code.NOT_FOUND: (404, "Not Found"),
    Code.ALREADY_EXISTS: (409, "Conflict"),
    Code.RESOURCE_EXHAUSTED: (429, "Too Many Requests"),
    Code.FAILED_PRECONDITION: (400, "Bad Request"),
    Code.UNIMPLEMENTED: (501, "Not Implemented"),
    Code.INTERNAL: (500, "Internal Server Error"),
    Code.UNAVAILABLE: (503, "Service Unavailable"),
    Code.UNAUTHENTICATED: (401, "Unauthorized"),
}
