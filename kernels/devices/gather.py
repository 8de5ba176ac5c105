"""Any labels, not a range, on several devices at once: what checks and repairs of stored labels ask for.

The indices of one call are cut into pieces that the devices take one after another. As in `pool`, a piece whose
device failed is taken by another, the device is opened again, three failures in a row retire an engine, and of a
GPU's pieces some labels, the last among them, are recomputed on the CPU: a GPU that is found wrong is used no more.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from kernels.devices import types as devices
from kernels.devices.pool import FAILURES_TO_RETIRE, RETRY_SECONDS, AllDevicesFailed
from kernels.devices.spot_check import Sample, WrongLabel
from kernels.devices.types import Device, Engine, Labels, Stopped

PIECE_SECONDS = 0.2


class Gather:
    """Engines behind one `labels32`. One caller at a time; `stop` may come from any thread."""

    def __init__(
        self,
        engines: Sequence[Engine],
        sample: Sample | None = None,
        note: Callable[[str], None] = lambda message: None,
        reopen: Callable[[Engine], bool] = devices.reopen,
    ) -> None:
        self._engines = list(engines)
        self._reopen = reopen
        self._sample = sample
        self._note = note
        self._sizes = [engine.granularity for engine in engines]
        self._pieces = [0] * len(engines)
        self._failures = [0] * len(engines)
        self._retired: set[int] = set()
        self._threads = ThreadPoolExecutor(max(1, len(engines)), "labels")
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._last_error = ""

    @property
    def devices(self) -> list[Device]:
        """The devices, each once."""
        return list(dict.fromkeys(engine.device for engine in self._engines))

    def labels32(self, commitments: Sequence[bytes], indices: Sequence[int] | npt.NDArray[np.uint64]) -> Labels:
        """Full labels of any indices, uint8[n, 32]; one commitment for all, or one each.

        Raises `AllDevicesFailed` when no engine is left, `Stopped` after `stop`.
        """
        wanted = np.asarray(indices, dtype=np.uint64)
        out = np.empty((len(wanted), 32), np.uint8)
        left = deque([(0, len(wanted))] if len(wanted) else [])
        missing = [len(wanted)]

        def take(number: int) -> tuple[int, int] | None:
            with self._lock:
                if not left:
                    return None
                start, end = left.popleft()
                # a last piece that is large would keep one device busy while the others have nothing to do
                share = -(-(end - start) // max(1, len(self._engines) - len(self._retired)))
                size = min(self._sizes[number], max(share, self._engines[number].granularity))
                if start + size < end:
                    left.appendleft((start + size, end))
                return start, min(end, start + size)

        def work(number: int) -> None:
            while missing[0] and number not in self._retired and not self._stopped.is_set():
                piece = take(number)
                if piece is None:
                    time.sleep(0.001)  # another device may still give its piece back
                    continue
                if self._compute(number, commitments, wanted, slice(*piece), out):
                    with self._lock:
                        missing[0] -= piece[1] - piece[0]
                else:
                    with self._lock:
                        left.append(piece)

        active = [number for number in range(len(self._engines)) if number not in self._retired]
        list(self._threads.map(work, active))
        if self._stopped.is_set():
            raise Stopped("the label engines were stopped")
        if missing[0]:
            raise AllDevicesFailed(f"no device is left that works; the last error was: {self._last_error}")
        return out

    def _compute(
        self, number: int, commitments: Sequence[bytes], wanted: npt.NDArray[np.uint64], piece: slice, out: Labels
    ) -> bool:
        """Whether a piece was computed and found right."""
        engine, began = self._engines[number], time.monotonic()
        keys = commitments if len(commitments) == 1 else commitments[piece]
        try:
            found = engine.labels32(keys, wanted[piece])  # type: ignore[arg-type]
            self._check(number, keys, wanted[piece], found)
        except Stopped:
            self._stopped.set()
            return False
        except WrongLabel as error:
            self._give_up(error, [at for at, one in enumerate(self._engines) if one.device == engine.device])
            return False
        except Exception as error:  # whatever a driver raises: the device is judged by its failures
            self._failures[number] += 1
            retired = self._failures[number] >= FAILURES_TO_RETIRE
            self._give_up(error, [number] if retired else [])
            if not retired and not self._stopped.wait(RETRY_SECONDS):
                self._open_again(engine)
            return False
        out[piece] = found
        seconds = time.monotonic() - began
        self._failures[number] = 0
        self._pieces[number] += 1
        wished = int(len(found) / max(seconds, 1e-6) * PIECE_SECONDS)
        self._sizes[number] = max(engine.granularity, min(wished, 8 * self._sizes[number]))
        return True

    def _check(self, number: int, keys: Sequence[bytes], indices: npt.NDArray[np.uint64], found: Labels) -> None:
        device = self._engines[number].device
        if self._sample is None or device.backend == "cpu":
            return
        places = self._sample.places(len(found), 2 + self._pieces[number])
        for place in places:
            key = keys[0 if len(keys) == 1 else place]
            right = self._sample.labels32(key, [int(indices[place])])[0].tobytes()
            if found[place].tobytes()[: len(right)] != right:
                raise WrongLabel(device, int(indices[place]), right[:16], found[place, :16].tobytes())

    def _open_again(self, engine: Engine) -> None:
        """A device that cannot be opened fails at its next piece as well, and is judged by that."""
        try:
            self._reopen(engine)
        except Exception as error:  # whatever a driver raises
            self._note(f"{engine.device.name} could not be opened again: {error}")

    def _give_up(self, error: Exception, numbers: Sequence[int]) -> None:
        with self._lock:
            self._last_error = str(error)
            self._retired.update(numbers)
        self._note(f"{error}{'; it is not used any more' if numbers else ''}")

    def stop(self) -> None:
        """Makes a running call end early with `Stopped`; later calls end at once."""
        self._stopped.set()
        for engine in self._engines:
            engine.stop()

    def close(self) -> None:
        """Gives memory and threads back."""
        self.stop()
        self._threads.shutdown(wait=False)
        for engine in self._engines:
            engine.close()
