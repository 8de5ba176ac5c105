"""poet/round_e2e.json: whole rounds, from their members to the proof, its databases, and what a node makes of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

from api.clients.poet.errors import InvalidProof
from api.clients.poet.messages import RoundProof, read_proof
from api.clients.poet.service import membership, verify_round
from protocol.numbers.time import Time
from prover.poet.server.store import POW_CHALLENGE
from tests.vector_cases.harness import Case, Context, Later, unknown_sections, vectors
from tests.vector_cases.poet_server import PlayedServer, check_body, configuration, request_bytes, split


@vectors("poet/round_e2e.json", variants=False)
def whole_rounds(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(
        document,
        (
            "reference",
            "poet_version",
            "configuration",
            "info",
            "rounds",
            "proofs_db",
            "round_dbs",
            "exit_code",
            "rounds_dir_after",
        ),
    )
    fields, rounds = document["configuration"], document["rounds"]
    config = configuration(fields, context.temporary("poet"))
    leaves = {int(one["round_id"]): int(one["node_side"]["leaf_count"]) for one in rounds}
    first = base64.b64decode(rounds[0]["pow_params"]["challenge"])
    before = config.schedule.genesis_ns - 10**11
    server = PlayedServer(config, now_ns=before, pow_challenge=first, leaves=leaves)
    schedule = config.schedule
    events: list[tuple[int, str, Callable[[], None]]] = []
    for one in rounds:
        round_id = int(one["round_id"])
        for position, member in enumerate(one["members"]):
            left = float(member["response"]["roundEnd"].removesuffix("s"))
            sent = schedule.end(round_id) - int(left * 1e9)
            name = f"round {round_id}, member {position}"
            events.append((sent, name, lambda m=member, t=sent: play_member(server, m, t)))
        name = f"round {round_id}, proof"
        events.append((schedule.end(round_id), name, lambda r=one: play_proof(server, r)))
    with server:
        for _, name, check in sorted(events, key=lambda event: event[0]):
            yield Case(name, check)
        yield Case("databases", lambda: check_databases(server, document))


def play_member(server: PlayedServer, member: dict[str, Any], sent_ns: int) -> None:
    server.set_clock(max(server.now_ns, sent_ns))
    raw = request_bytes({"method": "POST", "path": "/v1/submit", "headers": {}, "body": json.dumps(member["request"])})
    status, _, _, found = split(server.exchange(raw))
    assert status == "HTTP/1.1 200 OK", f"{status}: {found}"
    check_body(found, json.dumps(member["response"], separators=(",", ":")))


def play_proof(server: PlayedServer, one: dict[str, Any]) -> None:
    round_id = int(one["round_id"])
    schedule = server.config.schedule
    for key, moment in (("start", schedule.start(round_id)), ("end", schedule.end(round_id))):
        assert Time.parse(one[key]).unix_ns == moment, f"{key}: expected {one[key]}"
    server.set_clock(schedule.end(round_id))
    raw = request_bytes({"method": "GET", "path": f"/v1/proofs/{round_id}", "headers": {}, "body": None})
    status, _, _, found = split(server.exchange(raw))
    assert status == f"HTTP/1.1 {one['proof_status']} OK", status
    expected = one["proof_body"]
    same = found == expected if isinstance(expected, str) else json.loads(found) == expected
    assert same, f"expected {str(expected)[:200]}, got {found[:200]}"
    check_node_side(read_proof(found.encode(), one["round_id"]), one["node_side"])


def check_node_side(found: RoundProof, side: dict[str, Any]) -> None:
    """What a node makes of the answer: statement, message, reference, verdict, membership proofs."""
    message = found.message
    assert message.statement.hex() == side["statement"], message.statement.hex()
    assert message.codec.encode(message).hex() == side["poet_proof_message_scale"], "the message differs"
    assert message.ref().hex() == side["ref"], message.ref().hex()
    try:
        verify_round(found)
    except InvalidProof as error:
        assert side["validate_error"], f"expected the proof to be valid, got {error}"
    else:
        assert not side["validate_error"], f"expected the refusal {side['validate_error']}"
    for member in side["members"] or ():
        proof = membership(found, bytes.fromhex(member["challenge"]))
        assert proof is not None, f"{member['challenge']} is no member"
        assert proof.leaf_index == int(member["leaf_index"])
        encoded = proof.codec.encode(proof).hex()
        assert encoded == member["merkle_proof_scale"], f"expected {member['merkle_proof_scale']}, got {encoded}"


def check_databases(server: PlayedServer, document: dict[str, Any]) -> None:
    roots = [base64.b64decode(one["proof_body"]["proof"]["proof"]["root"]) for one in document["rounds"]]
    first = base64.b64decode(document["rounds"][0]["pow_params"]["challenge"])
    for key, value in document["proofs_db"]:
        if bytes.fromhex(key) == POW_CHALLENGE:
            # there the first challenge for ever, so that a restart brings it back; ours has the last two
            assert bytes.fromhex(value) == first
            assert server.service.proofs.pow_challenges() == (roots[-1], [first, *roots][-2])
            continue
        found = server.service.proofs.raw(bytes.fromhex(key))
        assert found is not None and found.hex() == value, f"proofs, row {key}: expected {value[:80]}"
