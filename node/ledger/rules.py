"""Which templates, versions of transactions and sizes a network knows: a value, not a property of the program.

Protocol 07-vm-and-transactions, sections 2 and 2.1; 08-contracts-and-channels, sections 3 and 4.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from node.ledger.errors import INTERNAL, MALFORMED, ParseError
from node.ledger.templates.multisig import Multisig
from node.ledger.templates.template import Template
from node.ledger.templates.vault import Vault
from node.ledger.templates.vesting import Vesting
from node.ledger.templates.wallet import Wallet
from protocol.codec.declare import CodecError
from protocol.types.ids import Address
from protocol.types.templates import MAX_TX_SIZE, VERSION

Templates = Mapping[Address, type[Template]]
"""By the address of the template."""


@dataclass(frozen=True, slots=True)
class TransactionVersion:
    """What a transaction of one version may be."""

    max_size: int
    """Bytes, signatures included."""
    templates: Templates
    """Which its spawns may name."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a network's transactions may be, and what its accounts may be made of."""

    versions: Mapping[int, TransactionVersion]
    """By the number at the beginning of a transaction, below 64."""
    templates: Templates
    """Of all accounts."""
    max_size: int = field(init=False)
    """Bytes of a transaction of any version."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_size", max(version.max_size for version in self.versions.values()))

    def load(self, template: Address, state: bytes) -> Template:
        """A stored account's template with its state. Raises ParseError (malformed, internal)."""
        found = self.templates.get(template)
        if found is None:
            raise ParseError(f"The principal has the template {template.hex()}, which is not known.", MALFORMED)
        return load(found, state)


@functools.lru_cache(maxsize=1 << 14)
def load(template: type[Template], state: bytes) -> Template:
    """A template with the stored state of an account. Raises ParseError (internal)."""
    try:
        return template.load(state)
    except CodecError as error:
        raise ParseError(f"The stored state of the principal cannot be read: {error}", INTERNAL) from None


PRECOMPILED: Templates = MappingProxyType(
    {template.address: template for template in (Wallet, Multisig, Vesting, Vault)}
)
"""The templates that every network has."""

NETWORK = Rules(
    versions=MappingProxyType({VERSION: TransactionVersion(MAX_TX_SIZE, PRECOMPILED)}), templates=PRECOMPILED
)
"""The rules of the network: one version of transactions, four templates."""
