"""A JSON gateway made from descriptors: routes from `google.api.http` annotations, messages by `protojson`.

What the network's gateways (grpc-gateway, in front of a PoET or a node) do with a request is done here once; what
differs between them is a `Style`. A method without an annotation may have the route `POST /<service>/<method>`.
Specified in protocol 02-poet, section 9, and 10-api, section 1.6.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs, unquote_to_bytes

from aiohttp import hdrs
from google.api import annotations_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from api.edge.rpc import Count, Failed, Status, too_large
from api.http import bounded_json, protojson
from api.http.answers import JSON, Answer, Request
from api.http.bounded_json import JsonLimits
from api.http.server import HttpServer, refused
from api.http.status import words

FORM = "application/x-www-form-urlencoded"
MAX_MESSAGE = 4 << 20
"""Bytes of a request as protobuf that the network's servers take."""
GRPC_CONTENT = {"Grpc-Metadata-Content-Type": "application/grpc"}
LONGEST_TIMEOUT_S = 86_400.0
MOST_QUERY_FIELDS = 1000

HTTP_STATUS: dict[Status, int] = {
    Status.OK: 200,
    Status.CANCELLED: 499,
    Status.UNKNOWN: 500,
    Status.INVALID_ARGUMENT: 400,
    Status.DEADLINE_EXCEEDED: 504,
    Status.NOT_FOUND: 404,
    Status.ALREADY_EXISTS: 409,
    Status.PERMISSION_DENIED: 403,
    Status.RESOURCE_EXHAUSTED: 429,
    Status.FAILED_PRECONDITION: 400,
    Status.ABORTED: 409,
    Status.OUT_OF_RANGE: 400,
    Status.UNIMPLEMENTED: 501,
    Status.INTERNAL: 500,
    Status.UNAVAILABLE: 503,
    Status.DATA_LOSS: 500,
    Status.UNAUTHENTICATED: 401,
}


@dataclass(frozen=True, slots=True)
class Encoded:
    """An answer that is JSON already, with the bytes that it has as protobuf."""

    body: bytes
    message_bytes: int


Call = Callable[[Any], Awaitable[Message | Encoded]]
"""A method: request message -> answer. Raises Failed."""


@dataclass(frozen=True, slots=True)
class Style:
    """What differs between the network's gateways."""

    success_headers: dict[str, str] = field(default_factory=dict)
    """Beside length, kind and date."""
    forms: bool = False
    """A form's POST is answered like GET, and its X-HTTP-Method-Override is honoured."""
    honours_timeout: bool = True
    """Whether Grpc-Timeout ends a call."""
    max_answer: int | None = None
    """Bytes of an answer as protobuf."""


POET_STYLE = Style(success_headers=GRPC_CONTENT, forms=True)


# ---- routes


@dataclass(frozen=True, slots=True)
class Route:
    """One method of a service, and the requests that mean it."""

    verb: str
    pattern: re.Pattern[str]
    """Of the decoded path; its groups are fields of the request."""
    path: str
    """The template."""
    has_body: bool
    method: str
    streaming: bool
    request: type[Message]


def routes_of(service: ServiceDescriptor, *, unannotated: bool = False) -> list[Route]:
    """The routes of a service; `unannotated`: also those of methods without an annotation.

    Raises ValueError for an annotation that is not understood here.
    """
    found = []
    for method in service.methods:
        rule = method.GetOptions().Extensions[annotations_pb2.http]
        verb = rule.WhichOneof("pattern")
        if verb is not None:
            if verb == "custom" or rule.body not in ("", "*"):
                raise ValueError(f"the annotation of {method.full_name} is not understood: {rule}")
            found.append(_route(method, verb.upper(), getattr(rule, verb), rule.body == "*"))
        elif unannotated:
            found.append(_route(method, "POST", f"/{service.full_name}/{method.name}", True))
    return found


_VARIABLE = re.compile(r"\{([a-z_0-9.]+)\}")


def _route(method: MethodDescriptor, verb: str, template: str, has_body: bool) -> Route:
    pieces = _VARIABLE.split(template)
    if any(one in piece for piece in pieces[::2] for one in "{}*:"):
        raise ValueError(f"the path of {method.full_name} is not understood: {template}")
    names = [name.replace(".", "__") for name in pieces[1::2]]
    pattern = "".join(
        f"(?P<{names[place // 2]}>[^/]*)" if place % 2 else re.escape(piece) for place, piece in enumerate(pieces)
    )
    streaming = method.client_streaming or method.server_streaming
    kind = message_factory.GetMessageClass(method.input_type)
    return Route(verb, re.compile(pattern, re.DOTALL), template, has_body, method.name, streaming, kind)


# ---- requests

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}")
_TIMEOUT = re.compile(r"(\d{1,18})([HMSmun])", re.ASCII)
_TIMEOUT_UNITS_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}

NOT_FOUND = Failed(Status.NOT_FOUND, "Not Found")
WRONG_METHOD = Failed(Status.UNIMPLEMENTED, "Method Not Allowed")
TIMED_OUT = Failed(Status.DEADLINE_EXCEEDED, "context deadline exceeded")
NO_STREAMS = Failed(Status.UNIMPLEMENTED, "streaming calls are not yet supported in the in-process transport")


def timeout_of(request: Request) -> float | None:
    """Seconds that the caller gives, None for as many as it takes. Raises Failed."""
    text = request.headers.get("grpc-timeout")
    if text is None:
        return None
    match = _TIMEOUT.fullmatch(text)
    if match is None:
        raise Failed(Status.INVALID_ARGUMENT, f"invalid grpc-timeout: {text[:100]}")
    return min(int(match[1]) * _TIMEOUT_UNITS_S[match[2]], LONGEST_TIMEOUT_S)


