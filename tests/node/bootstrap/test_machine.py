"""The machine of the bootstrap fallback in an engine: when it asks, and what it takes of what comes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from node.beacon.machine import BEACONS
from node.bootstrap.document import VERSION, read
from node.bootstrap.errors import DocumentRefused
from node.bootstrap.machine import BootstrapMachine, FallbackRefused, FallbackTaken
from node.bootstrap.parameters import BootstrapParameters
from node.bootstrap.tables import FALLBACKS, fallback
from node.contract.demands import BootstrapDocument, Failed
from node.contract.effects import Emit
from node.engine.edges import Call
from node.proposals.tables import ACTIVE_SETS, TABLES
from node.store.view import Rows
from protocol.numbers.durations import MINUTE
from protocol.numbers.layers import NetworkTime
from protocol.types.activation import active_set_hash
from protocol.types.ids import AtxId, Beacon, EpochId
from tests.node.contract.world import GENESIS, LAYER, World, at
from tests.node.engine.test_engine import stores

TIME = NetworkTime(GENESIS, LAYER, 4)
IDS = tuple(AtxId(bytes([number]) * 32) for number in (7, 3, 5))
NINE = 9 * 4
"""The first layer of epoch 9."""


def document(epoch: int, beacon: str = "01020304", ids: tuple[AtxId, ...] = (), version: str = VERSION) -> bytes:
    said: dict[str, Any] = {"number": epoch, "beacon": beacon, "activeSet": [id.hex() for id in ids] or None}
    return json.dumps({"version": version, "data": {"epoch": said}}).encode()


class Node:
    def __init__(self, layer: int = NINE) -> None:
        self.machine = BootstrapMachine(BootstrapParameters(MINUTE), TIME)
        kept = stores(BEACONS, FALLBACKS, *TABLES)
        self.world = World(kept, [self.machine], now=at(layer))

    def asked(self) -> dict[int, Call]:
        """The open questions, by epoch."""
        found = {}
        for call in self.world.of(Call):
            assert isinstance(call.demand, BootstrapDocument)
            found[int(call.demand.epoch)] = call
        self.world.log.clear()
        return found

    def say(self, call: Call, answer: bytes | Failed) -> list[object]:
        """What it tells of an answer."""
        return [one.event for one in self.world.turn(self.world.returned(call, answer)) if isinstance(one, Emit)]

    def later(self, layer: int = NINE, minutes: float = 1) -> dict[int, Call]:
        self.world.turn(now=at(layer, 60 * minutes))
        return self.asked()

    def beacon(self, epoch: int) -> bytes | None:
        return self.world.view().get(BEACONS, EpochId(epoch))


def test_it_asks_for_the_epochs_around_the_current_one_until_all_is_here() -> None:
    node = Node()
    assert node.asked() == {}  # a timer that is due at once
    calls = node.later(minutes=0)
    assert sorted(calls) == [8, 9, 10]
    assert node.later() == {}, "what was asked and not answered is not asked again"
    assert node.say(calls[8], Failed("not_found")) == []
    assert node.say(calls[9], document(9, ids=IDS)) == [FallbackTaken(EpochId(9), Beacon(b"\1\2\3\4"), True)]
    assert node.say(calls[10], document(10)) == [FallbackTaken(EpochId(10), Beacon(b"\1\2\3\4"), False)]
    again = node.later(minutes=2)
    assert sorted(again) == [8, 10], "9 has all, 10 has no active set yet"
    assert sorted(node.later(NINE + 4, 0)) == [11], "8 is over"


def test_a_beacon_takes_the_place_of_any_and_the_first_active_set_stays() -> None:
    node = Node()
    rows = Rows(node.world.view())
    rows.put(BEACONS, EpochId(9), b"ours")
    node.world.stores.write(rows)
    node.say(node.later(minutes=0)[9], document(9, "ffffffffff"))
    assert node.beacon(9) == b"\xff" * 4
    node.say(node.later(minutes=1)[9], document(9, "00000000", IDS))
    assert node.beacon(9) == b"\xff" * 4, "zeros say nothing"
    view = node.world.view()
    assert fallback(view, EpochId(9)) is not None and tuple(fallback(view, EpochId(9)) or ()) == tuple(sorted(IDS))
    stored = view.get(ACTIVE_SETS, active_set_hash(sorted(IDS)))
    assert stored is not None and stored.epoch == 9, "ballots may name it"
    again = Node()
    again.say(again.later(minutes=0)[9], document(9, "00000000", IDS))
    assert again.say(again.later(minutes=1)[9], document(9, ids=IDS[:1])) == [
        FallbackTaken(EpochId(9), Beacon(b"\1\2\3\4"), False)
    ]
    assert tuple(fallback(again.world.view(), EpochId(9)) or ()) == tuple(sorted(IDS))
    assert fallback(again.world.view(), EpochId(10)) is None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"\xff\xfe", "json"),
        (b"[" * 100_000, "json"),
        (b'{"version": NaN}', "json"),
        (b'{"data": {"epoch": {"number": ' + b"9" * 5000 + b"}}}", "json"),
        (document(9, "0102"), "schema"),
        (document(9, "a b c d e f"), "beacon"),
        (document(9, ids=IDS[:1] * 2), "schema"),
        (document(9, version="1.1"), "version"),
        (document(8), "epoch"),
    ],
)
def test_a_document_that_is_none_is_refused_and_asked_for_again(answer: bytes, reason: str) -> None:
    node = Node()
    (event,) = node.say(node.later(minutes=0)[9], answer)
    assert isinstance(event, FallbackRefused) and (event.epoch, event.reason) == (9, reason)
    assert node.beacon(9) is None and node.beacon(8) is None
    assert 9 in node.later()


def test_a_refusal_names_the_field_and_shows_no_more_than_a_line() -> None:
    with pytest.raises(DocumentRefused) as refused:
        read(json.dumps({"version": VERSION, "data": {"epoch": {"number": "x" * 1000}}}).encode())
    assert "data.epoch.number" in str(refused.value) and len(str(refused.value)) < 200
