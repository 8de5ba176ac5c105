"""Errors of the node floor. The rules and their sections are named where the errors are raised."""

from __future__ import annotations


class NodeError(Exception):
    """Something that the node refuses or cannot do. The message is a complete sentence for a person."""

    reason: str
    """A short fixed word for programs and tests, such as `not_spawned`; may be empty."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason
