"""The operator's HTTP interface: the recorded `/status`, and beside it words, everything as JSON, and metrics.

Specified in protocol 01-post-tools, section 4.3. `/status` is the recorded JSON unless the client asks for text, as
browsers do.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from api.http.answers import JSON, TEXT, answer, too_large
from api.services.poet.http1 import Connection, Request, Server
from api.services.post import metrics, status
from api.services.post.status import Snapshot

HTML = "text/html; charset=utf-8"


class OperatorApi:
    """The application behind the operator's listener."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._board = snapshot
        self.server = Server(self.handle, too_large)
        self._listener: asyncio.Server | None = None

    async def start(self, sock: socket.socket) -> None:
        """Serves on a bound socket."""
        self._listener = await asyncio.get_running_loop().create_server(self.server.protocol, sock=sock)

    def stop(self) -> None:
        """Lets nobody in any more."""
        if self._listener is not None:
            self._listener.close()
        self.server.close()

    def handle(self, request: Request, connection: Connection) -> None:
        """Answers one request."""
        found = self._page(request)
        if found is None:
            answer(request, connection, 404)
        elif request.method not in ("GET", "HEAD"):
            answer(request, connection, 405, allow="GET,HEAD")
        else:
            kind, make = found
            answer(request, connection, 200, make(self._board()), kind=kind)

    def _page(self, request: Request) -> tuple[str, Callable[[Snapshot], bytes]] | None:
        path = request.target.partition("?")[0]
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
            return metrics.CONTENT_TYPE, metrics.text
        if path == "/status.json":
            return JSON, status.full_json
        return None

    def _identity(self, node_id: str) -> int | None:
        """The place of an identity by its node id in hex."""
        names = [one.identity.metadata.node_id.hex() for one in self._board().identities]
        return names.index(node_id.lower()) if node_id.lower() in names else None
