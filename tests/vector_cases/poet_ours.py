"""Where our server answers otherwise than the recorded one, on purpose: rules, and what ours answers by them.

A rule looks at a request, its recorded answer and what was answered before, never at a case's name. Protocol 02-poet,
section 12, names the defects of the original; `tests.api.services.poet.test_ours` tests ours by themselves.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from google.protobuf import json_format
from google.protobuf.message import DecodeError

from api.http import protojson
from api.services.poet.calls import submit_of
from protocol.crypto.merkle import root_of
from protocol.errors import ProtocolError
from protocol.pb.rpc.api.v1 import api_pb2
from protocol.poet.registration import CHALLENGE_SIZE, InvalidPow, PowParams, check_pow
from protocol.types.poet import MerkleProof
from prover.poet.round.verify import verify
from prover.poet.server.records import ProofRecord
from prover.poet.server.registration import (
    CONFLICT,
    INVALID_CHALLENGE,
    INVALID_HINT,
    INVALID_PUBKEY,
    INVALID_SIGNATURE,
    Code,
    Refused,
    Submit,
)

if TYPE_CHECKING:
    from tests.vector_cases.poet_server import PlayedServer

STATUS = {
    Code.INVALID_ARGUMENT: (400, "Bad Request"),
    Code.NOT_FOUND: (404, "Not Found"),
    Code.ALREADY_EXISTS: (409, "Conflict"),
}
NOT_FOUND = Refused(Code.NOT_FOUND, "proof not found")
CHECKED_FIRST = {one.message for one in (INVALID_PUBKEY, INVALID_SIGNATURE, INVALID_HINT)}
"""Refusals that come before the length of a challenge is looked at."""
FULL = "maximum number of round members reached"
INTERFACE_TEXTS = ("proto:", "invalid character", "unexpected EOF", "grpc:", "too late", "Method Not Allowed")
"""Refusals for the form of a request, and for its deadline, which are the same in both."""


def is_odd(challenge: bytes) -> bool:
    """A challenge that the reference takes and that makes a round's membership proofs useless; ours refuses it."""
    return len(challenge) != CHALLENGE_SIZE


class Ours:
    """What ours answers to a transcript, as it goes on."""

    def __init__(self, server: PlayedServer, first: bytes | None) -> None:
        """first: the challenge of the proof of work at the start."""
        self.server = server
        self._first = first
        self._members: dict[int, dict[bytes, bytes]] = {}
        self._odd_roots: set[bytes] = set()
        """Roots of recorded proofs that ours does not have."""

    def answer(self, request: dict[str, Any], response: dict[str, Any]) -> dict[str, Any] | None:
        """Ours, where a rule says that it is another than the recorded one; without its headers. None: it is not."""
        path, body = request["path"], response.get("body")
        if path == "/v1/submit" and request["method"] == "POST":
            return self._submit(request, response)
        if path == "/v1/info" and isinstance(body, str) and not self._has_certifier:
            # an address and a key that are not configured are not told as empty ones
            return _ok(body.replace('"certifier":{"url":"","pubkey":""}', '"certifier":null'))
        if path == "/v1/pow_params" and isinstance(body, str):
            told = base64.b64decode(json.loads(body)["powParams"]["challenge"])
            allowed = self._challenges()
            if told != allowed[-1] and (not told or told in allowed[:-1] or told in self._odd_roots):
                # an empty proof sets no challenge, the last one outlives a restart, and some roots are others
                return _ok(body.replace(base64.b64encode(told).decode() + '"}', _text(allowed[-1]) + '"}'))
        if has_odd_members(body):
            self._odd_roots.add(base64.b64decode(json.loads(str(body))["proof"]["proof"]["root"]))
        if path.startswith("/v1/proofs/") and response.get("status") == 500:
            name = unquote(path.removeprefix("/v1/proofs/"))
            if not name.isdigit():  # rows of the database that are no proofs
                return _refused(NOT_FOUND)
        return None

    @property
    def _has_certifier(self) -> bool:
        config = self.server.config
        return bool(config.certifier_url or config.certifier_pubkey or config.trusted_keys)

    def _challenges(self) -> list[bytes]:
        """All challenges of the proof of work until now: the first one, then the roots of proofs that have one."""
        found = [] if self._first is None else [self._first]
        for round_id in sorted(self.server.service.proofs.rounds()):
            record = self.server.service.proof(str(round_id))
            assert isinstance(record, ProofRecord), f"there is no proof: {record}"
            found += [record.nip.root] if record.nip.root else []
        return found

    def _submit(self, request: dict[str, Any], response: dict[str, Any]) -> dict[str, Any] | None:
        recorded = str(response.get("body"))
        message = json.loads(recorded)["message"] if recorded.startswith('{"code"') else ""
        if message in CHECKED_FIRST or message.startswith(INTERFACE_TEXTS):
            return None
        try:
            sent = submit_of(protojson.decode((request["body"] or "").encode(), api_pb2.SubmitRequest))
        except (ProtocolError, ValueError):
            return None
        if is_odd(sent.challenge):
            return _refused(INVALID_CHALLENGE)
        by_work = sent.certificate is None or not self._has_certifier
        refused = self._refused_work(sent) if by_work else None
        if refused is not None:
            return None if message == refused.message else _refused(refused)
        round_id = self.server.service.machine.open_round
        members = self._members.setdefault(round_id, {})
        is_late = message == FULL and sent.pubkey in members
        is_ignored = sent.certificate is not None and by_work
        if response.get("status") in (400, 401) and not (is_ignored or message == "invalid proof of work parameters"):
            return None
        if message == FULL and not is_late:
            return None
        if members.setdefault(sent.pubkey, sent.challenge) != sent.challenge:
            return None if message == CONFLICT.message else _refused(CONFLICT)
        if not message:
            return None
        left = (self.server.config.schedule.end(round_id) - self.server.now_ns) / 1e9
        return _ok(f'{{"roundId":"{round_id}","roundEnd":"{left:.9f}s"}}')

    def _refused_work(self, sent: Submit) -> Refused | None:
        """By the last two challenges; an empty one is never among them."""
        difficulty = self.server.config.pow_difficulty
        allowed = [PowParams(challenge, difficulty) for challenge in self._challenges()[-2:]]
        try:
            check_pow(sent.pow_params, allowed, sent.pubkey, sent.challenge, sent.nonce)
        except InvalidPow as error:
            return Refused(Code.INVALID_ARGUMENT, str(error))
        return None


