"""How much memory this process may still use, and how a label engine fits into it.

Reading the figures is separate from deciding with them: `plan` is a pure function. A control group's
limit and an address-space limit count as much as the machine's own memory.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kernels.errors import MemoryShortage

HEADROOM_BYTES = 32 << 20
"""Left for everything that is not scratch memory of the kernels: buffers, the interpreter's own needs."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What fits: `threads`, each with `runs` vector runs in flight; 0 runs is one label at a time."""

    threads: int
    runs: int


def plan(available: int, label_bytes: int, lanes: int, threads: int, runs: int) -> Plan:
    """The largest plan within `available` bytes, at most `threads` threads with `runs` runs of `lanes` labels.

    `label_bytes` is the scratch memory of one label. Fewer labels in flight a thread come first, then
    fewer threads, last one label at a time. Raises `MemoryShortage` when not even one label fits.
    """
    usable = available - HEADROOM_BYTES
    for fewer_runs in range(runs, 0, -1):
        if threads * fewer_runs * lanes * label_bytes <= usable:
            return Plan(threads, fewer_runs)
    for fewer_threads in range(threads - 1, 0, -1):
        if fewer_threads * lanes * label_bytes <= usable:
            return Plan(fewer_threads, 1)
    for fewer_threads in range(threads, 0, -1):
        if fewer_threads * label_bytes <= usable:
            return Plan(fewer_threads, 0)
    raise MemoryShortage(label_bytes + HEADROOM_BYTES, max(0, available), "computing one label at a time")


def available_memory() -> int:
    """Bytes that this process can still allocate; the smallest of what the limits leave."""
    return min(_limits())


def total_memory() -> int:
    """Bytes of main memory of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _limits() -> Iterator[int]:
    yield _machine()
    yield from _control_groups(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
    yield from _address_space()


def _machine() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    except (OSError, ValueError):
        pass
    return total_memory() * 3 // 4  # no such figure on macOS: leave a quarter to the others


def _control_groups(membership: Path, mount: Path) -> Iterator[int]:
    """What the memory limits of our control groups and of their ancestors leave (version 2 and version 1)."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, limit_name, usage_name, cache_name = mount, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            root = mount / "memory"
            limit_name, usage_name, cache_name = (
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
            )
        else:
            continue
        group = root / path.lstrip("/")
        # inside a container the path is the host's and does not exist; the mount itself is then our group
        for folder in [group, *group.parents]:
            limit, usage = _number(folder / limit_name), _number(folder / usage_name)
            if limit is not None and usage is not None and limit < 1 << 62:
                # file pages that nobody uses are given back before a process is killed
                yield max(0, limit - usage + _statistic(folder / "memory.stat", cache_name))
            if folder == root:
                break


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # absent, or the word "max"
        return None


def _statistic(file: Path, name: str) -> int:
    try:
        for line in file.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    except (OSError, ValueError):
        pass
    return 0


def _address_space() -> Iterator[int]:
    try:
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            yield max(0, limit - pages * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError):
        return
