"""A question of somebody outside reaches the smeshing machine, also over the end of an engine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from api.node.commitments import Commitments
from node.contract.checks import NetworkChecker
from node.contract.demands import ChooseCommitment, Demand, Failed
from node.contract.effects import Reply
from node.contract.inputs import Asked
from node.contract.instants import Instant
from node.contract.machine import Machine
from node.contract.steps import Step
from node.engine.engine import Engine
from node.store.memory import MemoryBackend
from node.store.view import View
from protocol.numbers.durations import SECOND
from protocol.types.ids import AtxId, NodeId
from tests.support.node_stores import stores_over

ME, OTHER = NodeId(b"m" * 32), NodeId(b"o" * 32)
CHOSEN = AtxId(b"c" * 32)


class Chooser(Machine):
    """Serves what the smeshing machine serves."""

    name = "chooser"
    serves: ClassVar[Sequence[type[Demand]]] = (ChooseCommitment,)

    def __init__(self, result: bytes | Failed | None) -> None:
        self.result = result
        self.asked: list[NodeId] = []

    def serve(self, asked: Asked, view: View, now: Instant) -> Step:
        assert isinstance(asked.demand, ChooseCommitment)
        self.asked.append(asked.demand.identity)
        return Step() if self.result is None else Step(effects=[Reply(asked.id, self.result)])


def run(test: Callable[[Commitments], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(30):
            await test(Commitments())

    asyncio.run(main())


def life(commitments: Commitments, chooser: Chooser) -> Engine:
    engine = Engine(
        [chooser, commitments.machine()], stores_over((MemoryBackend(), MemoryBackend())), NetworkChecker(bytes(20))
    )
    engine.start(Instant(0))
    return engine


async def asking(commitments: Commitments, identity: NodeId = ME) -> asyncio.Task[AtxId]:
    task = asyncio.ensure_future(commitments.choose(identity))
    await asyncio.sleep(0)
    return task


def test_it_is_asked_once_and_told_to_all() -> None:
    async def test(commitments: Commitments) -> None:
        chooser = Chooser(CHOSEN)
        engine = life(commitments, chooser)
        engine.turn([], Instant(SECOND))
        assert chooser.asked == []
        tasks = [await asking(commitments), await asking(commitments), await asking(commitments, OTHER)]
        engine.turn([], Instant(2 * SECOND))
        assert [await task for task in tasks] == [CHOSEN, CHOSEN, CHOSEN]
        assert sorted(chooser.asked) == [ME, OTHER]
        engine.turn([], Instant(3 * SECOND))
        assert len(chooser.asked) == 2

    run(test)


def test_what_failed_is_asked_again_and_who_left_is_not_asked_for() -> None:
    async def test(commitments: Commitments) -> None:
        chooser = Chooser(Failed("no_data"))
        engine = life(commitments, chooser)
        task = await asking(commitments)
        engine.turn([], Instant(SECOND))
        engine.turn([], Instant(2 * SECOND))
        assert chooser.asked == [ME, ME] and not task.done()
        task.cancel()
        await asyncio.wait([task])
        engine.turn([], Instant(3 * SECOND))
        assert len(chooser.asked) == 2 and commitments.wanted() == []

    run(test)


def test_a_new_engine_asks_what_the_old_one_did_not_answer() -> None:
    async def test(commitments: Commitments) -> None:
        silent = life(commitments, Chooser(None))
        task = await asking(commitments)
        silent.turn([], Instant(SECOND))
        assert not task.done()
        life(commitments, Chooser(CHOSEN)).turn([], Instant(0))
        assert await task == CHOSEN

    run(test)
