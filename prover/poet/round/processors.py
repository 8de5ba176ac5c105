"""Which processors the threads of a PoET run on.

A round's rate is that of one thread, so a processor that is given to it is left by every other thread of ours while
it hashes; the kernel's balancer alone puts one there now and then. The proof is drawn on all of them. Where the
system knows no affinities nothing is done. Protocol 02-poet, section 3.1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def usable_cores() -> int:
    """Processors that the calling thread may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def without(cpu: int | None) -> Iterator[None]:
    """Keeps the calling thread, and what it starts meanwhile, off a processor unless there is no other one."""
    if cpu is None or not hasattr(os, "sched_getaffinity"):
        yield
        return
    with _on((os.sched_getaffinity(0) - {cpu}) or {cpu}):
        yield


@contextmanager
def including(cpu: int | None) -> Iterator[None]:
    """Lets the calling thread, and what it starts meanwhile, run on a processor that it was kept off."""
    if cpu is None or not hasattr(os, "sched_getaffinity"):
        yield
        return
    with _on(os.sched_getaffinity(0) | {cpu}):
        yield


@contextmanager
def _on(wanted: set[int]) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    _try_to_run_on(wanted)
    try:
        yield
    finally:
        _try_to_run_on(before)


def _try_to_run_on(wanted: set[int]) -> None:
    try:
        os.sched_setaffinity(0, wanted)
    except (OSError, ValueError):
        pass  # a processor that does not exist, or a system that does not let us: the thread stays where it is
