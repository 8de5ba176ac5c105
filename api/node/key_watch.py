"""Looks for keys that were put into the directory of a running node: a new identity joins the next layer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from api.edge.errors import Failure
from node.runtime.facts import Facts
from node.store.view import Rows

from .ports.keys import NodeKeys

log = logging.getLogger("identities")

LOOKS_EVERY_S = 2.0


class KeyWatch:
    """Looks once in a while, in the engine's thread, between two turns. Also `node.runtime.facts.Onlooker`."""

    def __init__(self, keys: NodeKeys, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys, self._clock = keys, clock
        self._looked = clock()

    def committed(self, rows: Rows, events: Sequence[object], facts: Facts) -> None:
        """As Onlooker says. A key that cannot be used is told of, and keeps nobody from signing."""
        if self._clock() - self._looked < LOOKS_EVERY_S:
            return
        self._looked = self._clock()
        try:
            new = self._keys.look()
        except Failure as error:
            log.error("The key files have changed, and nothing is taken in: %s", error)
            return
        for one in new:
            log.info("The identity %s (%s) joins the next layer.", one.node_id.hex(), one.name)
