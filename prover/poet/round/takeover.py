"""Taking over a running round of the reference: its `layercache_*` files become our kept layer and stay as they are.

The reference wrote every layer below some height to a file of its own, without checksums. What is taken is held
against the layer below it, and where they differ the leaves decide: the block is made again. Only complete blocks are
taken; the few leaves behind them are made again. Protocol 02-poet, sections 3.2 and 8.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kernels.posw import sha256
from protocol.types.poet import NODE_SIZE
from prover.errors import DataError, Interrupted, UsageError
from prover.poet.round.recovery import block_root

_PREFIX = "layercache_"
_NAME = re.compile(r"layercache_(0|[1-9][0-9]*)\.bin")
_PIECE = 1 << 15
_CHECKED_LEAVES = 256
"""Last leaves that are made again where only layer 0 is there to be taken."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken over."""

    nodes: bytes
    """Nodes of our kept layer."""
    slots: sha256.Bytes
    """What is parked above them."""
    repaired: int
    notes: tuple[str, ...]


def layer_files(directory: Path) -> dict[int, Path]:
    """The reference's layer files by layer. Raises DataError for a name of theirs that names no layer."""
    found = {}
    for path in sorted(directory.glob(f"{_PREFIX}*")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise DataError(f"{path} is named like a layer file but names no layer; move it away.")
        found[int(match[1])] = path
    return found


def refuse_layer_files(directory: Path) -> None:
    """A new round does not begin where the reference's layer files lie. Raises UsageError, DataError."""
    found = layer_files(directory)
    if found:
        names = " ".join(path.name for _, path in sorted(found.items()))
        raise UsageError(f"{directory} is not empty, layer files exist: {names}. Resume the round, or remove them.")


def take_over(
    directory: Path,
    statement: bytes,
    height: int,
    state_leaves: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Taken | None:
    """Nodes of our kept layer from the reference's files; None where there is none.

    state_leaves is the number of leaves in its state.bin. The files may be ahead of it: whatever of them is good is
    taken. Raises OSError, DataError, Interrupted.
    """
    files = layer_files(directory)
    sizes = {layer: path.stat().st_size for layer, path in files.items()}
    contiguous = {layer: path for layer, path in files.items() if sizes[layer] >= NODE_SIZE}
    if not contiguous:
        return None
    source = max((layer for layer in contiguous if layer <= height), default=None)
    if source is None:
        raise DataError(
            f"{directory} has no layer file at or below layer {height}; the round cannot be taken over. "
            "Move the layer files away to begin it anew."
        )
    count = sizes[source] // NODE_SIZE
    below = contiguous.get(source - 1)
    with contiguous[source].open("rb") as file:
        nodes = bytearray(file.read(count * NODE_SIZE))
    notes: list[str] = []
    if below is not None:
        repaired, count = _held_against(below, statement, source, nodes, stopped)
        notes += [f"{repaired} nodes of layer {source} were damaged and made again."] if repaired else []
    else:
        repaired = 0
        if source + 1 in contiguous:
            with contiguous[source + 1].open("rb") as file:
                repaired = _held_against_above(file.read(), statement, source, nodes, stopped)
            notes += [f"{repaired} nodes of layer {source} were damaged and made again."] if repaired else []
        count = _checked_end(statement, source, nodes)
    count &= -(1 << (height - source))
    kept = np.frombuffer(bytes(nodes[: count * NODE_SIZE]), np.uint8)
    for _ in range(height - source):
        if len(kept):
            kept = sha256.parents(statement, kept)
    slots = sha256.new_slots()
    if len(kept):
        sha256.absorb_nodes(statement, slots, height, 0, kept)
    leaves = (len(kept) // NODE_SIZE) << height
    known = "" if state_leaves is None else f" (its state says {state_leaves})"
    notes.append(f"{leaves} leaves were taken over from the layer files of another program{known}.")
    return Taken(kept.tobytes(), slots, repaired, tuple(notes))


def _held_against(
    below: Path, statement: bytes, layer: int, nodes: bytearray, stopped: Callable[[], bool]
) -> tuple[int, int]:
    """Compares nodes with the hashes of the pairs below; mends what differs. Returns (mended, good nodes)."""
    slots = sha256.new_slots()
    repaired = position = 0
    count = len(nodes) // NODE_SIZE
    with below.open("rb") as file:
        for first in range(0, count, _PIECE):
            if stopped():
                raise Interrupted("The takeover was interrupted; nothing was written. Start it again.")
            children = file.read(min(_PIECE, count - first) * 2 * NODE_SIZE)
            pairs = len(children) // (2 * NODE_SIZE)
            if pairs == 0:
                return repaired, position
            joined = sha256.parents(statement, np.frombuffer(children[: 2 * NODE_SIZE * pairs], np.uint8)).tobytes()
            for number in range(pairs):
                at = NODE_SIZE * (first + number)
                if nodes[at : at + NODE_SIZE] != joined[NODE_SIZE * number : NODE_SIZE * (number + 1)]:
                    _park(statement, slots, layer, position, nodes, first + number)
                    position = first + number
                    nodes[at : at + NODE_SIZE] = block_root(statement, layer, position, slots)
                    repaired += 1
            _park(statement, slots, layer, position, nodes, first + pairs)
            position = first + pairs
            if pairs < min(_PIECE, count - first):
                break
    return repaired, position


def _held_against_above(
    above: bytes, statement: bytes, layer: int, nodes: bytearray, stopped: Callable[[], bool]
) -> int:
    """Compares the hashes of pairs of nodes with the layer above; makes both again where they differ."""
    slots = sha256.new_slots()
    repaired = position = 0
    pairs = min(len(above) // NODE_SIZE, len(nodes) // (2 * NODE_SIZE))
    for first in range(0, pairs, _PIECE):
        if stopped():
            raise Interrupted("The takeover was interrupted; nothing was written. Start it again.")
        count = min(_PIECE, pairs - first)
        children = bytes(nodes[2 * NODE_SIZE * first : 2 * NODE_SIZE * (first + count)])
        joined = sha256.parents(statement, np.frombuffer(children, np.uint8)).tobytes()
        for number in range(count):
            at = NODE_SIZE * (first + number)
            if above[at : at + NODE_SIZE] == joined[NODE_SIZE * number : NODE_SIZE * (number + 1)]:
                continue
            for child in (2 * (first + number), 2 * (first + number) + 1):
                _park(statement, slots, layer, position, nodes, child)
                position = child
                place = slice(NODE_SIZE * child, NODE_SIZE * (child + 1))
                fresh = block_root(statement, layer, child, slots)
                repaired += fresh != nodes[place]
                nodes[place] = fresh
        _park(statement, slots, layer, position, nodes, 2 * (first + count))
        position = 2 * (first + count)
    return repaired


def _park(statement: bytes, slots: sha256.Bytes, layer: int, start: int, nodes: bytearray, end: int) -> None:
    if end > start:
        data = np.frombuffer(bytes(nodes[NODE_SIZE * start : NODE_SIZE * end]), np.uint8)
        sha256.absorb_nodes(statement, slots, layer, start, data)


def _checked_end(statement: bytes, layer: int, nodes: bytearray) -> int:
    """How many of the nodes to trust where no layer below speaks for them: the last ones are made again."""
    count = len(nodes) // NODE_SIZE
    checked = max(1, _CHECKED_LEAVES >> layer)
    while count > 0:
        first = max(0, count - checked)
        slots = sha256.new_slots()
        _park(statement, slots, layer, 0, nodes, first)
        good = first
        for position in range(first, count):
            at = NODE_SIZE * position
            if block_root(statement, layer, position, slots) != nodes[at : at + NODE_SIZE]:
                break
            _park(statement, slots, layer, position, nodes, position + 1)
            good = position + 1
        if good == count:
            return count
        if good > first:
            return good
        count = first
    return 0
