"""Writes docs/reference/commands.md from the commands' own definitions; `--check` only compares.

python tools/make_reference.py [--check]
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "reference" / "commands.md"
HEAD = """\
# Commands

Made by `python tools/make_reference.py` from the commands themselves; `smesher COMMAND --help` shows the same.

Every command takes `--json`: one JSON object a line on standard output, the last one an event `done` or `error`
(`{"event":"error","code":…,"message":…}`). Exit codes: 0 done, 1 the answer is no (data damaged, refused, locked),
2 usage or input, 3 environment (disk full, permission, no such device), 130 interrupted and resumable.
"""


def reference() -> str:
    """The text of the page. Written from the options themselves: argparse's own layout differs between releases."""
    from api.cli.main import COMMANDS, build_parser

    parts = [HEAD]
    for command in COMMANDS:
        sub = _subparser(build_parser(command), command.name)
        parts.append(f"## smesher {command.name}\n\n{sub.description}\n\n" + _options(sub))
        if command.name == "poet":
            parts.append(_poet())
        if command.name == "node":
            parts.append(_node())
        for word, inner in _words(sub).items():
            parts.append(f"### smesher {command.name} {word}\n\n{inner.description}\n\n" + _options(inner))
        if sub.epilog:
            parts.append(f"```text\n{sub.epilog.rstrip()}\n```\n")
    return "\n".join(parts)


def _options(parser: argparse.ArgumentParser) -> str:
    rows = []
    for action in parser._actions:
        if isinstance(action, (argparse._HelpAction, argparse._SubParsersAction)):
            continue
        value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
        name = ", ".join(action.option_strings) + value if action.option_strings else value.strip()
        meaning = _meaning(parser, action)
        repeatable = isinstance(action, argparse._AppendAction) and "repeatable" not in meaning
        rows.append((name, f"{meaning} (repeatable)" if repeatable else meaning))
    return _table(rows)


def _meaning(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """What help says of an option, as help shows it."""
    if not action.help:
        raise SystemExit(f"{parser.prog}: {action.option_strings or action.dest} has no help")
    return parser._get_formatter()._expand_help(action)


def _poet() -> str:
    """The settings of the PoET server, whose command line is read by its own definitions, and its tools."""
    from api.cli.main import Parser
    from api.cli.poet.serve import TOOLS
    from api.services.poet.options import GROUPS, SETTINGS

    parts = []
    for group in GROUPS:
        rows = []
        for one in SETTINGS:
            if one.group == group:
                rows.append((one.shown_flag if one.kind.switch else f"{one.shown_flag} VALUE", one.meaning()))
        parts.append(f"**{group}**\n\n" + _table(rows))
    for name, tool in TOOLS.items():
        parser = Parser(prog=f"smesher poet {name}")
        getattr(importlib.import_module(tool.module), tool.arguments)(parser)
        parts.append(f"### smesher poet {name}\n\n{tool.summary[0].upper()}{tool.summary[1:]}.\n\n" + _options(parser))
    return "\n".join(parts)


def _node() -> str:
    """The flags of a node, whose command line is read by the definitions of its settings."""
    from api.cli.node.run import groups

    return "\n".join(
        f"**{group}**\n\n" + _table([(name.rstrip("="), text) for name, text in rows]) for group, rows in groups()
    )


def _table(rows: list[tuple[str, str]]) -> str:
    lines = ["| option | meaning |", "|---|---|", *(f"| `{name}` | {_cell(meaning)} |" for name, meaning in rows)]
    return "\n".join(lines) + "\n"


def _words(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The words of a command of several words."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _subparser(parser: argparse.ArgumentParser, name: str) -> argparse.ArgumentParser:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found = action.choices[name]
            assert isinstance(found, argparse.ArgumentParser)
            return found
    raise AssertionError("the command line has commands")


def main() -> int:
    """Writes the page, or with --check returns 1 when it is not current."""
    text = reference()
    if "--check" in sys.argv[1:]:
        return 0 if TARGET.is_file() and TARGET.read_text() == text else 1
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    raise SystemExit(main())
