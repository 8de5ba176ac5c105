"""A node put together on real stores: how it starts, what it answers, how it ends, and what a next start finds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from api.edge.errors import EnvironmentFault
from api.edge.rpc import Failed, Status
from api.node.composition import Composition, NoDocuments
from api.node.data_directory import LEAST_ROOM
from api.node.room import LEAST_TO_GO_ON, LOOKS_EVERY_S, Room
from api.node.site import open_stores
from node.contract.demands import BootstrapDocument, Result
from node.contract.demands import Failed as NotMet
from node.mempool import transactions
from node.mempool.tables import TRANSACTIONS
from node.runtime.clock import SetClock
from node.store.errors import StoreFault, StoreRefused
from protocol.types.ids import EpochId
from protocol.types.transactions import RawTx

from .standalone_node import GENESIS, NoListeners, composed, prepared_in, wallet_of


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Composition]:
    """A node that has started."""
    with prepared_in(folder) as found:
        node = composed(found, SetClock(GENESIS.unix_ns))
        await node.start()
        try:
            await node.backend.ask(lambda rooms, view: None)
            yield node
        finally:
            await node.stop()


def test_what_is_acknowledged_is_there_after_the_next_start(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as node:
            raw = wallet_of(node.prepared.config).spawn()
            assert (await node.backend.submit(raw)).is_accepted
        async with running(tmp_path) as node:
            with node.backend.view() as view:
                assert transactions.has(view, RawTx.of(raw).id, with_header=True)

    asyncio.run(main())


def test_its_facts_and_questions_are_those_of_its_engine(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as node:
            assert await node.backend.ask(lambda rooms, view: rooms.mesh.latest) == node.backend.facts.latest
            assert node.backend.now() == GENESIS.unix_ns
            assert node.backend.parameters.time.effective_genesis == node.backend.facts.applied

    asyncio.run(main())


def test_a_stopped_node_answers_nobody_and_lets_go_of_its_stores(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as node:
            pass
        with pytest.raises(Failed) as failed:
            await node.backend.submit(b"")
        assert failed.value.status is Status.UNAVAILABLE
        open_stores(node.prepared.data).close()

    asyncio.run(main())


def test_listeners_that_cannot_open_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(self: NoListeners) -> None:
        raise EnvironmentFault("The port is taken.")

    async def main() -> None:
        with prepared_in(tmp_path) as found:
            monkeypatch.setattr(NoListeners, "start", refuse)
            node = composed(found, SetClock(GENESIS.unix_ns))
            with pytest.raises(EnvironmentFault):
                await node.start()
            open_stores(found.data).close()

    asyncio.run(main())


def test_listeners_are_open_before_the_engine_has_started(tmp_path: Path) -> None:
    async def main() -> None:
        made: list[NoListeners] = []
        with prepared_in(tmp_path) as found:
            node = composed(found, SetClock(GENESIS.unix_ns), made)
            seen: list[object] = []
            start = NoListeners.start

            async def watch() -> None:
                seen.append(node.driver.phase.value)
                with node.backend.view() as view:
                    seen.append(list(view.keys(TRANSACTIONS)))
                await start(made[0])

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(NoListeners, "start", lambda self: watch())
                await node.start()
            await node.stop()
            assert seen == ["starting", []]
            assert not made[0].is_open

    asyncio.run(main())


def test_a_store_that_fails_ends_the_node_with_its_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = StoreFault("The disk is gone.")

    def fail(*anything: object) -> None:
        raise fault

    async def main() -> None:
        async with running(tmp_path) as node:
            monkeypatch.setattr(node.site.stores, "write", fail)
            with pytest.raises(Failed):
                await asyncio.wait_for(node.backend.submit(wallet_of(node.prepared.config).spawn()), 10)
            assert await asyncio.wait_for(node.ended, 10) is fault

    asyncio.run(main())


def test_a_second_node_on_the_same_stores_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as node:
            with pytest.raises(StoreRefused):
                open_stores(node.prepared.data)

    asyncio.run(main())


def test_where_nothing_is_published_no_document_is_found() -> None:
    told: list[tuple[int, Result]] = []
    NoDocuments(lambda call, result: told.append((call, result))).document(7, BootstrapDocument(EpochId(2)))
    assert told == [(7, NotMet("not_found", "This network publishes no documents."))]


def test_room_is_too_little_until_there_is_as_much_as_a_start_asks_for(tmp_path: Path) -> None:
    free, now = [LEAST_ROOM], [0.0]
    room = Room(tmp_path, lambda path: free[0], lambda: now[0])
    found = []
    for has in (LEAST_ROOM, LEAST_TO_GO_ON, LEAST_TO_GO_ON - 1, LEAST_TO_GO_ON, LEAST_ROOM - 1, LEAST_ROOM):
        free[0] = has
        now[0] += LOOKS_EVERY_S
        found.append(room())
        free[0] = 0
        assert room() is found[-1]  # it is asked twice a second at most
    assert found == [True, True, False, False, False, True]
