"""What a crash leaves of a disk."""

from __future__ import annotations

import pytest

from node.contract.instants import Instant
from node.sim.chance import Chance
from node.sim.disk import WRITE_BACK, Crash, Cut, Database, Disk


class Machine:
    """A disk with one database, and a clock."""

    def __init__(self, seed: int) -> None:
        self.now = Instant(0)
        self.disk = Disk(lambda: self.now, Chance(seed))
        self.database = self.disk.database()
        self.states = [self.state()]
        """After every write."""

    def state(self, of: Database | None = None) -> dict[bytes, bytes]:
        return dict((of or self.database).snapshot().scan(b"", None, False))

    def write(self, *changes: tuple[bytes, bytes | None], sync: bool = False) -> None:
        self.database.write(changes, sync)
        self.states.append(self.state())


def batches(machine: Machine) -> None:
    """Five batches, each over what the ones before wrote; the second is synced."""
    machine.write((b"a", b"1"), (b"b", b"1"))
    machine.write((b"a", b"2"), (b"c", b"2"), sync=True)
    machine.write((b"b", None), (b"a", b"3"))
    machine.write((b"b", b"4"), (b"c", None), (b"c", b"4"))
    machine.write((b"d", b"5"))


def test_a_killed_process_loses_nothing() -> None:
    machine = Machine(1)
    batches(machine)
    assert machine.disk.crash(Crash.KILL) == 0
    assert machine.state() == machine.states[-1]


def test_a_power_cut_leaves_a_state_since_the_last_sync_never_one_between() -> None:
    found = set()
    for seed in range(60):
        machine = Machine(seed)
        batches(machine)
        lost = machine.disk.crash(Crash.POWER)
        assert machine.state() == machine.states[5 - lost]
        found.add(5 - lost)
    assert found == {2, 3, 4, 5}


def test_what_the_power_cut_left_is_not_lost_by_the_next_one() -> None:
    machine = Machine(3)
    batches(machine)
    machine.disk.crash(Crash.POWER)
    before = machine.state()
    for _ in range(5):
        machine.disk.crash(Crash.POWER)
    assert machine.state() == before


def test_what_was_written_long_ago_is_not_lost() -> None:
    for seed in range(20):
        machine = Machine(seed)
        machine.write((b"a", b"1"))
        machine.now = Instant(WRITE_BACK + 1)
        machine.write((b"a", b"2"))
        assert machine.database.unsynced == 1
        machine.disk.crash(Crash.POWER)
        assert machine.state() in machine.states[1:]


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_a_cut_in_a_write_is_before_or_behind_the_batch(number: int) -> None:
    whole = Machine(0)
    batches(whole)
    found = set()
    for seed in range(40):
        machine = Machine(seed)
        machine.disk.cut_at_write(number)
        with pytest.raises(Cut):
            batches(machine)
        machine.disk.crash(Crash.KILL)
        found.add(whole.states.index(machine.state()))
    assert found == {number - 1, number}


def test_databases_of_a_disk_are_synced_each_by_itself() -> None:
    lost = set()
    for seed in range(40):
        machine = Machine(seed)
        own = machine.disk.database()
        machine.write((b"state", b"1"))
        own.write([(b"own", b"1")], sync=True)
        machine.disk.crash(Crash.POWER)
        assert machine.state(own) == {b"own": b"1"}
        lost.add(machine.state() == {})
    assert lost == {True, False}
