"""The two stores of a node as one: what machines read, and the one order in which rows are written."""

from __future__ import annotations

from collections.abc import Sequence

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
        return StoreView(self.state.snapshot(), self.own.snapshot())

    def write(self, units: Sequence[Rows], sync: bool = False) -> None:
        """The rows of these units: own ones first, synced; then all others in one batch.

        After a kill in between, the own store is ahead of the state, never behind. Raises StoreFault.
        """
        self.own.write(units)
        self.state.write(units, sync)

    def close(self) -> None:
        """Lets go of both."""
        self.state.close()
        self.own.close()
