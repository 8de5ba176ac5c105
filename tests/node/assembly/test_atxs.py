"""The activations as the rooms see them, and who is told of new ones."""

from __future__ import annotations

from node.activation.columns import ID_WORDS, AtxColumns, AtxRow
from node.assembly.atxs import EpochAtx, Followers, KnownAtxs
from node.contract.instants import Instant
from node.tortoise.state import AtxInfo
from protocol.numbers.layers import NetworkTime
from protocol.types.ids import Address, AtxId, EpochId, LayerId, NodeId

TIME = NetworkTime(0, 10, 4)
EPOCH = EpochId(3)
MINE, OTHER, STRANGER = (NodeId(bytes([number]) * 32) for number in (9, 1, 5))
COINBASE = Address(bytes(4) + b"\x07" * 20)


def row(number: int, node: NodeId, units: int, ticks: int, received: int, nonce: int = 0) -> AtxRow:
    return AtxRow(AtxId(bytes([number]) * 32), node, COINBASE, units * ticks, 40, 40 + ticks, nonce, received)


FIRST, SECOND, IDLE = row(8, MINE, 3, 7, 100, nonce=11), row(2, MINE, 5, 7, 200, nonce=12), row(4, OTHER, 6, 0, 150)


class Told:
    """Tortoise or beacon: notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def on_malfeasance(self, node: NodeId) -> None:
        self.told.append(node)


class Tortoise(Told):
    def on_atx(self, target: EpochId, node: NodeId, weight: int) -> None:
        self.told.append((target, node, weight))


class Beacon(Told):
    def on_atx(self, epoch: EpochId, node: NodeId, weight: int, received: Instant) -> None:
        self.told.append((epoch, node, weight, received))


def known() -> tuple[AtxColumns, KnownAtxs]:
    columns = AtxColumns()
    for one in (FIRST, IDLE, SECOND):
        columns.add(EPOCH, one)
    return columns, KnownAtxs(columns, TIME)


def test_blocks_and_rewards_see_the_activations_of_the_epoch_of_a_layer() -> None:
    _, atxs = known()
    assert atxs.atx(LayerId(15), FIRST.id) == atxs.rewarded(FIRST.id, LayerId(12)) == EpochAtx(MINE, COINBASE, 21, 40)
    assert atxs.atx(LayerId(16), FIRST.id) is None, "that is another epoch"
    assert atxs.get(EPOCH, SECOND.id) == AtxInfo(MINE, 35, 47)
    assert list(atxs.missing(EPOCH, [IDLE.id, AtxId(bytes(32))])) == [bytes(32)]


def test_the_first_activation_of_a_smesher_counts_for_the_beacon() -> None:
    columns, atxs = known()
    found = atxs.atxs(EPOCH)
    order = [found.nodes[position].astype(">u8").tobytes() for position in range(len(found.nodes))]
    assert order == [MINE, OTHER, MINE] and list(found.received) == [100, 150, 200], "as they came, not by id"
    assert found.nodes.shape == (3, ID_WORDS)
    assert (atxs.nonce(MINE, EPOCH), atxs.units(MINE, EPOCH)) == (11, 3)
    assert (atxs.nonce(STRANGER, EPOCH), atxs.units(STRANGER, EPOCH)) == (None, 0)
    assert atxs.units(OTHER, EPOCH) == 0, "without ticks it has no weight"
    columns.mark_malicious(MINE)
    assert atxs.units(MINE, EPOCH) == 0 and list(atxs.atxs(EPOCH).is_malicious) == [True, False, True]


def test_tortoise_is_told_of_what_is_new_and_the_beacon_if_it_runs() -> None:
    columns = AtxColumns()
    tortoise, beacon = Tortoise(), Beacon()
    followers = Followers(columns, tortoise)
    followers.on_atx(EPOCH, FIRST, is_new=True)
    followers.on_atx(EPOCH, SECOND, is_new=False)
    assert tortoise.told == [(EPOCH, MINE, 21)]
    followers.follow(beacon)
    followers.on_atx(EPOCH, IDLE, is_new=True)
    assert beacon.told == [(EPOCH, OTHER, 0, Instant(150))]
    followers.on_malicious(MINE)
    assert columns.is_malicious(MINE) and tortoise.told[-1] == MINE
