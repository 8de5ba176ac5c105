"""Layers: the network's own state hash, ineffective and failed transactions, vaults, revert, the whole of nothing."""

from __future__ import annotations

import pytest

from node.ledger import events
from node.ledger.errors import LayerRefused
from node.ledger.layer import LayerChanges
from node.ledger.parameters import VmParameters
from node.ledger.rewards import CoinbaseReward
from node.ledger.state_hash import EMPTY, NO_LAYER, state_hash
from node.ledger.vm import Vm
from protocol.crypto.hashing import hash32
from protocol.numbers.issuance import subsidy
from protocol.types import address
from protocol.types.blocks import RatNum
from protocol.types.ids import Address, LayerId, NodeId
from protocol.types.transactions import Account
from tests.support import vm_world as world
from tests.support.vm_world import FIRST, machine, transactions

W1, W2, W3 = world.wallet(1), world.wallet(2), world.wallet(3)
V = world.vesting((1, 2, 3), (0, 1))
COINBASE = Address(bytes(4) + b"\x77" * 20)
REWARD = CoinbaseReward(NodeId(b"\x11" * 32), COINBASE, RatNum(1, 1))


def reasons(changes: LayerChanges) -> list[str]:
    return [one.reason for one in changes.ineffective]


def failures(changes: LayerChanges) -> list[str]:
    return [one.failure for one in changes.executed]


def test_the_state_hash_of_the_specification() -> None:
    vm = machine([W1.unspawned(10**17)])
    changes = vm.apply(FIRST, transactions([W1.spawn(), W1.spend(W2.address, 100, 1)]))
    assert changes.state_hash.hex() == "5f31c2d4c36b5032b998f38c242677c6d1d5568fd775614491aa7db80e3bb601"
    assert vm.state_hash() == changes.state_hash
    assert vm.account(W1.address) == W1.spawned(10**17 - 100_432 - 36_090 - 100, 2, FIRST)


def test_the_state_hash_written_by_hand_is_the_codecs() -> None:
    accounts = [
        Account(LayerId(layer), Address(bytes([layer % 256]) * 24), 1 << bits >> 1, (1 << bits) - 1, template, state)
        for layer, (bits, template, state) in enumerate(
            (bits, template, state)
            for bits in range(65)
            for template, state in ((None, b""), (world.WALLET, bytes(32)), (world.MULTISIG, bytes(321)), (None, b"x"))
        )
    ]
    for layer in (0, 70, 8064, 1 << 30, (1 << 32) - 1):
        expected = hash32(
            *(
                Account.codec.encode(
                    Account(LayerId(layer), one.address, one.next_nonce, one.balance, one.template, one.state)
                )
                for one in accounts
            )
        )
        assert state_hash(layer, accounts) == expected


def test_an_empty_layer_has_the_hash_of_nothing() -> None:
    vm = machine([])
    assert vm.state_hash() == NO_LAYER
    changes = vm.apply(FIRST, ())
    assert changes.state_hash == EMPTY == vm.state_hash()
    assert changes.burnt == changes.subsidy == subsidy(1)


def test_a_layer_before_the_genesis_is_refused() -> None:
    vm = machine([W1.unspawned(10**9)])
    with pytest.raises(LayerRefused) as caught:
        vm.apply(LayerId(8062), transactions([W1.spawn()]))
    assert caught.value.reason == "before_genesis"
    assert vm.last_applied() is None
    parameters = VmParameters(world.GENESIS_ID, "sm", world.FIRST_GENESIS, effective_genesis=LayerId(9000))
    moved = world.Machine(Vm(parameters), vm.kept)
    with pytest.raises(LayerRefused):
        moved.apply(LayerId(8999), ())
    assert moved.apply(LayerId(9001), ()).subsidy == subsidy(9001 - 8063)


def test_receiving_spawning_and_spending_in_one_layer() -> None:
    vm = machine([W1.spawned(10**9)])
    changes = vm.apply(
        FIRST,
        transactions([W1.spend(W2.address, 10**8, 0), W2.spawn(), W2.spend(W3.address, 5, 1), W3.spawn()]),
    )
    assert failures(changes) == ["", "", ""]
    assert reasons(changes) == ["The principal has 5 smidge, fewer than the intrinsic gas of 55432."]
    assert [one.address for one in changes.accounts] == [W1.address, W2.address, W3.address]
    assert vm.account(W2.address) == W2.spawned(10**8 - 100_432 - 36_090 - 5, 2, FIRST)


