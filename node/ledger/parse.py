"""From bytes to what a transaction means for its principal as it stands now: payload, arguments, gas, signatures.

What the bytes mean depends on the template of the principal, so one transaction may parse differently, or not at all,
at another time. Nothing looks at what follows the signatures. Protocol 07-vm-and-transactions, sections 2.1 and 2.2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from node.ledger.errors import MALFORMED, NOT_SPAWNED, TX_LIMIT, ParseError
from node.ledger.gas import data_gas
from node.ledger.templates import TEMPLATES, Signatures, Template
from protocol.codec.compact import Fault, read_compact
from protocol.codec.declare import LIST_NESTING, CodecError
from protocol.numbers.u64 import MASK
from protocol.types.ids import Address
from protocol.types.templates import MAX_TX_SIZE, METHOD_SPAWN, principal_address
from protocol.types.transactions import LayerLimits, TxHeader

ADDRESS_SIZE = 24
_METHOD_AT = 1 + ADDRESS_SIZE

_ALWAYS = LayerLimits()


class HasCode(Protocol):
    """An account as the parser needs it."""

    def loaded_code(self) -> Template | None:
        """The template with the state, None where nothing was spawned. Raises ParseError (malformed, internal)."""


Accounts = Callable[[Address], HasCode]


class Parsed:
    """A transaction whose meaning is known. Its signatures were not looked at."""

    __slots__ = (
        "arguments", "base_gas", "code", "data_gas", "fixed_gas", "gas_price", "max_gas", "max_spend", "method",
        "nonce", "payer", "principal", "raw", "signatures_at", "spawned", "target", "template",
    )  # fmt: skip

    raw: bytes
    principal: Address
    """Who pays, and whose nonce counts."""
    code: Template | None
    """The principal's template and state when this was parsed; None where it was not spawned."""
    payer: Template
    """By whose rules gas is counted and signatures are checked: `code`, or in a self-spawn what comes into being."""
    template: Address
    """Whose method is called."""
    method: int
    nonce: int
    gas_price: int
    """Smidge for one unit of gas."""
    arguments: Any
    target: Address
    """The account that a spawn makes; else the principal."""
    spawned: Template | None
    """What a spawn makes of it."""
    base_gas: int
    data_gas: int
    fixed_gas: int
    max_gas: int
    """base + data + fixed: exactly what is consumed."""
    max_spend: int
    """Smidge beside the fee."""
    signatures_at: int

    @property
    def intrinsic_gas(self) -> int:
        """What is consumed before anything runs."""
        return self.base_gas + self.data_gas

    @property
    def fee(self) -> int:
        """Smidge, where the balance allows; wraps around at 64 bits."""
        return self.max_gas * self.gas_price & MASK

    @property
    def spending(self) -> int:
        """Smidge that may leave the principal: fee and amount; wraps around at 64 bits."""
        return self.fee + self.max_spend & MASK

    @property
    def header(self) -> TxHeader:
        """What the store and the interfaces know of the transaction."""
        return TxHeader(
            principal=self.principal,
            template=self.template,
            method=self.method,
            nonce=self.nonce,
            layer_limits=_ALWAYS,
            max_gas=self.max_gas,
            gas_price=self.gas_price,
            max_spend=self.max_spend,
        )

    def signatures(self) -> Signatures | None:
        """What must be valid over all bytes before it; None where nothing can make the transaction valid."""
        return self.payer.signatures(self.raw, self.signatures_at)


def parse(raw: bytes, accounts: Accounts) -> Parsed:
    """What the bytes mean. `accounts` gives the state of an address.

    Raises ParseError: tx_limit, malformed, not_spawned, invalid_args, internal.
    """
    size = len(raw)
    if size > MAX_TX_SIZE:
        raise ParseError(
            f"The transaction overflows tx limit: it has {size} bytes, at most {MAX_TX_SIZE} are allowed.", TX_LIMIT
        )
    try:
        return _parse(raw, size, accounts)
    except (CodecError, Fault) as error:
        raise malformed(str(error)) from None
    except IndexError:
        raise malformed(f"its {size} bytes end too early") from None


def malformed(why: str) -> ParseError:
    """The error of bytes that are no transaction."""
    return ParseError(f"malformed tx: {why.removesuffix('.')}.", MALFORMED)


def _parse(raw: bytes, size: int, accounts: Accounts) -> Parsed:
    if raw[0]:
        raise malformed(f"its version is not 0 (first byte {raw[0]:02x})")
    method, at = read_compact(raw, _METHOD_AT, 8)
    parsed = Parsed()
    parsed.raw = raw
    parsed.method = method
    parsed.principal = parsed.target = principal = Address(raw[1:_METHOD_AT])
    parsed.code = code = accounts(principal).loaded_code()

    if method == METHOD_SPAWN:
        template = Address(raw[at : at + ADDRESS_SIZE])
        at += ADDRESS_SIZE
        called = TEMPLATES.get(template)
        if called is None:
            raise malformed(f"the template {template.hex()} is not known")
        handler = called if code is None else type(code)
    elif code is None:
        raise ParseError("The principal is not spawned: only a spawn of itself is possible.", NOT_SPAWNED)
    else:
        handler = called = type(code)
        template = code.address
    parsed.template = template

    parsed.nonce, parsed.gas_price, at = handler.read_payload(raw, at)
    arguments_of = called.arguments.get(method)
    if arguments_of is None:
        raise malformed(f"a {called.name} has no method {method}")
    parsed.arguments, parsed.signatures_at = arguments_of.read(raw, at, LIST_NESTING)

    if method == METHOD_SPAWN:
        parsed.target = principal_address(template, parsed.arguments)
        if parsed.target != principal and code is None:
            raise ParseError("The principal is not spawned: it cannot spawn another account.", NOT_SPAWNED)
        parsed.spawned = called.spawn(parsed.arguments)
        if parsed.target == principal:
            payer = parsed.spawned
            parsed.fixed_gas = payer.costs.execution[METHOD_SPAWN]
        else:
            assert code is not None, "only a spawned principal spawns another account"
            payer = code
            parsed.fixed_gas = code.costs.load + parsed.spawned.costs.execution[METHOD_SPAWN]
        parsed.max_spend = 0
    else:
        assert code is not None, "only a spawned principal calls other methods"
        payer = code
        parsed.spawned = None
        parsed.fixed_gas = payer.costs.fixed[method]
        parsed.max_spend = payer.max_spend(method, parsed.arguments)
    parsed.payer = payer
    parsed.base_gas = payer.costs.base[method]
    parsed.data_gas = data_gas(size)
    parsed.max_gas = parsed.base_gas + parsed.data_gas + parsed.fixed_gas
    return parsed
