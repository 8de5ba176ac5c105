"""The listeners of a node, from its handles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from node.runtime.facts import Onlooker

from .composition import Handles


class Services:
    """All of them."""

    def __init__(self, handles: Handles) -> None:
        self.onlookers: Sequence[Onlooker] = ()
        self.addresses: Mapping[str, str] = {}

    async def start(self) -> None:
        """As Serving says."""

    async def stop(self) -> None:
        """As Serving says."""
