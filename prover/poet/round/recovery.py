"""Finding out what of a stopped round is good, and mending what is not.

Every node of the kept layer is held against the checksum of its checkpoint. Damaged ones are made again from the
nodes left of them, which costs what it cost the first time; only where the result contradicts its own checksum, or
nothing follows that would be worth it, the round goes back to before the damage. Protocol 02-poet, section 8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kernels.posw import sha256
from protocol.types.poet import NODE_SIZE
from prover.errors import Interrupted
from prover.poet.round.layers import KeptLayer, Log, Segment, whole_nodes

_PIECE = 1 << 15
"""Nodes read and hashed in one go."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a resumed round stands on."""

    leaves: int
    """Leaves that need not be made again."""
    repaired_nodes: int = 0
    """Nodes of the kept layer that were damaged and made again from those before them."""
    lost_nodes: int = 0
    """Nodes that an earlier checkpoint had recorded and that are gone."""
    notes: tuple[str, ...] = ()
    """What was found, in sentences for the operator; empty when all was as it should be."""


def recover(
    directory: Path, log: Log, stopped: Callable[[], bool] = lambda: False
) -> tuple[KeptLayer, sha256.Bytes, Recovery]:
    """The kept layer up to its last good node, what is parked above it, and what was found.

    Raises OSError; Interrupted when `stopped` says so on the way (nothing is altered then but mended nodes).
    """
    layer = KeptLayer(directory, log.statement, log.height)
    try:
        good, slots, repaired, notes = _scan(layer, log, stopped)
    finally:
        layer.close()
    if good < log.recorded and log.closed:
        notes.append(f"The round had ended at {log.closed} leaves and is brought there again.")
    recovery = Recovery(good << log.height, repaired, log.recorded - good, tuple(notes))
    return KeptLayer.reopen(directory, log, good), slots, recovery


def _scan(layer: KeptLayer, log: Log, stopped: Callable[[], bool]) -> tuple[int, sha256.Bytes, int, list[str]]:
    """The number of good nodes, what is parked above them, how many were mended, and notes."""
    slots = sha256.new_slots()
    notes: list[str] = []
    repaired = position = 0
    end = min(log.recorded, whole_nodes(layer.directory))
    layer.durable = end
    if log.damaged_records:
        notes.append(f"{log.damaged_records} records of the checkpoint log are damaged.")
    if end < log.recorded:
        notes.append(f"The kept layer ends at node {end}, the log had recorded {log.recorded}.")
    for group in _groups(_without_gaps(log.segments, end)):
        first = group[0].first
        nodes = layer.read(first, group[-1].last - first)
        for segment in group:
            if stopped():
                raise Interrupted("The check of the kept layer was interrupted; resume the round to go on.")
            data = nodes[(segment.first - first) * NODE_SIZE : (segment.last - first) * NODE_SIZE]
            if segment.digest and layer.digest(segment.first, data) == segment.digest:
                continue
            # what was good before this segment is parked, then its nodes are made again one after another
            _absorb(log, slots, position, nodes[(position - first) * NODE_SIZE : (segment.first - first) * NODE_SIZE])
            fresh = _made_again(log, slots, segment, stopped)
            position = segment.last
            if segment.digest and layer.digest(segment.first, fresh) != segment.digest:
                notes.append(
                    f"Nodes {segment.first} to {segment.last - 1} were wrong when they were written; "
                    "the round goes back to before them."
                )
                return _back_to(layer, log, segment.first, repaired, notes)
            repaired += _differences(data, fresh)
            layer.overwrite(segment.first, fresh)
        last = group[-1].last
        _absorb(log, slots, position, nodes[(position - first) * NODE_SIZE :])
        position = last
    if repaired:
        notes.append(f"{repaired} damaged nodes of the kept layer were made again.")
    return position, slots, repaired, notes


def _back_to(
    layer: KeptLayer, log: Log, position: int, repaired: int, notes: list[str]
) -> tuple[int, sha256.Bytes, int, list[str]]:
    """The answer of `_scan` for the nodes before `position`, all of them good."""
    slots = sha256.new_slots()
    for first in range(0, position, _PIECE):
        _absorb(log, slots, first, layer.read(first, min(_PIECE, position - first)))
    return position, slots, repaired, notes


def _without_gaps(segments: tuple[Segment, ...], end: int) -> Iterator[Segment]:
    """The segments below `end`, with what lies between them as segments of unknown content."""
    position = 0
    for segment in segments:
        if segment.last > end:
            break
        if segment.first > position:
            yield Segment(position, segment.first, b"")
        yield segment
        position = segment.last


def _groups(segments: Iterator[Segment]) -> Iterator[list[Segment]]:
    """Neighbouring segments in groups of some megabytes."""
    group: list[Segment] = []
    for segment in segments:
        group.append(segment)
        if segment.last - group[0].first >= _PIECE:
            yield group
            group = []
    if group:
        yield group


def _absorb(log: Log, slots: sha256.Bytes, first: int, data: bytes) -> None:
    if data:
        sha256.absorb_nodes(log.statement, slots, log.height, first, np.frombuffer(data, np.uint8))


def _made_again(log: Log, slots: sha256.Bytes, segment: Segment, stopped: Callable[[], bool]) -> bytes:
    """The nodes of a segment from their leaves, one block after another; they are also parked."""
    made = bytearray()
    for position in range(segment.first, segment.last):
        if stopped():
            raise Interrupted("The repair of the kept layer was interrupted; resume the round to go on.")
        node = block_root(log.statement, log.height, position, slots)
        made += node
        _absorb(log, slots, position, node)
    return bytes(made)


def block_root(statement: bytes, height: int, position: int, slots: sha256.Bytes) -> bytes:
    """The root of a complete block of 2^height leaves, made from what is parked before it (left unaltered)."""
    starts = np.array([position << height], np.int64)
    counts = np.array([1 << height], np.int64)
    trees = sha256.regenerate(statement, height, starts, counts, slots.reshape(1, -1).copy())
    return bytes(trees[0, -NODE_SIZE:].tobytes())


def _differences(before: bytes, after: bytes) -> int:
    return sum(before[at : at + NODE_SIZE] != after[at : at + NODE_SIZE] for at in range(0, len(after), NODE_SIZE))
