"""The four templates that every account is made of, one module each, and their registry.

Import `TEMPLATES` and `code_of` from here; the classes from their modules.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType

from node.ledger.errors import INTERNAL, MALFORMED, ParseError
from node.ledger.templates.multisig import Multisig
from node.ledger.templates.template import Signatures, Template
from node.ledger.templates.vault import Vault
from node.ledger.templates.vesting import Vesting
from node.ledger.templates.wallet import Wallet
from protocol.codec.declare import CodecError

__all__ = ["TEMPLATES", "Signatures", "Template", "code_of"]

TEMPLATES: Mapping[bytes, type[Template]] = MappingProxyType(
    {template.address: template for template in (Wallet, Multisig, Vesting, Vault)}
)
"""By the address of the template."""


@functools.lru_cache(maxsize=1 << 14)
def code_of(template: bytes, state: bytes) -> Template:
    """A stored account's template with its state. Raises ParseError (malformed, internal)."""
    found = TEMPLATES.get(template)
    if found is None:
        raise ParseError(f"The principal has the template {template.hex()}, which is not known.", MALFORMED)
    try:
        return found.load(state)
    except CodecError as error:
        raise ParseError(f"The stored state of the principal cannot be read: {error}", INTERNAL) from None
