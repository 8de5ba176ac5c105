"""Who may register at a PoET server: the proof of work, the certificate, the signature of a submit. Pure.

A registration is signed by the key that registers and authorised either by a proof of work over it or by a
certificate that a trusted key gave to it. The texts of the errors cross the wire: they are the reference's.
Specified in protocol 02-poet, sections 7.1 to 7.3 and 12, and 02-poet-client, sections 2 and 5.
"""

from __future__ import annotations

import struct as packing
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from protocol.codec.declare import CodecError
from protocol.crypto.ripemd256 import ripemd256
from protocol.errors import ProtocolError
from protocol.poet import signing as poet_signing
from protocol.types.ids import ID_SIZE
from protocol.types.poet import MAX_CERTIFICATE_KEY_SIZE, PoetCertificate

NODE_ID_SIZE = CHALLENGE_SIZE = CERTIFIER_KEY_SIZE = ID_SIZE
HINT_SIZE = 4
"""First bytes of a certifier's key; they choose among the trusted keys."""


@dataclass(frozen=True, slots=True)
class PowParams:
    """What a proof of work is asked against."""

    challenge: bytes
    difficulty: int
    """Leading zero bits of the hash."""


class InvalidPow(ProtocolError):
    """The proof of work does not hold, or is over other parameters."""


class PowStopped(ProtocolError):
    """A search for a proof of work was told to stop."""


class InvalidCertificate(ProtocolError):
    """The certificate does not authorise this node. reason: signature_mismatch, decode, pubkey_mismatch, expired."""


# Proof of work


def pow_hash(pow_challenge: bytes, node_id: bytes, challenge: bytes, nonce: int) -> bytes:
    """The hash that must begin with zero bits."""
    return ripemd256(pow_input(pow_challenge, node_id, challenge, nonce))


def pow_input(pow_challenge: bytes, node_id: bytes, challenge: bytes, nonce: int) -> bytes:
    """What is hashed."""
    return pow_challenge + node_id + challenge + packing.pack("<Q", nonce)


def search_pow(params: PowParams, node_id: bytes, challenge: bytes, stopped: Callable[[], bool] = lambda: False) -> int:
    """The first nonce from 0 that `verify_pow` accepts. May take long; raises PowStopped when `stopped` says so."""
    if len(node_id) != NODE_ID_SIZE or params.difficulty > 256:
        raise InvalidPow(
            f"There is no proof of work with {params.difficulty} bits for a node id of {len(node_id)} bytes.",
            "impossible",
        )
    prefix = params.challenge + node_id + challenge
    from kernels.posw.ripemd import NONCES_BETWEEN_STOPS, search

    start = 0
    while not stopped():
        found = search(prefix, params.difficulty, start, NONCES_BETWEEN_STOPS)
        if found is not None:
            return found
        start += NONCES_BETWEEN_STOPS
    raise PowStopped("The search for a proof of work was stopped.")


def has_leading_zero_bits(data: bytes, bits: int) -> bool:
    """Whether the first `bits` bits are zero, most significant first; false above 256 and beyond the data."""
    if bits > 256 or bits > 8 * len(data):
        return False
    return int.from_bytes(data, "big") >> (8 * len(data) - bits) == 0


def verify_pow(params: PowParams, node_id: bytes, challenge: bytes, nonce: int, digest: bytes | None = None) -> None:
    """Checks a proof of work over the given parameters; `digest` is its hash, if it is known. Raises InvalidPow."""
    if len(node_id) != NODE_ID_SIZE:
        raise InvalidPow(f"invalid proof of work: invalid nodeID length: {len(node_id)}", "node_id_length")
    if params.difficulty == 0:
        return  # any hash will do, so none is computed
    if digest is None:
        digest = pow_hash(params.challenge, node_id, challenge, nonce)
    if not has_leading_zero_bits(digest, params.difficulty):
        raise InvalidPow("invalid proof of work: invalid leading zero bits", "leading_zero_bits")


def check_pow(
    sent: PowParams,
    allowed: Iterable[PowParams],
    node_id: bytes,
    challenge: bytes,
    nonce: int,
    digest: bytes | None = None,
) -> None:
    """Checks a submit's proof of work against the parameter sets in force. Arguments and errors as `verify_pow`."""
    if sent not in tuple(allowed):
        raise InvalidPow("invalid proof of work parameters", "parameters")
    verify_pow(sent, node_id, challenge, nonce, digest)


# Certificates


def encode_certificate(certificate: PoetCertificate) -> bytes:
    """What a certifier signs (SCALE). Raises ProtocolError for a key above 32 bytes or a time above 64 bits."""
    try:
        return PoetCertificate.codec.encode(certificate)
    except CodecError as error:
        raise _in_words_of_the_reference(error, "encode", b"") from None


def decode_certificate(data: bytes) -> PoetCertificate:
    """The certificate at the start of `data`; what follows is ignored, as the server does. Raises ProtocolError."""
    try:
        return PoetCertificate.codec.read(data)[0]
    except CodecError as error:
        raise _in_words_of_the_reference(error, "decode", data) from None


