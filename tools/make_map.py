"""The picture of imports by room and the table of rooms in docs/architecture.md, and circles between files.

Run by `make map`. The line of a room in the table is the first paragraph of its docstring.

A room is a package below a floor (`protocol.types`); a module that stands in a floor itself belongs to no room. An
arrow is left out where other arrows lead from its start to its end anyway, so that the picture can be read.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import grimp

FLOORS = ("api", "node", "prover", "protocol", "kernels")
"""From the top down."""

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "architecture.md"
BEGIN, END = "<!-- map: made by `make map` -->", "<!-- end of map -->"
TABLE_BEGIN, TABLE_END = "<!-- rooms: made by `make map` -->", "<!-- end of rooms -->"
ROOT = DOCUMENT.parents[1]

Graph = Mapping[str, set[str]]
"""What each node points at."""


def files() -> Graph:
    """Which module imports which, of all floors."""
    graph = grimp.build_graph(*FLOORS)
    return {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}


def rooms(imports: Graph) -> Graph:
    """Which room imports which."""
    found: dict[str, set[str]] = {}
    for module, imported in imports.items():
        if (room := room_of(module, imports)) is not None:
            others = {room_of(one, imports) for one in imported} - {None, room}
            found.setdefault(room, set()).update(other for other in others if other is not None)
    return found


def room_of(module: str, imports: Graph) -> str | None:
    """The room that a module stands in; None for one of a floor itself."""
    room = ".".join(module.split(".")[:2])
    is_package = any(other.startswith(room + ".") for other in imports)
    return room if room.count(".") and is_package else None


def circles(graph: Graph) -> list[tuple[str, ...]]:
    """Groups of nodes of which each leads to each other, by Tarjan's algorithm."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[tuple[str, ...]] = []

    def visit(node: str) -> None:
        number[node] = lowest[node] = len(number)
        stack.append(node)
        for following in graph.get(node, ()):
            if following not in number:
                visit(following)
                lowest[node] = min(lowest[node], lowest[following])
            elif following in stack:
                lowest[node] = min(lowest[node], number[following])
        if lowest[node] == number[node]:
            place = stack.index(node)
            group = tuple(sorted(stack[place:]))
            del stack[place:]
            if len(group) > 1:
                found.append(group)

    for node in sorted(graph):
        if node not in number:
            visit(node)
    return sorted(found)


def reduced(graph: Graph) -> Graph:
    """The graph without arrows that a way over other nodes replaces; arrows within a circle stay."""
    together = {node: group for group in circles(graph) for node in group}

    def leads(start: str, goal: str) -> bool:
        """Whether a way of two arrows or more leads there."""
        seen: set[str] = set()
        left = [one for one in graph[start] if one != goal]
        while left:
            node = left.pop()
            if goal in graph.get(node, ()):
                return True
            if node not in seen:
                seen.add(node)
                left += [one for one in graph.get(node, ()) if one != start]
        return False

    def stays(start: str, goal: str) -> bool:
        return goal in together.get(start, ()) or not leads(start, goal)

    return {start: {goal for goal in goals if stays(start, goal)} for start, goals in graph.items()}


def mermaid(graph: Graph) -> str:
    """The picture: a box a floor, a node a room."""
    every = sorted({*graph, *(goal for goals in graph.values() for goal in goals)})
    lines = ["```mermaid", "flowchart TD"]
    for floor in FLOORS:
        lines.append(f"    subgraph {floor}")
        lines += [f"        {node}[{node.partition('.')[2]}]" for node in every if node.startswith(floor + ".")]
        lines.append("    end")
    for start in sorted(graph):
        lines += [f"    {start} --> {goal}" for goal in sorted(graph[start])]
    return "\n".join([*lines, "```"])


def section(imports: Graph) -> str:
    """What stands between the markers."""
    return f"{BEGIN}\n{mermaid(reduced(rooms(imports)))}\n{END}"


def table() -> str:
    """Every package with what it is for and the modules in it, a table a floor."""
    lines = [TABLE_BEGIN]
    for floor in reversed(FLOORS):
        lines += ["", f"**`{floor}/`** {_first_words(ROOT / floor / '__init__.py')}", "", "| Room | Holds | Modules |"]
        lines.append("|---|---|---|")
        alone = _modules(ROOT / floor)
        if alone:
            lines.append(f"| – | what all rooms of this floor stand on | {alone} |")
        for package in sorted(ROOT.glob(f"{floor}/**/__init__.py")):
            room = package.parent.relative_to(ROOT)
            if len(room.parts) > 1 and room.parts[:2] != ("protocol", "pb"):
                lines.append(f"| `{room.as_posix()}` | {_first_words(package)} | {_modules(package.parent)} |")
    return "\n".join([*lines, "", TABLE_END])


def _modules(package: Path) -> str:
    return ", ".join(f"`{one.stem}`" for one in sorted(package.glob("*.py")) if one.stem != "__init__")


def _first_words(package: Path) -> str:
    text = ast.get_docstring(ast.parse(package.read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split())


def with_section(document: str, made: str) -> str:
    """The document with what was made between its first and last line. Raises ValueError where those are missing."""
    begin_line, end_line = made.splitlines()[0], made.splitlines()[-1]
    before, begin, rest = document.partition(begin_line)
    _, end, after = rest.partition(end_line)
    if not begin or not end:
        raise ValueError(f"the lines {begin_line!r} and {end_line!r} have to be in the document")
    return before + made + after


def renewed(document: str, imports: Graph) -> str:
    """The document with both in their places."""
    return with_section(with_section(document, section(imports)), table())


def main(words: Iterable[str]) -> int:
    """Writes the picture and the table; tells circles between files, which make the exit code 1."""
    if list(words):
        print("usage: python tools/make_map.py", file=sys.stderr)
        return 2
    imports = files()
    DOCUMENT.write_text(renewed(DOCUMENT.read_text(encoding="utf-8"), imports), encoding="utf-8")
    found = circles(imports)
    for group in found:
        print("circle: " + ", ".join(group))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
