"""Taking a checkpoint of a ledger and beginning one from it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.checkpoint import files, ledger
from node.ledger import state
from node.ledger.errors import LayerRefused
from node.ledger.parameters import VmParameters
from node.ledger.vm import Vm
from protocol.types.ids import LayerId
from tests.support import vm_world as world
from tests.support.node_stores import BACKENDS, Kept, OpenBackend
from tests.support.vm_world import FIRST, machine, transactions

W1, W2 = world.wallet(1), world.wallet(2)


def old_ledger() -> world.Machine:
    """Three layers, the last of which a checkpoint of the second must not know."""
    vm = machine([W1.spawned(10**9)])
    for place in range(3):
        vm.apply(LayerId(FIRST + place), transactions([W1.spend(W2.address, 7, place)]))
    return vm


def snapshot(vm: world.Machine, layer: int) -> files.Checkpoint:
    found = vm.kept.read(lambda view: ledger.snapshot(view, LayerId(layer), (), {}))
    return files.parse(files.write(found, 4))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_ledger_begins_as_the_other_one_was(backend: OpenBackend) -> None:
    old = old_ledger()
    found = snapshot(old, FIRST + 1)
    with backend() as one:
        kept = Kept(one)
        genesis = kept.unit(lambda rows: ledger.restore(rows, found, LayerId(9000)))
        assert genesis == 8999 == kept.read(ledger.effective_genesis) == kept.read(state.last_applied)
        new = world.Machine(
            Vm(VmParameters(world.GENESIS_ID, world.HRP, world.FIRST_GENESIS, effective_genesis=genesis)), kept
        )
        assert new.accounts() == [replace(one, layer=8999) for one in old.accounts(LayerId(FIRST + 1))]
        with pytest.raises(LayerRefused) as caught:
            new.apply(LayerId(8999), ())
        assert caught.value.reason == "duplicate_row"
        new.apply(LayerId(9000), transactions([W1.spend(W2.address, 7, 2)]))
        before = new.accounts(LayerId(8999))
        new.revert(LayerId(0))
        assert new.accounts() == before, "the accounts of a checkpoint survive every revert"


def test_a_ledger_that_is_not_empty_takes_none() -> None:
    found = snapshot(old_ledger(), FIRST)
    for kept in (machine([W2.unspawned(1)]).kept, Kept()):
        if not kept.read(lambda view: list(state.accounts(view))):
            kept.unit(lambda rows: ledger.restore(rows, found, LayerId(9000)))
        before = kept.everything()
        with pytest.raises(files.CheckpointError) as caught:
            kept.unit(lambda rows: ledger.restore(rows, found, LayerId(9000)))
        assert caught.value.reason == "not_empty"
        assert kept.everything() == before


@pytest.mark.parametrize("layer", [0, -1, 1 << 32])
def test_layers_that_cannot_be_restored(layer: int) -> None:
    found = snapshot(old_ledger(), FIRST)
    kept = Kept()
    with pytest.raises(files.CheckpointError) as caught:
        kept.unit(lambda rows: ledger.restore(rows, found, LayerId(layer)))
    assert caught.value.reason == "layer"


def test_a_store_that_began_at_the_beginning_has_no_other_genesis() -> None:
    assert old_ledger().kept.read(ledger.effective_genesis) is None
