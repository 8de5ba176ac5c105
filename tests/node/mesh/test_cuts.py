"""A kill between any two writes of anything that changes the ledger: the store is before or after, and all goes on.

Random scenarios of transactions that come in, proposals and blocks that hold them, layers applied and reverted, ledgers
begun from a checkpoint. Each unit is cut at writes of its batch, or its log at bytes; what is left is opened again,
compared with the states before and after, and carries out the rest of the scenario.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from node.checkpoint import files, ledger
from node.ledger.parameters import VmParameters
from node.ledger.vm import Vm
from node.mempool.errors import MempoolError
from node.schema import STATE
from node.store.level import LevelBackend
from node.store.marker import marker_of
from node.store.memory import MemoryBackend
from node.store.view import Snapshot
from protocol.types.ids import BlockId, LayerId
from prover.leveldb_files.log import read_log
from tests.support import vm_world as world
from tests.support.node_stores import Kept
from tests.support.vm_world import FIRST, machine

from .world import Node, block

WALLETS = [world.wallet(number) for number in (1, 2, 3)]
Contents = dict[bytes, bytes]


class Killed(Exception):
    """The process ends here."""


class Cut:
    """A backend whose process ends before the n-th write of a batch: as LevelDB does it, nothing of it is kept then."""

    def __init__(self, inner: MemoryBackend) -> None:
        self.inner = inner
        self.cut_at: int | None = None
        self.batches: list[int] = []
        """How many writes each batch had."""

    def get(self, key: bytes) -> bytes | None:
        return self.inner.get(key)

    def snapshot(self) -> Snapshot:
        return self.inner.snapshot()

    def write(self, changes: Iterable[tuple[bytes, bytes | None]], sync: bool) -> None:
        staged = []
        for change in changes:
            if len(staged) == self.cut_at:
                raise Killed
            staged.append(change)
        self.inner.write(staged, sync)
        self.batches.append(len(staged))

    def close(self) -> None:
        self.inner.close()


def memory_with(contents: Contents) -> MemoryBackend:
    backend = MemoryBackend()
    backend.write(contents.items(), sync=False)
    return backend


Step = Callable[[Node], None]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens, in an order; every step is one unit, or none where there is nothing to do."""

    vm: Vm
    start: Contents
    steps: Sequence[Step]


def scenario(seed: int) -> Scenario:
    rng = Random(seed)
    vm = machine([owner.spawned(10**8) for owner in WALLETS])
    if rng.random() < 0.3:
        vm = from_checkpoint(vm)
    node = Node(vm)
    start = vm.kept.everything()
    steps: list[Step] = []
    for _ in range(rng.randint(6, 12)):
        step = random_step(node, rng)
        step(node)
        steps.append(step)
    return Scenario(vm.vm, start, steps)


def from_checkpoint(old: world.Machine) -> world.Machine:
    """A ledger that begins from the checkpoint of another."""
    checkpoint = old.kept.read(lambda view: ledger.snapshot(view, FIRST, (), {}))
    kept = Kept()
    genesis = kept.unit(lambda rows: ledger.restore(rows, checkpoint, LayerId(9000)))
    parameters = VmParameters(world.GENESIS_ID, world.HRP, world.FIRST_GENESIS, effective_genesis=genesis)
    return world.Machine(Vm(parameters), kept)


def random_step(node: Node, rng: Random) -> Step:
    """One that the node as it stands now can take."""
    last = node.machine.kept.read(node.machine.vm.last_applied)
    candidates = [one.id for own in node.pool.waiting().values() for one in own]
    some = rng.sample(candidates, rng.randint(0, len(candidates)))
    match rng.choice(["submit", "submit", "submit", "link", "apply", "apply", "empty", "revert"]):
        case "submit":
            who = rng.choice(WALLETS)
            nonce, _ = node.kept.read(lambda view: node.pool.projection(view, who.address))
            to = rng.choice([*WALLETS, world.wallet(9)]).address
            raw = who.spend(to, rng.choice([0, 5, 10**6]), nonce + rng.choice([0, 0, 0, 2]), rng.randint(1, 3))
            return lambda one: submit(one, raw)
        case "link":
            layer = last + rng.randint(1, 3)
            if rng.random() < 0.5:
                return lambda one: one.link_proposal(layer, *some)
            return lambda one: one.link_block(layer, BlockId(bytes(20)), *some)
        case "apply":
            made = block(last + 1, *some)
            return lambda one: one.apply(made.layer, made) and None
        case "empty":
            return lambda one: one.apply(last + 1, None) and None
        case _:
            to_layer = max(last - rng.randint(0, 3), node.machine.vm.parameters.first_layer)
            return lambda one: one.revert(to_layer)


