"""The two stores of a node as one: what machines read, and the one order in which rows are written."""

from __future__ import annotations

from .own import OwnStore
from .store import Store
from .view import Rows, StoreView


class Stores:
    """The state's store and the own store."""

    def __init__(self, state: Store, own: OwnStore) -> None:
        self.state = state
        self.own = own

    def view(self) -> StoreView:
        """Both as they are now; close it when the turn is over. Raises StoreFault."""
        made_at = ((self.state, self.state.writes), (self.own, self.own.writes))
        return StoreView(self.state.snapshot(), self.own.snapshot(), made_at)

    def write(self, rows: Rows, sync: bool = False) -> None:
        """The rows of a turn: own ones first, synced; then all others in one batch.

        After a kill in between, the own store is ahead of the state, never behind. Raises StoreFault.
        """
        self.own.write(rows)
        self.state.write(rows, sync)

    @property
    def is_failed(self) -> bool:
        """Whether one of them could not be written, so that both are to be closed and opened again."""
        return self.state.is_failed or self.own.is_failed

    def close(self) -> None:
        """Lets go of both."""
        self.state.close()
        self.own.close()
