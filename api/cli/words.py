"""Commands of several words: `smesher wallet create`, `smesher tx spend`.

One table of words serves help, dispatch and the page of commands.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .output import Output


@dataclass(frozen=True, slots=True)
class Word:
    """A word after the command: its options, what it does, and that in one line."""

    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Output], int]
    summary: str


def take_words(parser: argparse.ArgumentParser) -> None:
    """Makes a parser hand over every word as it is, as `words`: for programs whose command line is another program's.

    `json` is whether --json is among them.
    """
    parser.set_defaults(words=())

    def parse_known_args(
        words: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        found = namespace or argparse.Namespace()
        found.words = list(words or ())
        found.json = "--json" in found.words
        return found, []

    parser.parse_known_args = parse_known_args  # type: ignore[method-assign, assignment]


def add_words(parser: argparse.ArgumentParser, words: Mapping[str, Word]) -> None:
    """Give a command its words."""
    inner = parser.add_subparsers(dest="word", metavar="WORD", title="words", required=True)
    for name, word in words.items():
        sub = inner.add_parser(
            name,
            help=word.summary,
            description=word.summary[0].upper() + word.summary[1:] + ".",
            allow_abbrev=False,
        )
        word.add_arguments(sub)
        # SUPPRESS: what stands before the word must not be forgotten
        sub.add_argument(
            "--json",
            action="store_true",
            default=argparse.SUPPRESS,
            help="one JSON object a line on standard output",
        )
