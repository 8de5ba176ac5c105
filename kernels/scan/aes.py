"""The scan of a proving pass: AES-128 of every label for every nonce group, and the good labels that come out.

One AES block serves the 16 nonces of a group: nonce o of the group is decided by byte o. A byte below the
difficulty's top byte is good; an equal one is decided by a second, "lazy" cipher of that nonce. `instructions` does it
with AES instructions where the processor has them, `sliced` in plain vectors everywhere else.
Specified in protocol 01-post, section 5.3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kernels.vectors import target

target.variant()  # numba's target must be set before anything below is compiled
HARDWARE = target.has_aes()
"""Whether the AES instructions of x86 or Arm are used."""

if HARDWARE:
    from kernels.scan import instructions as aes_instructions

    STEP = aes_instructions.STEP
else:
    from kernels.scan import sliced as aes_sliced

    STEP = aes_sliced.SLICE
"""Labels that are read at once: a block of labels has room for a multiple of it."""


def name() -> str:
    """The path in use, for people."""
    if not HARDWARE:
        return f"bit-sliced, {aes_sliced.SLICE} labels"
    if target.family() == "arm":
        return "AES instructions of Arm"
    return "AES-NI" if aes_instructions.WIDTH == 128 else f"VAES, {aes_instructions.WIDTH} bits"


def is_compiled() -> bool:
    """Whether the scan for this processor is in the cache, so that the first one is quick."""
    return target.has_cached_code("scan.instructions.scan" if HARDWARE else "scan.sliced.scan")


def compile_kernels() -> None:
    """Fills the cache of compiled code, in a child process that can be broken off; see `target.compile_in_child`."""
    if not is_compiled():
        target.compile_in_child(__name__)


def warm_up() -> None:
    """Compiles the scan, or loads it from the cache."""
    scanner = Scanner([bytes(16)], [bytes(16)] * 16, 0, 0)
    scanner.good(np.zeros(2 * STEP, np.uint64), 1, scanner.room())


class Scanner:
    """The ciphers of one pass; any number of threads may scan with it."""

    def __init__(self, group_keys: Sequence[bytes], lazy_keys: Sequence[bytes], msb: int, lsb: int) -> None:
        """One key for each group, sixteen lazy ones for each group; msb, lsb: top byte and rest of the difficulty."""
        self.groups = len(group_keys)
        self._msb, self._lsb = msb, lsb
        if HARDWARE:
            self._group_keys = aes_instructions.group_ciphers(group_keys, msb)
            self._lazy_keys = aes_instructions.lazy_ciphers(lazy_keys)
        else:
            self._group_keys = aes_sliced.ciphers(group_keys, msb)
            self._lazy_keys = aes_sliced.ciphers(lazy_keys, 0)
            self._msb_bits = aes_sliced.spread_bits(bytes([msb]) if msb else b"")
            self._lsb_bits = aes_sliced.spread_bits(lsb.to_bytes(aes_sliced.LAZY_BYTES, "little"))

    def room(self) -> npt.NDArray[np.uint64]:
        """Memory for the hits of `good`: of one thread, to be used again."""
        least = aes_instructions.STRETCH if HARDWARE else 2 * aes_sliced.SLICE
        return np.empty(least * 16 * self.groups, np.uint64)

    def good(self, labels: npt.NDArray[np.uint64], count: int, room: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """The good labels among the first `count` of `labels` (uint64[2 * n], n a multiple of STEP).

        Each as ((label // 8 * groups + group) * 8 + label % 8) * 16 + nonce within the group: sorted, they are in the
        order in which a proof takes them.
        """
        limits = np.zeros(2, np.int64)
        found: list[npt.NDArray[np.uint64]] = []
        while limits[0] < count:
            common = (labels, int(limits[0]), count, self._group_keys, self._lazy_keys, self.groups)
            if HARDWARE:
                aes_instructions.scan(*common, self._msb, np.uint64(self._lsb), room, limits)
            else:
                aes_sliced.scan(*common, self._msb_bits, self._lsb_bits, room, limits)
            found.append(room[: limits[1]].copy())
        return np.sort(np.concatenate(found)) if found else np.empty(0, np.uint64)
