"""api/http_*.json: every recorded request to a JSON gateway, asked of ours over a socket.

What the finished node answered is compared by value; what the running one answered, whose state was not recorded at
that moment, by its shape: the same fields with values of the same kinds.

| rule | where | what holds |
|---|---|---|
| headers | all | the recorded ones with their values, but for lengths, which the white space of bodies differs by |
| white space | bodies | values are compared |
| words | what is no JSON, or no address | v1: the text begins as recorded and names the same cause; else the code |
| ours | `Highest` of v2alpha1; v2beta1, whose `Status` is a GET | 200, 501: the recorded node did not have them |
| waits for ever | a transaction whose nonce another one has used | INEFFECTUAL; recorded as MEMPOOL |
| refused head | 3 MiB of a header | 431 in plain text |
"""

from __future__ import annotations

import asyncio
import http.client
import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from typing import Any

from node.migration.take import Taker, take_all
from tests.support.imported_chain import chain_records
from tests.support.node_backend import StoresBackend
from tests.support.served_api import ServedApi, everywhere
from tests.vector_cases.api_served_support import CAUSES, chains, config_of, document_of
from tests.vector_cases.chain_replay import SECTIONS
from tests.vector_cases.harness import Case, Context, Later, NotUnderstood, vectors

Call = dict[str, Any]
WAIT_S = 60.0
OURS = {
    "v2alpha1 ActivationService/Highest (not in this version)": 200,
    "v2beta1 NodeService/Status (not in this version)": 501,
}
LARGE = {"big header (3 MiB)": (3 << 20, "a"), "body 12 MiB echo": (12 << 20, "a")}
WAITS, WAITED = "TRANSACTION_STATE_INEFFECTUAL", "TRANSACTION_STATE_MEMPOOL"
LENGTH = "Content-Length"
NOT_COMPARED = {"Date", LENGTH, "Connection"}


@vectors("api/http_*.json", variants=False)
def served(document: Any, context: Context) -> Iterator[Case | Later]:
    meta = document["meta"]
    exactly = meta["net"] == "static"
    with ExitStack() as stack:

        @cache
        def port() -> int:
            chain = _chain(document, context)
            config = everywhere(
                config_of({}, chain),
                private_services=(),
                post_services=(),
                grpc_cors_allowed_origins=tuple(meta["cors_allowed_origins"]),
            )

            def make(loop: asyncio.AbstractEventLoop) -> StoresBackend:
                backend = StoresBackend(config, loop=loop)
                for _ in take_all(backend.stores, Taker(), chain_records({**dict.fromkeys(SECTIONS, ()), **chain})):
                    pass
                backend.at_layer(meta["layer"])
                backend.told = None if exactly else replace(backend.facts, is_synced=True)
                return backend

            return stack.enter_context(ServedApi(make)).ports["json"]

        for place, one in enumerate(document["transcripts"]):
            yield Case(f"[{place}] {one['name']}", lambda one=one: _check(port(), one, exactly=exactly))


def _chain(document: Any, context: Context) -> Any:
    genesis = next(one for one in document["transcripts"] if one["path"] == "/v1/mesh/genesisid")
    id = b64decode(genesis["response_json"]["genesisId"]).hex()
    if not any(one["meta"]["genesis_id"] == id for one in chains(context)):
        raise NotUnderstood(f"the chain of network {id} is not there")
    return document_of({"genesis_id": id}, context)


def _check(port: int, one: Call, *, exactly: bool) -> None:
    body, headers = one["request_body"], dict(one["request_headers"])
    if one["name"] in LARGE:
        count, letter = LARGE[one["name"]]
        text = letter * count
        if "X-Big" in headers:
            headers["X-Big"] = text
        else:
            body = f'{{"msg":{{"value":"{text}"}}}}'
    status, found_headers, found = _ask(port, one["method"], one["path"], body, headers)
    if one["name"] in OURS:
        assert status == OURS[one["name"]], f"{status} {found[:200]!r}"
        return
    assert status == one["status"], f"{status} {found[:200]!r}, expected {one['status']} {one['response_body'][:200]}"
    expected_headers = {name: value for name, value in one["response_headers"] if name not in NOT_COMPARED}
    assert {name: value for name, value in found_headers.items() if name not in NOT_COMPARED} == expected_headers
    if "<echo of the request>" in str(one["response_body"]):
        assert json.loads(found) == json.loads(body)
        return
    if one.get("response_json") is None:
        assert found.decode() == (one["response_body"] or "")
        return
    assert int(found_headers[LENGTH]) == len(found)
    answered, expected = json.loads(found), one["response_json"]
    if set(expected) == {"code", "message", "details"}:
        _same_failure(answered, expected, is_v1=one["path"].startswith(("/v1/", "/spacemesh.v1.")))
    elif exactly:
        for ours, theirs in zip(answered.get("transactions", ()), expected.get("transactions", ())):
            if (ours.get("txState"), theirs.get("txState")) == (WAITS, WAITED):
                theirs["txState"] = WAITS
        assert answered == expected, f"{_cut(answered)}, expected {_cut(expected)}"
    else:
        _same_shape(answered, expected, "answer")


def _same_failure(found: Any, expected: Any, *, is_v1: bool) -> None:
    assert (found["code"], found["details"]) == (expected["code"], expected["details"]), f"{found}, not {expected}"
    said, recorded = found["message"], expected["message"]
    if expected["code"] == 3 and recorded.startswith(("proto:", "unexpected", "invalid character")):
        assert said, "it says why"
        return
    cause = next((one for one in CAUSES if one in recorded), None)
    if cause is None:
        assert said == recorded, f"{said!r}, expected {recorded!r}"
    elif is_v1:
        lead = recorded.partition("`: " if "`: " in recorded else cause)[0]
        assert cause in said and said.startswith(lead), f"{said!r}, expected {recorded!r}"


def _same_shape(found: Any, expected: Any, where: str) -> None:
    """The same fields, with values of the same kinds; lists may have other lengths, and may be unset messages."""
    if isinstance(expected, dict) and isinstance(found, dict):
        assert set(found) == set(expected) or "contents" in where, f"{where}: {set(found) ^ set(expected)}"
        for name in set(found) & set(expected):
            _same_shape(found[name], expected[name], f"{where}.{name}")
    elif isinstance(expected, list) and isinstance(found, list):
        if found and expected:
            _same_shape(found[0], expected[0], f"{where}[0]")
    elif found is not None and expected is not None:
        assert type(found) is type(expected), f"{where}: {_cut(found)}, expected {_cut(expected)}"


def _ask(
    port: int, method: str, path: str, body: str | None, headers: dict[str, str]
) -> tuple[int, dict[str, str], bytes]:
    """A request as it was recorded: bodies of bytes that are no text are there letter by letter."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    try:
        data = None if body is None else body.encode("latin-1")
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        if data is not None or method == "POST":
            connection.putheader(LENGTH, str(len(data or b"")))
        try:
            connection.endheaders(data)
        except ConnectionError:
            pass  # the answer to a head that is too large comes before its end
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def _cut(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) < 400 else text[:400] + "..."
