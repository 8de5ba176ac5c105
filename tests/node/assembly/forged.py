"""Messages that are a little wrong, in each field that their record declares, and in their length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from node.activation.machine import TOPIC as ATXS
from node.beacon.memory import COINS, FIRST_VOTES, FOLLOWING_VOTES
from node.beacon.memory import PROPOSALS as BEACON_PROPOSALS
from node.certificates.machine import TOPIC as CERTIFY
from node.proposals.machine import TOPIC as PROPOSALS
from node.sim.forging import HARE3, HARE4
from protocol.codec.declare import Codec, CodecError
from protocol.types.activation import ActivationTxV1
from protocol.types.beacon import FirstVotingMessage, FollowingVotingMessage, ProposalMessage, WeakCoinMessage
from protocol.types.certificates import CertifyMessage
from protocol.types.hare import Hare3Message, Hare4Message
from protocol.types.proposals import Proposal

RECORDS: Mapping[str, Codec[Any]] = {
    ATXS: ActivationTxV1.codec,
    PROPOSALS: Proposal.codec,
    CERTIFY: CertifyMessage.codec,
    HARE3: Hare3Message.codec,
    HARE4: Hare4Message.codec,
    BEACON_PROPOSALS: ProposalMessage.codec,
    FIRST_VOTES: FirstVotingMessage.codec,
    FOLLOWING_VOTES: FollowingVotingMessage.codec,
    COINS: WeakCoinMessage.codec,
}
"""What is said on each topic of signed messages."""

FAR = (0, 7, 2**32 - 1)
"""Epochs and layers of long ago and of never: the genesis, the effective one, the last number."""


def variants(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """A record with one field changed at a time, and which one. Lists lose, double, change and swap elements."""
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            where = f"{path}.{field.name}" if path else field.name
            for name, changed in variants(getattr(value, field.name), where):
                yield name, replace(value, **{field.name: changed})
    elif isinstance(value, bool):
        yield path, not value
    elif isinstance(value, int):
        for other in dict.fromkeys((value ^ 1, value + 1, *FAR)):
            if other != value:
                yield path, type(value)(other) if type(value) is int else other
    elif isinstance(value, bytes):
        for at in dict.fromkeys((0, len(value) // 2, len(value) - 1)):
            if 0 <= at < len(value):
                yield path, value[:at] + bytes((value[at] ^ 1,)) + value[at + 1 :]
        if value:
            yield path, bytes(len(value))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield from _lists(tuple(value), path)


def _lists(values: tuple[Any, ...], path: str) -> Iterator[tuple[str, Any]]:
    if values:
        yield path, values[:-1]
        yield path, (*values, values[-1])
        for name, changed in variants(values[0], f"{path}[]"):
            yield name, (changed, *values[1:])
    if len(values) > 1:
        yield path, values[::-1]


def forged(codec: Codec[Any], data: bytes) -> Iterator[tuple[str, bytes]]:
    """Everything that is a little wrong about a message: which field, and the bytes."""
    for name, changed in variants(codec.decode(data)):
        try:
            made = codec.encode(changed)
        except CodecError:
            continue  # nobody can send it
        if made != data:
            yield name, made
    yield from cut(data)


def cut(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Bytes that are missing, or too many."""
    for length in dict.fromkeys((0, 1, len(data) // 2, len(data) - 1)):
        yield "length", data[:length]
    yield "length", data + b"\0"
    yield "length", data + data
