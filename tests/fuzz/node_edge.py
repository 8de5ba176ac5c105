"""Random requests to the edge of a node: every JSON route in process, then damaged calls over sockets, gRPC and HTTP.

`python -m tests.fuzz.node_edge` asks each route 10^5 times in process, and each listener 2,000 times over a socket, or
as often as it is told; exit code 1 on a find, with what reproduces it. A find is an answer that is none: a status that
nobody knows, a body that is no JSON, a mistake that the log has, a listener that serves nobody any more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlencode

import grpc

from api.http import protojson
from api.http.gateway import HTTP_STATUS, NODE_STYLE, Gateway
from api.http.routes import Route
from api.services.node.catalogue import Catalogue
from node.store.memory import MemoryBackend
from protocol.params.config.services import Api
from tests.fuzz.mutate import mutated
from tests.fuzz.node_services import Found, Hints, Services, random_message
from tests.support.imported_chain import SHORT, imported_chain
from tests.support.node_backend import StoresBackend
from tests.support.served_api import ServedApi, everywhere

VERBS = ("GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "X")
STATUSES = {*HTTP_STATUS.values()}
ODD = (
    b"", b"null", b"[]", b"7", b'"x"', b"{", b"{}x", b"\xef\xbb\xbf{}", b'{"\xff":1}', b"[" * 3000, b'{"a":' * 200,
    b'{"limit":1e2}', b'{"limit":1.5}', b'{"limit":-1}', b'{"limit":99999999999999999999}', b'{"limit":1,"limit":2}',
    b'{"coinbase":"x","smesher":"AA=="}', b'{"id":"***"}', b'{"sortOrder":"NOPE"}', b'{"filter":{"accountId":[]}}',
)  # fmt: skip
TIMEOUTS = ("1S", "0n", "x", "99999999999999999999H", "-1S")
WAIT_S = 20.0
PATIENCE_S = 0.25
"""For an answer to a request that may not be whole."""


# ---- in process


@dataclass(slots=True)
class _Request:
    """As much of a request as a gateway looks at."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class _Server:
    """Bodies as they are, and a log that knows no mistakes."""

    def __init__(self) -> None:
        self.mistakes: list[str] = []
        self.log = SimpleNamespace(exception=lambda *words: self.mistakes.append(str(words)))

    async def body(self, request: _Request) -> bytes:
        """As HttpServer says."""
        return request.body


def random_request(route: Route, random: Random, hints: Hints) -> _Request:
    """One that mostly means the route."""
    message = random_message(route.request.DESCRIPTOR, random, hints)
    body, target = b"", route.path
    if route.verb == "GET":
        target += "?" + query_of(json.loads(protojson.encode(message)), random)
    else:
        body = protojson.encode(message) if random.random() < 0.9 else random.choice(ODD)
    if random.random() < 0.3:
        body = mutated(body, random)
    if random.random() < 0.1:
        target = mutated(target.encode(), random).decode("latin-1")
    verb = route.verb if random.random() < 0.95 else random.choice(VERBS)
    headers = {"grpc-timeout": random.choice(TIMEOUTS)} if random.random() < 0.05 else {}
    return _Request(verb, target, headers, body)


def query_of(document: Any, random: Random) -> str:
    """The fields of a message as a query, some of them damaged."""
    pairs: list[tuple[str, str]] = []

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                walk(f"{prefix}.{name}" if prefix else name, inner)
        elif isinstance(value, list):
            for inner in value:
                walk(prefix, inner)
        elif value is not None:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            pairs.append((prefix, text if random.random() < 0.9 else text + random.choice("x-.\0é")))

    walk("", document)
    text = urlencode(pairs)
    return text if random.random() < 0.9 else quote(mutated(text.encode(), random), safe="%&=")


