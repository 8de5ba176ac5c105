"""A TOML file in place of --data-dir: several directories, filled one after another on the same devices.

    directories = ["/mnt/a", { data-dir = "/mnt/b", num-units = 8, node-id = "…" }]

An entry is a path or a table of options of `smesher init`, named as on the command line; what it does not
say is taken from the command line.
"""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path
from typing import Any

from api.cli.common import memory_size
from api.edge.errors import UsageError
from api.edge.text import nearest, read_text, shown

TEXTS = ("node-id", "commitment-atx-id", "network")
NUMBERS = (
    "num-units",
    "max-file-size",
    "labels-per-unit",
    "scrypt-n",
    "min-num-units",
    "max-num-units",
    "from-file",
    "to-file",
)
PATHS = ("data-dir", "identity")
KNOWN = (*PATHS, *TEXTS, *NUMBERS)


def of(arguments: argparse.Namespace) -> list[argparse.Namespace]:
    """The options of every directory of a call; a single one unless --data-dir names a TOML file."""
    path: Path = arguments.data_dir
    if path.suffix != ".toml" or path.is_dir():
        return [arguments]
    if not path.exists():  # a slip in the name of a list would become a directory with an identity of its own
        raise UsageError(
            f"--data-dir {path} does not exist, and its name is that of a list of directories. Correct the name; for a "
            "directory of that name make it first."
        )
    try:
        document = tomllib.loads(read_text(path, "--data-dir"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read as TOML: {error}.") from None
    unknown = [key for key in document if key != "directories"]
    if unknown:
        raise UsageError(
            f"{path}, field {unknown[0]}: unknown, expected only `directories`.{nearest(unknown[0], ['directories'])}"
        )
    entries = document.get("directories")
    if not isinstance(entries, list) or not entries:
        raise UsageError(f"{path}, field directories: expected a list with at least one directory.")
    options = [_entry(arguments, entry, f"{path}, directories[{number}]") for number, entry in enumerate(entries)]
    seen: dict[Path, int] = {}
    for number, one in enumerate(options):
        place = one.data_dir.resolve()
        if place in seen:
            raise UsageError(f"{path}: directories[{seen[place]}] and [{number}] are both {place}; name each once.")
        seen[place] = number
    return options


def _size(text: str, where: str) -> int:
    try:
        return memory_size(text)
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"{where}: {error}.") from None


def _entry(arguments: argparse.Namespace, entry: Any, where: str) -> argparse.Namespace:
    table = {"data-dir": entry} if isinstance(entry, str) else entry
    if table == {"data-dir": ""}:
        raise UsageError(f"{where}: it is empty, expected the name of a directory.")
    if not isinstance(table, dict):
        raise UsageError(f"{where}: found {type(entry).__name__}, expected a path or a table of options.")
    options = argparse.Namespace(**vars(arguments))
    for key, value in table.items():
        if key not in KNOWN:
            raise UsageError(f"{where}, field {key}: unknown option.{nearest(key, KNOWN)}")
        kind = int if key in NUMBERS else str
        if key == "max-file-size" and isinstance(value, str):
            value = _size(value, f"{where}, field {key}")
        if (
            not isinstance(value, kind)
            or isinstance(value, bool)
            or value == ""
            or (isinstance(value, int) and abs(value) >> 64)
        ):
            raise UsageError(
                f"{where}, field {key}: found {shown(value)}, expected {'a whole number' if kind is int else 'a text'}."
            )
        setattr(options, key.replace("-", "_"), Path(str(value)) if key in PATHS else value)
    if "data-dir" not in table:
        raise UsageError(f"{where}: data-dir is missing.")
    if "node-id" in table and "identity" in table:
        raise UsageError(f"{where}: node-id and identity exclude each other.")
    if "node-id" in table:
        options.identity = None
    if "identity" in table:
        options.node_id = None
    return options
