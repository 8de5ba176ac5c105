"""No circle among the files of this floor, and what its types know: what moves a room finds out here."""

from __future__ import annotations

import ast
from pathlib import Path

import kernels

ROOT = Path(kernels.__file__).parent.parent
FILES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in (ROOT / "kernels").rglob("*.py")
}


def imported(module: str, everywhere: bool) -> set[str]:
    """Modules of this floor that one imports when it is loaded, or anywhere in it."""
    tree = ast.parse(FILES[module].read_text())
    package = module if FILES[module].name == "__init__.py" else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("kernels")):
            base = ".".join(filter(None, [package if node.level else "", node.module or ""]))
            found |= {f"{base}.{name.name}" for name in node.names} | {base}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return {name for name in found if name in FILES and FILES[name].name != "__init__.py"} - {module}


def circles(everywhere: bool) -> list[list[str]]:
    graph = {module: imported(module, everywhere) for module in FILES}
    found: list[list[str]] = []
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> None:
        if module in path:
            found.append([*path[path.index(module) :], module])
        elif module not in done:
            for other in sorted(graph[module]):
                visit(other, [*path, module])
            done.add(module)

    for module in sorted(graph):
        visit(module, [])
    return found


def test_no_file_needs_itself_to_be_loaded() -> None:
    assert circles(everywhere=False) == []


def test_no_circle_hides_in_a_function() -> None:
    """An import in a function is for speed; where it breaks a circle, the circle is still there for a reader."""
    assert circles(everywhere=True) == []


def test_the_types_of_devices_know_the_errors_alone() -> None:
    assert imported("kernels.devices.types", everywhere=True) == {"kernels.errors"}


def test_a_file_of_more_than_400_lines_says_why() -> None:
    long = {name: file for name, file in FILES.items() if len(file.read_text().splitlines()) > 400}
    assert [name for name, file in long.items() if "More than 400 lines" not in file.read_text()] == []
