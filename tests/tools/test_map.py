"""The picture of imports in docs/architecture.md is that of the code, and no files import each other in a circle."""

from __future__ import annotations

import pytest

from tests.support.cli import ROOT
from tools import make_map
from tools.make_map import Graph, circles, mermaid, reduced, rooms, with_section


@pytest.fixture(scope="module")
def imports() -> Graph:
    return make_map.files()


def test_the_picture_is_that_of_the_code(imports: Graph) -> None:
    document = make_map.DOCUMENT.read_text(encoding="utf-8")
    assert make_map.renewed(document, imports) == document, "run `make map`"


def test_no_files_import_each_other_in_a_circle(imports: Graph) -> None:
    assert circles(imports) == []


def test_a_long_file_says_why() -> None:
    """Beyond 400 lines a module usually hides two."""
    floors = ("kernels", "protocol", "prover", "node", "api")
    files = [file for floor in floors for file in (ROOT / floor).rglob("*.py") if file.parent.name != "pb"]
    long = [file for file in files if len((text := file.read_text()).splitlines()) > 400 and "400 lines, " not in text]
    assert [str(file.relative_to(ROOT)) for file in long if "pb" not in file.parts] == []


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": {"e"}, "e": {"d"}, "f": {"f", "a"}}
    assert circles(graph) == [("a", "b", "c"), ("d", "e")]
    assert circles({"a": {"b", "c"}, "b": {"c"}}) == []


def test_arrows_that_a_longer_way_replaces_are_left_out() -> None:
    assert reduced({"a": {"b", "c", "d"}, "b": {"c"}, "c": {"d"}}) == {"a": {"b"}, "b": {"c"}, "c": {"d"}}
    circle = {"a": {"b"}, "b": {"a", "c"}, "c": set[str]()}
    assert reduced(circle) == circle


def test_modules_are_drawn_by_their_room() -> None:
    graph = {
        "api.cli.main": {"protocol.types.ids", "protocol.errors", "api.cli.output"},
        "api.cli": set[str](),
        "api.cli.output": set[str](),
        "protocol.types": set[str](),
        "protocol.types.ids": {"protocol.errors"},
        "protocol.errors": set[str](),
    }
    assert rooms(graph) == {"api.cli": {"protocol.types"}, "protocol.types": set()}
    assert "    api.cli --> protocol.types" in mermaid(rooms(graph)).splitlines()


def test_a_document_without_a_place_for_the_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="have to be in the document"):
        with_section("nothing", "begin\nend")
