"""What no recorded run shows of the beacon's machine."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from node.beacon.coin import WeakCoin
from node.beacon.epochs import EpochAtxs
from node.beacon.machine import BEACONS, BeaconFailed, BeaconMachine
from node.beacon.memory import Memory
from node.beacon.parameters import BeaconParameters
from node.beacon.reception import Reception
from node.contract.effects import Emit, SetTimer
from node.contract.inputs import Tick, Timer
from node.contract.instants import Instant
from node.contract.steps import Step
from node.store.memory import MemoryBackend
from node.store.store import Store
from node.store.table import Schema
from protocol.numbers.durations import SECOND
from protocol.numbers.layers import NetworkTime
from protocol.types.beacon import WeakCoinMessage
from protocol.types.eligibility import weak_coin_input
from protocol.types.ids import EpochId, LayerId, NodeId, RoundId, VrfSignature
from tests.vector_cases.consensus_support import Key, Keys

PARAMETERS = BeaconParameters(
    kappa=40,
    q=Fraction(1, 3),
    theta=Fraction(1, 4),
    rounds=2,
    grace=SECOND,
    proposal_duration=10 * SECOND,
    first_voting_duration=10 * SECOND,
    voting_duration=10 * SECOND,
    weak_coin_duration=10 * SECOND,
    votes_limit=100,
    sync_weight_units=1,
)
TIME = NetworkTime(0, 10 * SECOND, 2)
"""An epoch takes 20 s, a run 40 s."""


class _OneSmesher:
    def atxs(self, epoch: EpochId) -> EpochAtxs:
        of_one = np.ones(1, np.uint64)
        return EpochAtxs(np.ones((1, 4), np.uint64), of_one, np.zeros(1, np.int64), np.zeros(1, np.bool_))

    def nonce(self, node: NodeId, epoch: EpochId) -> int | None:
        return 1

    def units(self, node: NodeId, epoch: EpochId) -> int:
        return 1


def test_a_run_has_to_fit_into_its_epoch() -> None:
    assert PARAMETERS.length == 40 * SECOND
    PARAMETERS.check(40 * SECOND)
    with pytest.raises(ValueError, match=r"takes 40 s \(2 rounds\), expected at most an epoch, 39 s"):
        PARAMETERS.check(39 * SECOND)
    replace(PARAMETERS, rounds=0).check(0)


def test_a_run_takes_as_long_as_its_parameters_say() -> None:
    machine = BeaconMachine(PARAMETERS, NetworkTime(0, 20 * SECOND, 2), Keys(()), _OneSmesher(), lambda: True)
    view = Store(Schema("beacon", 1, (BEACONS,)), MemoryBackend()).view()
    start = end = Instant(4 * 20 * SECOND)
    step = machine.tick(Tick(LayerId(4), start), view, start)
    while timers := [one for one in step.effects if isinstance(one, SetTimer)]:
        end = timers[0].due
        step = machine.timer(Timer(timers[0].key, end), view, end)
    assert end - start == PARAMETERS.length


def test_a_run_that_outlasts_its_epoch_goes_on_to_its_end() -> None:
    machine = BeaconMachine(PARAMETERS, TIME, Keys(()), _OneSmesher(), lambda: True)
    view = Store(Schema("beacon", 1, (BEACONS,)), MemoryBackend()).view()

    def begin(layer: int) -> Step:
        start = Instant(TIME.start_ns(layer))
        return machine.tick(Tick(LayerId(layer), start), view, start)

    def fire(step: Step) -> Step:
        (timer,) = [one for one in step.effects if isinstance(one, SetTimer)]
        return machine.timer(Timer(timer.key, timer.due), view, timer.due)

    step = fire(begin(4))  # the proposals of epoch 2 are over
    assert not begin(6).effects  # another run begins when this one is over
    assert set(machine.states) == {EpochId(2)}
    for _ in range(3):  # the votes of round 0, those of round 1, the coin of round 1
        step = fire(step)
    assert [one.event for one in step.effects if isinstance(one, Emit)] == [BeaconFailed(EpochId(3), "no_coin")]
    assert not machine.states


def test_of_coins_that_came_before_their_round_the_smallest_valid_one_counts() -> None:
    key, epoch, round = Key("01" * 32, bytes(20)), EpochId(2), RoundId(1)
    coin = WeakCoin(PARAMETERS.rounds)
    coin.start_epoch(epoch)
    proofs = [key.prove(weak_coin_input(1, epoch, round, unit)) for unit in range(3)]
    for unit, proof in enumerate(proofs):  # a smesher with one unit may toss 0 and 1, as in the reference
        coin.keep(WeakCoinMessage(epoch, round, unit, key.identity, proof))
    for number in range(20):
        bad = VrfSignature(number.to_bytes(80, "little"))
        coin.keep(WeakCoinMessage(epoch, round, 0, key.identity, bad))
    reception = Reception(Memory(PARAMETERS, TIME, _OneSmesher(), coin, epoch))
    reception.take_kept(coin.start_round(round))
    assert coin.smallest == min(proofs[:2], key=lambda proof: int.from_bytes(proof, "little"))
