"""Who hears of what: order, bounds, what came before, other threads, and who hears of nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from api.services.node.bus import RECENT, Bus, TooSlow
from api.services.node.events import (
    AccountChanged,
    AtxAdded,
    LayerStatus,
    LayerUpdated,
    StatusChanged,
    UserEvent,
)
from protocol.pb.spacemesh.v1 import admin_types_pb2
from protocol.types.ids import Address, AtxId, LayerId

WAIT_S = 60.0


def run(test: Callable[[Bus], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(WAIT_S):
            await test(Bus(asyncio.get_running_loop()))

    asyncio.run(main())


def layer(number: int) -> LayerUpdated:
    return LayerUpdated(LayerId(number), LayerStatus.APPLIED)


def atx(number: int) -> AtxAdded:
    return AtxAdded(AtxId(bytes([number]) * 32))


def user(number: int) -> UserEvent:
    return UserEvent(admin_types_pb2.Event(help=str(number)))


def test_events_come_in_their_order_to_those_who_hear_of_their_kind() -> None:
    async def test(bus: Bus) -> None:
        with bus.subscribe(LayerUpdated, AtxAdded, size=10) as both, bus.subscribe(AtxAdded, size=10) as one:
            bus.publish([layer(1), StatusChanged(), atx(1)])
            bus.publish([layer(2), atx(2)])
            assert [await anext(both) for _ in range(4)] == [layer(1), atx(1), layer(2), atx(2)]
            assert [await anext(one) for _ in range(2)] == [atx(1), atx(2)]
        bus.publish([layer(3)])
        await asyncio.sleep(0)
        assert both.waiting == 0 and bus.subscribers(LayerUpdated) == 0

    run(test)


def test_who_is_too_slow_gets_what_came_in_time_then_nothing_and_others_everything() -> None:
    async def test(bus: Bus) -> None:
        with bus.subscribe(LayerUpdated, AtxAdded, size=2) as slow, bus.subscribe(LayerUpdated, size=9) as other:
            bus.publish([layer(1), layer(2), layer(3), atx(1), layer(4)])
            assert [await anext(other) for _ in range(4)] == [layer(number) for number in (1, 2, 3, 4)]
            assert [await anext(slow), await anext(slow)] == [layer(1), layer(2)]
            for _ in range(2):
                with pytest.raises(TooSlow) as found:
                    await anext(slow)
                assert found.value.kind is LayerUpdated
            assert not bus.hears(AtxAdded) and bus.hears(LayerUpdated)

    run(test)


def test_the_last_user_events_are_kept_and_none_is_left_out_or_told_twice() -> None:
    async def test(bus: Bus) -> None:
        bus.publish(user(number) for number in range(RECENT + 20))
        await asyncio.sleep(0)
        recent, live = bus.subscribe_with_recent(size=10)
        with live:
            assert [event.event.help for event in recent] == [str(number) for number in range(20, RECENT + 20)]
            bus.publish([user(1000)])
            assert (await anext(live)).event.help == "1000" and live.waiting == 0

    run(test)


def test_events_of_another_thread_arrive() -> None:
    async def test(bus: Bus) -> None:
        with bus.subscribe(LayerUpdated, size=1000) as told:
            thread = threading.Thread(target=lambda: [bus.publish([layer(number)]) for number in range(500)])
            thread.start()
            assert [(await anext(told)).layer for _ in range(500)] == list(range(500))
            thread.join()

    run(test)


def test_nobody_hears_of_a_kind_before_the_first_and_after_the_last_subscriber() -> None:
    async def test(bus: Bus) -> None:
        assert bus.hears(UserEvent), "they are kept"
        assert not bus.hears(AccountChanged)
        first, second = (bus.subscribe(AccountChanged, size=1) for _ in range(2))
        assert bus.hears(AccountChanged)
        first.close()
        first.close()
        assert bus.hears(AccountChanged)
        second.close()
        assert not bus.hears(AccountChanged)

    run(test)


def test_after_the_end_nothing_is_told_and_nothing_breaks() -> None:
    loop = asyncio.new_event_loop()
    bus = Bus(loop)
    bus.subscribe(AccountChanged, size=1)
    loop.close()
    bus.publish([AccountChanged(Address(bytes(24))), user(1)])