def test_what_leaves_no_trace() -> None:
    vm = machine([W1.spawned(10**9, 5), W2.unspawned(10**9)], gas_limit=100_000)
    other = world.wallet(8)
    changes = vm.execute(
        FIRST,
        transactions(
            [
                W1.spend(W2.address, 5, 5, 0),
                other.spend(W1.address, 5, 5),
                W2.spend(W1.address, 5, 0),
                W1.spend(W2.address, 5, 5)[:-1] + b"\0",
                W2.spawn(),
                W1.spend(W2.address, 5, 4),
                b"nonsense",
            ]
        ),
    )
    assert not changes.executed
    price, unspawned, cannot_spend, unsigned, gas, nonce, nonsense = reasons(changes)
    assert price == "The gas price is 0."
    assert "not spawned" in unspawned and "not spawned" in cannot_spend
    assert unsigned == "A signature is missing or not valid."
    assert gas == "Of the block's gas 100000 are left, 100432 are needed."
    assert nonce == "The nonce 4 is used up, the next one is 5."
    assert nonsense.startswith("malformed tx:")
    assert [one.header is None for one in changes.ineffective] == [True] * 5 + [False, True]
    assert changes.accounts == ()


def test_out_of_gas_takes_the_whole_balance_and_the_nonce() -> None:
    vm = machine([W1.unspawned(100_431)])
    changes = vm.apply(FIRST, transactions([W1.spawn(nonce=3)]), [REWARD])
    assert failures(changes) == ["out of gas"]
    assert (changes.executed[0].fee, changes.results()[0][1].gas) == (100_431, 100_432)
    assert vm.account(W1.address) == Account(FIRST, W1.address, 4, 0)
    assert changes.rewards[0].total_reward == subsidy(1) + 100_431


def test_gaps_between_nonces_are_taken_and_lower_ones_are_not() -> None:
    vm = machine([W1.spawned(10**9)])
    changes = vm.apply(FIRST, transactions([W1.spend(W2.address, 1, nonce) for nonce in (3, 6, 2)]))
    assert (len(changes.executed), len(changes.ineffective)) == (2, 1)
    account = vm.account(W1.address)
    assert account is not None and account.next_nonce == 7


def test_ineffective_transactions_leave_gas_and_failed_ones_do_not() -> None:
    raws = [
        W1.spend(W2.address, 1, 0, 0),
        W1.spend(W2.address, 10**12, 0),
        W1.spend(W2.address, 1, 1),
        W1.spend(W2.address, 1, 2),
    ]
    all_of_them = machine([W1.spawned(10**9)])
    gas_limit = sum(all_of_them.parse(raw).max_gas for raw in raws[1:3])
    vm = machine([W1.spawned(10**9)], gas_limit)
    changes = vm.execute(FIRST, transactions(raws))
    assert failures(changes) == ["no balance", ""]
    assert [one.id for one in changes.ineffective] == [one.raw.id for one in transactions((raws[0], raws[3]))]


def test_spawning_twice_costs_and_does_nothing() -> None:
    vm = machine([W1.unspawned(10**9)])
    changes = vm.apply(FIRST, transactions([W1.spawn(), W1.spawn(nonce=1)]))
    assert failures(changes) == ["", "account already spawned"]
    assert vm.account(W1.address) == W1.spawned(10**9 - 2 * 100_432, 2, FIRST)


def test_coins_stay_where_another_account_spawns_their_holder() -> None:
    vm = machine([W1.spawned(10**9), W2.unspawned(77)])
    changes = vm.apply(FIRST, transactions([W1.spawn(W2, 0)]))
    assert changes.executed[0].addresses == (W1.address, W2.address)
    assert vm.account(W2.address) == W2.spawned(77, 0, FIRST)


def drained(
    layer: int, amount: int, *, total: int = 1000, start: int, end: int, balance: int, owner: bool = True
) -> str:
    """How a drain at a layer ends; empty where it succeeds."""
    held = world.vault(V if owner else W1, total, start, end)
    vm = machine([V.spawned(10**9), held.spawned(balance)])
    changes = vm.apply(LayerId(layer), transactions([V.drain(held.address, W2.address, amount, 0)]))
    (executed,) = changes.executed
    received = vm.account(W2.address)
    if executed.failure:
        assert received is None and executed.addresses == (V.address,)
    else:
        assert received is not None and received.balance == amount
        assert executed.addresses == (V.address, W2.address, held.address)
    return executed.failure


