"""A program's settings as options of a command: help, reference and reading from the one definition of each."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from api.config.errors import BadValue
from api.config.settings import Setting
from api.edge.text import shown


def add_settings(parser: argparse.ArgumentParser, settings: Iterable[Setting], metavars: Mapping[str, str]) -> None:
    """Give a command an option for every setting, under the headings of their groups.

    metavars: by path, what stands for the value in help; else what kind of value it is.
    """
    groups: dict[str, argparse._ActionsContainer] = {"": parser}
    for one in settings:
        if one.group not in groups:
            groups[one.group] = parser.add_argument_group(one.group)
        names = [f"-{one.short}"] if one.short else []
        names += [f"--{one.flag}"] if one.flag else []
        more: dict[str, Any] = {"dest": one.attribute, "help": one.meaning().replace("%", "%%")}
        if one.kind.switch:
            more["action"] = "store_true"
        else:
            more |= {"metavar": metavars.get(one.path, "VALUE"), "type": reader(one), "default": one.default}
            if one.kind.appends:
                more |= {"action": "append", "default": None}
        groups[one.group].add_argument(*names, **more)


def reader(setting: Setting) -> Callable[[str], Any]:
    """argparse type: the value of a text."""

    def read(text: str) -> Any:
        try:
            return setting.kind.from_text(text)
        except BadValue as error:
            why = f" ({str(error).removesuffix('.')})" if str(error) else ""
            raise argparse.ArgumentTypeError(f"found {shown(text)}, expected {setting.kind.expected}{why}") from None

    return read


def given(arguments: argparse.Namespace, settings: Iterable[Setting]) -> dict[str, Any]:
    """Path to value; lists that were given several times are one."""
    found: dict[str, Any] = {}
    for one in settings:
        value = getattr(arguments, one.attribute)
        if one.kind.appends:
            value = tuple(item for part in value or (one.default or (),) for item in part)
        found[one.path] = value
    return found


def told(values: Mapping[str, Any], settings: Iterable[Setting]) -> dict[str, object]:
    """What a log says of the values: those that are not at their default, secrets left out."""
    return {
        one.flag or one.short: one.kind.to_file(values[one.path])
        for one in settings
        if not one.secret and values[one.path] not in (None, one.default, (), ())
    }
