"""The picture of imports by room in docs/architecture.md, and circles between files. Run by `make map`.

A room is a package below a floor (`protocol.types`); a module that stands in a floor itself belongs to no room. An
arrow is left out where other arrows lead from its start to its end anyway, so that the picture can be read.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import grimp

FLOORS = ("api", "node", "prover", "protocol", "kernels")
"""From the top down."""

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "architecture.md"
BEGIN, END = "<!-- map: made by `make map` -->", "<!-- end of map -->"

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


def with_section(document: str, made: str) -> str:
    """The document with the picture in its place. Raises ValueError where the markers are missing."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the lines {BEGIN!r} and {END!r} have to be in the document")
    return before + made + after


def main(words: Iterable[str]) -> int:
    """Writes the picture; tells circles between files, which make the exit code 1."""
    if list(words):
        print("usage: python tools/make_map.py", file=sys.stderr)
        return 2
    imports = files()
    DOCUMENT.write_text(with_section(DOCUMENT.read_text(encoding="utf-8"), section(imports)), encoding="utf-8")
    found = circles(imports)
    for group in found:
        print("circle: " + ", ".join(group))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
