"""A look at JSON before it is parsed: how deep it is nested, how many members it has, whether it is work for a thread.

Three bytes of text (`[],`) become an object of a hundred, and a parser holds the interpreter while it makes them. What
is counted here is a bound from above, by the bytes that mean something outside of texts; a look costs a tenth of
reading.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

_READER = ThreadPoolExecutor(1, "json")
"""Large documents are read one after another: each costs a multiple of its size while it is read."""
LOOKED_AT_ONCE = 64 << 10
"""Bytes that are parsed in the event loop: well below a millisecond."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JsonLimits:
    """Bounds of one document."""

    members: int = 10_000
    """Members of objects and elements of lists, all together."""
    depth: int = 100
    """Objects and lists inside each other."""


class TooComplex(ValueError):
    """A document is above a bound. The text says which."""


DEFAULT_LIMITS = JsonLimits()
_NOT_STRUCTURE = bytes(set(range(256)) - set(b"[]{},:"))
_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)


def check(body: bytes, limits: JsonLimits = DEFAULT_LIMITS) -> None:
    """Raises TooComplex. Texts are taken out only where their commas and braces make a difference."""
    structure = body.translate(None, _NOT_STRUCTURE)
    most = 3 * limits.members  # of each: a bracket to open, one to close, a comma or colon
    crowded = len(structure) > most
    nested = structure.count(b"[") + structure.count(b"{") > limits.depth
    if not (crowded or nested):
        return
    if body.count(b'"') > 4 * limits.members:  # two texts a member, or a text of little else
        raise TooComplex(f"the document has more than {limits.members} members")
    structure = _TEXT.sub(b"", body).translate(None, _NOT_STRUCTURE)
    if len(structure) > most:
        raise TooComplex(f"the document has more than {limits.members} members")
    depth = 0
    for one in structure:
        if one in b"[{":
            depth += 1
            if depth > limits.depth:
                raise TooComplex(f"the document is nested more than {limits.depth} deep")
        elif one in b"]}":
            depth -= 1


async def parsed(read: Callable[[bytes], T], body: bytes) -> T:
    """`read(body)`, in a thread where that may take longer than a millisecond."""
    if len(body) <= LOOKED_AT_ONCE:
        return read(body)
    return await asyncio.get_running_loop().run_in_executor(_READER, read, body)
