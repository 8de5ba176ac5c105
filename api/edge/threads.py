"""How many threads a person can mean."""

from __future__ import annotations

from .errors import UsageError

MOST_A_PROCESSOR = 8
"""Threads for each processor that are let through: more only wait for each other, and thousands end nowhere."""


def limited_threads(asked: int | None, option: str = "--threads") -> int:
    """The number of threads; 0 and None stand for all processors. Raises UsageError for what no machine can mean."""
    from kernels.labels.cpu import usable_cores

    cores = usable_cores()
    if asked is not None and asked > MOST_A_PROCESSOR * cores:
        raise UsageError(
            f"{option} is {asked}, but here are {cores} processors; expected at most {MOST_A_PROCESSOR * cores}, best "
            f"{cores}."
        )
    return asked or cores
