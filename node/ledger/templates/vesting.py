"""The vesting account: a multisig that may also drain the vaults that it owns.

Protocol 07-vm-and-transactions, sections 2 and 4.3.
"""

from __future__ import annotations

from typing import Any, ClassVar

from node.ledger.host import Host
from node.ledger.templates.multisig import Multisig
from node.ledger.templates.template import ArgumentCodecs
from protocol.types.templates import (
    METHOD_DRAIN_VAULT,
    METHOD_SPAWN,
    METHOD_SPEND,
    VAULT,
    VESTING,
    DrainVaultArguments,
    MultisigSpawnArguments,
    SpendArguments,
)


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

    def run(self, host: Host, method: int, arguments: Any) -> None:
        """Spend, or have a vault spend."""
        if method == METHOD_DRAIN_VAULT:
            spend: SpendArguments = arguments.spend
            host.relay(VAULT, arguments.vault, spend.amount, lambda vault, remote: vault.spend(remote, spend))
        else:
            super().run(host, method, arguments)
