"""Labels on a graphics card, whatever drives it: a `Card`, which its engines share, and each one's `LabelEngine`.

A card is used through a `Session`, whose thread makes all calls of the driver; what is here only waits for it, never
without a limit. A card that was given up refuses everything until it is opened again, with the same layout or the next
one. Specified in protocol 01-post-tools, sections 1.3 and 8.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from kernels.devices.types import Device, Labels, Stopped, VrfCandidate
from kernels.errors import KernelError
from kernels.gpu import driver as drivers
from kernels.gpu import plan as plan_gpu
from kernels.gpu.driver import Driver
from kernels.gpu.layout import DeviceNumbers, Layout, Tuning, check_scrypt_n
from kernels.gpu.plan import Plan
from kernels.gpu.session import CLOSE_SECONDS, LABEL32, LOOK_SECONDS, OPEN_SECONDS, Launch, Session, Terms

AHEAD = 2
"""Launches of one call that the card is asked for at a time."""

LAUNCH_SECONDS = 0.25
"""What one launch should take: a screen on the same card stays usable, and a stop is soon obeyed."""


class Card:
    """A device with a plan, for several engines. `opened` replaces the driver in tests, `plan` the planner.

    Raises `KernelError` when the device is gone, the driver refuses or does not answer, or N is no power of two;
    `MemoryShortage` when not even one work-group of labels fits.
    """

    def __init__(
        self,
        device: Device,
        scrypt_n: int,
        memory_bytes: int | None = None,
        tuning: Tuning | None = None,
        *,
        later_layouts: Sequence[Layout] = (),
        note: Callable[[str], None] = lambda message: None,
        plan: Plan | None = None,
        opened: Callable[[Device], Driver] | None = None,
    ) -> None:
        check_scrypt_n(scrypt_n)
        self.device = device
        self.scrypt_n = scrypt_n
        self.later_layouts = list(later_layouts)
        self.users = 0
        """Engines that are not closed."""
        self.change = threading.Condition()
        self._terms = Terms(device, scrypt_n, memory_bytes, note, opened or _opened)
        self._given_plan = plan
        self._busy_before = 0.0
        self._reopening = threading.Lock()
        self._left = False
        self.session: Session
        """Of the last opening, whether it succeeded or not."""
        self._begin(tuning)

    def _begin(self, tuning: Tuning | None) -> None:
        session = Session(self._terms, self.change, tuning, self._given_plan)
        with self.change:
            self.session = session
        session.start()
        try:
            session.wait_open()
        except KernelError:
            session.end()
            raise
        self._plan_before = session.plan

    @property
    def plan(self) -> Plan:
        """The plan in use; smaller than at first when memory could not be had. Where opening failed, the one before."""
        return self.session.known_plan or self._plan_before

    @property
    def busy_seconds(self) -> float:
        """Time that the device has computed, by its own clock."""
        return self._busy_before + self.session.busy_seconds

    def size(self, left: int) -> int:
        """Labels of the next launch: whole waves that take about `LAUNCH_SECONDS`."""
        slots = self.plan.slots
        waves = max(1, int(self.session.rate * LAUNCH_SECONDS) // slots)
        return min(left, min(self.plan.launch // slots, waves) * slots)

    def submit(self, launch: Launch, session: Session, stop: threading.Event) -> bool:
        """Asks a session of the card for labels; False, after a little while, where it takes no launches.

        Then it is being opened, or another one is. Raises `Stopped`, or why it is lost.
        """
        with self.change:
            self._go_on(session, stop)
            if session.takes_launches:
                session.waiting.append(launch)
                self.change.notify_all()
                return True
            self.change.wait(LOOK_SECONDS)
            return False

    def wait(self, launch: Launch, session: Session, stop: threading.Event) -> None:
        """Until a launch has ended. Raises `Stopped`, or why the session that took it is lost.

        That one and no other is looked at: when another engine has opened the card again, it knows nothing of this.
        """
        with self.change:
            while not launch.ended:
                self._go_on(session, stop)
                self.change.wait(LOOK_SECONDS * 4)

    @staticmethod
    def _go_on(session: Session, stop: threading.Event) -> None:
        if stop.is_set():
            raise Stopped("the label engine was stopped")
        session.watch()
        if session.lost is not None:
            raise session.lost

    def forget(self, launch: Launch, session: Session) -> None:
        """Nobody waits for it any more; what is queued already is computed for nothing."""
        with self.change:
            launch.wanted = False
            if launch in session.waiting:
                session.waiting.remove(launch)

    def reopen(self, before: Session, layout: Layout) -> None:
        """Everything anew, unless another engine has seen to it since that session; as `__init__` raises."""
        if not self._reopening.acquire(timeout=OPEN_SECONDS + CLOSE_SECONDS):
            raise KernelError(f"{self.device.name}: another engine of it does not come back from opening it")
        try:
            if before is not self.session:
                return
            before.end()
            self._busy_before += before.busy_seconds
            if layout in self.later_layouts:
                del self.later_layouts[: self.later_layouts.index(layout) + 1]
            same = before.tuning is not None and before.tuning.layout == layout
            if not same and self._given_plan is not None and self._given_plan.layout != layout:
                self._given_plan = None
            self._begin(before.tuning if same else Tuning(layout))
            if self._left:  # meanwhile
                self.session.end()
        finally:
            self._reopening.release()

    def leave(self) -> None:
        """One engine less; the last one takes the memory along, when the device is done with it."""
        self.users -= 1
        if self.users <= 0:
            with self.change:
                self._left, session = True, self.session
            session.end()


def _opened(device: Device) -> Driver:
    return drivers.backend(device.backend).Driver(device)


class LabelEngine:
    """One caller's view of a card. Implements `types.Engine` and `types.Reopenable`."""

    def __init__(self, card: Card) -> None:
        self.device = card.device
        self.scrypt_n = card.scrypt_n
        self._card = card
        card.users += 1
        self._session = card.session
        """The one that the last call used last, or that failed it."""
        self._stop = threading.Event()
        self._closed = False

    @property
    def plan(self) -> Plan:
        """The plan in use; smaller than at first when memory could not be had."""
        return self._card.plan

    @property
    def layout(self) -> Layout:
        """How the kernel is built."""
        return self._card.plan.layout

    @property
    def later_layouts(self) -> Sequence[Layout]:
        """See `types.Reopenable`."""
        return tuple(self._card.later_layouts)

    @property
    def current(self) -> bool:
        """See `types.Reopenable`."""
        return self._session is self._card.session

    @property
    def granularity(self) -> int:
        """Labels in flight on the device."""
        return self._card.plan.slots

    @property
    def busy_seconds(self) -> float:
        """Time that the device has computed, by its own clock, for all its engines."""
        return self._card.busy_seconds

    def labels(self, commitment: bytes, start: int, count: int, out: Labels) -> VrfCandidate:
        """Writes the 16-byte labels start … start+count-1 to `out`, uint8[count, 16]; count >= 1."""
        keys = np.frombuffer(commitment, np.uint64).reshape(1, 4)
        ended = self._in_launches(count, lambda at, size: Launch(keys, start + at, size, None, out[at : at + size]))
        found = [launch.candidate for launch in ended if launch.candidate is not None]
        return min(found, key=lambda candidate: (candidate.label32, candidate.index))

    def labels32(self, commitments: Sequence[bytes], indices: Sequence[int] | npt.NDArray[np.uint64]) -> Labels:
        """Full labels of any indices, uint8[n, 32]; one commitment for all, or one each."""
        wanted = np.array(indices, dtype=np.uint64)
        keys = np.frombuffer(b"".join(commitments), np.uint64).reshape(-1, 4)
        out = np.empty((len(wanted), LABEL32), np.uint8)

        def piece(at: int, size: int) -> Launch:
            own = keys if len(keys) == 1 else keys[at : at + size]
            return Launch(own, 0, size, wanted[at : at + size], out[at : at + size])

        self._in_launches(len(wanted), piece)
        return out

    def _in_launches(self, count: int, piece: Callable[[int, int], Launch]) -> list[Launch]:
        """Computes `count` labels piece by piece, of which the card always knows the next one."""
        card, at = self._card, 0
        asked: deque[tuple[Launch, Session]] = deque()
        ended: list[Launch] = []
        try:
            while at < count or asked:
                if at < count and len(asked) < AHEAD:
                    launch = piece(at, card.size(count - at))
                    self._session = card.session
                    while not card.submit(launch, self._session, self._stop):
                        self._session = card.session
                    asked.append((launch, self._session))
                    at += launch.count
                    continue
                launch, self._session = asked[0]
                card.wait(launch, self._session, self._stop)
                ended.append(launch)
                asked.popleft()
        finally:
            for launch, session in asked:
                card.forget(launch, session)
        return ended

    def reopen(self, layout: Layout) -> None:
        """See `types.Reopenable`."""
        try:
            self._card.reopen(self._session, layout)
        except KernelError:
            if self._card.session.lost is not None:  # so the next layout may be tried, by whoever is first
                self._session = self._card.session
            raise

    def stop(self) -> None:
        """Makes a running call end early with `Stopped`; later calls end at once. The device ends its launches."""
        self._stop.set()
        with self._card.change:
            self._card.change.notify_all()

    def close(self) -> None:
        """Gives the device's memory back when its last engine is closed."""
        self.stop()
        if not self._closed:
            self._closed = True
            self._card.leave()


def engines(
    device: Device,
    scrypt_n: int,
    memory_bytes: int | None = None,
    tuning: Tuning | None = None,
    **more: object,
) -> list[LabelEngine]:
    """The engines of one device for a pool: two, so that it has work while the labels of one are checked and written.

    Parameters and errors as for `Card`.
    """
    card = Card(device, scrypt_n, memory_bytes, tuning, **more)  # type: ignore[arg-type]
    return [LabelEngine(card) for _ in range(plan_gpu.ENGINES)]


def first_label(device: Device, scrypt_n: int, layout: Layout, numbers: DeviceNumbers) -> bytes:
    """Builds a layout for a single work-group and computes label 0 of the zero commitment, 32 bytes."""
    card = Card(device, scrypt_n, plan=plan_gpu.smallest(numbers, layout, scrypt_n))
    return LabelEngine(card).labels32([bytes(32)], [0])[0].tobytes()
