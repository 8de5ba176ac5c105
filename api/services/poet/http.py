"""The PoET service over HTTP: the JSON gateway of its gRPC methods, and our status page beside it.

Statuses, headers and bodies are the reference's; their order differs between answers and errors. Specified in protocol
02-poet, section 9.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from aiohttp import hdrs

from api.edge.rpc import Count, too_large
from api.http.answers import HTML, JSON, Answer, Request
from api.http.gateway import MAX_MESSAGE, POET_STYLE, Gateway, refuse
from api.http.limits import Limits
from api.http.server import HttpServer
from api.services.poet import status_page
from api.services.poet.calls import POET_SERVICE, PoetCalls
from api.services.poet.service import PoetService

log = logging.getLogger("poet")


class HttpApi:
    """The application of the REST listener. Made inside a running loop."""

    def __init__(
        self,
        service: PoetService,
        calls: PoetCalls,
        count: Count = lambda method, status, seconds: None,
        limits: Limits | None = None,
    ) -> None:
        self._service = service
        style = replace(POET_STYLE, max_answer=service.config.max_grpc_resp_size)
        self._gateway = Gateway([(POET_SERVICE, calls.gateway())], style, count=count)
        self.server = HttpServer(self.handle, limits, log=log, too_large=_too_large)

    async def handle(self, request: Request) -> Answer:
        """Answers one request, a registration once it is stored."""
        if request.method == "GET" and request.route in ("/status", "/status.json"):
            return self._status(as_json=request.route.endswith(".json"))
        return await self._gateway.handle(request, self.server)

    def _status(self, *, as_json: bool) -> Answer:
        body = status_page.as_json(self._service) if as_json else status_page.as_html(self._service)
        return Answer(200, body, kind=JSON if as_json else HTML, headers={hdrs.CACHE_CONTROL: "no-store"})


def _too_large(size: int) -> Answer:
    return refuse(too_large(size, MAX_MESSAGE))
