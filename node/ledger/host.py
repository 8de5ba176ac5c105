"""What a template's method may do: the host, in the name of the account that the method runs for.

Methods know nothing else of the ledger, so templates and the machine that runs them do not import each other.
Protocol 07-vm-and-transactions, sections 4.2 and 4.3; 08-contracts-and-channels, section 2.2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from protocol.types.ids import Address, LayerId


class Host(Protocol):
    """One running method's hands. Every method that changes something raises Failure where it must not."""

    @property
    def principal(self) -> Address:
        """Who pays for the transaction, whichever account the method runs for."""

    @property
    def layer(self) -> LayerId:
        """The layer that is being applied."""

    @property
    def balance(self) -> int:
        """Smidge of the account that the method runs for."""

    def consume(self, gas: int) -> None:
        """Use up gas of what the transaction may use beyond its fixed price. Raises Failure, with all of it used."""

    def spawn(self, target: Address, template: Any) -> None:
        """Give an account its template (a Template with its state); nonce and coins stay. Raises Failure."""

    def transfer(self, destination: Address, amount: int) -> None:
        """Move smidge out of the account that the method runs for, not more than its call may spend in all.

        Raises Failure.
        """

    def relay(self, expected: Address, account: Address, max_spend: int, call: Callable[[Any, Host], None]) -> None:
        """Have another account run a method: `call` gets its Template and the host in its name.

        The account counts as touched when the call is over, after all that the call has touched. Raises Failure,
        also where the account is not one of the expected template.
        """

    def attempt(self, call: Callable[[], None]) -> str:
        """Why a call failed; empty where it did not. What a failed call has changed is undone, but for the gas."""