def verify_certificate(
    data: bytes, signature: bytes, certifier_key: bytes, node_id: bytes, now_s: int
) -> PoetCertificate:
    """The certificate, if `certifier_key` signed it for `node_id` and it has not expired.

    Raises InvalidCertificate, and ValueError for a certifier's key that is not 32 bytes.
    """
    if not poet_signing.verify(certifier_key, data, signature):
        raise InvalidCertificate("signature mismatch", "signature_mismatch")
    try:
        certificate = decode_certificate(data)
    except ProtocolError as error:
        raise InvalidCertificate(f"decoding: {error}", "decode") from None
    if certificate.pubkey != node_id:
        raise InvalidCertificate("pubkey mismatch", "pubkey_mismatch")
    if certificate.expiration is not None and _has_expired(certificate.expiration, now_s):
        raise InvalidCertificate(f"certificate expired at {_moment(_signed(certificate.expiration))}", "expired")
    return certificate


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """The keys whose certificates are taken."""

    main: bytes | None = None
    """The one for certificates that come without a hint."""
    others: tuple[bytes, ...] = ()

    def verify(self, data: bytes, signature: bytes, hint: bytes, node_id: bytes, now_s: int) -> None:
        """Raises InvalidCertificate with the two-line text of the reference.

        Without a hint only the main key counts; with one, every key with these first bytes, and then the
        cause of a failure is lost (reason is "").
        """
        if not hint:
            if self.main is None:
                raise _rejected("no matching cert public keys", "")
            try:
                verify_certificate(data, signature, self.main, node_id, now_s)
            except InvalidCertificate as error:
                raise _rejected(str(error), error.reason) from None
            return
        mains = () if self.main is None else (self.main,)
        keys = [key for key in (*mains, *self.others) if key[:HINT_SIZE] == hint]
        if not keys:
            raise _rejected("no matching cert public keys", "")
        for key in keys:
            try:
                verify_certificate(data, signature, key, node_id, now_s)
            except InvalidCertificate:
                continue
            return
        raise _rejected("invalid certificate", "")


def _rejected(cause: str, reason: str) -> InvalidCertificate:
    return InvalidCertificate(f"invalid certificate\n{cause}", reason)


# The signature of a submit


def verify_submit(pubkey: bytes, prefix: bytes, challenge: bytes, signature: bytes) -> bool:
    """Whether the key signed prefix and challenge; the server gives the prefix no meaning."""
    return poet_signing.verify(pubkey, prefix + challenge, signature)


# The reference's texts for faults of SCALE, which cross the wire, and Go's times


def _in_words_of_the_reference(error: CodecError, verb: str, data: bytes) -> ProtocolError:
    if error.reason == "over_limit":
        limit = MAX_CERTIFICATE_KEY_SIZE
        count = f" ({error.found} > {limit})" if verb == "decode" else ""
        return ProtocolError(
            f"too many elements to {verb} in collection with scale limit set:{count or f' {limit}'}", "limit"
        )
    if error.reason == "truncated":
        assert error.offset is not None, "something was being read"
        # Only the first byte of the time is read with a text of its own; one byte of length and the tag are before it.
        is_header = error.field.endswith("expiration") and error.offset == 2 + (data[0] >> 2)
        text = "EOF" if error.offset >= len(data) else "unexpected EOF"
        return ProtocolError(f"read compact header: {text}" if is_header else text, "eof")
    if error.reason == "too_wide":
        bits = 32 if error.field.endswith("pubkey") else 64
        return ProtocolError(f"invalid compact{bits} needs {error.found} bytes", "range")
    return ProtocolError(f"value {error.found} is out of range", "range")


def _signed(expiration: int) -> int:
    """The unsigned 64-bit expiration as the signed time that it becomes."""
    return expiration - (1 << 64) if expiration >= 1 << 63 else expiration


LATEST_S = (1 << 63) - 1 - 62_135_596_800
"""The last Unix second that Go's clock can hold; later ones wrap round to before the year 1."""


def _has_expired(expiration: int, now_s: int) -> bool:
    moment = _signed(expiration)
    return moment < now_s or moment > LATEST_S


def _moment(unix_s: int) -> str:
    """As Go prints a time in UTC, for any year (days to a date after H. Hinnant's civil_from_days)."""
    days, rest = divmod(unix_s, 86_400)
    era, day = divmod(days + 719_468, 146_097)
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day_of_year = day - (365 * year + year // 4 - year // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    day_of_month = day_of_year - (153 * month_from_march + 2) // 5 + 1
    month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9
    full_year = year + era * 400 + (1 if month <= 2 else 0)
    written = f"{full_year:04d}" if full_year >= 0 else f"-{-full_year:04d}"
    hour, minute, second = rest // 3600, rest // 60 % 60, rest % 60
    return f"{written}-{month:02d}-{day_of_month:02d} {hour:02d}:{minute:02d}:{second:02d} +0000 UTC"
