"""What keeps registrations or proofs from disk at the moment: said once in the log, shown until it is over."""

from __future__ import annotations

import logging

log = logging.getLogger("poet")


class Faults:
    """Subjects and what is wrong with them."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def note(self, what: str, problem: str) -> None:
        """Shows a fault, and logs it unless it is known."""
        if self._found.get(what) != problem:
            log.error("%s", problem)
        self._found[what] = problem

    def clear(self, what: str) -> None:
        """It is over."""
        if self._found.pop(what, None) is not None:
            log.info("%s: all is well again", what)

    def __str__(self) -> str:
        """All of them; empty if there is none."""
        return " ".join(self._found.values())
