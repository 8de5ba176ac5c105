"""The virtual machine of one network: what transactions mean and what layers change, over the rows of the ledger.

Protocol 07-vm-and-transactions, sections 4.1, 4.4 and 9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from node.ledger import state
from node.ledger.errors import LayerRefused
from node.ledger.layer import LayerChanges, execute
from node.ledger.parameters import VmParameters
from node.ledger.parse import Parsed, parse
from node.ledger.rewards import CoinbaseReward
from node.ledger.tables import ACCOUNTS
from node.ledger.templates.template import Template
from node.ledger.verify import VerifyMany, verifier, verify
from node.store.view import Rows, View
from protocol.types.ids import EMPTY_BLOCK_ID, Address, BlockId, LayerId, TransactionId
from protocol.types.transactions import Account, Transaction

GENESIS_LAYER = LayerId(0)


class Vm:
    """The rules of a network."""

    def __init__(self, parameters: VmParameters, verify_many: VerifyMany | None = None) -> None:
        """verify_many: by default the network's rules for signatures."""
        self.parameters = parameters
        self._verify_many = verify_many or verifier(parameters.genesis_id)

    def apply_genesis(self, rows: Rows, balances: Mapping[Address, int]) -> bool:
        """Put the genesis accounts, balances in smidge, unless the first one is known; whether they were put."""
        if not balances or rows.has(ACCOUNTS, next(iter(balances))):
            return False
        state.put_accounts(
            rows, (Account(GENESIS_LAYER, address, balance=balance) for address, balance in balances.items())
        )
        return True

    def parse(self, view: View, raw: bytes) -> Parsed:
        """What a transaction means now. Raises ParseError, StoreFault."""

        def template_of(address: Address) -> Template | None:
            found = view.get(ACCOUNTS, address)
            if found is None or found.template is None:
                return None
            return self.parameters.rules.load(found.template, found.state)

        return parse(raw, template_of, self.parameters.rules)

    def verify(self, parsed: Parsed) -> bool:
        """Whether it is signed by its principal."""
        return verify(parsed, self._verify_many)

    def execute(
        self,
        view: View,
        layer: LayerId,
        transactions: Sequence[Transaction],
        rewards: Sequence[CoinbaseReward] = (),
        block: BlockId = EMPTY_BLOCK_ID,
    ) -> LayerChanges:
        """What a layer would change. Raises LayerRefused, StoreFault."""
        return execute(
            self.parameters,
            lambda address: view.get(ACCOUNTS, address),
            layer,
            transactions,
            rewards,
            self._verify_many,
            block,
        )

    def apply(
        self,
        rows: Rows,
        layer: LayerId,
        transactions: Sequence[Transaction],
        rewards: Sequence[CoinbaseReward] = (),
        block: BlockId = EMPTY_BLOCK_ID,
    ) -> LayerChanges:
        """Execute a layer and put what it changes. Raises LayerRefused, with nothing put, and StoreFault."""
        changes = self.execute(rows, layer, transactions, rewards, block)
        state.put_layer(rows, changes)
        return changes

    def revert(self, rows: Rows, layer: LayerId) -> list[TransactionId]:
        """Make `layer` the last one that was applied; which transactions are not applied any more."""
        return state.revert(rows, layer)

    def last_applied(self, view: View) -> LayerId:
        """The layer before the next one; the effective genesis where none was applied."""
        last = state.last_applied(view)
        genesis = self.parameters.first_layer
        return genesis if last is None else max(last, genesis)

    def require_next(self, view: View, layer: LayerId) -> None:
        """Raises LayerRefused (not_in_order) unless a layer is the one after the last applied one."""
        last = self.last_applied(view)
        if layer != last + 1:
            what = "was applied already" if layer <= last else f"cannot be applied before layer {last + 1}"
            raise LayerRefused(f"Layer {layer} {what}.", "not_in_order")
