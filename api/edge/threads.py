"""How many threads a person can mean."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

from .errors import UsageError

MOST_A_PROCESSOR = 8
"""Threads for each processor that are let through: more only wait for each other, and thousands end nowhere."""


def processors() -> int:
    """Processors that this program may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def limited_threads(asked: int | None, option: str = "--threads") -> int:
    """The number of threads; 0 and None stand for all processors. Raises UsageError for what no machine can mean."""
    here = processors()
    if asked is not None and asked > MOST_A_PROCESSOR * here:
        raise UsageError(
            f"{option} is {asked}, but here are {here} processors; expected at most {MOST_A_PROCESSOR * here}, best "
            f"{here}."
        )
    return asked or here


def refused_processors(numbers: Sequence[int]) -> str:
    """Why a thread cannot be pinned to one of these processors, in words; nothing where it can be pinned to all."""
    if not hasattr(os, "sched_setaffinity"):
        return "this system cannot pin threads to processors" if numbers else ""
    refused: list[tuple[int, str]] = []

    def pin() -> None:  # in a thread of its own, which ends pinned
        for number in numbers:
            try:
                os.sched_setaffinity(0, {number})
            except (OSError, ValueError, OverflowError) as error:
                refused.append((number, str(getattr(error, "strerror", None) or error)))

    thread = threading.Thread(target=pin, name="pin")
    thread.start()
    thread.join()
    if not refused:
        return ""
    number, why = refused[0]
    there = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
    return f"no thread can be pinned to processor {number}: {why}. Here are {there}"