def submit(node: Node, raw: bytes) -> None:
    try:
        node.submit(raw)
    except MempoolError:
        return


def memory_of(node: Node) -> object:
    """What the pool holds of every account, layer tags included."""
    return {owner.address: node.pool.account(owner.address) for owner in WALLETS}, node.pool.waiting()


@pytest.mark.parametrize("first", range(0, 60, 15))
def test_a_unit_cut_at_any_write_has_not_happened_and_happens_when_it_is_asked_for_again(first: int) -> None:
    cuts = sum(cuts_of_units(seed) for seed in range(first, first + 15))
    assert cuts >= 150, "four such runs are more than 500 cuts"


def cuts_of_units(seed: int) -> int:
    """A scenario whose units are cut at some of their writes; how many cuts."""
    cuts = 0
    one = scenario(seed)
    contents = one.start
    rng = Random(seed)
    for number, step in enumerate(one.steps):
        whole = Cut(memory_with(contents))
        node = Node.on(one.vm, whole)
        step(node)
        after = node.kept.everything()
        assert len(whole.batches) <= 1, "a unit is one batch"
        assert whole.batches or after == contents
        writes = sum(whole.batches)
        for at in sorted(rng.sample(range(writes), min(3, writes))):
            cut = Cut(memory_with(contents))
            victim = Node.on(one.vm, cut)
            cut.cut_at = at
            with pytest.raises(Killed):
                step(victim)
            cut.cut_at = None
            restarted = Node.on(one.vm, cut)
            assert restarted.kept.everything() == contents, f"seed {seed}, step {number}, write {at}"
            step(restarted)
            assert restarted.kept.everything() == after
            assert memory_of(restarted) == memory_of(node)
            cuts += 1
        contents = after
    return cuts


@pytest.mark.parametrize("seed", range(100, 106))
def test_a_log_cut_at_any_byte_opens_as_a_state_between_two_units(seed: int, tmp_path: Path) -> None:
    cuts_of_a_log(seed, tmp_path)


LOG_CUTS = 12


def cuts_of_a_log(seed: int, directory: Path) -> None:
    """A scenario whose log is cut at LOG_CUTS bytes."""
    one = scenario(seed)
    path, copy = directory / "state", directory / "copy"
    backend = LevelBackend.open(path, STATE.name)
    backend.write(one.start.items(), sync=False)
    node = Node.on(one.vm, backend)
    states, done = [one.start], []
    for number, step in enumerate(one.steps):
        before = node.kept.store.writes
        step(node)
        if node.kept.store.writes > before:
            states.append(node.kept.everything())
            done.append(number)
    backend.close()
    (log,) = path.glob("*.log")
    data = log.read_bytes()
    first = len(read_log("", data).records) - len(done)
    rng = Random(seed)
    for at in sorted(rng.sample(range(len(data) // 8, len(data) + 1), LOG_CUTS)):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(path, copy)
        shutil.copy(marker_of(path), marker_of(copy))
        (copy / log.name).write_bytes(data[:at])
        units = len(read_log("", data[:at]).records) - first
        if units < 0:
            continue  # not even the beginning of the scenario was written
        backend = LevelBackend.open(copy, STATE.name)
        try:
            restarted = Node.on(one.vm, backend)
            assert restarted.kept.everything() == states[units]
            for step in one.steps[done[units - 1] + 1 if units else 0 :]:
                step(restarted)
            assert restarted.kept.everything() == states[-1]
        finally:
            backend.close()


def test_a_ledger_begun_from_a_checkpoint_is_begun_whole_or_not_at_all() -> None:
    old = machine([owner.spawned(10**8 + place) for place, owner in enumerate(WALLETS)])
    found = files.parse(files.write(old.kept.read(lambda view: ledger.snapshot(view, FIRST, (), {})), 4))
    begun = Cut(MemoryBackend())
    Kept(begun).unit(lambda rows: ledger.restore(rows, found, LayerId(9000)))
    _, writes = begun.batches  # the store's schema, and the unit
    assert writes == 2 * len(WALLETS) + 2  # every account has an entry in the index of changes
    whole = Kept(begun).everything()
    for at in range(writes):
        cut = Cut(MemoryBackend())
        kept = Kept(cut)
        before = kept.everything()
        cut.cut_at = at
        with pytest.raises(Killed):
            kept.unit(lambda rows: ledger.restore(rows, found, LayerId(9000)))
        cut.cut_at = None
        assert kept.everything() == before
        again = Kept(cut)
        again.unit(lambda rows: ledger.restore(rows, found, LayerId(9000)))
        assert again.everything() == whole
