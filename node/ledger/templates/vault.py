"""The vault: coins that become free layer by layer, released by the account that owns it.

It signs nothing; what it does, a vesting account relays to it. Protocol 07-vm-and-transactions, sections 2.1 and 4.3.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

from node.ledger import gas
from node.ledger.errors import INVALID_ARGS, Failure, ParseError
from node.ledger.host import Host
from node.ledger.templates.template import ArgumentCodecs, Payload, Signatures, Template
from protocol.numbers.issuance import vested
from protocol.types.templates import (
    METHOD_SPAWN,
    METHOD_SPEND,
    VAULT,
    SpendArguments,
    VaultSpawnArguments,
    VaultState,
)


class Vault(Template):
    """An account that holds coins back until they are vested. What it received beyond that is free at any time."""

    __slots__ = ("terms",)

    name = "vault"
    address = VAULT
    arguments: ClassVar[ArgumentCodecs] = {METHOD_SPAWN: VaultSpawnArguments.codec, METHOD_SPEND: SpendArguments.codec}

    def __init__(self, terms: VaultState) -> None:
        self.terms = terms
        self.state = VaultState.codec.encode(terms)
        self.costs = gas.FREE

    @classmethod
    def spawn(cls, arguments: VaultSpawnArguments) -> Self:
        """Raises ParseError (invalid_args): more unlocked than there is, or an end before the start."""
        if arguments.initial_unlock_amount > arguments.total_amount:
            raise ParseError(
                f"The vault unlocks {arguments.initial_unlock_amount} smidge of {arguments.total_amount}.", INVALID_ARGS
            )
        if arguments.vesting_end < arguments.vesting_start:
            raise ParseError(
                f"The vault's vesting ends at layer {arguments.vesting_end}, before its start at layer "
                f"{arguments.vesting_start}.",
                INVALID_ARGS,
            )
        return cls(arguments)

    @classmethod
    def load(cls, state: bytes) -> Self:
        """Raises CodecError."""
        return cls(VaultState.codec.read(state)[0])

    @classmethod
    def read_payload(cls, raw: bytes, at: int) -> Payload:
        """Nothing is read; nonce and price are 0."""
        return 0, 0, 0, at

    def max_spend(self, method: int, arguments: Any) -> int:
        """Nothing: it never pays by itself."""
        return 0

    def signatures(self, raw: bytes, at: int) -> Signatures | None:
        """None: a vault cannot sign."""
        return None

    def run(self, host: Host, method: int, arguments: SpendArguments) -> None:
        """A vault that is a principal never gets so far: it has no signature."""
        raise Failure("vault: not an owner")

    def spend(self, host: Host, arguments: SpendArguments) -> None:
        """What an owner relays; `host` acts for the vault. Raises Failure."""
        terms = self.terms
        if host.principal != terms.owner:
            raise Failure("vault: not an owner")
        held_back = terms.total_amount - vested(host.layer, terms.total_amount, terms.vesting_start, terms.vesting_end)
        if host.balance < held_back:
            raise Failure("vault: account is misconfigured")
        if arguments.amount > host.balance - held_back:
            raise Failure("vault: amount not available")
        host.transfer(arguments.destination, arguments.amount)
