"""What a command says: rich text for people, or one JSON object a line for machines.

Results go to standard output, progress and errors to standard error; with `--json` everything goes to
standard output as events. rich is imported when something is printed, never for `--help`.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

EXIT_INTERRUPTED = 130

_LEAD = re.compile(r"(\s*)(?:\[([a-z ]+)\](.*?)\[/\])?(.*)", re.DOTALL)

JSON_INTERVAL_S = 1.0
"""At most one progress event in this time."""


class Output:
    """Where a command's words go. `json` chooses the form; commands say both and one of them is shown."""

    def __init__(self, json: bool) -> None:
        self.json = json

    @cached_property
    def console(self) -> Console:
        """Standard output for people."""
        from rich.console import Console

        return Console(highlight=False, soft_wrap=True)

    @cached_property
    def errors(self) -> Console:
        """Standard error for people."""
        from rich.console import Console

        return Console(stderr=True, highlight=False, soft_wrap=True)

    def event(self, name: str, /, **fields: object) -> None:
        """One JSON line; nothing for people."""
        if self.json:
            sys.stdout.write(json.dumps({"event": name, **fields}) + "\n")
            sys.stdout.flush()

    def say(self, text: str) -> None:
        """A line for people; nothing with `--json`. It may begin with one word in a style: "[bold green]done[/]  …".

        The rest is taken as it is: names of files may look like markup.
        """
        if not self.json:
            from rich.text import Text

            indent, style, lead, rest = _LEAD.fullmatch(text).groups("")  # type: ignore[union-attr]
            self.console.print(Text.assemble(indent, (lead, style), rest))

    def show(self, renderable: object) -> None:
        """A table or panel for people; nothing with `--json`."""
        if not self.json:
            self.console.print(renderable)

    def note(self, text: str) -> None:
        """Something worth knowing on the way: standard error, or a `note` event."""
        if self.json:
            self.event("note", message=text)
        else:
            from rich.text import Text

            self.errors.print(Text(text))

    def error(self, code: int, message: str) -> None:
        """Why the command ends with a code other than 0."""
        if self.json:
            self.event("error", code=code, message=message)
        else:
            from rich.text import Text

            colour = "yellow" if code == EXIT_INTERRUPTED else "red"
            self.errors.print(Text.assemble(("smesher:", f"bold {colour}"), " ", message))

    @contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """A spinner while something without a measure goes on."""
        if self.json:
            self.event("note", message=text)
            yield
        elif not self.errors.is_terminal:
            self.errors.print(text)
            yield
        else:
            with self.errors.status(text):
                yield

    @contextmanager
    def progress(self, what: str, total: int | None, done: int = 0) -> Iterator[Progress]:
        """A bar with labels, rate, time left and one line a device; `done` labels were there before."""
        bar = Progress(self, what, total, done)
        try:
            yield bar
        finally:
            bar.close()


class Progress:
    """The progress of one job over labels. `update` may be called as often as one likes."""

    def __init__(
        self,
        output: Output,
        what: str,
        total: int | None,
        done: int,
        clock: Callable[[], float] = time.monotonic,
        *,
        unit: str = "labels",
    ) -> None:
        """`unit`: what is counted; the fields of events are named after it."""
        self._output = output
        self._unit = unit
        self._what = what
        self._total = total
        self._first = done
        self._done = done
        self._clock = clock
        self._began = clock()
        self._last_event = self._began
        self._live: Any = None
        self._tasks: dict[str, Any] = {}
        if not output.json and output.errors.is_terminal:
            self._start_live()

    def _start_live(self) -> None:
        from rich import progress as rich_progress

        self._live = rich_progress.Progress(
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(bar_width=None),
            rich_progress.TaskProgressColumn(),
            rich_progress.TextColumn("{task.fields[rate]}"),
            rich_progress.TimeRemainingColumn(compact=True),
            console=self._output.errors,
            speed_estimate_period=60,
        )
        self._live.start()
        self._tasks[""] = self._live.add_task(self._what, total=self._total, completed=self._done, rate="")

    def update(
        self,
        done: int,
        devices: Mapping[str, float] | None = None,
        states: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        """`done` labels of the total are there; `devices` maps names to labels a second, `states` to other facts."""
        self._done = done
        now = self._clock()
        rate = (done - self._first) / max(now - self._began, 1e-9)
        if self._live is not None:
            shown = _rate(rate) if self._unit == "labels" else ""
            self._live.update(self._tasks[""], completed=done, rate=shown)
            for name, device_rate in (devices or {}).items():
                if name not in self._tasks:
                    self._tasks[name] = self._live.add_task(f"  {name}", total=None, rate="")
                self._live.update(self._tasks[name], rate=_rate(device_rate) + _state((states or {}).get(name, {})))
        if now - self._last_event >= JSON_INTERVAL_S:
            self._last_event = now
            left = (self._total - done) / rate if rate > 0 and self._total is not None else None
            if self._output.json:
                self._output.event(
                    "progress",
                    what=self._what,
                    total=self._total,
                    seconds_left=None if left is None else round(left, 1),
                    devices={name: round(value, 1) for name, value in (devices or {}).items()},
                    **{self._unit: done, f"{self._unit}_per_second": round(rate, 1)},
                    **({"device_states": states} if states else {}),
                )

    def say(self, what: str) -> None:
        """Another text before the bar, such as that the job is paused."""
        if self._live is not None:
            self._live.update(self._tasks[""], description=what)

    def close(self) -> None:
        """Takes the bar off the screen (its last state stays as a line)."""
        if self._live is not None:
            self._live.stop()


def byte_size(count: int) -> str:
    """A number of bytes for people, in the binary unit that fits."""
    size, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{count} bytes" if unit == "bytes" else f"{size:,.2f} {unit}"


def _rate(labels_per_second: float) -> str:
    return f"{labels_per_second:,.0f} labels/s, {labels_per_second * 16 / 2**20:.2f} MiB/s"


def _state(facts: Mapping[str, object]) -> str:
    """Facts about a device, for the end of its line."""
    parts = []
    if "temperature_c" in facts:
        parts.append(f"{facts['temperature_c']:.0f} °C")
    if "errors" in facts:
        parts.append(f"{facts['errors']} error{'' if facts['errors'] == 1 else 's'}")
    if "engines_retired" in facts:
        parts.append("given up")
    return "".join(f", {part}" for part in parts)
