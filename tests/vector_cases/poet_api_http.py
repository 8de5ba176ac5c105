"""poet/api_http.json: the running server's HTTP gateway, request by request.

Where one request has several documented outcomes (a deadline of the caller) any of them passes.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

from nacl.signing import SigningKey

from api.services.poet.calls import submit_of
from protocol.pb.rpc.api.v1 import api_pb2
from prover.poet.server.registration import Submit
from tests.vector_cases.harness import Case, Context, Later, unknown_sections, vectors
from tests.vector_cases.poet_ours import Ours
from tests.vector_cases.poet_server import (
    PlayedServer,
    check_response,
    configuration,
    leaves_in,
    register_all,
    request_bytes,
    split,
)

LARGE_BODY = re.compile(r"<JSON, challenge = (\d+) bytes ([0-9a-f]{2}), nonce (\d+)>")


@vectors("poet/api_http.json", variants=False)
def http(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, ("reference", "configuration", "http"))
    fields, entries = document["configuration"], document["http"]
    first = next(int(entry["response"]["sent_unix_ns"]) for entry in entries if "response" in entry)
    server = PlayedServer(
        configuration(fields, context.temporary("poet")),
        now_ns=first,
        pow_challenge=bytes.fromhex(fields["initial_pow_challenge"]),
        leaves=leaves_in(entries),
    )
    template = next(e["request"]["body"] for e in entries if e["name"].startswith("submit: valid"))
    bodies = {e["name"]: e["response"]["body"] for e in entries if "response" in e}
    others = submits_of_grpc(context, fields)
    ours = Ours(server, bytes.fromhex(fields["initial_pow_challenge"]))
    with server:
        for entry in entries:
            if "response" in entry and others and next_round(entry, server):
                # what came over the other interface before the round closed
                register_all(server, others, fields)
                others = []
            yield Case(entry["name"], lambda e=entry: play(server, ours, e, bodies, template))


def next_round(entry: dict[str, Any], server: PlayedServer) -> bool:
    """Whether the round that is open now has closed when this entry was sent."""
    return int(entry["response"]["sent_unix_ns"]) >= server.service.machine.next_deadline()


def submits_of_grpc(context: Context, fields: dict[str, Any]) -> list[Submit]:
    """The submits of the other transcript, where it was recorded from the same server."""
    try:
        document = json.loads(context.path("poet/api_grpc.json").read_bytes())
    except FileNotFoundError:
        return []
    if document["configuration"] != fields:
        return []
    found = []
    for entry in document["grpc"]:
        if entry["method"].endswith("/Submit") and entry["response"]["code"] == 0:
            message = api_pb2.SubmitRequest()
            message.ParseFromString(bytes.fromhex(entry["request"]))
            found.append(submit_of(message))
    return found


def play(server: PlayedServer, ours: Ours, entry: dict[str, Any], bodies: dict[str, str], template: str) -> None:
    if "request_raw" in entry:
        found = server.exchange(entry["request_raw"].encode(), until_close=True)
        if is_of_the_http_layer(entry["request_raw"], entry["response_raw"]):
            check_refused(found)
            return
        hide = re.compile(rb"Date: [^\r]*")
        expected = hide.sub(b"Date:", entry["response_raw"].encode())
        assert hide.sub(b"Date:", found) == expected, f"expected {expected!r}, got {found!r}"
        return
    request, response = entry["request"], entry["response"]
    server.set_clock(int(response["sent_unix_ns"]))
    request = large_request(request, template) or request
    raw = request_bytes(request)
    found = server.exchange(raw)
    if dict(response["headers"]).get("Content-Type", "").startswith("text/plain"):
        check_refused(found)
        return
    timeout = request["headers"].get("Grpc-Timeout", "")
    if response["status"] in (500, 504) and re.fullmatch(r"\d+[mun]", timeout):
        # which of the two notices first is a race in the reference; and who answers in time, answers
        status = split(found)[0]
        assert re.match(r"HTTP/1.1 (50[04]|200) ", status), f"expected 500, 504 or an answer in time, got {status}"
        return
    check_response(found, ours.answer(request, response) or response, bodies)


def is_of_the_http_layer(request: str, response: str) -> bool:
    """Whether no handler is asked: Go's own server answers in plain text what is no HTTP, or no path.

    Ours is another library. It refuses the same, always with 400, and has a length and a date where Go only closes.
    Names of methods in lower case, which Go takes for methods that nobody serves (501), are no HTTP to it either.
    """
    return "Content-Type: text/plain" in response or not request.split(" ")[0].isupper()


def check_refused(found: bytes) -> None:
    head, _, body = found.partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/1\.[01] 400 Bad Request\r\n", head), f"expected 400, got {found!r}"
    assert b"Content-Type: text/plain" in head and body == b"400 Bad Request", f"expected plain text, got {found!r}"


def large_request(request: dict[str, Any], template: str) -> dict[str, Any] | None:
    """The request whose body the transcript only describes: signed by a key of ours."""
    large = LARGE_BODY.fullmatch(request["body"]) if isinstance(request["body"], str) else None
    if large is None:
        return None
    key = SigningKey(bytes(32))
    challenge = bytes.fromhex(large[2]) * int(large[1])
    fields = json.loads(template)
    fields |= {
        "challenge": base64.b64encode(challenge).decode(),
        "pubkey": base64.b64encode(bytes(key.verify_key)).decode(),
        "signature": base64.b64encode(key.sign(base64.b64decode(fields["prefix"]) + challenge).signature).decode(),
        "nonce": large[3],
    }
    return {**request, "body": json.dumps(fields)}
