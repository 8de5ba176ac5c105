"""The PoET's JSON as a node reads and writes it: unknown fields are ignored, absent ones are empty.

Specified in protocol 02-poet-client, sections 2 to 4.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from api.clients.poet.errors import BadBody, PoetClientError
from api.edge.text import escaped, why_no_json
from api.http import bounded_json
from api.http.bounded_json import JsonLimits
from api.http.protojson_writing import timestamp
from protocol.crypto.merkle import root_of
from protocol.numbers.durations import SECOND
from protocol.poet.registration import PowParams
from protocol.types.ids import Hash32
from protocol.types.poet import MerkleProof, PoetProof, PoetProofMessage

STATEMENT_SIZE = 32
LIMITS = JsonLimits(members=4_000_000)
"""A proof names every member of its round."""
DURATION = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?s", re.ASCII)


@dataclass(frozen=True, slots=True)
class CertifierInfo:
    """Where certificates for a server are had."""

    url: str
    pubkey: bytes


@dataclass(frozen=True, slots=True)
class Info:
    """What a server says of itself. Durations in nanoseconds."""

    service_pubkey: bytes
    phase_shift_ns: int
    cycle_gap_ns: int
    certifier: CertifierInfo | None


@dataclass(frozen=True, slots=True)
class Registration:
    """The answer to a submit."""

    round_id: str
    round_end_ns: int
    """From now to the end of the round."""


@dataclass(frozen=True, slots=True)
class RoundProof:
    """A round's proof with its members in leaf order, each 32 bytes."""

    message: PoetProofMessage
    members: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate as it is sent along."""

    data: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Authorisation:
    """Why a server should let the node in: a certificate, or a proof of work."""

    certificate: Certificate | None = None
    pow_params: PowParams | None = None
    nonce: int = 0


def submit_body(
    prefix: bytes,
    challenge: bytes,
    pubkey: bytes,
    signature: bytes,
    deadline_ns: int | None,
    authorisation: Authorisation,
) -> bytes:
    """The body of a submit; zero fields are left out."""
    fields: dict[str, Any] = {}
    if authorisation.certificate is None and authorisation.pow_params is not None:
        if authorisation.nonce:
            fields["nonce"] = str(authorisation.nonce)
        params: dict[str, Any] = {}
        if authorisation.pow_params.difficulty:
            params["difficulty"] = authorisation.pow_params.difficulty
        if authorisation.pow_params.challenge:
            params["challenge"] = _text(authorisation.pow_params.challenge)
        fields["powParams"] = params
    for name, value in (("prefix", prefix), ("challenge", challenge), ("pubkey", pubkey), ("signature", signature)):
        if value:
            fields[name] = _text(value)
    if deadline_ns is not None:
        fields["deadline"] = timestamp(*divmod(deadline_ns, SECOND))
    if authorisation.certificate is not None:
        certificate = authorisation.certificate
        fields["certificate"] = {"data": _text(certificate.data), "signature": _text(certificate.signature)}
    return json.dumps(fields, separators=(",", ":")).encode()


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


class _Fields:
    """An object of the answer; names in both spellings. Raises BadBody."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise BadBody(f"{where} is not an object")
        self._fields: dict[str, Any] = value
        self._where = where

    def get(self, name: str) -> Any:
        head, *tail = name.split("_")
        camel = head + "".join(word.capitalize() for word in tail)
        return self._fields.get(camel, self._fields.get(name))

    def object(self, name: str) -> _Fields:
        value = self.get(name)
        return _Fields({} if value is None else value, f"{self._where}.{name}")

    def octets(self, name: str) -> bytes:
        value = self.get(name)
        return b"" if value is None else self._decoded(value, name)

    def octet_list(self, name: str) -> tuple[bytes, ...]:
        value = self.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise BadBody(f"{self._where}.{name} is not a list")
        return tuple(self._decoded(one, name) for one in value)

    def _decoded(self, value: Any, name: str) -> bytes:
        try:
            plain = value.replace("-", "+").replace("_", "/").rstrip("=")
            return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
        except (AttributeError, binascii.Error, ValueError):
            raise BadBody(f"{self._where}.{name} is not base64") from None

    def string(self, name: str) -> str:
        value = self.get(name)
        if value is not None and not isinstance(value, str):
            raise BadBody(f"{self._where}.{name} is not a text")
        return value or ""

    def unsigned(self, name: str) -> int:
        value = self.get(name)
        if value is None:
            return 0
        text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else repr(value)
        if not (text.isascii() and text.isdigit() and len(text) <= 20) or int(text) >= 1 << 64:
            raise BadBody(f"{self._where}.{name} is {text[:40]!r}, expected an unsigned integer")
        return int(text)

    def duration(self, name: str) -> int:
        value = self.get(name)
        if value is None:
            return 0
        match = DURATION.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise BadBody(f"{self._where}.{name} is {str(value)[:40]!r}, expected a duration such as '5s'")
        nanoseconds = int(match[2]) * SECOND + int((match[3] or "").ljust(9, "0"))
        return -nanoseconds if match[1] else nanoseconds


def _object(body: bytes) -> _Fields:
    try:
        bounded_json.check(body, LIMITS)
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadBody(f"the answer is not JSON: {why_no_json(error)}") from None
    return _Fields(value, "answer")


def read_info(body: bytes) -> Info:
    """The answer of /v1/info. Raises BadBody; PoetClientError for a certifier's url that is none."""
    fields = _object(body)
    certifier = None
    if fields.get("certifier") is not None:
        inner = fields.object("certifier")
        certifier = CertifierInfo(inner.string("url"), inner.octets("pubkey"))
        try:
            urlsplit(certifier.url)
        except ValueError as error:
            raise PoetClientError(f"the certifier's url {escaped(certifier.url)!r} cannot be used: {error}") from None
    return Info(
        fields.octets("service_pubkey"), fields.duration("phase_shift"), fields.duration("cycle_gap"), certifier
    )


def read_pow_params(body: bytes) -> PowParams:
    """The answer of /v1/pow_params. Raises BadBody."""
    fields = _object(body).object("pow_params")
    return PowParams(fields.octets("challenge"), fields.unsigned("difficulty"))


def read_registration(body: bytes) -> Registration:
    """The answer of /v1/submit. Raises BadBody."""
    fields = _object(body)
    return Registration(fields.string("round_id"), fields.duration("round_end"))


def read_proof(body: bytes, round_id: str) -> RoundProof:
    """The answer of /v1/proofs/{id} as the message that nodes exchange. Raises BadBody.

    Members are cut or filled to 32 bytes, and the statement is made from them: whoever served a proof over other
    members serves one that does not hold.
    """
    fields = _object(body)
    proof = fields.object("proof")
    inner = proof.object("proof")
    members = tuple(member[:STATEMENT_SIZE].ljust(STATEMENT_SIZE, b"\x00") for member in proof.octet_list("members"))
    statement = root_of(members).rjust(STATEMENT_SIZE, b"\x00")
    merkle = MerkleProof(inner.octets("root"), inner.octet_list("proven_leaves"), inner.octet_list("proof_nodes"))
    message = PoetProofMessage(
        PoetProof(merkle, proof.unsigned("leaves")), fields.octets("pubkey"), round_id.encode(), Hash32(statement)
    )
    return RoundProof(message, members)