class Gateway:
    """Routes and the methods behind them."""

    def __init__(
        self,
        routes: Iterable[Route],
        calls: dict[str, Call],
        style: Style,
        *,
        limits: JsonLimits = bounded_json.DEFAULT_LIMITS,
        count: Count = lambda method, status, seconds: None,
    ) -> None:
        """calls: by the name of the method. Raises KeyError where one is missing."""
        self._style, self._limits, self._count = style, limits, count
        self._fixed: dict[str, list[tuple[Route, Call]]] = {}
        self._variable: list[tuple[Route, Call]] = []
        for route in routes:
            entry = (route, calls[route.method])
            if "{" in route.path:
                self._variable.append(entry)
            else:
                self._fixed.setdefault(route.path, []).append(entry)

    async def handle(self, request: Request, server: HttpServer) -> Answer:
        """The answer to one request. Raises what reading its body raises."""
        path, _, query = request.target.partition("?")
        if "%" in path:
            if _BAD_ESCAPE.search(path):
                return refused(400)
            path = unquote_to_bytes(path.encode("utf-8", "surrogateescape")).decode(errors="replace")
        found = self._fixed.get(path) or [one for one in self._variable if one[0].pattern.fullmatch(path)]
        verb, form = request.method, False
        if verb == "POST" and self._style.forms and request.headers.get("content-type") == FORM:
            override = request.headers.get("x-http-method-override")
            verb, form = (override.upper(), False) if override else (verb, True)
        for route, call in found:
            if route.verb == verb or (form and route.verb == "GET"):
                return await self._answer(route, call, path, query, request, server)
        return refuse(WRONG_METHOD if found else NOT_FOUND)

    async def _answer(
        self, route: Route, call: Call, path: str, query: str, request: Request, server: HttpServer
    ) -> Answer:
        began = time.perf_counter()
        counted, status, seen = True, Status.CANCELLED, False
        try:
            if route.streaming:
                raise NO_STREAMS
            counted = False  # what is refused from here on reaches no method
            message, seconds = await self._message(route, path, query, request, server), timeout_of(request)
            counted = True
            if (size := message.ByteSize()) > MAX_MESSAGE:
                raise too_large(size, MAX_MESSAGE)
            answered = await self._within(seconds, call, message)
            status, seen = Status.OK, True
            return await self._accept(answered)
        except Failed as error:
            status = Status.OK if seen else error.status
            return refuse(error, GRPC_CONTENT if seen and self._style.success_headers else {})
        finally:
            if counted:
                self._count(route.method, status, time.perf_counter() - began)

    async def _message(self, route: Route, path: str, query: str, request: Request, server: HttpServer) -> Message:
        """The request of a method. Raises Failed."""
        try:
            if route.has_body:
                body = await server.body(request)
                return await bounded_json.parsed(lambda text: protojson.decode(text, route.request, self._limits), body)
            message = route.request()
            if query:
                _fill_from_query(message, query, set(route.pattern.groupindex))
            if match := route.pattern.fullmatch(path):
                for name, value in match.groupdict().items():
                    protojson.set_path(message, name.replace("__", "."), [value])
            return message
        except ValueError as error:  # Malformed is one
            raise Failed(Status.INVALID_ARGUMENT, str(error)) from None

    async def _within(self, seconds: float | None, call: Call, message: Message) -> Message | Encoded:
        if seconds is None or not self._style.honours_timeout:
            return await call(message)
        if seconds == 0:
            raise TIMED_OUT
        try:
            async with asyncio.timeout(seconds):
                return await call(message)
        except TimeoutError:
            raise TIMED_OUT from None

    async def _accept(self, answered: Message | Encoded) -> Answer:
        size = answered.message_bytes if isinstance(answered, Encoded) else answered.ByteSize()
        if self._style.max_answer is not None and size > self._style.max_answer:
            raise too_large(size, self._style.max_answer)
        if isinstance(answered, Encoded):
            body = answered.body
        elif size > bounded_json.LOOKED_AT_ONCE:
            body = await asyncio.to_thread(protojson.encode, answered)
        else:
            body = protojson.encode(answered)
        headers = {hdrs.CONTENT_LENGTH: str(len(body)), hdrs.CONTENT_TYPE: JSON, **self._style.success_headers}
        return Answer(200, body, headers=headers)


def _fill_from_query(message: Message, query: str, taken: set[str]) -> None:
    """Sets fields from `a=1&b.c=2`, but for those of the path. Raises ValueError."""
    if escape := _BAD_ESCAPE.search(query):
        raise ValueError(f'invalid URL escape "{escape[0]}"')
    for path, values in parse_qs(query, keep_blank_values=True, max_num_fields=MOST_QUERY_FIELDS).items():
        if path.replace(".", "__") not in taken:
            protojson.set_path(message, path, values)


_date: tuple[int, str] = (-1, "")


def http_date() -> str:
    """The value of a Date header for now."""
    global _date
    second = int(time.time())
    if second != _date[0]:
        _date = (second, formatdate(second, usegmt=True))
    return _date[1]


def refuse(failed: Failed, headers: dict[str, str] | None = None) -> Answer:
    """The answer to a call that ended with a status."""
    body = f'{{"code":{int(failed.status)},"message":{protojson.string(failed.message)},"details":[]}}'.encode(
        "utf-8", "replace"
    )
    status = HTTP_STATUS[failed.status]
    reason = words(status)
    named = {hdrs.CONTENT_TYPE: JSON, **(headers or {})}
    if failed.status is Status.UNAUTHENTICATED:
        named[hdrs.WWW_AUTHENTICATE] = " ".join(failed.message.splitlines())
    named[hdrs.DATE], named[hdrs.CONTENT_LENGTH] = http_date(), str(len(body))
    return Answer(status, body, headers=named, reason=reason)
