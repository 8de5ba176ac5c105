"""`smesher db size` and `smesher db compact`: how much room a node's stores take, table by table, and less of it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from api.cli import common
from api.cli.output import Output
from api.cli.units import byte_size
from api.edge.errors import EnvironmentFault, UsageError
from node.schema import SCHEMAS
from node.store.keys import successor
from node.store.marker import marker_of

if TYPE_CHECKING:
    from node.store.level import LevelBackend


def dir_argument(parser: argparse.ArgumentParser) -> None:
    """The data directory."""
    parser.add_argument("dir", type=common.path, metavar="DIR", help="the data directory of a node that is stopped")


def size(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0: told; 1: damaged or in use; 2: there is no store."""
    for path in _stores(arguments.dir):
        with _opened(path) as backend:
            spaces = {
                space.name: backend.size_of(space.prefix, successor(space.prefix) or b"")
                for space in SCHEMAS[path.name].spaces()
            }
        total = _bytes_of(path)
        output.event("store", path=str(path), bytes=total, spaces=spaces)
        output.say(f"[bold]{path}[/]  {byte_size(total)}")
        largest = sorted(spaces.items(), key=lambda one: (-one[1], one[0]))
        output.facts([(f"  {name}", byte_size(count)) for name, count in largest if count])
    return 0


def compact(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0: done; 1: damaged or in use; 2: there is no store; 3: there is no room for it."""
    import shutil

    for path in _stores(arguments.dir):
        before = _bytes_of(path)
        free = shutil.disk_usage(path).free
        if free < before:
            raise EnvironmentFault(
                f"The disk of {path} has {byte_size(free)} left, but while the store is written anew as much as it has "
                f"now may be needed, {byte_size(before)}. Make room first."
            )
        with output.progress(f"compacting {path.name}", None, unit="bytes"), _opened(path) as backend:
            backend.compact()
        after = _bytes_of(path)
        output.event("store", path=str(path), bytes_before=before, bytes=after)
        output.say(f"[bold green]done[/]  {path}: {byte_size(before)} before, {byte_size(after)} now")
    return 0


def _stores(directory: Path) -> list[Path]:
    found = [path for name in SCHEMAS if marker_of(path := directory / name).is_file()]
    if not found:
        raise UsageError(f"{directory} holds no store of a node. Name the data directory of one.")
    return found


@contextmanager
def _opened(path: Path) -> Iterator[LevelBackend]:
    """A store of a known schema. Raises StoreFault and below."""
    from node.store.level import LevelBackend  # the store loads much; help needs none of it
    from node.store.own import OwnStore
    from node.store.store import Store

    backend = LevelBackend.open(path, path.name)
    try:
        schema = SCHEMAS[path.name]
        (OwnStore if schema.tables[0].is_own else Store)(schema, backend)
        yield backend
    finally:
        backend.close()


def _bytes_of(path: Path) -> int:
    return sum(one.stat().st_size for one in path.iterdir() if one.is_file())
