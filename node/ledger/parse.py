"""From bytes to what a transaction means for its principal as it stands now: payload, arguments, gas, signatures.

What the bytes mean depends on the template of the principal, so one transaction may parse differently, or not at all,
at another time. Nothing looks at what follows the signatures. Protocol 07-vm-and-transactions, sections 2.1 and 2.2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from node.ledger.errors import MALFORMED, NOT_SPAWNED, TX_LIMIT, ParseError
from node.ledger.gas import data_gas
from node.ledger.rules import NETWORK, Rules, TransactionVersion
from node.ledger.templates.template import Signatures, Template
from protocol.codec.compact import Fault, read_compact
from protocol.codec.declare import LIST_NESTING, CodecError
from protocol.numbers.u64 import MASK
from protocol.types.ids import ADDRESS_SIZE, Address
from protocol.types.templates import METHOD_SPAWN, principal_address
from protocol.types.transactions import LayerLimits, TxHeader

_METHOD_AT = 1 + ADDRESS_SIZE
_ALWAYS = LayerLimits()


TemplateOf = Callable[[Address], Template | None]
"""The template with the state of an account; None where nothing was spawned.

Raises ParseError (malformed, internal); StoreFault, which no parser takes for a fault of the transaction.
"""


class Parsed:
    """A transaction whose meaning is known. Its signatures were not looked at."""

    __slots__ = (
        "arguments", "base_gas", "data_gas", "fee", "fixed_gas", "gas_limit", "gas_price", "intrinsic_gas", "max_gas",
        "max_spend", "method", "nonce", "payer", "principal", "principal_template", "raw", "signatures_at", "spawned",
        "target", "template",
    )  # fmt: skip

    raw: bytes
    principal: Address
    """Who pays, and whose nonce counts."""
    principal_template: Template | None
    """The principal's template with its state when this was parsed; None where it was not spawned."""
    payer: Template
    """By whose rules gas is counted and signatures are checked: `principal_template`, or in a self-spawn what comes
    into being."""
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
    intrinsic_gas: int
    """base + data: what is consumed before anything runs."""
    fixed_gas: int
    """Of reading the principal and of the call; with base and data it is consumed whatever happens."""
    gas_limit: int
    """What the call may consume beyond that; 0 where all calls have a fixed price."""
    max_gas: int
    """base + data + fixed + limit."""
    fee: int
    """Smidge for all that gas, where the balance allows; wraps around at 64 bits."""
    max_spend: int
    """Smidge beside the fee."""
    signatures_at: int

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


def parse(raw: bytes, template_of: TemplateOf, rules: Rules = NETWORK) -> Parsed:
    """What the bytes mean.

    Raises ParseError: tx_limit, malformed, not_spawned, invalid_args, internal; and what `template_of` raises.
    """
    size = len(raw)
    if size > rules.max_size:
        raise _too_big(size, rules.max_size)
    try:
        first = raw[0]
        version = None if first & 3 else rules.versions.get(first >> 2)
        if version is None:
            raise malformed(f"its version is not known (first byte {first:02x})")
        principal = Address(raw[1:_METHOD_AT])
        method = raw[_METHOD_AT]
        if method & 3:
            method, at = read_compact(raw, _METHOD_AT, 8)
        else:
            method, at = method >> 2, _METHOD_AT + 1
    except Fault as error:
        raise malformed(str(error)) from None
    except IndexError:
        raise malformed(f"its {size} bytes end too early") from None
    # the account is read outside: whatever goes wrong with the store says nothing about the transaction
    own = template_of(principal)
    try:
        return _parse(raw, size, version, principal, own, method, at)
    except (CodecError, Fault) as error:
        raise malformed(str(error)) from None
    except IndexError:
        raise malformed(f"its {size} bytes end too early") from None


def malformed(why: str) -> ParseError:
    """The error of bytes that are no transaction."""
    return ParseError(f"malformed tx: {why.removesuffix('.')}.", MALFORMED)


def _too_big(size: int, limit: int) -> ParseError:
    return ParseError(
        f"The transaction overflows tx limit: it has {size} bytes, at most {limit} are allowed.", TX_LIMIT
    )


def _parse(
    raw: bytes,
    size: int,
    version: TransactionVersion,
    principal: Address,
    own: Template | None,
    method: int,
    at: int,
) -> Parsed:
    """All that stands behind the method. own: the principal's template."""
    if size > version.max_size:
        raise _too_big(size, version.max_size)
    parsed = Parsed()
    parsed.raw = raw
    parsed.method = method
    parsed.principal = parsed.target = principal
    parsed.principal_template = own
    if method == METHOD_SPAWN:
        template = Address(raw[at : at + ADDRESS_SIZE])
        at += ADDRESS_SIZE
        called = version.templates.get(template)
        if called is None:
            raise malformed(f"the template {template.hex()} is not known")
        handler = called if own is None else type(own)
    elif own is None:
        raise ParseError("The principal is not spawned: only a spawn of itself is possible.", NOT_SPAWNED)
    else:
        handler = called = type(own)
        template = own.address
    parsed.template = template

    parsed.nonce, gas_price, gas_limit, at = handler.read_payload(raw, at)
    parsed.gas_price = gas_price
    arguments_of = called.arguments.get(method)
    if arguments_of is None:
        raise malformed(f"a {called.name} has no method {method}")
    parsed.arguments, parsed.signatures_at = arguments_of.read(raw, at, LIST_NESTING)

    if method == METHOD_SPAWN:
        parsed.target = principal_address(template, parsed.arguments)
        if parsed.target != principal and own is None:
            raise ParseError("The principal is not spawned: it cannot spawn another account.", NOT_SPAWNED)
        parsed.spawned = called.spawn(parsed.arguments)
        if parsed.target == principal:
            payer = parsed.spawned
            fixed = payer.costs.execution[METHOD_SPAWN]
        else:
            assert own is not None, "only a spawned principal spawns another account"
            payer = own
            fixed = own.costs.load + parsed.spawned.costs.execution[METHOD_SPAWN]
        parsed.max_spend = 0
    else:
        assert own is not None, "only a spawned principal calls other methods"
        payer = own
        parsed.spawned = None
        fixed = payer.costs.fixed[method]
        parsed.max_spend = payer.max_spend(method, parsed.arguments)
    parsed.payer = payer
    parsed.fixed_gas = fixed
    parsed.base_gas = base = payer.costs.base[method]
    parsed.data_gas = data = data_gas(size)
    parsed.intrinsic_gas = base + data
    parsed.gas_limit = gas_limit
    parsed.max_gas = max_gas = base + data + fixed + gas_limit
    parsed.fee = max_gas * gas_price & MASK
    return parsed