def has_odd_members(body: Any) -> bool:
    """Whether a recorded proof is one of a round with odd challenges, which ours does not have."""
    if not isinstance(body, str) or not body.startswith('{"proof":'):
        return False
    return any(is_odd(base64.b64decode(one)) for one in json.loads(body)["proof"]["members"])


def check_without_odd_members(found: str, recorded: str) -> None:
    """The proof of the same round without odd challenges: the other members, as many leaves, and it holds."""
    ours, theirs = json.loads(found)["proof"], json.loads(recorded)["proof"]
    members = [base64.b64decode(one) for one in theirs["members"]]
    expected = [one for one in members if not is_odd(one)]
    assert [base64.b64decode(one) for one in ours["members"]] == expected, f"members {ours['members']}"
    assert ours["leaves"] == theirs["leaves"], f"{ours['leaves']} leaves, expected {theirs['leaves']}"
    lists = [tuple(map(base64.b64decode, ours["proof"][name])) for name in ("provenLeaves", "proofNodes")]
    verify(MerkleProof(base64.b64decode(ours["proof"]["root"]), *lists), root_of(expected), int(ours["leaves"]))


def proof_as_json(data: bytes) -> str:
    """An encoded ProofResponse as the gateway shows it."""
    answer = api_pb2.ProofResponse()
    answer.ParseFromString(data)
    shown: str = json_format.MessageToJson(answer, indent=None).replace(": ", ":").replace(", ", ",")
    return shown


def answer_of_grpc(entry: dict[str, Any]) -> dict[str, Any]:
    """The answer to a recorded call, ours where a rule says so."""
    response: dict[str, Any] = entry["response"]
    if entry["method"].endswith("/Proof") and response["code"] == int(Code.INTERNAL):
        request = api_pb2.ProofRequest()
        try:
            request.ParseFromString(bytes.fromhex(entry["request"]))
        except DecodeError:
            return response
        if not request.round_id.isdigit():  # rows of the database that are no proofs
            return {"code": int(NOT_FOUND.code), "message": NOT_FOUND.message, "response_hex": ""}
    return response


def _ok(body: str) -> dict[str, Any]:
    return {"status": 200, "reason": "OK", "body": body}


def _refused(refused: Refused) -> dict[str, Any]:
    status, reason = STATUS[refused.code]
    fields = {"code": int(refused.code), "message": refused.message, "details": []}
    return {"status": status, "reason": reason, "body": json.dumps(fields, separators=(",", ":"))}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
