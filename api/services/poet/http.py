"""The PoET service over HTTP/JSON: routes, status codes, headers and bodies of the reference's gateway.

Four routes of the network and our status page; everything else is Not Found, a wrong method is Not Implemented.
Header order is the reference's, which differs between answers and errors. Specified in protocol 02-poet,
section 9.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from api.services.poet import gateway, status_page
from api.services.poet.http1 import Connection, Request, Server
from api.services.poet.service import PoetService
from prover.poet.server.registration import Code, Refused, Registered

FORM = "application/x-www-form-urlencoded"
NOT_FOUND = Refused(Code.NOT_FOUND, "Not Found")
WRONG_METHOD = Refused(Code.UNIMPLEMENTED, "Method Not Allowed")
TIMED_OUT = Refused(Code.DEADLINE_EXCEEDED, "context deadline exceeded")

TIMEOUT = re.compile(r"(\d+)([HMSmun])", re.ASCII)
TIMEOUT_UNITS_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}")

PROOF_CACHE = 8
"""Bodies of proofs that are kept ready; every client of a round asks for the same one at the same time."""

Handler = Callable[[Request, Connection, str], None]
Counter = Callable[[str, Code, float], None]
"""(method, code, seconds) of an answered call, for the metrics."""


class HttpApi:
    """The application behind a `Server`."""

    def __init__(self, service: PoetService, count: Counter | None = None) -> None:
        self._service = service
        self._count = count
        self.server = Server(self.handle, self._too_large)
        self._proofs: dict[str, tuple[int, bytes]] = {}
        self._date: tuple[int, str] = (-1, "")
        self._routes: dict[str, tuple[str, Handler]] = {
            "/v1/info": ("GET", self._info),
            "/v1/pow_params": ("GET", self._pow_params),
            "/v1/submit": ("POST", self._submit),
        }

    def handle(self, request: Request, connection: Connection) -> None:
        """Answers one request, now or once its registration is stored."""
        path, _, query = request.target.partition("?")
        if request.method == "POST" and path == "/v1/submit":  # nearly all there is
            self._timed(request, connection, self._submit, "")
            return
        if BAD_ESCAPE.search(path):
            connection.respond(_plain("400 Bad Request"))
            connection.abandon()
            return
        path = unquote_to_bytes(path).decode(errors="replace")
        method = request.method
        form = method == "POST" and request.headers.get("content-type") == FORM
        if form and request.headers.get("x-http-method-override"):
            method = request.headers["x-http-method-override"].upper()
            form = False
        if path in ("/status", "/status.json") and method == "GET":
            self._status(request, connection, path)
            return
        if path.startswith("/v1/proofs/") and "/" not in path[11:]:
            route: tuple[str, Handler] | None = ("GET", self._proof)
            argument = path[11:]
        else:
            route, argument = self._routes.get(path), ""
        if route is None:
            self._refuse(request, connection, NOT_FOUND)
        elif route[0] == method or (form and route[0] == "GET"):
            escape = BAD_ESCAPE.search(query) if route[0] == "GET" else None
            if escape:
                text = f'invalid URL escape "{escape[0]}"'
                self._refuse(request, connection, Refused(Code.INVALID_ARGUMENT, text))
                return
            self._timed(request, connection, route[1], argument)
        else:
            self._refuse(request, connection, WRONG_METHOD)

    def _timed(self, request: Request, connection: Connection, handler: Handler, argument: str) -> None:
        timeout = request.headers.get("grpc-timeout")
        if timeout is not None and handler != self._submit:
            match = TIMEOUT.fullmatch(timeout)
            if match is None:
                self._refuse(request, connection, _bad_timeout(timeout))
                return
            if int(match[1]) == 0:
                self._refuse(request, connection, TIMED_OUT)
                return
        handler(request, connection, argument)

    # The routes

    def _info(self, request: Request, connection: Connection, argument: str) -> None:
        service = self._service
        schedule = service.config.schedule
        body = gateway.encode_info(service.pubkey, schedule.phase_shift_ns, schedule.cycle_gap_ns, service.certifier())
        self._accept(request, connection, body, "Info")

    def _pow_params(self, request: Request, connection: Connection, argument: str) -> None:
        body = gateway.encode_pow_params(self._service.pow_params())
        self._accept(request, connection, body, "PowParams")

    def _proof(self, request: Request, connection: Connection, round_id: str) -> None:
        cached = self._proofs.get(round_id)
        if cached is None:
            record = self._service.proof(round_id)
            if isinstance(record, Refused):
                self._refuse(request, connection, record, "Proof")
                return
            cached = gateway.proof_size(record), gateway.encode_proof(record)
            if len(self._proofs) >= PROOF_CACHE:
                del self._proofs[next(iter(self._proofs))]
            self._proofs[round_id] = cached
        size, body = cached
        limit = self._service.config.max_grpc_resp_size
        if size > limit:
            refused = gateway.too_large(size, limit)
            self._refuse(request, connection, refused, "Proof", from_service=True)
            return
        self._accept(request, connection, body, "Proof")

    def _submit(self, request: Request, connection: Connection, argument: str) -> None:
        began = asyncio.get_running_loop().time()
        try:
            submit = gateway.decode_submit(request.body)
        except gateway.Malformed as error:
            self._refuse(request, connection, Refused(Code.INVALID_ARGUMENT, str(error)))
            return
        timeout = request.headers.get("grpc-timeout")
        deadline: asyncio.TimerHandle | None = None
        answered = False

        def answer(verdict: Refused | Registered) -> None:
            nonlocal answered
            if answered:
                return
            answered = True
            if deadline is not None:
                deadline.cancel()
            if isinstance(verdict, Registered):
                body = gateway.encode_registered(verdict, self._service.clock())
                self._accept(request, connection, body, "Submit", began)
            else:
                self._refuse(request, connection, verdict, "Submit", began=began)

        if timeout is not None:
            match = TIMEOUT.fullmatch(timeout)
            if match is None:
                answer(_bad_timeout(timeout))
                return
            seconds = int(match[1]) * TIMEOUT_UNITS_S[match[2]]
            deadline = asyncio.get_running_loop().call_later(seconds, answer, TIMED_OUT)
        if len(request.body) > gateway.MAX_MESSAGE_SIZE:
            size = gateway.submit_size(submit)
            if size > gateway.MAX_MESSAGE_SIZE:
                answer(gateway.too_large(size, gateway.MAX_MESSAGE_SIZE))
                return
        self._service.submit(submit, answer)

    def _status(self, request: Request, connection: Connection, path: str) -> None:
        as_json = path.endswith(".json")
        body = status_page.as_json(self._service) if as_json else status_page.as_html(self._service)
        kind = "application/json" if as_json else "text/html; charset=utf-8"
        head = f"{request.version} 200 OK\r\nContent-Type: {kind}\r\nCache-Control: no-store\r\n"
        connection.respond(
            f"{head}Content-Length: {len(body)}\r\n{_connection_header(request, connection)}\r\n".encode() + body
        )

    # Answers

    def _now_date(self) -> str:
        now = self._service.clock()
        second = now // gateway.SECOND_NS
        if second != self._date[0]:
            self._date = (second, gateway.http_date(now))
        return self._date[1]

    def _accept(
        self, request: Request, connection: Connection, body: bytes, method: str, began: float | None = None
    ) -> None:
        self._counted(method, Code.OK, began)
        head = (
            f"{request.version} 200 OK\r\nContent-Length: {len(body)}\r\nContent-Type: application/json\r\n"
            f"Grpc-Metadata-Content-Type: application/grpc\r\nDate: {self._now_date()}\r\n"
            f"{_connection_header(request, connection)}\r\n"
        )
        connection.respond(head.encode() + body)

    def _refuse(
        self,
        request: Request,
        connection: Connection,
        refused: Refused,
        method: str = "",
        *,
        began: float | None = None,
        from_service: bool = False,
    ) -> None:
        """An error. `from_service`: the service had answered before the gateway refused its answer."""
        if method:
            self._counted(method, Code.OK if from_service else refused.code, began)
        body = gateway.encode_error(refused)
        status, reason = gateway.HTTP_STATUS[refused.code]
        lines = [f"{request.version} {status} {reason}", "Content-Type: application/json"]
        if from_service:
            lines.append("Grpc-Metadata-Content-Type: application/grpc")
        if refused.code == Code.UNAUTHENTICATED:
            lines.append("Www-Authenticate: " + refused.message.replace("\n", " ").replace("\r", " "))
        lines += [f"Date: {self._now_date()}", f"Content-Length: {len(body)}"]
        head = "\r\n".join(lines) + "\r\n" + _connection_header(request, connection) + "\r\n"
        connection.respond(head.encode() + (b"" if request.method == "HEAD" else body))

    def _too_large(self, size: int) -> bytes:
        refused = gateway.too_large(size, gateway.MAX_MESSAGE_SIZE)
        body = gateway.encode_error(refused)
        return (
            f"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nDate: {self._now_date()}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        ).encode() + body

    def _counted(self, method: str, code: Code, began: float | None) -> None:
        if self._count is not None:
            spent = 0.0 if began is None else asyncio.get_running_loop().time() - began
            self._count(method, code, spent)


def _bad_timeout(text: str) -> Refused:
    return Refused(Code.INVALID_ARGUMENT, f"invalid grpc-timeout: {text}")


def _connection_header(request: Request, connection: Connection) -> str:
    if request.version == "HTTP/1.0":
        return "Connection: keep-alive\r\n" if connection.keeps_open else ""
    return "" if connection.keeps_open else "Connection: close\r\n"


def _plain(text: str) -> bytes:
    """What Go's server answers before any handler runs."""
    return (f"HTTP/1.1 {text}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n{text}").encode()
