"""The exceptions of the kernel floor."""

from __future__ import annotations


class KernelError(Exception):
    """A device, driver or instruction set cannot do what was asked. The message says what to do."""


class Stopped(KernelError):
    """What was computed was told to stop."""


class MemoryShortage(KernelError):
    """The device has too little memory for even one label in flight.

    `needed` and `available` are bytes.
    """

    def __init__(self, needed: int, available: int, what: str) -> None:
        super().__init__(
            f"too little memory: {what} needs {needed / 2**20:,.0f} MiB, {available / 2**20:,.0f} MiB are available; "
            "stop other programs, raise the memory limit of this process, or use fewer threads"
        )
        self.needed = needed
        self.available = available
