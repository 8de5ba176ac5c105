"""The wallet: one key, one signature. Protocol 07-vm-and-transactions, sections 2, 2.2 and 4.3."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from node.ledger import gas
from node.ledger.host import Host
from node.ledger.templates.template import ArgumentCodecs, Signatures, Template
from protocol.types.ids import ED_SIGNATURE_SIZE
from protocol.types.templates import (
    METHOD_SPAWN,
    METHOD_SPEND,
    WALLET,
    SpendArguments,
    WalletSpawnArguments,
    WalletState,
)


class Wallet(Template):
    """An account that one key spends from. Any 32 bytes are taken as the key."""

    __slots__ = ("public_key",)

    name = "wallet"
    address = WALLET
    arguments: ClassVar[ArgumentCodecs] = {METHOD_SPAWN: WalletSpawnArguments.codec, METHOD_SPEND: SpendArguments.codec}

    def __init__(self, public_key: bytes) -> None:
        self.public_key = self.state = public_key
        self.costs = gas.of_keys(1, 1)

    @classmethod
    def spawn(cls, arguments: WalletSpawnArguments) -> Self:
        """Nothing is refused."""
        return cls(arguments.public_key)

    @classmethod
    def load(cls, state: bytes) -> Self:
        """Raises CodecError."""
        return cls(WalletState.codec.read(state)[0].public_key)

    def max_spend(self, method: int, arguments: Any) -> int:
        """The amount of a spend."""
        return arguments.amount if method == METHOD_SPEND else 0

    def signatures(self, raw: bytes, at: int) -> Signatures | None:
        """The 64 bytes after the arguments, over all but the last 64 bytes: not the same where more follows."""
        signature = raw[at : at + ED_SIGNATURE_SIZE]
        if len(signature) != ED_SIGNATURE_SIZE:
            return None
        return Signatures(ED_SIGNATURE_SIZE, (self.public_key,), (signature,))

    def run(self, host: Host, method: int, arguments: SpendArguments) -> None:
        """Spend."""
        host.transfer(arguments.destination, arguments.amount)
