"""What the parts of a server know of it and of each other; `server.HttpServer` is the one that is all of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from api.http.limits import Budget, Limits


class Client(Protocol):
    """One that is connected, whether it has sent something or not."""

    busy: bool
    """Something is in work for it."""
    deadline: float | None
    """When it is closed, in the loop's time."""

    def drop(self) -> None:
        """Closes at once."""


class Waiting(Protocol):
    """Where work waits for its turn of the loop."""

    def wait(self, work: Callable[[], None]) -> None:
        """Has `work` done in this turn of the loop, or in one of the next."""


class Owner(Protocol):
    """The server as its connections see it."""

    limits: Limits
    budget: Budget
    log: logging.Logger

    @property
    def turns(self) -> Waiting:
        """Work that waits."""

    def now(self) -> float:
        """The loop's time."""

    def opened(self, connection: Client) -> None:
        """A client is there."""

    def closed(self, connection: Client) -> None:
        """A client has gone."""

    def make_connection(self, deadline: float | None) -> asyncio.Protocol:
        """The protocol of a connection that has sent something."""
