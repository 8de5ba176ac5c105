"""The multisig: k of n keys sign, in the order of the keys. Protocol 07-vm-and-transactions, sections 2.1, 2.2, 4.3."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from node.ledger import gas
from node.ledger.errors import INVALID_ARGS, ParseError
from node.ledger.host import Host
from node.ledger.templates.template import ArgumentCodecs, Signatures, Template
from protocol.codec.compact import Fault, read_compact
from protocol.types.ids import ED_SIGNATURE_SIZE
from protocol.types.templates import (
    METHOD_SPAWN,
    METHOD_SPEND,
    MULTISIG,
    MultisigSpawnArguments,
    MultisigState,
    SpendArguments,
)


class Multisig(Template):
    """An account that several keys spend from together. A key may stand in it twice, and then signs twice."""

    __slots__ = ("public_keys", "required")

    name = "multisig"
    address = MULTISIG
    arguments: ClassVar[ArgumentCodecs] = {
        METHOD_SPAWN: MultisigSpawnArguments.codec,
        METHOD_SPEND: SpendArguments.codec,
    }

    def __init__(self, arguments: MultisigState, state: bytes) -> None:
        self.required = arguments.required
        self.public_keys = tuple(arguments.public_keys)
        self.state = state
        self.costs = gas.of_keys(self.required, len(self.public_keys))

    @classmethod
    def spawn(cls, arguments: MultisigSpawnArguments) -> Self:
        """Raises ParseError (invalid_args) unless one signature at least is required, and as many keys are there."""
        if arguments.required < 1:
            raise ParseError("No signature is required of the new account; at least one must be.", INVALID_ARGS)
        if len(arguments.public_keys) < arguments.required:
            raise ParseError(
                f"{arguments.required} signatures are required of the new account, but it has "
                f"{len(arguments.public_keys)} keys.",
                INVALID_ARGS,
            )
        return cls(arguments, MultisigState.codec.encode(arguments))

    @classmethod
    def load(cls, state: bytes) -> Self:
        """Raises CodecError."""
        arguments, end = MultisigState.codec.read(state)
        return cls(arguments, state[:end])

    def max_spend(self, method: int, arguments: Any) -> int:
        """The amount of a spend; nothing for a drain, whose amount leaves the vault."""
        return arguments.amount if method == METHOD_SPEND else 0

    def signatures(self, raw: bytes, at: int) -> Signatures | None:
        """As many parts as are required: a reference to a key and its signature, references ascending.

        They are over all but as many bytes at the end as the parts take, wherever the parts stand.
        """
        start = at
        public_keys = self.public_keys
        keys, signatures = [], []
        last = -1
        for _ in range(self.required):
            try:
                ref = raw[at]
                if ref & 3:
                    ref, at = read_compact(raw, at, 8)
                else:
                    ref >>= 2
                    at += 1
            except (Fault, IndexError):
                return None
            if not last < ref < len(public_keys):
                return None
            last = ref
            keys.append(public_keys[ref])
            signatures.append(raw[at : at + ED_SIGNATURE_SIZE])
            at += ED_SIGNATURE_SIZE
        if not keys or at > len(raw):
            return None
        return Signatures(at - start, tuple(keys), tuple(signatures))

    def run(self, host: Host, method: int, arguments: Any) -> None:
        """Spend."""
        host.transfer(arguments.destination, arguments.amount)
