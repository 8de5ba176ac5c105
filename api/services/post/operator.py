"""The operator's HTTP interface: the recorded `/status`, and beside it words, everything as JSON, and metrics.

Specified in protocol 01-post-tools, section 4.3. `/status` is the recorded JSON unless the client asks for text, as
browsers do.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

from api.edge.metrics import PLAIN
from api.http.answers import HTML, JSON, TEXT, Answer, Request, not_found, wrong_method
from api.http.limits import Limits
from api.http.server import HttpServer
from api.services.post import metrics, status
from api.services.post.status import Snapshot

log = logging.getLogger("post-service")

LIMITS = Limits(body_bytes=4096, buffered_bytes=8 << 20, connections=128)


class OperatorApi:
    """The application behind the operator's listener."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot
        self._server: HttpServer | None = None

    async def start(self, sock: socket.socket) -> None:
        """Serves on a bound socket."""
        self._server = HttpServer(self.handle, LIMITS, log=log)
        await self._server.listen([sock])

    def stop_listening(self) -> None:
        """Lets nobody in any more."""
        if self._server is not None:
            self._server.stop_listening()

    async def stop(self) -> None:
        """Closes every connection."""
        if self._server is not None:
            await self._server.stop(0.2)

    async def handle(self, request: Request) -> Answer:
        """Answers one request."""
        found = self._page(request)
        if found is None:
            return not_found()
        if request.method not in ("GET", "HEAD"):
            return wrong_method("GET", "HEAD")
        kind, make = found
        return Answer(200, make(self._snapshot()), kind=kind)

    def _page(self, request: Request) -> tuple[str, Callable[[Snapshot], bytes]] | None:
        path = request.route
        if path == "/status":
            accept = request.headers.get("accept", "")
            if "text/html" in accept:
                return HTML, status.as_html
            if "text/plain" in accept:
                return TEXT, status.as_text
            return JSON, status.recorded_json
        if path.startswith("/status/") and (one := self._identity(path.removeprefix("/status/"))) is not None:
            return JSON, lambda snapshot: status.compact(status.recorded(snapshot.identities[one], snapshot.settings))
        if path == "/metrics":
            return PLAIN, metrics.text
        if path == "/status.json":
            return JSON, status.full_json
        return None

    def _identity(self, node_id: str) -> int | None:
        """The place of an identity by its node id in hex."""
        names = [one.identity.metadata.node_id.hex() for one in self._snapshot().identities]
        return names.index(node_id.lower()) if node_id.lower() in names else None
