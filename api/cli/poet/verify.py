"""`smesher poet verify FILE`: whether a proof of a PoET holds, and what it is worth.

The file is the JSON of `/v1/proofs/{id}`, whose statement follows from its members, or an encoded PoetProofMessage, as
bytes or as hex digits. Exit code 0: the proof holds, 1: it does not, 2: the file is neither. Protocol 02-poet, 4, 5, 9.
"""

from __future__ import annotations

import argparse
import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from api.cli.output import Output
from api.edge.errors import UsageError
from api.edge.text import file_path, is_whole, read_file, shown, why_no_json
from protocol.codec.declare import CodecError
from protocol.crypto import merkle
from protocol.types.poet import SECURITY_PARAM, MerkleProof, PoetProof, PoetProofMessage

MAX_PROOF_FILE = 256 << 20
"""Bytes; a proof names its members, 32 bytes each and more in JSON."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A proof from a file, and what it says it is for."""

    proof: PoetProof
    statement: bytes
    service_id: bytes
    members: tuple[bytes, ...] | None
    round_id: str | None


def add_verify_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `poet verify`."""
    parser.add_argument(
        "file",
        metavar="FILE",
        help="JSON of /v1/proofs/{id}, or an encoded PoetProofMessage, raw or hex; - reads standard input",
    )


def verify(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0 when the proof holds, 1 when it does not. Raises UsageError for a file that holds no proof."""
    loaded = load(_read(arguments.file), arguments.file)
    from prover.poet.round.verify import PoetProofInvalid
    from prover.poet.round.verify import verify as judge

    proof, statement, leaves = loaded.proof.merkle_proof, loaded.statement, loaded.proof.leaf_count
    refusal: PoetProofInvalid | None = None
    for _ in range(2):  # the first one may have to load the compiled code; the second one is timed
        began = time.perf_counter()
        try:
            judge(proof, statement, leaves, SECURITY_PARAM)
        except PoetProofInvalid as error:
            refusal = error
        seconds = time.perf_counter() - began
    note = _note(loaded)
    facts = _facts(loaded)
    output.event(
        "done",
        valid=refusal is None,
        reason=None if refusal is None else refusal.reason,
        message=None if refusal is None else str(refusal),
        **facts,
        note=note,
        seconds=round(seconds, 6),
    )
    if not output.json:
        for name, value in facts.items():
            if value is not None:
                output.say(f"{name.replace('_', ' '):<12} {value}")
        output.say(
            f"[green]The proof holds[/] ({1000 * seconds:.1f} ms)."
            if refusal is None
            else f"[bold red]The proof does not hold:[/] {refusal} ({refusal.reason})"
        )
        if note:
            output.note(note)
    return 0 if refusal is None else 1


def _facts(loaded: Loaded) -> dict[str, Any]:
    try:
        ref: str | None = loaded.proof.ref().hex()
    except CodecError:
        ref = None  # such a proof cannot be encoded, so it has no reference
    return {
        "leaves": loaded.proof.leaf_count,
        "root": loaded.proof.merkle_proof.root.hex(),
        "statement": loaded.statement.hex(),
        "members": None if loaded.members is None else len(loaded.members),
        "reference": ref,
        "service_id": loaded.service_id.hex(),
        "round_id": loaded.round_id,
    }


def _note(loaded: Loaded) -> str:
    """Why nodes would judge the proof otherwise, where they would."""
    if loaded.members is None or (loaded.members and all(len(member) == 32 for member in loaded.members)):
        return ""
    return (
        "Nodes rebuild the statement from members of exactly 32 bytes, at least one; they refuse this proof "
        "whatever it shows."
    )


# ---- reading ----


def _read(name: str) -> bytes:
    return read_file(file_path(name, "FILE"), "The file", MAX_PROOF_FILE)


def load(data: bytes, name: str) -> Loaded:
    """A proof from the content of a file. Raises UsageError, which says what is wrong with it."""
    text = data.strip()
    if text[:1] == b"{":
        return _from_json(text, name)
    try:
        encoded = bytes.fromhex(text.decode("ascii").removeprefix("0x"))
    except ValueError:
        encoded = data
    try:
        message = PoetProofMessage.codec.decode(encoded)
    except CodecError as error:
        raise UsageError(f"{name} holds no proof: it is no JSON object, and as a PoetProofMessage: {error}") from None
    return Loaded(
        message.proof, message.statement, message.service_id, None, message.round_id.decode("utf-8", "replace")
    )


def _from_json(text: bytes, name: str) -> Loaded:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} is no JSON: {why_no_json(error)}.") from None

    def field(container: Any, path: str, *names: str) -> Any:
        for one in names:
            if isinstance(container, dict) and one in container:
                return container[one]
        raise UsageError(f"{name}: {path}{names[0]} is missing; expected the JSON of /v1/proofs/{{id}}.")

    outer = field(document, "", "proof")
    inner = field(outer, "proof.", "proof")
    members = _list(field(outer, "proof.", "members"), f"{name}: proof.members")
    merkle_proof = MerkleProof(
        _bytes(field(inner, "proof.proof.", "root"), f"{name}: proof.proof.root"),
        _list(field(inner, "proof.proof.", "provenLeaves", "proven_leaves"), f"{name}: proof.proof.provenLeaves"),
        _list(field(inner, "proof.proof.", "proofNodes", "proof_nodes"), f"{name}: proof.proof.proofNodes"),
    )
    leaves = _count(field(outer, "proof.", "leaves"), f"{name}: proof.leaves")
    service_id = _bytes(document.get("pubkey"), f"{name}: pubkey")
    return Loaded(PoetProof(merkle_proof, leaves), merkle.root_of(members), service_id, members, None)


def _bytes(value: Any, field: str) -> bytes:
    if value is None:
        return b""
    if isinstance(value, str):
        plain = value.replace("-", "+").replace("_", "/").rstrip("=")
        try:
            return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
        except ValueError:  # letters beyond ASCII, or no base64
            pass
    raise UsageError(f"{field} is {shown(value)}, expected base64.")


def _list(value: Any, field: str) -> tuple[bytes, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise UsageError(f"{field} is no list.")
    read: Callable[[Any, str], bytes] = _bytes
    return tuple(read(item, f"{field}[{number}]") for number, item in enumerate(value))


def _count(value: Any, field: str) -> int:
    text = str(value)
    if isinstance(value, bool) or not is_whole(text) or int(text) >= 1 << 64:
        raise UsageError(f"{field} is {shown(text)}, expected a number of leaves below 2^64.")
    return int(text)
