"""How a program comes by RandomX's memory: what is asked for is judged at once, made it is when it is needed.

Specified in protocol 01-post, section 4.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from kernels import randomx
from kernels.errors import MemoryShortage
from kernels.labels.memory import available_memory
from protocol.post.proof import RANDOMX_KEY
from prover.errors import EnvironmentFault

Tell = Callable[[int, str], None]
"""(level, as `logging` counts them, what is worth knowing, without a full stop)."""


class RandomXSource:
    """The memory under the network's key, `mode` as asked for: `fast`, `light`, or None: fast where it fits.

    `large_pages` are used where they are asked for, which is told if there are none, or (None) where there are any.
    """

    def __init__(self, mode: str | None, threads: int, tell: Tell, *, large_pages: bool | None = False) -> None:
        self.full = mode != "light"
        self._must_be_full = mode == "fast"
        self._threads, self._tell = threads, tell
        self._large_pages, self._pages_asked = large_pages is not False, bool(large_pages)

    def shortage(self) -> str:
        """Why the fast mode does not fit now, without a full stop; nothing where it does."""
        if randomx.fits(full=True, large_pages=self._large_pages):
            return ""
        needed, available = randomx.memory_needed(full=True) >> 20, available_memory() >> 20
        return f"RandomX in fast mode needs {needed} MiB, {available} MiB are available"

    def check(self) -> None:
        """Raises RandomXUnavailable without a library, EnvironmentFault where `fast` was asked for and does not fit."""
        randomx.library()
        if self._must_be_full and (shortage := self.shortage()):
            raise EnvironmentFault(f"{shortage}. Stop other programs or use --randomx-mode light.")

    def open(self, full: bool, stop: threading.Event) -> randomx.Memory:
        """Cache or data set; takes seconds. Light, which is told, where the full one does not fit and may be left out.

        Raises MemoryShortage, and Stopped when `stop` is set meanwhile.
        """
        self._tell(logging.INFO, f"preparing RandomX ({'fast' if full else 'light'} mode)")
        try:
            memory = randomx.Memory(
                RANDOMX_KEY, full=full, large_pages=self._large_pages, threads=self._threads, stop=stop
            )
        except MemoryShortage as error:
            if self._must_be_full or not full:
                raise
            self._tell(logging.WARNING, f"{error}; using light mode, which is about ten times slower")
            return self.open(False, stop)
        if self._pages_asked and not memory.large_pages:
            self._tell(logging.WARNING, randomx.NO_LARGE_PAGES)
        return memory
