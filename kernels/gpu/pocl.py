"""What PoCL, as the package index has it, wants from the system when it runs.

It compiles a kernel for the processor and links the result with the system's linker, against gcc's library and the C
library. Where one of them is missing it writes so to its own error output and ends the whole process, so it is looked
for before. A PoCL of the system's brings what it needs by its dependencies and is not looked at.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

PACKAGED = "PoCL 3.0-rc2"
"""How the one of `pocl-binary-distribution` calls itself in the version of its platform."""

INSTALL = "Debian, Ubuntu: apt-get install gcc libc6-dev; Fedora: dnf install gcc glibc-devel"

_GCC = ("usr/lib/gcc/*/*/libgcc.a", "usr/lib/gcc-cross/*/*/libgcc.a", "usr/lib64/gcc/*/*/libgcc.a")
_LIBC = ("usr/lib/*/libc.so", "usr/lib64/libc.so", "usr/lib/libc.so")


def lacks(
    platform_version: str, root: Path = Path("/"), which: Callable[[str], str | None] = shutil.which
) -> str | None:
    """Why a PoCL of this platform version cannot run here, in one sentence; None where nothing is missing."""
    if PACKAGED not in platform_version:
        return None
    missing = [
        *([] if which("ld") else ["a linker (ld)"]),
        *([] if _any(root, _GCC) else ["gcc's library (libgcc)"]),
        *([] if _any(root, _LIBC) else ["the C library's development files"]),
    ]
    if not missing:
        return None
    named = " and ".join(filter(None, [", ".join(missing[:-1]), missing[-1]]))
    return f"PoCL links what it compiles, and this system has not {named} ({INSTALL})"


def _any(root: Path, patterns: Sequence[str]) -> bool:
    return any(next(root.glob(pattern), None) is not None for pattern in patterns)