def test_a_vault_releases_layer_by_layer() -> None:
    start = FIRST + 2
    vested = {FIRST: 0, start: 0, start + 1: 125, start + 4: 500, start + 7: 875, start + 8: 1000}
    for layer, free in vested.items():
        assert drained(layer, free, start=start, end=start + 8, balance=1000) == ""
        more = drained(layer, free + 1, start=start, end=start + 8, balance=1000)
        assert more == "vault: amount not available"
    assert drained(FIRST, 12, start=start, end=start + 8, balance=1012) == "", "what it received is free"
    assert drained(FIRST, 1, start=start, end=start + 8, balance=100) == "vault: account is misconfigured"
    assert drained(FIRST, 1, start=start, end=start, balance=1000, owner=False) == "vault: not an owner"


def test_only_vaults_are_drained() -> None:
    vm = machine([V.spawned(10**9), W1.spawned(10**9)])
    raws = [V.drain(W1.address, W2.address, 1, 0), V.drain(W2.address, W2.address, 1, 1)]
    assert failures(vm.execute(FIRST, transactions(raws))) == [
        f"relay template mismatch: {address.to_text(world.VAULT, 'sm')} != {address.to_text(world.WALLET, 'sm')}",
        "account is not spawned",
    ]


# ---- rewards, revert, events ----


def test_a_smesher_is_paid_once_in_a_layer() -> None:
    vm = machine([])
    with pytest.raises(LayerRefused) as caught:
        vm.apply(FIRST, (), [REWARD, REWARD])
    assert caught.value.reason == "duplicate_row"
    assert vm.last_applied() is None


@pytest.mark.parametrize(("numerator", "denominator"), [(1, 0), (0, 5)])
def test_weights_that_are_none_are_refused_before_anything_runs(numerator: int, denominator: int) -> None:
    vm = machine([W1.spawned(10**9)])
    with pytest.raises(LayerRefused) as caught:
        vm.apply(
            FIRST,
            transactions([W1.spend(W2.address, 1, 0)]),
            [CoinbaseReward(NodeId(bytes(32)), COINBASE, RatNum(numerator, denominator))],
        )
    assert caught.value.reason == "no_weight"
    assert vm.account(W1.address) == W1.spawned(10**9)


def test_a_layer_is_applied_once() -> None:
    vm = machine([W1.spawned(10**9)])
    vm.apply(FIRST, transactions([W1.spend(W2.address, 1, 0)]))
    before = vm.accounts(), vm.state_hash()
    with pytest.raises(LayerRefused) as caught:
        vm.apply(FIRST, transactions([W1.spend(W2.address, 1, 1)]))
    assert caught.value.reason == "duplicate_row"
    assert (vm.accounts(), vm.state_hash()) == before


def test_accounts_of_genesis_survive_every_revert() -> None:
    vm = machine([])
    assert vm.kept.unit(lambda rows: vm.vm.apply_genesis(rows, {W1.address: 10**9, W2.address: 5}))
    assert not vm.kept.unit(lambda rows: vm.vm.apply_genesis(rows, {W1.address: 1}))
    vm.apply(FIRST, transactions([W1.spawn()]), [REWARD])
    vm.revert(LayerId(0))
    assert [(one.address, one.balance) for one in vm.accounts()] == sorted(((W1.address, 10**9), (W2.address, 5)))
    assert vm.state_hash() == NO_LAYER
    assert vm.rewards() == []
    assert vm.result(transactions([W1.spawn()])[0].raw.id) is None


def test_accounts_as_they_were() -> None:
    vm = machine([W1.spawned(10**9)])
    for place in range(3):
        vm.apply(LayerId(FIRST + 2 * place), transactions([W1.spend(W2.address, 1, place)]))
    nonces = [vm.account(W1.address, LayerId(FIRST + at)) for at in range(-1, 6)]
    assert [None if one is None else one.next_nonce for one in nonces] == [0, 1, 1, 2, 2, 3, 3]
    assert vm.account(W2.address, LayerId(FIRST - 1)) is None


def test_events_tell_accounts_rewards_and_results() -> None:
    vm = machine([W1.spawned(10**9)])
    changes = vm.apply(
        FIRST, transactions([W1.spend(W2.address, 1, 0), W1.spend(W2.address, 1, 0)]), [REWARD]
    )  # fmt: skip
    found = list(events.of(changes))
    assert [type(event) for event in found] == [
        *[events.AccountUpdated] * 3,
        events.RewardReceived,
        events.TransactionApplied,
    ]
    assert [event.account.address for event in found if isinstance(event, events.AccountUpdated)] == [
        W1.address,
        W2.address,
        COINBASE,
    ]
    (applied,) = (event for event in found if isinstance(event, events.TransactionApplied))
    assert applied.header.max_spend == 1 and applied.result.layer == FIRST
