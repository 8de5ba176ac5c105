"""Errors of the protocol floor: a value breaks a rule of the network.

The rules and their sections are named where the errors are raised.
"""

from __future__ import annotations


def shown(value: object, most: int = 60) -> str:
    """A value as messages quote it: in quotes, escaped, cut."""
    if isinstance(value, int) and value.bit_length() > 256:
        return f"a number of {value.bit_length()} bits"
    text = repr(value[: most + 1] if isinstance(value, (str, bytes)) else value)
    return text if len(text) <= most else text[: most - 3] + "..."


class ProtocolError(Exception):
    """A value that the protocol does not allow. The message is a complete sentence for a person."""

    reason: str
    """A short fixed word for programs and tests, such as `no_labels`; may be empty."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason
