"""What the ledger keeps: versions of accounts by layer, rewards, results, state hashes.

The store is abstract: the virtual machine reads an account as it was at or before a layer, writes all changes of one
layer at once, and goes back to a layer. `MemoryStore` holds everything in dictionaries, for tests, simulations and
tools. Protocol 07-vm-and-transactions, section 4.4.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Protocol

from node.ledger.errors import LayerRefused
from node.ledger.layer import LayerChanges
from node.ledger.state_hash import NO_LAYER
from protocol.types.ids import Address, Hash32, LayerId, NodeId, TransactionId
from protocol.types.transactions import Account, Reward, TransactionResult


class Store(Protocol):
    """Where the ledger is kept. Every method that writes does so at once or not at all."""

    def account(self, address: Address, layer: LayerId | None = None) -> Account | None:
        """The newest version of an account, or the newest one at or before a layer; None where there is none."""

    def write(self, changes: LayerChanges) -> None:
        """Accounts, results, rewards and state hash of one layer.

        Raises LayerRefused (duplicate_row), with nothing written, where a version of an account in this layer or a
        reward of a smesher in it is there already.
        """

    def write_accounts(self, accounts: Iterable[Account]) -> None:
        """The accounts of a genesis or a checkpoint, which no hash covers. Raises LayerRefused (duplicate_row)."""

    def revert(self, layer: LayerId) -> None:
        """Forget accounts, rewards and results of all layers above. The state hashes stay."""

    def forget_state_hashes(self, layer: LayerId) -> None:
        """Forget the state hashes of all layers above."""

    def state_hash(self, layer: LayerId) -> Hash32 | None:
        """Of one layer; None where it was not applied."""

    def last_applied(self) -> LayerId | None:
        """The latest layer with a state hash; None where there is none."""

    def result(self, id: TransactionId) -> TransactionResult | None:
        """What applying a transaction gave; None where it was not applied."""


class MemoryStore:
    """A Store in dictionaries."""

    def __init__(self) -> None:
        self._accounts: dict[bytes, list[Account]] = {}
        """Versions, the oldest first."""
        self._rewards: dict[tuple[LayerId, NodeId], Reward] = {}
        self._results: dict[TransactionId, TransactionResult] = {}
        self._state_hashes: dict[LayerId, Hash32] = {}

    def account(self, address: Address, layer: LayerId | None = None) -> Account | None:
        """As Store says."""
        versions = self._accounts.get(address)
        if not versions:
            return None
        if layer is None:
            return versions[-1]
        before = bisect_right(versions, layer, key=lambda account: account.layer)
        return versions[before - 1] if before else None

    def accounts(self, layer: LayerId | None = None) -> Iterator[Account]:
        """All accounts, or all as they were at a layer, addresses ascending."""
        for address in sorted(self._accounts):
            account = self.account(Address(address), layer)
            if account is not None:
                yield account

    def rewards(self) -> list[Reward]:
        """All rewards, in the order in which they were written."""
        return list(self._rewards.values())

    def result(self, id: TransactionId) -> TransactionResult | None:
        """As Store says."""
        return self._results.get(id)

    def write(self, changes: LayerChanges) -> None:
        """As Store says."""
        self._refuse_known(changes.accounts)
        rewards = {(reward.layer, reward.smesher_id): reward for reward in changes.rewards}
        if known := next((reward for key, reward in rewards.items() if key in self._rewards), None):
            raise LayerRefused(
                f"Smesher {known.smesher_id.hex()} has a reward in layer {known.layer} already.", "duplicate_row"
            )
        self._add(changes.accounts)
        self._rewards |= rewards
        self._results.update(changes.results())
        self._state_hashes[changes.layer] = changes.state_hash

    def write_accounts(self, accounts: Iterable[Account]) -> None:
        """As Store says."""
        accounts = list(accounts)
        self._refuse_known(accounts)
        self._add(accounts)

    def revert(self, layer: LayerId) -> None:
        """As Store says."""
        for address, versions in list(self._accounts.items()):
            if versions[-1].layer > layer:
                kept = [account for account in versions if account.layer <= layer]
                if kept:
                    self._accounts[address] = kept
                else:
                    del self._accounts[address]
        self._rewards = {key: reward for key, reward in self._rewards.items() if reward.layer <= layer}
        self._results = {id: result for id, result in self._results.items() if result.layer <= layer}

    def forget_state_hashes(self, layer: LayerId) -> None:
        """As Store says."""
        self._state_hashes = {at: kept for at, kept in self._state_hashes.items() if at <= layer}

    def state_hash(self, layer: LayerId) -> Hash32 | None:
        """As Store says."""
        return self._state_hashes.get(layer)

    def last_applied(self) -> LayerId | None:
        """As Store says."""
        return max(self._state_hashes, default=None)

    def _refuse_known(self, accounts: Iterable[Account]) -> None:
        for account in accounts:
            versions = self._accounts.get(account.address)
            if versions and versions[-1].layer >= account.layer:
                raise LayerRefused(
                    f"Account {account.address.hex()} has a version of layer {versions[-1].layer} already, so layer "
                    f"{account.layer} cannot be applied; revert first.",
                    "duplicate_row",
                )

    def _add(self, accounts: Iterable[Account]) -> None:
        for account in accounts:
            versions = self._accounts.get(account.address)
            if versions is None:
                self._accounts[account.address] = [account]
            else:
                versions.append(account)


def current_state_hash(store: Store) -> Hash32:
    """The state hash of the latest layer that has one."""
    last = store.last_applied()
    found = None if last is None else store.state_hash(last)
    return NO_LAYER if found is None else found
