"""A gateway from descriptors: which requests mean which method, and how calls and their failures are answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import Message

from api.edge.rpc import Failed, Status
from api.http.gateway import POET_STYLE, Encoded, Gateway, Style
from api.http.routes import routes_of
from protocol.pb.rpc.api.v1 import api_pb2, internal_api_pb2
from tests.support.served import Reply, Served

POET = api_pb2.DESCRIPTOR.services_by_name["PoetService"]
CONFIGURATION = internal_api_pb2.DESCRIPTOR.services_by_name["ConfigurationService"]
FORM = "application/x-www-form-urlencoded"

Call = Callable[[Any], Awaitable[Message | Encoded]]


class Api:
    """The gateway of a PoET whose methods answer what a test says, and what was asked of it."""

    def __init__(self, style: Style = POET_STYLE, **calls: Call) -> None:
        self.asked: list[Message] = []
        self.counted: list[tuple[str, Status]] = []
        defaults: dict[str, Call] = {name: self.answering(kind) for name, kind in ANSWERS.items()}
        self.gateway = Gateway(
            [(POET, {**defaults, **calls})],
            style,
            count=lambda name, status, s: self.counted.append((name, status)),
        )

    def answering(self, answer: Message) -> Call:
        async def call(request: Message) -> Message:
            self.asked.append(request)
            return answer

        return call


ANSWERS = {
    "Info": api_pb2.InfoResponse(service_pubkey=b"k"),
    "PowParams": api_pb2.PowParamsResponse(pow_params=api_pb2.PowParams(difficulty=3)),
    "Proof": api_pb2.ProofResponse(pubkey=b"k"),
    "Submit": api_pb2.SubmitResponse(round_id="7"),
}


class Page:
    """An application that is a gateway alone."""

    def __init__(self, api: Api) -> None:
        from logging import getLogger

        from api.http.server import HttpServer

        self.server = HttpServer(lambda request: api.gateway.handle(request, self.server), log=getLogger("tests.http"))

    def close(self) -> None:
        pass


def ask(api: Api, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
    with Served(lambda: Page(api)) as served:
        return served.ask(
            method, path, body, **{name.replace("-", "_"): value for name, value in (headers or {}).items()}
        )


def test_routes_are_those_of_the_annotations() -> None:
    assert [(one.verb, one.path, one.has_body) for one in routes_of(POET)] == [
        ("GET", "/v1/pow_params", False),
        ("POST", "/v1/submit", True),
        ("GET", "/v1/info", False),
        ("GET", "/v1/proofs/{round_id}", False),
    ]
    assert routes_of(CONFIGURATION) == []
    (route,) = routes_of(CONFIGURATION, unannotated=True)
    assert (route.verb, route.path) == ("POST", "/rpc.api.v1.ConfigurationService/ReloadTrustedKeys")


def service_with(rule: Any) -> Any:
    """A service of one method with this annotation."""
    from google.api import annotations_pb2

    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
    file.message_type.add(name="M")
    method = file.service.add(name="S").method.add(name="Do", input_type=".t.M", output_type=".t.M")
    method.options.Extensions[annotations_pb2.http].CopyFrom(rule)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName("t.S")


def test_an_annotation_that_is_not_understood_is_named() -> None:
    from google.api import http_pb2

    for rule in (
        http_pb2.HttpRule(get="/v1/{name=things/*}"),
        http_pb2.HttpRule(post="/v1/a", body="field"),
        http_pb2.HttpRule(custom=http_pb2.CustomHttpPattern(kind="HEAD", path="/a")),
    ):
        with pytest.raises(ValueError, match=r"t\.S\.Do is not understood"):
            routes_of(service_with(rule))


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/v1/info", {}, 200),
        ("GET", "/v1/info?x=1", {}, 200),
        ("GET", "/v1/inf%6f", {}, 200),
        ("GET", "/v1/proofs/7", {}, 200),
        ("GET", "/v1/proofs/", {}, 200),
        ("GET", "/v1/info/", {}, 404),
        ("GET", "//v1/info", {}, 404),
        ("GET", "/V1/info", {}, 404),
        ("GET", "/v1/proofs/7/8", {}, 404),
        ("GET", "/v1/proofs/7%2f8", {}, 404),
        ("GET", "/v1/%zz", {}, 400),
        ("GET", "/v1/info?x=%zz", {}, 400),
        ("POST", "/v1/info", {}, 501),
        ("POST", "/v1/info", {"Content-Type": FORM}, 200),
        ("POST", "/v1/submit", {"Content-Type": FORM, "X-HTTP-Method-Override": "GET"}, 501),
        ("GET", "/v1/submit", {}, 501),
        ("DELETE", "/v1/submit", {}, 501),
        ("GET", "/v1/info", {"Grpc-Timeout": "5S"}, 200),
        ("GET", "/v1/info", {"Grpc-Timeout": "0S"}, 504),
        ("GET", "/v1/info", {"Grpc-Timeout": "5"}, 400),
        ("GET", "/v1/info", {"Grpc-Timeout": "9" * 18 + "H"}, 200),
        ("GET", "/v1/info", {"Grpc-Timeout": "9" * 19 + "H"}, 400),
        ("GET", "/v1/info", {"Grpc-Timeout": "9" * 5000 + "S"}, 400),
    ],
)
def test_which_requests_mean_a_method(method: str, path: str, headers: dict[str, str], status: int) -> None:
    answer = ask(Api(), method, path, headers=headers)
    assert answer.status == status, answer.text
    if status in (404, 501, 504):
        assert json.loads(answer.text).keys() == {"code", "message", "details"}


def test_a_path_names_a_field_and_a_query_another() -> None:
    api = Api()
    ask(api, "GET", "/v1/proofs/%37?round_id=8")
    assert api.asked == [api_pb2.ProofRequest(round_id="7")], "what the path says, the query does not change"


def test_a_body_is_the_message() -> None:
    api = Api()
    answer = ask(api, "POST", "/v1/submit", b'{"nonce":"7"}')
    assert api.asked == [api_pb2.SubmitRequest(nonce=7)]
    assert answer.body == b'{"roundId":"7","roundEnd":null}'
    assert [name for name, _ in answer.headers] == [
        "Content-Length", "Content-Type", "Grpc-Metadata-Content-Type", "Date", "Connection",
    ]  # fmt: skip
    assert api.counted == [("rpc.api.v1.PoetService/Submit", Status.OK)]


@pytest.mark.parametrize("status", [one for one in Status if one is not Status.OK])
def test_every_status_has_its_answer(status: Status) -> None:
    async def fails(request: Message) -> Message:
        raise Failed(status, "why\nnot")

    api = Api(Info=fails)
    answer = ask(api, "GET", "/v1/info")
    assert json.loads(answer.text) == {"code": int(status), "message": "why\nnot", "details": []}
    assert answer.status in (400, 401, 403, 404, 409, 429, 499, 500, 501, 503, 504)
    told = answer.header("www-authenticate")
    assert told == ("why not" if status is Status.UNAUTHENTICATED else None)
    assert api.counted == [("rpc.api.v1.PoetService/Info", status)]


def test_a_call_that_takes_too_long_is_left_off() -> None:
    left: list[bool] = []

    async def waits(request: Message) -> Message:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            left.append(True)
            raise
        raise AssertionError("nobody sets it")

    assert ask(Api(Info=waits), "GET", "/v1/info", headers={"Grpc-Timeout": "1m"}).status == 504
    assert left == [True]


def test_messages_and_answers_that_are_too_large() -> None:
    api = Api()
    large = ask(api, "POST", "/v1/submit", json.dumps({"prefix": "A" * 6_000_000}).encode())
    assert large.status == 429 and "received message larger than max (4500005 vs. 4194304)" in large.text
    assert api.asked == []
    bombs = ask(Api(), "POST", "/v1/submit", b'{"x":[' + b"[]," * 100_000 + b"0]}")
    assert bombs.status == 400 and "more than 10000 members" in bombs.text
    small = Style(max_answer=5)
    assert ask(Api(small), "GET", "/v1/info").status == 200
    assert ask(Api(small), "GET", "/v1/proofs/7").status == 200
    smaller = Style(max_answer=2)
    refused = ask(Api(smaller), "GET", "/v1/info")
    assert refused.status == 429 and "(3 vs. 2)" in refused.text

    async def encoded(request: Message) -> Encoded:
        return Encoded(b"{}", 3)

    assert ask(Api(smaller, Info=encoded), "GET", "/v1/info").status == 429
    assert ask(Api(small, Info=encoded), "GET", "/v1/info").body == b"{}"
