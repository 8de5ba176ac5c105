"""The listeners of a node on its handles: which services they have, what they are told, where they are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from api.services.node.catalogue import Calls
from api.services.node.listeners import Listeners
from api.services.node.v1 import smesher
from node.runtime.facts import Facts, Onlooker
from node.store.view import Rows

from .composition import Handles

GRACE_S = 0.3
"""For calls in work when the node stops."""


class Services:
    """All of them. A `composition.Serving`."""

    def __init__(self, handles: Handles) -> None:
        given: dict[str, Calls] = {
            "smesher": smesher.calls(handles.backend, handles.smeshing),
            "post": handles.post.register_calls(),
            "postInfo": handles.post.info_calls(),
        }
        self._listeners = Listeners(handles.backend, given)
        self.onlookers: Sequence[Onlooker] = (_Started(self._listeners),)
        self.addresses: dict[str, str] = {}

    async def start(self) -> None:
        """As Serving says."""
        self.addresses = {name: f"127.0.0.1:{port}" for name, port in (await self._listeners.open()).items()}

    async def stop(self) -> None:
        """As Serving says."""
        await self._listeners.stop(GRACE_S)


class _Started:
    """An onlooker: the first commit is that of the start, and from then on the node takes calls."""

    def __init__(self, listeners: Listeners) -> None:
        self._listeners, self._loop = listeners, asyncio.get_running_loop()
        self._is_told = False

    def committed(self, rows: Rows, events: Sequence[object], facts: Facts) -> None:
        """As Onlooker says."""
        if not self._is_told and not self._loop.is_closed():
            self._is_told = True
            self._loop.call_soon_threadsafe(self._listeners.serving)