def judge(route: Route, answer: Any, mistakes: Sequence[str]) -> bool:
    """Whether an answer is one with a message. Raises Found."""
    if mistakes:
        raise Found(f"a mistake: {mistakes[0]}")
    if answer.status not in STATUSES:
        raise Found(f"status {answer.status}")
    if answer.content and answer.status != 400 and not isinstance(json.loads(answer.content), dict):
        raise Found(f"no object: {answer.content[:100]!r}")
    if b"Traceback" in answer.content or b'File "' in answer.content:
        raise Found(f"the places of a mistake are told: {answer.content[:200]!r}")
    return bool(answer.status == 200)


def routes(cases: int, seed: int, only: str = "") -> Iterator[tuple[str, int, float]]:
    """Name, number of answers and seconds of each route that was asked so often. Raises Found, ValueError."""
    loop = asyncio.new_event_loop()
    try:
        services = Services(loop, is_synced=True)
        hints, server = Hints.of(services.chain), _Server()
        offers = Catalogue(services.backend, {}).offers("api.PublicServices", Api().public_services)
        gateway = Gateway([(one.descriptor, one.calls) for one in offers], NODE_STYLE, answer_s=WAIT_S)
        wanted = [route for route in gateway.routes if only.lower() in f"{route.verb} {route.path}".lower()]
        if not wanted:
            raise ValueError(f"no route has {only!r} in its name")
        for route in wanted:
            name = f"{route.verb} {route.path}"
            random, began, answered = Random(f"{seed} {name}"), time.process_time(), 0
            for _ in range(cases):
                request = random_request(route, random, hints)
                try:
                    answer = loop.run_until_complete(gateway.handle(request, server))  # type: ignore[arg-type]
                    answered += judge(route, answer, server.mistakes)
                except Exception as error:
                    raise Found(
                        f"{request.method} {request.target!r} {request.headers} {request.body!r}: {error!r}"
                    ) from error
            yield name, answered, time.process_time() - began
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


# ---- over sockets


def sockets(cases: int, seed: int) -> Iterator[tuple[str, int, float]]:
    """The same of each listener, over sockets. Raises Found."""
    files = MemoryBackend(), MemoryBackend()
    chain = imported_chain(SHORT, files)
    config = everywhere(chain.config)

    def make(loop: asyncio.AbstractEventLoop) -> StoresBackend:
        backend = StoresBackend(config, files, loop=loop)
        backend.at_layer(64)
        return backend

    mistakes = _Mistakes()
    logging.getLogger("api").addHandler(mistakes)
    try:
        with ServedApi(make) as api:
            hints = Hints.of(chain)
            for name in ("public", "private", "post"):
                began = time.process_time()
                answered = _calls(api.ports[name], cases, Random(f"{seed} {name}"), hints)
                yield f"gRPC {name}", answered, time.process_time() - began
            began = time.process_time()
            answered = _requests(api.ports["json"], cases, Random(f"{seed} json"), hints)
            yield "JSON", answered, time.process_time() - began
            _is_alive(api)
    finally:
        logging.getLogger("api").removeHandler(mistakes)
    if mistakes.found:
        raise Found(f"the log has a mistake: {mistakes.found[0]}")


