"""The node's services over HTTP: the JSON gateway of its public ones, and what describes them for tools.

Specified in protocol 10-api, section 1.6. `/openapi.json` is ours alone.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from functools import cached_property

from api.edge.rates import Rates
from api.edge.rpc import Count, Failed, Status, too_large
from api.http import openapi
from api.http.answers import JSON, Answer, Request
from api.http.cors import Cors
from api.http.gateway import NODE_STYLE, Gateway, refuse
from api.http.limits import Limits
from api.http.server import HttpServer

from .catalogue import Offer

OPENAPI = "/openapi.json"
LIMITS = Limits(body_s=15.0, write_s=15.0, body_bytes=16 << 20)
ANSWER_S = 30.0
"""For a call to be answered."""


class NodeGateway:
    """The application of the JSON listener. Made inside a running loop."""

    def __init__(
        self,
        offers: Sequence[Offer],
        origins: Sequence[str],
        version: str,
        rates: Rates,
        *,
        count: Count,
        log: logging.Logger,
    ) -> None:
        """origins: of the sites whose pages may ask, as `Cors` takes them. rates: of one client."""
        self._gateway = Gateway(
            [(one.descriptor, one.calls) for one in offers], NODE_STYLE, answer_s=ANSWER_S, count=count
        )
        self._cors, self._rates, self._version = Cors(origins), rates, version
        self.server = HttpServer(self.handle, LIMITS, log=log, too_large=self._too_large)

    async def handle(self, request: Request) -> Answer:
        """Answers one request."""
        asked_first = self._cors.preflight(request)
        if asked_first is not None:
            return asked_first
        answer = await self._answer(request)
        self._cors.mark(request, answer)
        return answer

    async def _answer(self, request: Request) -> Answer:
        if not self._rates.take(HttpServer.connection_of(request).peer):
            return refuse(Failed(Status.RESOURCE_EXHAUSTED, "this client asks too often; wait, then ask again"))
        if request.method == "GET" and request.route == OPENAPI:
            return Answer(200, self._described, kind=JSON)
        return await self._gateway.handle(request, self.server)

    @cached_property
    def _described(self) -> bytes:
        return json.dumps(openapi.document("Spacemesh node", self._version, self._gateway.routes)).encode()

    def _too_large(self, size: int) -> Answer:
        return refuse(too_large(size, LIMITS.body_bytes))
