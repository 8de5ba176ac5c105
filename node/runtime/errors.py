"""What is told to threads that ask a node for something it does not do now."""

from __future__ import annotations


class Refused(Exception):
    """A question or a transaction is not taken. Nothing of it was done."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason
        """A short fixed word: `busy`, `no_room`, `starting`, `stopping`."""
