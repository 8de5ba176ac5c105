"""What a command says: rich text for people, or one JSON object a line for machines.

Results go to standard output, progress and errors to standard error; with `--json` everything goes to
standard output as events. rich is imported when something is drawn or coloured: neither for `--help` nor into a pipe.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, TextIO

from api.edge.errors import EXIT_INTERRUPTED
from api.edge.text import quoted

from .progress import Progress

if TYPE_CHECKING:
    from rich.console import Console

_MOVES = dict.fromkeys(map(ord, "\a\b\v\f\r"))
_LEAD = re.compile(r"(\s*)(?:\[([a-z ]+)\](.*?)\[/\])?(.*)", re.DOTALL)


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
            indent, style, lead, rest = _LEAD.fullmatch(text).groups("")  # type: ignore[union-attr]
            if self._plainly("console", sys.stdout):
                sys.stdout.write(f"{_clean(indent + lead + rest)}\n")
                return
            from rich.text import Text

            self.console.print(Text.assemble(indent, (lead, style), rest))

    def show(self, renderable: object) -> None:
        """A table or panel for people; nothing with `--json`. What does not fit is folded, never cut."""
        if not self.json:
            for column in getattr(renderable, "columns", ()):
                column.overflow = "fold"
            self.console.print(renderable)

    def facts(self, rows: Sequence[tuple[str, object]], *, aside: bool = False) -> None:
        """Names with values for people, a line each; nothing with `--json`.

        Values are printed whole, however narrow the terminal: it wraps them, and they can be copied. aside: to
        standard error, where the output is for somebody else.
        """
        if not self.json:
            from rich.text import Text

            console = self.errors if aside else self.console
            width = max((len(name) for name, _ in rows), default=0)
            for name, value in rows:
                for number, line in enumerate(str(value).split("\n")):
                    shown = name if number == 0 else ""
                    console.print(Text.assemble((f"{shown:<{width}}", "dim"), "  ", line))

    def next(self, *words: object, then: str = "") -> None:
        """The command that a person will want next, quoted for a shell; `then` says what it does."""
        self.say(f"      next: {command(*words)}{f'   ({then})' if then else ''}")

    def note(self, text: str) -> None:
        """Something worth knowing on the way: standard error, or a `note` event."""
        if self.json:
            self.event("note", message=text)
        elif "errors" not in self.__dict__:  # nothing is drawn there that a line could come between
            sys.stderr.write(f"{_clean(text)}\n")
        else:
            from rich.text import Text

            self.errors.print(Text(text))

    def _plainly(self, console: str, stream: TextIO) -> bool:
        """Whether a line for people goes out without colours, so that rich need not be loaded: it takes a while."""
        return console not in self.__dict__ and not stream.isatty() and not os.environ.get("FORCE_COLOR")

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
    def progress(self, what: str, total: int | None, *, unit: str = "labels") -> Iterator[Progress]:
        """A bar with what is done of the unit, rate, time left and one line a device."""
        bar = Progress(self, what, total, unit=unit)
        try:
            yield bar
        finally:
            bar.close()


def _clean(text: str) -> str:
    """Without what would move a terminal's cursor; as rich does it."""
    return text.translate(_MOVES)


def command(*words: object) -> str:
    """A command line of ours as a shell takes it."""
    return " ".join(("smesher", *(quoted(word) for word in words)))
