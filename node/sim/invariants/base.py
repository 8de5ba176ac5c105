"""What all invariants share: a world to look at, and where they write what they saw."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from node.sim.company import Company
from node.sim.seen import Seen
from node.sim.watch import Violation, Watcher
from node.sim.world import World


class Invariant(Watcher):
    """One rule."""

    name: ClassVar[str]

    def __init__(self) -> None:
        self._world: World | None = None
        self._company: Company | None = None
        self._report: Callable[[Violation], None] | None = None

    def attach(self, world: World, company: Company, report: Callable[[Violation], None]) -> None:
        """Look at this world, and tell of violations there."""
        self._world, self._company, self._report = world, company, report

    @property
    def world(self) -> World:
        """The world."""
        assert self._world is not None, "it is attached"
        return self._world

    @property
    def company(self) -> Company:
        """Who is together."""
        assert self._company is not None, "it is attached"
        return self._company

    def violated(self, sentence: str, node: Seen | None = None) -> None:
        """Something happened that must not."""
        assert self._report is not None, "it is attached"
        self._report(Violation(self.name, self.world.now, None if node is None else node.number, sentence))
