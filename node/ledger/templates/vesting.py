"""The vesting account: a multisig that may also drain the vaults that it owns.

Protocol 07-vm-and-transactions, sections 2 and 4.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from node.ledger.templates.multisig import Multisig
from node.ledger.templates.template import ArgumentCodecs
from node.ledger.templates.vault import Vault
from protocol.types.templates import (
    METHOD_DRAIN_VAULT,
    METHOD_SPAWN,
    METHOD_SPEND,
    VESTING,
    DrainVaultArguments,
    MultisigSpawnArguments,
    SpendArguments,
)

if TYPE_CHECKING:
    from node.ledger.staging import Call


class Vesting(Multisig):
    """A multisig that owns vaults."""

    __slots__ = ()

    name = "vesting"
    address = VESTING
    arguments: ClassVar[ArgumentCodecs] = {
        METHOD_SPAWN: MultisigSpawnArguments.codec,
        METHOD_SPEND: SpendArguments.codec,
        METHOD_DRAIN_VAULT: DrainVaultArguments.codec,
    }

    def run(self, call: Call, method: int, arguments: Any) -> None:
        """Spend, or have a vault spend."""
        if method == METHOD_DRAIN_VAULT:
            call.relay(Vault, arguments.vault, arguments.spend)
        else:
            super().run(call, method, arguments)
