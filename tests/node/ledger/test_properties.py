"""Laws of the ledger on random layers: one outcome however signatures are checked, no coin lost, revert undoes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.ledger import rules
from node.ledger.layer import LayerChanges
from node.ledger.rewards import CoinbaseReward
from node.ledger.tables import LAST_APPLIED
from node.ledger.verify import verifier
from node.ledger.vm import Vm
from node.store.check import check_rows
from protocol.types.blocks import RatNum
from protocol.types.ids import LayerId, NodeId
from protocol.types.transactions import Account
from tests.support import vm_world as world
from tests.support.node_stores import BACKENDS, OpenBackend

WALLETS = [world.wallet(number) for number in (1, 2, 3)]
MULTISIGS = [world.multisig((1, 2, 3), (0, 2)), world.vesting((4, 5), (0,)), world.vesting((4, 4), (0, 1))]
SIGNERS = [*WALLETS, *MULTISIGS]
VAULTS = [world.vault(MULTISIGS[1], 10**7, world.FIRST, world.FIRST + 4), world.vault(MULTISIGS[2], 500, 0, 0)]
OWNERS = [*SIGNERS, *VAULTS]
JUDGE = verifier(world.GENESIS_ID)


@dataclass(frozen=True, slots=True)
class Action:
    """A transaction before it is built."""

    kind: str
    who: world.Owner
    other: world.Owner
    vault: world.Owner
    amount: int
    skip: int
    """Nonces that are left out before this one; -1 uses the last one again."""
    price: int
    damaged: int
    """The byte from the end in which a bit is changed; 0: none."""

    @property
    def signer(self) -> world.Owner:
        """A drain is signed by the owner of the vault."""
        if self.kind != "drain":
            return self.who
        return MULTISIGS[1] if self.vault is VAULTS[0] else MULTISIGS[2]

    def raw(self, nonce: int) -> bytes:
        who = self.signer
        match self.kind:
            case "spawn":
                raw = who.spawn(None, nonce, self.price)
            case "spawn other":
                raw = who.spawn(self.other, nonce, self.price)
            case "drain":
                raw = who.drain(self.vault.address, self.other.address, self.amount, nonce, self.price)
            case _:
                raw = who.spend(self.other.address, self.amount, nonce, self.price)
        if not self.damaged:
            return raw
        changed = bytearray(raw)
        changed[-self.damaged] ^= 1
        return bytes(changed)


actions = st.builds(
    Action,
    kind=st.sampled_from(["spawn", "spawn other", "spend", "spend", "spend", "drain"]),
    who=st.sampled_from(SIGNERS),
    other=st.sampled_from(OWNERS),
    vault=st.sampled_from([*VAULTS, WALLETS[0]]),
    amount=st.sampled_from([0, 1, 77, 500, 10**5, 10**6, 10**9]),
    skip=st.sampled_from([0, 0, 0, 0, 2, -1]),
    price=st.sampled_from([1, 1, 1, 2, 3, 1, 0, 10**6]),
    damaged=st.sampled_from([0, 0, 0, 0, 0, 0, 0, 1, 66, 100]),
)
rewards = st.lists(
    st.builds(
        CoinbaseReward,
        smesher_id=st.integers(0, 255).map(lambda number: NodeId(bytes((number,)) * 32)),
        coinbase=st.sampled_from([owner.address for owner in OWNERS]),
        weight=st.builds(RatNum, st.integers(1, 1 << 64), st.integers(1, 1 << 64)),
    ),
    max_size=4,
    unique_by=lambda reward: reward.smesher_id,
)
layers = st.lists(st.tuples(st.lists(actions, min_size=3, max_size=10), rewards), min_size=1, max_size=3)
balances = st.lists(
    st.tuples(st.sampled_from([10**9, 10**9, 10**9, 10**6, 50_000, 1]), st.sampled_from([True, True, False])),
    min_size=len(OWNERS),
    max_size=len(OWNERS),
)


def genesis(drawn: Sequence[tuple[int, bool]]) -> list[Account]:
    return [
        owner.spawned(balance) if is_spawned else owner.unspawned(balance)
        for owner, (balance, is_spawned) in zip(OWNERS, drawn)
    ]


def built(drawn: Any) -> list[tuple[list[bytes], list[CoinbaseReward]]]:
    """The transactions' bytes; the nonces of each signer go up."""
    nonces: dict[bytes, int] = {}
    blocks = []
    for some, paid in drawn:
        raws = []
        for action in some:
            nonce = max(nonces.get(action.signer.address, 0) + action.skip, 0)
            nonces[action.signer.address] = nonce + 1
            raws.append(action.raw(nonce))
        blocks.append((raws, list(paid)))
    return blocks


def apply_all(
    vm: world.Machine, blocks: Sequence[tuple[list[bytes], list[CoinbaseReward]]], first: int = 0
) -> list[LayerChanges]:
    return [
        vm.apply(LayerId(world.FIRST + place), world.transactions(raws), paid)
        for place, (raws, paid) in enumerate(blocks)
        if place >= first
    ]


def told(changes: LayerChanges) -> Any:
    """All that a layer says, in a form that can be compared."""
    return (
        changes.accounts,
        changes.results(),
        [executed.header for executed in changes.executed],
        changes.ineffective,
        changes.rewards,
        changes.state_hash,
    )


