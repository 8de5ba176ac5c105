"""Commands of several words: `smesher wallet create`, `smesher tx spend`.

One table of words serves help, dispatch and the page of commands.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .output import Output


@dataclass(frozen=True, slots=True)
class Word:
    """A word after the command: its options, what it does, and that in one line."""

    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Output], int]
    summary: str


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