class _Mistakes(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(self.format(record))


def _calls(port: int, cases: int, random: Random, hints: Hints) -> int:
    """Messages that are none, and some that are, to the methods of a listener and to others."""
    answered = 0
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        paths = [
            f"/{method.containing_service.full_name}/{method.name}"
            for service in _descriptors()
            for method in service.methods
        ]
        inputs = {path: kind for service in _descriptors() for path, kind in _inputs(service)}
        for _ in range(cases):
            path = random.choice(paths)
            data = random_message(inputs[path], random, hints).SerializeToString()
            if random.random() < 0.5:
                data = mutated(data, random)
            if random.random() < 0.05:
                path = "/" + mutated(path[1:].encode(), random).decode("latin-1")
                path = "".join(letter for letter in path if " " < letter < "\x7f")
            call = channel.unary_stream(path)(data, timeout=0.05)
            try:
                for _ in zip(range(3), call):
                    answered += 1
                call.cancel()
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.INTERNAL and "log of the node" in (error.details() or ""):
                    raise Found(f"{path} with {data.hex()}: {error.details()}") from None
    return answered


def _descriptors() -> list[Any]:
    from api.services.node import catalogue
    from api.services.node.v2.package import V2ALPHA1, V2BETA1

    first = [descriptor for descriptor, _ in catalogue._V1.values()]
    return [*first, *catalogue.GIVEN.values(), *V2ALPHA1.services.values(), *V2BETA1.services.values()]


def _inputs(service: Any) -> Iterator[tuple[str, Any]]:
    for method in service.methods:
        yield f"/{service.full_name}/{method.name}", method.input_type


def _requests(port: int, cases: int, random: Random, hints: Hints) -> int:
    """Requests as bytes, some of them damaged in their heads too."""
    services = [one for one in _descriptors() if "Stream" not in one.name and "Post" not in one.name]
    answered = 0
    for _ in range(cases):
        service = random.choice(services)
        method = random.choice(list(service.methods))
        body = protojson.encode(random_message(method.input_type, random, hints))
        path = f"/{service.full_name}/{method.name}" if random.random() < 0.7 else "/v1/node/status"
        data = b"POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (
            path.encode(), len(body), body,
        )  # fmt: skip
        if random.random() < 0.7:
            data = mutated(data, random)
        answered += _is_answered(port, data)
    return answered


def _is_answered(port: int, data: bytes) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as client:
        found = b""
        try:
            client.sendall(data)
            client.settimeout(PATIENCE_S)
            try:
                while piece := client.recv(65536):
                    found += piece
            except TimeoutError:  # it waits for more, which does not come
                client.settimeout(WAIT_S)
                client.shutdown(socket.SHUT_WR)
                while piece := client.recv(65536):
                    found += piece
        except ConnectionError:
            return False
        except TimeoutError:
            raise Found(f"{data!r} is not answered") from None
    if found and not found.startswith(b"HTTP/"):
        raise Found(f"{data!r} is answered with {found[:100]!r}")
    if b"Traceback" in found or (b" 500 " in found[:20] and b'"code":13' in found):
        raise Found(f"{data!r}: {found[:300]!r}")
    return found.startswith(b"HTTP/1.1 200")


def _is_alive(api: ServedApi) -> None:
    for name in ("public", "private", "post"):
        with grpc.insecure_channel(f"127.0.0.1:{api.ports[name]}") as channel:
            channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=WAIT_S)
    body = b"POST /v1/node/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    if not _is_answered(api.ports["json"], body):
        raise Found("the JSON listener serves nobody any more")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: nothing found, 1: found, 2: usage."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.node_edge", description="Random requests to a node.")
    parser.add_argument("--cases", type=int, default=100_000, metavar="N", help="of each route (default 10^5)")
    parser.add_argument("--sockets", type=int, default=2_000, metavar="N", help="to each listener (default 2,000)")
    parser.add_argument("--seed", type=int, default=None, metavar="S", help="the same cases again (default: the time)")
    parser.add_argument("--only", default="", metavar="WORD", help="routes with this in them, and no sockets")
    options = parser.parse_args(argv)
    seed = time.time_ns() if options.seed is None else options.seed
    print(f"seed {seed}")
    try:
        for name, answered, seconds in routes(options.cases, seed, options.only):
            print(f"{name}: {options.cases:,} requests in {seconds:.0f} s, {answered:,} answered", flush=True)
        for name, answered, seconds in () if options.only else sockets(options.sockets, seed):
            print(f"{name}: {options.sockets:,} over sockets in {seconds:.0f} s, {answered:,} answers", flush=True)
    except ValueError as error:
        parser.error(str(error))
    except Found as found:
        print(f"found, with --seed {seed}: {found}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
