"""What the checks on the virtual machine share: accounts, headers and rewards of the vectors, whole machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from node.ledger import state
from node.ledger.parameters import VmParameters
from node.ledger.rewards import CoinbaseReward
from node.ledger.vm import Vm
from protocol.numbers.u64 import MASK
from protocol.types.blocks import RatNum
from protocol.types.ids import EMPTY_ADDRESS, Address, LayerId, NodeId
from protocol.types.transactions import Account, LayerLimits, RawTx, Transaction, TxHeader
from tests.support.node_stores import Kept
from tests.support.vm_world import Machine


def account(case: dict[str, Any]) -> Account:
    """The account of an entry of the vectors."""
    template, state = case["template"], case["state"]
    return Account(
        LayerId(case["layer"]),
        Address(bytes.fromhex(case["address"])),
        int(case["next_nonce"]),
        int(case["balance"]),
        None if template is None else Address(bytes.fromhex(template)),
        b"" if state is None else bytes.fromhex(state),
    )


def accounts(cases: Sequence[dict[str, Any]] | None) -> list[Account]:
    """All accounts of a list."""
    return [account(case) for case in cases or ()]


def reward(case: dict[str, Any]) -> CoinbaseReward:
    """A reward before it is paid."""
    return CoinbaseReward(
        NodeId(bytes.fromhex(case["smesher"])),
        Address(bytes.fromhex(case["coinbase"])),
        RatNum(int(case["num"]), int(case["denom"])),
    )


def header_case(header: TxHeader) -> dict[str, Any]:
    """A header in the words of the vectors."""
    fee = header.max_gas * header.gas_price & MASK
    return {
        "principal": header.principal.hex(),
        "template": header.template.hex(),
        "method": header.method,
        "nonce": str(header.nonce),
        "layer_min": header.layer_limits.min,
        "layer_max": header.layer_limits.max,
        "max_gas": str(header.max_gas),
        "gas_price": str(header.gas_price),
        "max_spend": str(header.max_spend),
        "fee": str(fee),
        "spending": str(fee + header.max_spend & MASK),
        "scale": TxHeader.codec.encode(header).hex(),
    }


def machine(params: dict[str, Any], genesis: Sequence[Account]) -> Machine:
    """A machine with these parameters of the vectors over the given accounts."""
    kept = Kept()
    kept.unit(lambda rows: state.put_accounts(rows, genesis))
    parameters = VmParameters(
        genesis_id=bytes.fromhex(params["genesis_id"]),
        hrp=params["hrp"],
        first_effective_genesis=LayerId(params["first_effective_genesis"]),
        block_gas_limit=int(params["block_gas_limit"]),
        effective_genesis=LayerId(params["effective_genesis"]),
    )
    return Machine(Vm(parameters), kept)


def transaction(raw: bytes, *, is_verified: bool) -> Transaction:
    """A stored transaction. What was verified at reception carries a header; nothing else in it is looked at."""
    header = TxHeader(EMPTY_ADDRESS, EMPTY_ADDRESS, 0, 0, LayerLimits(), 0, 0, 0)
    return Transaction(RawTx.of(raw), header if is_verified else None)


def differing(found: Any, expected: Any, name: str) -> None:
    """Raises AssertionError that shows the first difference of two values."""
    if found == expected:
        return
    if isinstance(found, list) and isinstance(expected, list):
        for position, (one, other) in enumerate(zip(found, expected)):
            assert one == other, f"{name}[{position}] is {one}, expected {other}"
        raise AssertionError(f"{name} has {len(found)} entries, expected {len(expected)}")
    raise AssertionError(f"{name} is {found}, expected {expected}")
