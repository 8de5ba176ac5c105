"""Random requests to the routes and listeners of a node: a short run of `tests.fuzz.node_edge`."""

from __future__ import annotations

import pytest

from tests.fuzz import node_edge


def test_each_route_answers_or_refuses() -> None:
    answered = {name: count for name, count, _ in node_edge.routes(40, seed=3)}
    assert len(answered) > 50
    lists = [name for name in answered if name.endswith("/List")]
    assert len(lists) > 10 and all(answered[name] for name in lists), "requests that mean something are among them"
    assert not any(answered[name] for name in answered if "Stream" in name)


def test_damaged_calls_end_no_listener() -> None:
    answered = {name: count for name, count, _ in node_edge.sockets(40, seed=5)}
    assert list(answered) == ["gRPC public", "gRPC private", "gRPC post", "JSON"]
    assert answered["gRPC public"] and answered["JSON"]


def test_a_mistake_is_a_find(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: object) -> bool:
        raise node_edge.Found("a mistake")

    monkeypatch.setattr(node_edge, "judge", broken)
    with pytest.raises(node_edge.Found, match="a mistake"):
        list(node_edge.routes(1, seed=1, only="node/echo"))
    assert node_edge.main(["--cases", "1", "--only", "node/echo"]) == 1
