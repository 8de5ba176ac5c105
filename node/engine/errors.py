"""What ends an engine, and what is told of a machine that failed."""

from __future__ import annotations

from dataclasses import dataclass


class EngineStopped(Exception):
    """A unit failed in a way that leaves memory and store apart. Begin a new engine with new machines on the stores.

    The cause is the error of the machine or of the store.
    """


@dataclass(frozen=True, slots=True)
class MachineFailed:
    """A machine raised on a message, before anything in memory had changed. The message is ignored."""

    machine: str
    channel: str
    error: str
    """With the places in the code where it came up."""
