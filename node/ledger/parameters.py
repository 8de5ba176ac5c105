"""What a network's virtual machine must know of it. Protocol 07-vm-and-transactions, section 3.3."""

from __future__ import annotations

from dataclasses import dataclass

from node.ledger.rules import NETWORK, Rules
from protocol.numbers.u64 import MASK
from protocol.types.ids import LayerId


@dataclass(frozen=True, slots=True)
class VmParameters:
    """A network, as far as its ledger depends on it."""

    genesis_id: bytes
    """20 bytes before every signed message."""
    hrp: str
    """The prefix of addresses, which stands in one message."""
    first_effective_genesis: LayerId
    """Subsidies count from it; a checkpoint does not move it."""
    block_gas_limit: int = MASK
    effective_genesis: LayerId | None = None
    """Where a checkpoint has moved it; no layer below is applied."""
    rules: Rules = NETWORK

    @property
    def first_layer(self) -> LayerId:
        """The first layer that may be applied."""
        return self.first_effective_genesis if self.effective_genesis is None else self.effective_genesis
