"""A program that a node starts beside itself: it is heard line by line, waited for, and stopped in a bounded time."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress

from api.edge.text import escaped

MOST_LINE = 8 << 10
"""Bytes of one line; the rest of a longer one is left out."""
PIECE = 16 << 10
STOP_S = 3.0
"""From the request to end, until it is ended."""
NICENESS = 10
"""What a node starts beside itself may use the whole machine, but never in the way of consensus."""

Hear = Callable[[str], None]


def own(*words: str) -> list[str]:
    """A command of this program."""
    return [sys.executable, "-m", "smesher", *words]


class Child:
    """A program that runs. Made by `start`."""

    def __init__(self, process: asyncio.subprocess.Process, hear: Hear, hear_output: Hear | None) -> None:
        self._process = process
        self._listening = [asyncio.ensure_future(_listen(process.stderr, hear))]
        if hear_output is not None:
            self._listening.append(asyncio.ensure_future(_listen(process.stdout, hear_output)))

    @classmethod
    async def start(cls, words: Sequence[str], hear: Hear, hear_output: Hear | None = None) -> Child:
        """hear: each line of its standard error; hear_output: of its standard output, which nobody reads without.

        Raises OSError where there is no such program.
        """
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL if hear_output is None else asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # a signal of the terminal is for the node, which ends its children in its order
        )
        with suppress(OSError):  # it has ended already, or the system has other ways
            own_niceness = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, process.pid, min(own_niceness + NICENESS, 19))
        return cls(process, hear, hear_output)

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    async def wait(self) -> int:
        """Its exit code, once it has ended and all that it said was heard; negative: the signal that ended it."""
        code = await self._process.wait()
        await asyncio.wait(self._listening, timeout=STOP_S)  # a child of its own may keep the pipes open
        return code

    async def stop(self) -> None:
        """Ask it to end; end it where it does not. A second time does nothing."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        for one in self._listening:
            one.cancel()
        await asyncio.wait(self._listening)


async def _listen(stream: asyncio.StreamReader | None, hear: Hear) -> None:
    assert stream is not None, "the pipe was asked for"
    async for line in _lines(stream):
        if line:
            hear(line.decode("utf-8", "replace"))


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Lines, however long: what is beyond the bound of one is left out."""
    held = bytearray()
    while piece := await stream.read(PIECE):
        *whole, rest = piece.split(b"\n")
        for line in whole:
            yield bytes(held + line)[:MOST_LINE].rstrip(b"\r")
            held.clear()
        held += rest[: max(0, MOST_LINE - len(held))]
    yield bytes(held)


def said(line: str) -> str:
    """A line for our own log."""
    return escaped(line, 1000)
