"""poet/client_http.json, client_certifier.json: how the node's side reacts to every answer, and what it sends."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any

from api.clients.poet.certifier import CertifierClient, MemoryCertificates, ProofOfSpace
from api.clients.poet.client import PoetClient
from api.clients.poet.errors import PoetClientError
from api.clients.poet.messages import Authorisation, Certificate, CertifierInfo
from api.http.client import Answer
from protocol.poet.registration import PowParams
from tests.vector_cases.harness import Case, Context, Later, NotUnderstood, unknown_sections, vectors

NOW_S = 1_795_400_000


class Server:
    """Answers every request alike and keeps what was asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[tuple[str, str, bytes]] = []

    async def send(self, method: str, url: str, body: bytes) -> Answer:
        self.requests.append((method, url, body))
        return self.answer


@vectors("poet/client_http.json", variants=False)
def client_http(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(
        document, ("reference", "cases", "configuration", "recorded_inputs", "recorded_requests")
    )
    settings = document["configuration"]
    for entry in document["cases"]:
        yield Case(entry["name"], lambda e=entry: asyncio.run(check_reaction(e, settings)))
    for entry in document["recorded_requests"]:
        inputs = document["recorded_inputs"]
        yield Case(f"request: {entry['name']}", lambda e=entry, i=inputs: asyncio.run(check_request(e, i)))


async def check_reaction(entry: dict[str, Any], settings: dict[str, Any]) -> None:
    headers = {name.lower(): value for name, value in (entry["response_headers"] or {}).items()}
    server = Server(Answer(entry["status"], entry["response_body"].encode(), headers))
    client = PoetClient(
        "http://poet",
        retry_delay_s=settings["retry_delay_ms"] / 1000,
        retry_max=settings["retry_max"],
        send=server.send,
    )
    error_class = None
    try:
        if entry["operation"] == "info":
            await client.info()
        elif entry["operation"] == "proof":
            await client.proof("7")
        elif entry["operation"] == "submit":
            async with asyncio.timeout(settings["submit_context_ms"] / 1000):
                await client.submit(b"", bytes(32), bytes(64), bytes(32), None, Authorisation())
        else:
            raise NotUnderstood(f"operation {entry['operation']!r}")
    except PoetClientError as error:
        error_class = error.error_class
        if error_class in ("unrecognized_status", "invalid_request", "unauthorized"):
            assert str(error) == entry["error"], f"expected {entry['error']!r}, got {str(error)!r}"
    except TimeoutError:
        error_class = "context_deadline"
    assert error_class == entry["error_class"], f"expected {entry['error_class']}, got {error_class}"
    if error_class == "context_deadline":
        assert len(server.requests) > 2, "a submit is tried until the time is up"
    else:
        assert len(server.requests) == entry["requests"], f"{len(server.requests)} requests"


async def check_request(entry: dict[str, Any], inputs: dict[str, str]) -> None:
    server = Server(Answer(200, b"{}"))
    client = PoetClient("poet", send=server.send)
    request = entry["request"]
    if request["path"] == "/v1/info":
        await client.info()
    elif request["path"] == "/v1/pow_params":
        await client.pow_params()
    elif request["path"].startswith("/v1/proofs/"):
        await client.proof(request["path"].rpartition("/")[2])
    else:
        body = json.loads(request["body"])
        await client.submit(
            bytes.fromhex(inputs["prefix"]),
            bytes.fromhex(inputs["challenge"]),
            bytes.fromhex(inputs["signature"]),
            bytes.fromhex(inputs["node_id"]),
            int(inputs["deadline_unix_ns"]) if "deadline" in body else None,
            authorisation_in(body, inputs),
        )
    method, url, body_sent = server.requests[0]
    assert (method, url) == (request["method"], f"http://poet{request['path']}"), (method, url)
    assert json.loads(body_sent) == json.loads(request["body"]), f"expected {request['body']}, sent {body_sent!r}"
    assert list(json.loads(body_sent)) == list(json.loads(request["body"])), "order of the fields"


def authorisation_in(body: dict[str, Any], inputs: dict[str, str]) -> Authorisation:
    """The authorisation that a recorded body was made from."""

    if "certificate" in body:
        sent = body["certificate"]
        return Authorisation(Certificate(base64.b64decode(sent["data"]), base64.b64decode(sent.get("signature", ""))))
    if "powParams" in body:
        difficulty = body["powParams"].get("difficulty", 0)
        return Authorisation(
            pow_params=PowParams(bytes.fromhex(inputs["pow_challenge"]), difficulty), nonce=int(body.get("nonce", 0))
        )
    return Authorisation()


@vectors("poet/client_certifier.json", variants=False)
def client_certifier(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(
        document, ("reference", "cases", "certifier_pubkey", "certifier_seed", "configuration", "node_id", "post")
    )
    for entry in document["cases"]:
        yield Case(entry["name"], lambda e=entry: asyncio.run(check_certifier(e, document)))


async def check_certifier(entry: dict[str, Any], document: dict[str, Any]) -> None:
    server = Server(Answer(entry["status"], entry["response_body"].encode()))
    post = document["post"]
    node_id = bytes.fromhex(document["node_id"])
    # an identity without a proof of space is told by the recorded number of requests
    known = entry["requests"] > 0
    on_record = ProofOfSpace(
        post["nonce"],
        bytes.fromhex(post["indices"]),
        int(post["pow"]),
        node_id,
        bytes.fromhex(post["commitment_atx"]),
        bytes.fromhex(post["challenge"]),
        post["num_units"],
    )
    store = MemoryCertificates()
    client = CertifierClient(
        store,
        lambda one: on_record if known else None,
        retry_delay_s=0.001,
        max_retries=document["configuration"]["max_retries"],
        send=server.send,
        now_s=lambda: NOW_S,
    )
    certifier = CertifierInfo("http://certifier", bytes.fromhex(document["certifier_pubkey"]))
    try:
        found = await client.certificate(node_id, certifier)
    except PoetClientError as error:
        assert not entry["accepted"], f"expected a certificate, got {error}"
        assert store.get((node_id, certifier.pubkey)) is None, "a refused certificate was stored"
        final = entry["error"].startswith(("verifying", "pubkey", "request failed"))
        assert not final or str(error) == entry["error"], f"expected {entry['error']!r}, got {str(error)!r}"
    else:
        assert entry["accepted"], f"expected {entry['error']!r}, got a certificate"
        wanted = entry["certificate"]
        assert (found.data.hex(), found.signature.hex()) == (wanted["data"], wanted["signature"])
    assert len(server.requests) == entry["requests"], f"{len(server.requests)} requests"
    if "request" in entry:
        request = entry["request"]
        method, url, body = server.requests[0]
        assert (method, url) == (request["method"], f"http://certifier{request['path']}")
        assert json.loads(body) == json.loads(request["body"]), f"expected {request['body']}, sent {body!r}"