def one_by_one(public_keys: Sequence[bytes], messages: Sequence[bytes], signatures: Sequence[bytes]) -> list[bool]:
    return [
        bool(JUDGE([key], [message], [signature])[0])
        for key, message, signature in zip(public_keys, messages, signatures)
    ]


@given(balances, layers)
@settings(max_examples=60, deadline=None)
def test_the_outcome_does_not_depend_on_when_signatures_are_checked(start: Any, drawn: Any) -> None:
    accounts, blocks = genesis(start), built(drawn)
    batch = world.machine(accounts)
    expected = [told(changes) for changes in apply_all(batch, blocks)]

    plain = world.machine(accounts)
    single = world.Machine(Vm(plain.vm.parameters, one_by_one), plain.kept)
    rules.load.cache_clear()
    assert [told(changes) for changes in apply_all(single, blocks)] == expected

    before = world.machine(accounts)
    for place, ((raws, paid), told_then) in enumerate(zip(blocks, expected)):
        rules.load.cache_clear()
        known = world.transactions(raws)
        signed = {
            one.raw.id for one in known if one.raw.id in {executed_id for executed_id, _ in told_then[1]}
        }  # fmt: skip
        mixed = [world.transaction(one.raw.raw, is_verified=one.raw.id in signed) for one in known]
        changes = before.apply(LayerId(world.FIRST + place), mixed, paid)
        assert told(changes) == told_then


@given(balances, layers)
@settings(max_examples=60, deadline=None)
def test_no_coin_appears_or_gets_lost(start: Any, drawn: Any) -> None:
    accounts, blocks = genesis(start), built(drawn)
    vm = world.machine(accounts)
    supply = sum(account.balance for account in accounts)
    for changes in apply_all(vm, blocks):
        paid = sum(reward.total_reward for reward in changes.rewards)
        supply += paid - changes.fees
        assert changes.burnt >= 0 and paid + changes.burnt == changes.subsidy + changes.fees
        assert sum(reward.layer_reward for reward in changes.rewards) <= changes.subsidy
    assert sum(account.balance for account in vm.accounts()) == supply


def everything(vm: world.Machine) -> Any:
    return vm.accounts(), vm.rewards(), vm.state_hash(), vm.last_applied()


@pytest.mark.parametrize("backend", BACKENDS)
@given(balances, layers, st.data())
@settings(max_examples=40, deadline=None)
def test_reverting_and_applying_again_is_as_if_nothing_had_happened(
    backend: OpenBackend, start: Any, drawn: Any, data: Any
) -> None:
    accounts, blocks = genesis(start), built(drawn)
    to = data.draw(st.integers(0, len(blocks)), label="layers that stay")
    with backend() as one, backend() as other:
        vm = world.machine(accounts, backend=one)
        first = apply_all(vm, blocks)
        end, rows = everything(vm), vm.kept.everything()

        vm.revert(LayerId(world.FIRST + to - 1))
        shorter = world.machine(accounts, backend=other)
        apply_all(shorter, blocks[:to])
        assert everything(vm)[:3] == everything(shorter)[:3]
        assert without_last_applied(vm) == without_last_applied(shorter), "not one row more or less"

        again = apply_all(vm, blocks, to)
        assert [told(changes) for changes in again] == [told(changes) for changes in first[to:]]
        assert everything(vm) == end and vm.kept.everything() == rows
        assert check_rows(vm.kept.store).faults == 0


def without_last_applied(vm: world.Machine) -> dict[bytes, bytes]:
    """All rows but the one that says how far: a new ledger has none, one that was reverted to its start has."""
    return {key: value for key, value in vm.kept.everything().items() if key != LAST_APPLIED.prefix}


@pytest.mark.parametrize("backend", BACKENDS)
@given(balances, layers, st.data())
@settings(max_examples=30, deadline=None)
def test_the_past_stays_as_it_was(backend: OpenBackend, start: Any, drawn: Any, data: Any) -> None:
    accounts, blocks = genesis(start), built(drawn)
    with backend() as one:
        vm = world.machine(accounts, backend=one)
        past = [vm.accounts()]
        for place, (raws, paid) in enumerate(blocks):
            vm.apply(LayerId(world.FIRST + place), world.transactions(raws), paid)
            past.append(vm.accounts())
        for place, then in enumerate(past):
            assert vm.accounts(LayerId(world.FIRST + place - 1)) == then
        to = data.draw(st.integers(0, len(blocks)), label="layers that stay")
        vm.revert(LayerId(world.FIRST + to - 1))
        for place, then in enumerate(past[: to + 1]):
            assert vm.accounts(LayerId(world.FIRST + place - 1)) == then


@given(balances, layers)
@settings(max_examples=30, deadline=None)
def test_every_account_is_listed_once_and_every_touched_one_is_listed(start: Any, drawn: Any) -> None:
    vm = world.machine(genesis(start))
    for changes in apply_all(vm, built(drawn)):
        listed = [account.address for account in changes.accounts]
        touched = [address for executed in changes.executed for address in executed.addresses]
        touched += [reward.coinbase for reward in changes.rewards]
        assert listed == list(dict.fromkeys(touched))
