"""What contracts will need of the ledger: calls within calls that fail and are undone, gas used apart from the limit,
templates, versions and sizes that another network has.

`Scripted` stands in for a contract: its calls do what a script says. A model with copies of everything says what must
come of it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.ledger import gas
from node.ledger.errors import Failure, LayerRefused, ParseError
from node.ledger.host import Host
from node.ledger.layer import LayerChanges, execute
from node.ledger.rules import NETWORK, PRECOMPILED, Rules, TransactionVersion
from node.ledger.templates.template import ArgumentCodecs, Payload
from node.ledger.templates.wallet import Wallet
from node.ledger.verify import verifier
from protocol.codec.compact import compact, read_compact
from protocol.codec.declare import Record, c32, record
from protocol.types.ids import Address, LayerId, NodeId
from protocol.types.templates import (
    METHOD_SPAWN,
    METHOD_SPEND,
    SpendArguments,
    WalletSpawnArguments,
)
from protocol.types.transactions import Account
from tests.support import vm_world as world
from tests.support.vm_world import FIRST, machine, transactions

METHOD_CALL = 33
FIXED = 5_000
SCRIPTS: list[Sequence[Any]] = []


@record
class Script(Record):
    """Which script is called."""

    number: Annotated[int, c32]


class Scripted(Wallet):
    """A wallet whose method `call` runs a script, with a limit of gas in its payload."""

    __slots__ = ()

    name = "scripted account"
    address = Address(bytes(23) + b"\x09")
    arguments: ClassVar[ArgumentCodecs] = {
        METHOD_SPAWN: WalletSpawnArguments.codec,
        METHOD_SPEND: SpendArguments.codec,
        METHOD_CALL: Script.codec,
    }

    def __init__(self, public_key: bytes) -> None:
        super().__init__(public_key)
        wallet = self.costs
        self.costs = gas.Costs(
            base=MappingProxyType({**wallet.base, METHOD_CALL: gas.TX + gas.EDVERIFY}),
            load=wallet.load,
            execution=MappingProxyType({**wallet.execution, METHOD_CALL: FIXED}),
        )

    @classmethod
    def read_payload(cls, raw: bytes, at: int) -> Payload:
        nonce, price, _, at = super().read_payload(raw, at)
        limit, at = read_compact(raw, at, 64)
        return nonce, price, limit, at

    def max_spend(self, method: int, arguments: Any) -> int:
        return 1 << 60 if method == METHOD_CALL else super().max_spend(method, arguments)

    def run(self, host: Host, method: int, arguments: Any) -> None:
        if method == METHOD_CALL:
            run(host, SCRIPTS[arguments.number])
        else:
            super().run(host, method, arguments)


def run(host: Host, script: Sequence[Any]) -> None:
    for what, *rest in script:
        match what:
            case "gas":
                host.consume(rest[0])
            case "spend":
                host.transfer(*rest)
            case "spawn":
                host.spawn(rest[0].address, Wallet(rest[0].state))
            case "try":
                assert host.attempt(lambda inner=rest[0]: run(host, inner)) in ("", *FAILURES)
            case "relay":
                account, most, inner = rest
                host.relay(Scripted.address, account, most, lambda _, remote, inner=inner: run(remote, inner))
            case _:
                raise Failure("told to fail")


FAILURES = (
    "told to fail", "no balance", "max gas", "account already spawned", "account is not spawned",
    *(f"max spend: {most}" for most in (0, 5, 500)),
)  # fmt: skip

V1 = Rules(
    versions=MappingProxyType(
        {
            0: NETWORK.versions[0],
            1: TransactionVersion(4096, MappingProxyType({**PRECOMPILED, Scripted.address: Scripted})),
        }
    ),
    templates=MappingProxyType({**PRECOMPILED, Scripted.address: Scripted}),
)
"""A network with one version and one template more."""


def scripted(number: int) -> world.Owner:
    public, secret = world.key_pair(number)
    return world.Owner(Scripted.address, WalletSpawnArguments(NodeId(public)), (secret,))


def call(who: world.Owner, script: Sequence[Any], nonce: int = 0, limit: int = 0, price: int = 1) -> bytes:
    SCRIPTS.append(script)
    head = b"\4" + who.address + compact(METHOD_CALL) + compact(nonce) + compact(price) + compact(limit)
    return who.sign(head + compact(len(SCRIPTS) - 1))


S, R, OTHER = scripted(1), scripted(2), world.wallet(3)
NEW, NEWER = world.wallet(8), world.wallet(9)


def applied(script: Sequence[Any], limit: int = 0, price: int = 1) -> tuple[world.Machine, LayerChanges]:
    vm = machine([S.spawned(10**9), R.spawned(1000), OTHER.spawned(7)], rules=V1)
    return vm, vm.apply(FIRST, transactions([call(S, script, limit=limit, price=price)]))


# ---- gas ----


def test_what_is_not_used_of_the_limit_is_given_back() -> None:
    vm, changes = applied([("gas", 300), ("spend", OTHER.address, 5)], limit=1_000, price=3)
    (executed,) = changes.executed
    assert executed.failure == ""
    assert executed.parsed.max_gas == executed.gas_used + 700
    assert executed.result(FIRST, changes.block).gas == executed.gas_used
    assert executed.fee == 3 * executed.gas_used
    account = vm.account(S.address)
    assert account is not None and account.balance == 10**9 - 5 - executed.fee
    assert executed.header.max_gas == executed.parsed.max_gas, "the header names the limit"


def test_a_failed_call_pays_for_what_it_used_and_no_more_than_the_limit() -> None:
    for script, used, failure in (
        ([("gas", 300), ("fail",)], 300, "told to fail"),
        ([("gas", 300), ("gas", 701)], 1_000, "max gas"),
        ([("try", [("gas", 400), ("fail",)]), ("gas", 1)], 401, ""),
        ([("relay", R.address, 0, [("gas", 9)])], 9, ""),
        ([("relay", R.address, 0, [("gas", 1_001)])], 1_000, "max gas"),
    ):
        _, changes = applied(script, limit=1_000)
        (executed,) = changes.executed
        assert executed.failure == failure
        assert executed.parsed.max_gas - executed.gas_used == 1_000 - used
        assert executed.fee == executed.gas_used


def test_a_block_is_charged_with_what_was_used_and_must_have_room_for_the_limit() -> None:
    thrifty = call(S, [("gas", 1)], limit=50_000)
    second = call(R, [], limit=50_000)
    vm = machine([S.spawned(10**9), R.spawned(10**9)], rules=V1)
    both = [vm.parse(raw).max_gas for raw in (thrifty, second)]
    for room, count in ((sum(both) - 49_999, 2), (sum(both) - 50_000, 1)):
        vm = machine([S.spawned(10**9), R.spawned(10**9)], gas_limit=room, rules=V1)
        assert len(vm.execute(FIRST, transactions([thrifty, second])).executed) == count


def test_who_cannot_pay_for_the_limit_is_out_of_gas() -> None:
    raw = call(S, [("spend", OTHER.address, 5)], limit=10**6)
    vm = machine([S.spawned(10**6)], rules=V1)
    (executed,) = vm.apply(FIRST, transactions([raw])).executed
    assert (executed.failure, executed.fee) == ("out of gas", 10**6)
    assert executed.gas_used == executed.parsed.max_gas
    assert vm.account(OTHER.address) is None


# ---- what another network knows ----


def test_versions_templates_and_sizes_are_the_networks() -> None:
    raw = call(S, [])
    network = machine([world.wallet(1).spawned(10**9)])
    with pytest.raises(ParseError) as caught:
        network.parse(raw)
    assert caught.value.reason == "malformed" and "version" in str(caught.value)

    other = machine([S.spawned(10**9), OTHER.spawned(10**9)], rules=V1)
    assert other.parse(raw).max_gas > 0
    in_version_0 = OTHER.sign(OTHER.head(METHOD_SPAWN) + Scripted.address + compact(0) + compact(1) + S.state)
    with pytest.raises(ParseError, match=r"template .* is not known"):
        other.parse(in_version_0)
    in_version_1 = OTHER.sign(
        b"\4" + OTHER.address + compact(METHOD_SPAWN) + Scripted.address + compact(0) + compact(1) + S.state
    )
    assert other.parse(in_version_1).target == S.address

    for version, size, reason in ((0, 1025, "tx_limit"), (0, 4097, "tx_limit"), (1, 4096, ""), (1, 4097, "tx_limit")):
        head = raw if version else OTHER.spend(NEW.address, 1, 0)
        padded = head.ljust(size, b"\0")
        if reason:
            with pytest.raises(ParseError) as caught:
                other.parse(padded)
            assert caught.value.reason == reason
        else:
            other.parse(padded)


def test_an_account_of_a_template_that_the_network_does_not_have_does_nothing() -> None:
    vm = machine([S.spawned(10**9)])
    with pytest.raises(ParseError, match="which is not known"):
        vm.parse(S.spend(OTHER.address, 1, 0))


# ---- faults of the store ----


class Broken:
    """A way to load accounts that fails for one address, as a damaged store does."""

    def __init__(self, error: Exception, *accounts: Account) -> None:
        self.accounts = {account.address: account for account in accounts}
        self.error = error

    def __call__(self, address: Address) -> Account | None:
        if address == NEW.address:
            raise self.error
        return self.accounts.get(address)


@pytest.mark.parametrize("error", [IndexError("list index"), RuntimeError("disk"), KeyError("x")])
def test_a_fault_of_the_store_ends_the_layer_and_is_no_malformed_transaction(error: Exception) -> None:
    parameters = machine([]).vm.parameters
    accounts = Broken(error, world.wallet(1).spawned(10**9))
    for raw in (NEW.spend(OTHER.address, 1, 0), world.wallet(1).spend(NEW.address, 1, 0), NEW.spawn()):
        with pytest.raises(type(error)) as caught:
            execute(parameters, accounts, FIRST, transactions([raw]), (), verifier(world.GENESIS_ID))
        assert caught.value is error


def test_a_vault_whose_state_cannot_be_read_ends_the_layer() -> None:
    """The reference stops, too: who drains it cannot be told that the call failed, and nobody can go on."""
    owner = world.vesting((1, 2), (0,))
    held = world.vault(owner, 100, 0, 0)
    torn = Account(LayerId(0), held.address, 0, 100, held.template, b"short")
    vm = machine([owner.spawned(10**9), torn])
    before = vm.kept.everything()
    with pytest.raises(LayerRefused) as caught:
        vm.apply(FIRST, transactions([owner.drain(held.address, OTHER.address, 1, 0)]))
    assert caught.value.reason == "internal"
    assert vm.kept.everything() == before


# ---- the journal against a model ----


@dataclass
class Model:
    """Everything that a call can change."""

    balances: dict[bytes, int]
    spawned: dict[bytes, bytes]
    touched: list[bytes] = field(default_factory=list)
    gas: int = 0

    def touch(self, address: bytes) -> None:
        if address != S.address and address not in self.touched:
            self.touched.append(address)


class Undone(Exception):
    """A call that failed."""


def modelled(model: Model, script: Sequence[Any], account: bytes, most: list[int]) -> None:
    """most: a list of one number, what the call may still spend."""
    for what, *rest in script:
        match what:
            case "gas":
                if rest[0] > model.gas:
                    model.gas = 0
                    raise Undone
                model.gas -= rest[0]
            case "spend":
                to, amount = rest
                if amount > model.balances.get(account, 0) or amount > most[0]:
                    raise Undone
                if to != account:
                    most[0] -= amount
                    model.balances[account] -= amount
                    model.balances[to] = model.balances.get(to, 0) + amount
                    model.touch(to)
            case "spawn":
                if rest[0].address in model.spawned:
                    raise Undone
                model.spawned[rest[0].address] = rest[0].state
                model.touch(rest[0].address)
            case "try":
                tried(model, rest[0], account, most)
            case "relay":
                other, spend, inner = rest
                if other not in model.spawned:
                    raise Undone
                modelled(model, inner, other, [spend])
                model.touch(other)
            case _:
                raise Undone


def tried(model: Model, script: Sequence[Any], account: bytes, most: list[int]) -> bool:
    """Whether the call held; where it did not, all but the gas is as it was."""
    before, spend = copy.deepcopy(model), most[0]
    try:
        modelled(model, script, account, most)
    except Undone:
        model.balances, model.spawned, model.touched = before.balances, before.spawned, before.touched
        most[0] = spend
        return False
    return True


addresses = st.sampled_from([S.address, R.address, OTHER.address, NEW.address, NEWER.address])
plain = st.one_of(
    st.tuples(st.just("gas"), st.integers(0, 400)),
    st.tuples(st.just("spend"), addresses, st.sampled_from([0, 1, 4, 300, 700, 10**10])),
    st.tuples(st.just("spawn"), st.sampled_from([NEW, NEWER, OTHER])),
    st.tuples(st.just("fail")),
)
scripts = st.recursive(
    st.lists(plain, max_size=4),
    lambda inner: st.lists(
        st.one_of(
            plain,
            st.tuples(st.just("try"), inner),
            st.tuples(st.just("relay"), st.sampled_from([S.address, R.address]), st.sampled_from([0, 5, 500]), inner),
        ),
        max_size=6,
    ),
    max_leaves=25,
)


@given(scripts, st.sampled_from([0, 200, 1_000]))
@settings(max_examples=300, deadline=None)
def test_calls_within_calls_leave_what_a_model_with_copies_leaves(script: Sequence[Any], limit: int) -> None:
    vm, changes = applied(script, limit=limit)
    (executed,) = changes.executed
    start = {S.address: 10**9 - executed.parsed.max_gas, R.address: 1000, OTHER.address: 7}
    model = Model(start, {one.address: one.state for one in (S, R, OTHER)}, gas=limit)
    held = tried(model, script, S.address, [1 << 60])
    model.balances[S.address] += model.gas
    assert (executed.failure == "") == held
    assert executed.gas_used == executed.parsed.max_gas - model.gas
    assert executed.addresses == (S.address, *model.touched)
    assert [one.address for one in changes.accounts] == [S.address, *model.touched]
    for address in (S.address, R.address, OTHER.address, NEW.address, NEWER.address):
        account = vm.account(Address(address))
        found = (0, b"") if account is None else (account.balance, account.state)
        assert found == (model.balances.get(address, 0), model.spawned.get(address, b""))
        template = None if account is None else account.template
        assert (template is not None) == (address in model.spawned)
