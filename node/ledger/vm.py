"""The virtual machine of one network: executes and applies layers on a store, reverts them, begins a ledger.

Protocol 07-vm-and-transactions, sections 4.1, 4.4 and 9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from node.ledger.layer import LayerChanges, VmParameters, execute
from node.ledger.parse import Parsed, parse
from node.ledger.rewards import Share
from node.ledger.staging import Ledger
from node.ledger.state import Store, current_state_hash
from node.ledger.verify import VerifyMany, verifier, verify
from protocol.types.ids import EMPTY_BLOCK_ID, Address, BlockId, Hash32, LayerId
from protocol.types.transactions import Account, Transaction

GENESIS_LAYER = LayerId(0)


class Vm:
    """The rules of a network over one store."""

    def __init__(self, parameters: VmParameters, store: Store, verify_many: VerifyMany | None = None) -> None:
        """verify_many: by default the network's rules for signatures."""
        self.parameters = parameters
        self.store = store
        self._verify_many = verify_many or verifier(parameters.genesis_id)

    def begin(self, balances: Mapping[Address, int]) -> bool:
        """Write the genesis accounts, balances in smidge, unless the first one is known; whether they were written."""
        if not balances or self.store.account(next(iter(balances))) is not None:
            return False
        self.store.write_accounts(
            Account(GENESIS_LAYER, address, balance=balance) for address, balance in balances.items()
        )
        return True

    def parse(self, raw: bytes) -> Parsed:
        """What a transaction means now. Raises ParseError."""
        return parse(raw, Ledger(self.store.account, GENESIS_LAYER).account)

    def verify(self, parsed: Parsed) -> bool:
        """Whether it is signed by its principal."""
        return verify(parsed, self._verify_many)

    def execute(
        self,
        layer: LayerId,
        transactions: Sequence[Transaction],
        shares: Sequence[Share] = (),
        block: BlockId = EMPTY_BLOCK_ID,
    ) -> LayerChanges:
        """What a layer would change. Raises LayerRefused."""
        return execute(self.parameters, self.store.account, layer, transactions, shares, self._verify_many, block)

    def apply(
        self,
        layer: LayerId,
        transactions: Sequence[Transaction],
        shares: Sequence[Share] = (),
        block: BlockId = EMPTY_BLOCK_ID,
    ) -> LayerChanges:
        """Execute a layer and write what it changes. Raises LayerRefused, with nothing written."""
        changes = self.execute(layer, transactions, shares, block)
        self.store.write(changes)
        return changes

    def revert(self, layer: LayerId, *, as_reference: bool = False) -> None:
        """Make `layer` the last one that was applied.

        as_reference: state hashes above stay until the mesh forgets them, so for a while the old one is the current.
        """
        self.store.revert(layer)
        if not as_reference:
            self.store.forget_state_hashes(layer)

    def state_hash(self) -> Hash32:
        """The current state hash; zeros before the first layer."""
        return current_state_hash(self.store)
