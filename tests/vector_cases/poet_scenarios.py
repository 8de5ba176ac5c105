"""poet/api_misc.json: servers of other configurations, each a transcript with restarts on the way."""

from __future__ import annotations

import base64
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from api.http import protojson
from protocol.pb.rpc.api.v1 import api_pb2
from prover.poet.server.records import ProofRecord
from tests.vector_cases.harness import Case, Context, Later, unknown_sections, vectors
from tests.vector_cases.poet_ours import Ours
from tests.vector_cases.poet_server import (
    WAIT_S,
    PlayedServer,
    check_body,
    check_response,
    configuration,
    leaves_in,
    request_bytes,
    split,
)


@vectors("poet/api_misc.json", variants=False)
def scenarios(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, ("reference", "scenarios"))
    for scenario in document["scenarios"]:
        yield Case(scenario["name"], lambda s=scenario: play_scenario(s, context.temporary("poet")))


def play_scenario(scenario: dict[str, Any], directory: Path) -> None:
    entries = scenario["transcript"]
    config = configuration(scenario["configuration"], directory)
    stored = dict(scenario.get("proofs_db", []))
    first = initial_challenge(entries)
    if first is None and POW_KEY in stored:
        first = bytes.fromhex(stored[POW_KEY])
    if first is None:
        first = pow_challenge_in(entries)
    leaves = leaves_in(entries)
    for entry in entries:  # a proof that is too large to be recorded: any number of leaves with that size will do
        if "received message larger than max" in str(entry["response"].get("body")):
            leaves.setdefault(int(entry["request"]["path"].rpartition("/")[2]), LEAVES_OF_LARGE_PROOF)
    starts = [int(e["response"]["sent_unix_ns"]) for e in entries if e["response"].get("sent_unix_ns")]
    server = PlayedServer(config, now_ns=starts[0], pow_challenge=first, leaves=leaves)
    ours = Ours(server, first)
    server.__enter__()
    try:
        for entry in entries:
            if went_back(entry, server):
                # the challenge of the proof of work is the first one again: the recorded server was started anew
                server.__exit__()
                server = PlayedServer(config, now_ns=server.now_ns, leaves=leaves)
                server.__enter__()
                ours.server = server
            try:
                play_step(server, ours, entry, entries)
            except AssertionError as error:
                raise AssertionError(f"{entry['name']}: {error}") from None
        for key, value in stored.items():
            found = server.service.proofs.raw(bytes.fromhex(key))
            assert found is not None and found.hex() == value, f"row {key}: expected {value}, got {found!r}"
    finally:
        server.__exit__()


def went_back(entry: dict[str, Any], server: PlayedServer) -> bool:
    """Whether the recorded server told a challenge of the proof of work that it had told before, after another."""
    body = str(entry["response"].get("body"))
    if not body.startswith('{"powParams"'):
        return False
    told = base64.b64decode(json.loads(body)["powParams"]["challenge"])
    previous = server.service.machine.pow.previous
    return previous is not None and told == previous


LEAVES_OF_LARGE_PROOF = 20_000
POW_KEY = b"pow_challenge".hex()
"""The key of a row in the recorded databases."""


def initial_challenge(entries: list[dict[str, Any]]) -> bytes | None:
    """The first challenge of the proof of work that the server told."""
    for entry in entries:
        body = entry["response"].get("body") or ""
        if isinstance(body, str) and body.startswith('{"powParams"'):
            challenge = json.loads(body)["powParams"]["challenge"]
            return base64.b64decode(challenge) or None
    return None


def pow_challenge_in(entries: list[dict[str, Any]]) -> bytes | None:
    """The challenge that the first accepted submit names."""
    for entry in entries:
        body = entry["request"]["body"]
        if body and entry["response"].get("status") in (0, 200):
            return protojson.decode(body.encode(), api_pb2.SubmitRequest).pow_params.challenge or None
    return None


def play_step(server: PlayedServer, ours: Ours, entry: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    request, response = entry["request"], entry["response"]
    if response.get("status") == 0:
        # a client that does not wait: it sends and goes
        with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S) as connection:
            connection.sendall(request_bytes(request))
            time.sleep(0.05)
        return
    sent = int(response["sent_unix_ns"])
    if request["path"].startswith("/v1/proofs/") or request["path"] == "/v1/pow_params":
        server.set_clock(sent)
    else:
        server.set_clock(min(sent, server.service.machine.next_deadline() - 1) if first_round(entry) else sent)
    found = server.exchange(request_bytes(request))
    message = str(response.get("body"))
    otherwise = ours.answer(request, response)
    if otherwise is not None:
        check_response(found, otherwise, {})
        return
    if "received message larger than max" in message:
        # how large depends on the number of leaves, which was not recorded
        found = re.sub(rb"\(\d+ vs", b"(N vs", found)
        expected = re.sub(r"\(\d+ vs", "(N vs", message)
        check_body(split(found)[3], expected)
        assert split(found)[0] == f"HTTP/1.1 {response['status']} {response['reason']}"
        return
    if request["path"] == "/v1/pow_params" and not is_known_challenge(message, entries):
        # the root of a proof that was not recorded: ours must be the root of our proof
        record = server.service.proof("0")
        assert isinstance(record, ProofRecord), f"there is no proof: {record}"
        told = json.loads(split(found)[3])["powParams"]["challenge"]
        assert told == base64.b64encode(record.nip.root).decode(), f"got {told}"
        return
    check_response(found, response, {})


def is_known_challenge(body: str, entries: list[dict[str, Any]]) -> bool:
    """Whether a recorded challenge is the first one, or the root of a recorded proof (none: of an empty one)."""
    challenge = base64.b64decode(json.loads(body)["powParams"]["challenge"])
    first = initial_challenge(entries)
    if first is None or challenge in (b"", first):
        return True
    text = base64.b64encode(challenge).decode()
    return any(f'"root":"{text}"' in str(entry["response"].get("body")) for entry in entries)


def first_round(entry: dict[str, Any]) -> bool:
    return '"roundId":"0"' in str(entry["response"].get("body"))
