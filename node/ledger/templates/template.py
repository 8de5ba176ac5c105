"""What every template of an account provides.

A template reads what follows the principal in a transaction, checks the arguments of a spawn, knows the gas and the
most that a call can spend, finds the signatures, and runs its methods. An object is the template with the state of one
account. Protocol 07-vm-and-transactions, sections 2 to 4.3.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Self

from node.ledger.gas import Costs
from node.ledger.host import Host
from protocol.codec.compact import read_compact
from protocol.codec.declare import Codec
from protocol.types.ids import Address

ArgumentCodecs = Mapping[int, Codec[Any]]
"""How the arguments of each method are read."""


class Signatures(NamedTuple):
    """What stands at the end of a transaction: all of them must be valid, over everything before them."""

    size: int
    """Bytes at the end of the transaction that are not signed."""
    public_keys: tuple[bytes, ...]
    signatures: tuple[bytes, ...]


Payload = tuple[int, int, int, int]
"""What stands before the arguments: nonce, gas price in smidge, the gas that the call may consume beyond its fixed
price, and the offset behind all that."""


class Template(ABC):
    """One account's template. Reading raises CodecError, Fault or IndexError for bytes that are not as expected."""

    __slots__ = ("costs", "state")

    name: ClassVar[str]
    address: ClassVar[Address]
    arguments: ClassVar[ArgumentCodecs]
    """Of all methods that there are."""

    costs: Costs
    state: bytes
    """What is stored with the account: the encoded arguments of its spawn."""

    @classmethod
    @abstractmethod
    def spawn(cls, arguments: Any) -> Self:
        """The template with the state that these arguments make. Raises ParseError (invalid_args)."""

    @classmethod
    @abstractmethod
    def load(cls, state: bytes) -> Self:
        """The template with a stored state; what follows it is ignored. Raises CodecError."""

    @classmethod
    def read_payload(cls, raw: bytes, at: int) -> Payload:
        """The payload at an offset: nonce and gas price; calls have a fixed price."""
        first = raw[at]
        if first & 3:
            nonce, at = read_compact(raw, at, 64)
        else:
            nonce = first >> 2
            at += 1
        first = raw[at]
        if first & 3:
            gas_price, at = read_compact(raw, at, 64)
        else:
            gas_price = first >> 2
            at += 1
        return nonce, gas_price, 0, at

    @abstractmethod
    def max_spend(self, method: int, arguments: Any) -> int:
        """Smidge that the call can move out of the account beside the fee."""

    @abstractmethod
    def signatures(self, raw: bytes, at: int) -> Signatures | None:
        """The signatures of a transaction, which begin at an offset; None where none could ever be valid."""

    @abstractmethod
    def run(self, host: Host, method: int, arguments: Any) -> None:
        """Run any method but spawn. Raises Failure; what was changed before is undone then."""
