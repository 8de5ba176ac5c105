"""A JSON gateway made from descriptors: routes from `google.api.http` annotations, messages by `protojson`.

What the network's gateways (grpc-gateway, in front of a PoET or a node) do with a request is done here once; what
differs between them is a `Style`.
Specified in protocol 02-poet, section 9, and 10-api, section 1.6.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs, unquote_to_bytes

from aiohttp import hdrs
from aiohttp.web import RequestPayloadError
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from api.edge.rpc import Count, Failed, Status, too_large
from api.http import bounded_json, protojson
from api.http.answers import JSON, Answer, Request
from api.http.bodies import Crowded, TooLarge
from api.http.bounded_json import JsonLimits
from api.http.routes import Route, routes_of
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
    max_message: int | None = MAX_MESSAGE
    """Bytes of a request as protobuf."""
    max_answer: int | None = None
    """Bytes of an answer as protobuf."""
    unannotated: bool = False
    """Whether methods without an annotation have the route `POST /<service>/<method>`."""
    no_streams: str = "streaming calls are not yet supported in the in-process transport"
    """What is said to those who ask for a stream."""


POET_STYLE = Style(success_headers=GRPC_CONTENT, forms=True)
NODE_STYLE = Style(honours_timeout=False, max_message=None, unannotated=True)


_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}")
_TIMEOUT = re.compile(r"(\d{1,18})([HMSmun])", re.ASCII)
_TIMEOUT_UNITS_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}

NOT_FOUND = Failed(Status.NOT_FOUND, "Not Found")
WRONG_METHOD = Failed(Status.UNIMPLEMENTED, "Method Not Allowed")
TIMED_OUT = Failed(Status.DEADLINE_EXCEEDED, "context deadline exceeded")
FAILED = Failed(Status.INTERNAL, "internal error; the log says more")


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
        services: Iterable[tuple[ServiceDescriptor, Mapping[str, Callable[..., Any]]]],
        style: Style,
        *,
        limits: JsonLimits = bounded_json.DEFAULT_LIMITS,
        answer_s: float | None = None,
        count: Count = lambda method, status, seconds: None,
    ) -> None:
        """services: each with its calls by the name of the method. answer_s: for a call to be answered.

        Raises KeyError where a call is missing.
        """
        self._style, self._limits, self._answer_s, self._count = style, limits, answer_s, count
        self.routes: list[Route] = []
        self._fixed: dict[str, list[tuple[Route, Call]]] = {}
        self._variable: list[tuple[Route, Call]] = []
        for service, calls in services:
            for route in routes_of(service, unannotated=style.unannotated):
                entry = (route, calls[route.method.name])
                self.routes.append(route)
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
                raise Failed(Status.UNIMPLEMENTED, self._style.no_streams)
            counted = False  # what is refused from here on reaches no method
            message, seconds = await self._message(route, path, query, request, server), timeout_of(request)
            counted = True
            most = self._style.max_message
            if most is not None and (size := message.ByteSize()) > most:
                raise too_large(size, most)
            answered = await self._within(seconds, call, message)
            status, seen = Status.OK, True
            return await self._accept(answered)
        except Failed as error:
            status = Status.OK if seen else error.status
            return refuse(error, GRPC_CONTENT if seen and self._style.success_headers else {})
        except (TooLarge, Crowded, RequestPayloadError, ConnectionError):  # of the body: the server answers
            raise
        except Exception:  # a mistake of ours, whatever it is, ends one call
            server.log.exception("%s failed", route.name)
            status = FAILED.status
            return refuse(FAILED)
        finally:
            if counted:
                self._count(route.name, status, time.perf_counter() - began)

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
        least = [one for one in (self._answer_s, seconds if self._style.honours_timeout else None) if one is not None]
        if not least:
            return await call(message)
        if min(least) == 0:
            raise TIMED_OUT
        try:
            async with asyncio.timeout(min(least)) as timeout:
                return await call(message)
        except TimeoutError:
            if not timeout.expired():
                raise
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
