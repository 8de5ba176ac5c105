"""Lists that begin far behind their first row: the same rows, and nobody else waits for them."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from api.services.node.v2 import far
from api.services.node.v2.far import AT_ONCE, FAR, FarPage, GivenUp
from api.services.node.v2.package import V2ALPHA1
from api.services.node.v2.services import SERVICES
from node.queries.pages import Page

from .served import Node

LISTS = ("Account", "Activation", "Layer", "Reward", "Transaction")


@pytest.mark.parametrize("name", LISTS)
def test_a_far_page_has_the_rows_of_a_near_one(recorded: Node, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    near = list(recorded.walk(f"{name}Service.List", 7))
    monkeypatch.setattr(far, "FAR", 0)
    assert list(recorded.walk(f"{name}Service.List", 7)) == near


@pytest.mark.parametrize("offset", (0, 1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE + 5, 10 * AT_ONCE))
def test_pages_are_the_same_whatever_the_way(offset: int) -> None:
    rows = range(4 * AT_ONCE)
    for limit in (0, 5, None):
        assert list(FarPage(offset, limit).of(rows)) == list(Page(offset, limit).of(rows))


def test_others_are_served_meanwhile_and_far_pages_come_one_after_another(recorded: Node) -> None:
    backend: Any = recorded.backend
    begun, may_end = threading.Event(), threading.Event()
    log: list[str] = []

    def slow(view: object, page: Page) -> str:
        log.append("begun")
        begun.set()
        assert may_end.wait(10), "nobody lets it end"
        return "slow"

    def quick(view: object, page: Page) -> str:
        log.append("second")
        return "quick"

    async def clients() -> None:
        first = asyncio.ensure_future(far.read(backend, Page(FAR + 1, 1), slow))
        await asyncio.to_thread(begun.wait, 10)
        second = asyncio.ensure_future(far.read(backend, Page(FAR + 1, 1), quick))
        call = SERVICES["LayerService"](backend, V2ALPHA1)["List"]
        layers: Any = await call(V2ALPHA1.LayerRequest(limit=2))  # type: ignore[misc]
        assert len(layers.layers) == 2 and log == ["begun"]
        may_end.set()
        assert (await first, await second) == ("slow", "quick")

    recorded.run(clients())


def test_it_is_given_up_with_its_client(recorded: Node) -> None:
    backend: Any = recorded.backend
    begun, ended = threading.Event(), threading.Event()

    def endless(view: object, page: Page) -> None:
        def rows() -> Any:
            while True:
                begun.set()
                yield 0

        with pytest.raises(GivenUp):
            list(page.of(rows()))
        ended.set()

    async def leaves() -> None:
        call = asyncio.ensure_future(far.read(backend, Page(1 << 60, 1), endless))
        await asyncio.to_thread(begun.wait, 10)
        call.cancel()
        await asyncio.wait([call])
        assert await asyncio.to_thread(ended.wait, 10)

    recorded.run(leaves())
