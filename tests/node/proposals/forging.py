"""Every field of a record changed, one at a time: made from the declarations, so that a new field is not forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from protocol.types.ballots import EpochData, Vote
from protocol.types.ids import AtxId, Beacon, BlockId, Hash32, LayerId, TransactionId

ADDED: dict[str, Any] = {
    "epoch_data": EpochData(Hash32(b"\5" * 32), Beacon(b"\6" * 4), 3),
    "support": Vote(BlockId(b"\7" * 20), LayerId(7), 1),
    "against": Vote(BlockId(b"\7" * 20), LayerId(7), 1),
    "abstain": LayerId(7),
    "active_set": AtxId(b"\x08" * 32),
    "tx_ids": TransactionId(b"\x09" * 32),
}
"""What is put where there is nothing, by the name of the field."""


def variants(record: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each field of a record with another value, records and lists within it the same way; with the path of each."""
    for field in fields(record):
        name = f"{path}.{field.name}" if path else field.name
        for where, value in _others(getattr(record, field.name), field.name, name):
            yield where, replace(record, **{field.name: value})


def _others(value: Any, field: str, name: str) -> Iterator[tuple[str, Any]]:
    if value is None:
        yield f"{name}+", ADDED[field]
    elif is_dataclass(value):
        if field in ADDED:
            yield f"{name}-", None
        yield from variants(value, name)
    elif isinstance(value, bytes):
        yield name, value[:-1] + bytes((value[-1] ^ 1,))
    elif isinstance(value, int):
        yield name, value + 1
    elif isinstance(value, Sequence):
        yield from _other_lists(tuple(value), field, name)
    else:
        raise TypeError(f"{name} is {value!r}: say how it is changed")


def _other_lists(values: tuple[Any, ...], field: str, name: str) -> Iterator[tuple[str, Any]]:
    if not values:
        yield f"{name}+", (ADDED[field],)
        return
    yield f"{name}-", values[:-1]
    yield f"{name}+", (*values, values[-1])
    for where, value in _others(values[0], field, f"{name}[0]"):
        yield where, (value, *values[1:])
