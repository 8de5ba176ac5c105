"""Random requests to every service of a node: a short run of `tests.fuzz.node_services`."""

from __future__ import annotations

import pytest

from tests.fuzz import node_services


def test_each_is_answered_or_refused() -> None:
    answered = {name: count for name, count, _ in node_services.fuzz(40, seed=3)}
    lists = [name for name in answered if name.endswith((".List", ".Stream"))]
    assert len(lists) > 20 and all(answered[name] for name in lists), "requests that mean something are among them"


def test_an_epoch_beyond_the_last_layer() -> None:
    """A find: the first layer of such an epoch cannot be computed."""
    assert [count for _, count, _ in node_services.fuzz(300, seed=1, only="DebugService.ActiveSet")]


def test_what_is_neither_answered_nor_refused_is_a_find(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(descriptor: object, method: object, request: object) -> bool:
        raise KeyError("x")

    monkeypatch.setattr(node_services, "asked", broken)
    with pytest.raises(node_services.Found, match="KeyError"):
        list(node_services.fuzz(1, seed=1, only="Highest"))
    assert node_services.main(["--cases", "1", "--only", "Highest"]) == 1
