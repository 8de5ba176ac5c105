"""poet/pow.json, certificates.json, registration_auth.json, round_timing.json: the pure rules of registration.

Texts of errors are compared where they cross the wire. The clock of the certificates stood in November 2026.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from protocol.errors import ProtocolError
from protocol.poet.registration import (
    InvalidCertificate,
    InvalidPow,
    PowParams,
    TrustedKeys,
    decode_certificate,
    encode_certificate,
    has_leading_zero_bits,
    pow_hash,
    search_pow,
    verify_certificate,
    verify_pow,
)
from protocol.poet.signing import verify as verify_signature
from protocol.types.poet import PoetCertificate
from prover.errors import DataError
from prover.poet.server.registration import Policy, Pow, Refused, Registration, Submit
from prover.poet.server.rounds import Schedule
from prover.poet.server.trusted_keys import load_trusted_keys
from tests.vector_cases.harness import Case, Context, Later, NotUnderstood, unknown_sections, vectors

NOW_S = 1_795_400_000
"""November 2026, when the vectors were recorded."""


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


@vectors("poet/pow.json", variants=False)
def proof_of_work(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, ("reference", "hash", "search", "leading_zero_bits", "verify"))
    for entry in document["hash"]:
        yield Case(f"hash: {entry['name']}", lambda e=entry: check_hash(e, int(e["nonce"])))
    for entry in document["search"]:
        yield Case(f"search: {entry['name']}", lambda e=entry: check_search(e))
    for entry in document["leading_zero_bits"]:
        name = f"leading zero bits: {entry['data'][:16]}, {entry['bits']}"
        yield Case(name, lambda e=entry: check_leading_zero_bits(e))
    for entry in document["verify"]:
        yield Case(f"verify: {entry['name']}", lambda e=entry: check_verify_pow(e))


def check_hash(entry: dict[str, Any], nonce: int) -> None:
    fields = [unhex(entry[key]) for key in ("pow_challenge", "node_id", "challenge")]
    found = pow_hash(fields[0], fields[1], fields[2], nonce).hex()
    assert found == entry["hash"], f"expected {entry['hash']}, got {found}"


def check_search(entry: dict[str, Any]) -> None:
    first, difficulty = int(entry["first_nonce"]), entry["difficulty"]
    check_hash(entry, first)
    fields = [unhex(entry[key]) for key in ("pow_challenge", "node_id", "challenge")]
    assert has_leading_zero_bits(unhex(entry["hash"]), difficulty)
    found = search_pow(PowParams(fields[0], difficulty), fields[1], fields[2])
    assert found == first, f"expected the nonce {first}, found {found}"


def check_leading_zero_bits(entry: dict[str, Any]) -> None:
    found = has_leading_zero_bits(unhex(entry["data"]), entry["bits"])
    assert found == entry["result"], f"expected {entry['result']}, got {found}"


def check_verify_pow(entry: dict[str, Any]) -> None:
    params = PowParams(unhex(entry["pow_challenge"]), entry["difficulty"])
    try:
        verify_pow(params, unhex(entry["node_id"]), unhex(entry["challenge"]), int(entry["nonce"]))
    except InvalidPow as error:
        found: str | None = str(error)
    else:
        found = None
    assert found == entry["error"], f"expected {entry['error']!r}, got {found!r}"
    assert entry["valid"] == (found is None)


@vectors("poet/certificates.json", variants=False)
def certificates(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, ("reference", "certifier", "other", "encode", "decode", "verify"))
    certifier = unhex(document["certifier"]["pubkey"])
    for entry in document["encode"]:
        yield Case(f"encode: {entry['name']}", lambda e=entry: check_encode(e, certifier))
    for entry in document["decode"]:
        yield Case(f"decode: {entry['name']}", lambda e=entry: check_decode(e))
    for entry in document["verify"]:
        yield Case(f"verify: {entry['name']}", lambda e=entry: check_verify_certificate(e))


def check_encode(entry: dict[str, Any], certifier: bytes) -> None:
    expiration = None if entry["expiration"] is None else int(entry["expiration"])
    try:
        found = encode_certificate(PoetCertificate(unhex(entry["pubkey"]), expiration))
    except ProtocolError as error:
        assert entry["error"] is not None, f"expected {entry['data']}, got the error {error}"
        assert str(error) == entry["error"], f"expected {entry['error']!r}, got {str(error)!r}"
        return
    assert entry["error"] is None, f"expected the error {entry['error']!r}, got {found.hex()}"
    assert found.hex() == entry["data"], f"expected {entry['data']}, got {found.hex()}"
    assert verify_signature(certifier, found, unhex(entry["signature"])), "the signature does not hold"


def check_decode(entry: dict[str, Any]) -> None:
    try:
        found = decode_certificate(unhex(entry["data"]))
    except ProtocolError as error:
        assert not entry["valid"], f"expected a certificate, got the error {error}"
        assert str(error) == entry["error"], f"expected {entry['error']!r}, got {str(error)!r}"
        return
    assert entry["valid"], f"expected the error {entry['error']!r}, got {found}"
    expiration = None if entry["expiration"] is None else int(entry["expiration"])
    expected = PoetCertificate(unhex(entry["pubkey"]), expiration)
    assert found == expected, f"expected {expected}, got {found}"


def check_verify_certificate(entry: dict[str, Any]) -> None:
    text: str | None = None
    reason: str | None = None
    try:
        verify_certificate(
            unhex(entry["data"]),
            unhex(entry["signature"]),
            unhex(entry["certifier_pubkey"]),
            unhex(entry["node_id"]),
            NOW_S,
        )
    except InvalidCertificate as error:
        text, reason = str(error), error.reason
    except ValueError:
        reason = "panic"
    assert reason == entry["error_class"], f"expected {entry['error_class']!r}, got {reason!r}"
    if reason != "panic":
        assert text == entry["error"], f"expected {entry['error']!r}, got {text!r}"


SCHEDULE = Schedule(0, 1, 0, 0)


@vectors("poet/registration_auth.json", variants=False)
def registration_auth(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(
        document,
        ("reference", "configurations", "keys", "node_id", "trusted_keys_dir", "trusted_keys_files"),
    )
    directory = context.temporary("trusted")
    write_key_files(directory, document)
    for configuration in document["configurations"]:
        for entry in configuration["submits"]:
            yield Case(
                f"{configuration['name']}: {entry['name']}, "
                f"{'with' if entry['with_valid_pow'] else 'without'} proof of work",
                lambda c=configuration, e=entry: check_authorisation(
                    c["certifier"], e, unhex(document["node_id"]), directory
                ),
            )
    for entry in document["trusted_keys_files"]:
        yield Case(
            f"trusted keys: {entry['name']}",
            lambda e=entry: check_key_files(e, context, unhex(document["keys"]["a"]["pubkey"])),
        )


def write_key_files(directory: Path, document: Any) -> None:
    for entry in document["trusted_keys_dir"]:
        path = directory / entry["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        if "content" in entry:
            path.write_text(entry["content"])
            continue
        text = base64.b64encode(unhex(document["keys"][entry["key"]]["pubkey"])).decode()
        path.write_text(text + ("\n" if entry.get("trailing_newline") else ""))


def check_authorisation(certifier: dict[str, Any], entry: dict[str, Any], node_id: bytes, directory: Path) -> None:
    if not certifier.keys() <= {"pubkey", "trusted_keys_dir_set", "url"}:
        raise NotUnderstood(f"a certifier has the keys {sorted(certifier)}")
    others = load_trusted_keys(directory) if certifier.get("trusted_keys_dir_set") else ()
    machine = Registration(
        SCHEDULE,
        Policy(certifier=bool(certifier)),
        TrustedKeys(unhex(certifier.get("pubkey", "")) or None, others),
        Pow(3, b"challenge of the server"),
        lambda round_id, pubkey: None,
        open_round=0,
    )
    challenge = bytes(range(32))
    nonce = 0
    while not has_leading_zero_bits(pow_hash(machine.pow.current, node_id, challenge, nonce), 3):
        nonce += 1
    sent = entry.get("certificate")
    request = Submit(
        challenge=challenge,
        pubkey=node_id,
        nonce=nonce if entry["with_valid_pow"] else 0,
        pow_params=machine.pow.params() if entry["with_valid_pow"] else PowParams(b"", 0),
        certificate=None if sent is None else (unhex(sent["data"]), unhex(sent["signature"])),
        hint=unhex(entry.get("certificate_pubkey_hint", "")),
    )
    refused = machine.authorise(request, NOW_S)
    found = refused.message if isinstance(refused, Refused) else None
    assert found == entry["error"], f"expected {entry['error']!r}, got {found!r}"
    assert entry["accepted"] == (found is None)


def check_key_files(entry: dict[str, Any], context: Context, key: bytes) -> None:
    directory = context.temporary("keys")
    for name, content in entry["files"].items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())
    if entry.get("error_class") == "directory missing":
        directory.rmdir()
    try:
        keys = load_trusted_keys(directory)
    except DataError as error:
        assert not entry["loads"], f"expected the keys to load, got {error}"
        if entry["error_class"] == "invalid public key":
            assert "invalid public key" in str(error), str(error)
        return
    assert entry["loads"], f"expected {entry['error_class']}, got {len(keys)} keys"
    assert (key in keys) == entry["accepts_cert_of_a_with_hint"]


@vectors("poet/round_timing.json", variants=False)
def round_timing(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, ("reference", "cases"))
    for entry in document["cases"]:
        yield Case(entry["name"], lambda e=entry: check_timing(e))


def check_timing(entry: dict[str, Any]) -> None:
    keys = ("genesis_unix_ns", "epoch_duration_ns", "phase_shift_ns", "cycle_gap_ns")
    schedule = Schedule(*(int(entry[key]) for key in keys))
    assert schedule.duration_ns == int(entry["round_duration_ns"])
    for one in entry["rounds"]:
        assert schedule.start(one["round"]) == int(one["start_unix_ns"]), one
        assert schedule.end(one["round"]) == int(one["end_unix_ns"]), one
    for one in entry["open_round"]:
        found = schedule.open_round(int(one["unix_ns"]))
        assert found == one["open_round"], f"{one['at']}: expected {one['open_round']}, got {found}"
