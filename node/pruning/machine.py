"""Lets go of certificates and of proposals' transactions below the layers that hare still decides on.

Every so often it goes through both tables in small steps, each a unit of work of its own, so that no layer waits for
it. A row of a certificate stays, without the certificate. Active sets are let go by `node.proposals`, at every layer.
While the clock has not come further than `hdist` layers there is nothing to let go: the reference's arithmetic wraps
there and takes every certificate. Protocol 09b-node-storage-libp2p, section 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from node.certificates.tables import CERTIFICATES, StoredCertificate
from node.contract.effects import Emit, SetTimer
from node.contract.inputs import Timer
from node.contract.instants import Instant, after
from node.contract.machine import Machine
from node.contract.steps import Step
from node.mempool.tables import HELD, IN_PROPOSAL
from node.store.view import Rows, Span, View
from protocol.numbers.durations import MILLISECOND
from protocol.numbers.layers import NetworkTime
from protocol.types.ids import LayerId

STEP = 200
"""Rows that one step looks at."""
PAUSE = 50 * MILLISECOND
"""Between two steps of a round."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """A round has come to its end."""

    below: LayerId
    """Of the layers before this one."""
    certificates: int
    transactions: int
    """Places of transactions in proposals."""


class PruningMachine(Machine):
    """One round after another."""

    name: ClassVar[str] = "pruning"

    def __init__(self, time: NetworkTime, hdist: int, interval: int) -> None:
        """interval: from the end of one round to the begin of the next, nanoseconds."""
        self._time = time
        self._hdist = hdist
        self._interval = interval
        self._round = _Round(LayerId(0))

    def start(self, view: View, now: Instant) -> Step:
        """As Machine says: the first round begins at once."""
        return Step(effects=(SetTimer("round", now),))

    def timer(self, timer: Timer, view: View, now: Instant) -> Step:
        """As Machine says."""
        current = self._time.layer_at(now)
        if current <= self._hdist:
            return Step(effects=(SetTimer("round", after(now, self._interval)),))
        begun = _Round(LayerId(current - self._hdist)) if timer.key == "round" else self._round
        rows = Rows(view)
        round = begun.step(rows)
        self._round = round
        if not round.is_done:
            return Step(rows, (SetTimer("step", after(now, PAUSE)),))
        found = Pruned(round.below, round.certificates, round.transactions)
        told = (Emit(found),) if found.certificates or found.transactions else ()
        return Step(rows, (SetTimer("round", after(now, self._interval)), *told))


@dataclass(frozen=True, slots=True)
class _Round:
    """How far a round has come."""

    below: LayerId
    certificate: Any = None
    """The first key that has not been looked at."""
    held: Any = None
    certificates: int = 0
    transactions: int = 0
    is_at_transactions: bool = False
    is_done: bool = False

    def step(self, rows: Rows) -> _Round:
        """The next rows of it."""
        return self._transactions(rows) if self.is_at_transactions else self._certificates(rows)

    def _certificates(self, rows: Rows) -> _Round:
        count = 0
        found = list(_some(rows.scan(CERTIFICATES, Span(start=self.certificate, stop=(self.below,)))))
        for key, row in found[:STEP]:
            if row.certificate is not None:
                rows.put(CERTIFICATES, key, StoredCertificate(None, row.is_valid))
                count += 1
        more = found[STEP:]
        return _Round(
            self.below,
            certificate=more[0][0] if more else None,
            certificates=self.certificates + count,
            is_at_transactions=not more,
        )

    def _transactions(self, rows: Rows) -> _Round:
        count = 0
        found = list(_some(rows.keys(HELD, Span(start=self.held))))
        for key in found[:STEP]:
            _, holder, layer, _ = key
            if holder == IN_PROPOSAL and layer < self.below:
                rows.delete(HELD, key)
                count += 1
        more = found[STEP:]
        return _Round(
            self.below,
            held=more[0] if more else None,
            certificates=self.certificates,
            transactions=self.transactions + count,
            is_at_transactions=True,
            is_done=not more,
        )


def _some(rows: Iterator[Any]) -> Iterator[Any]:
    """As many as a step looks at, and the one where the next begins."""
    for _, row in zip(range(STEP + 1), rows, strict=False):
        yield row
