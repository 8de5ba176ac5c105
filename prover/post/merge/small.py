"""What the small files of a merged directory say: the best VRF nonce of all parts, metadata, and smesher.json.

Pure functions over what was found; the nonce with the smallest label wins, whatever the numbers are, and nothing that
a part knows of damage by a power cut is lost. Specified in protocol 01-post-tools, section 3, and 01-post, sections
2.2 and 3.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from protocol.post.rules import LABEL_SIZE
from prover.post.merge.types import Directory, MergePlan
from prover.post.metadata import PostMetadata
from prover.post.record import Record


def nonces(directories: Iterable[Directory]) -> dict[int, frozenset[bytes]]:
    """VRF nonce -> the values that the directories give for it."""
    found: dict[int, set[bytes]] = {}
    for one in directories:
        if one.metadata is not None and one.metadata.nonce is not None:
            values = found.setdefault(one.metadata.nonce, set())
            if one.metadata.nonce_value is not None:
                values.add(one.metadata.nonce_value)
    return {nonce: frozenset(values) for nonce, values in found.items()}


def must_recompute(found: Mapping[int, frozenset[bytes]]) -> bool:
    """Whether the values alone do not tell the best nonce: one is absent or has two, or the smallest is there twice."""
    if any(len(values) != 1 for values in found.values()):
        return True
    values = sorted(next(iter(one)) for one in found.values())
    return len(values) > 1 and values[0] == values[1]


def choose_nonce(
    found: Mapping[int, frozenset[bytes]], label32: Callable[[int], bytes] | None
) -> tuple[int, bytes, tuple[int, ...]] | None:
    """The nonce with the smallest label, its 16-byte value, and the nonces whose value was wrong. None without any.

    The values decide; equal ones by the full labels, then the lower index. `label32` recomputes a label; with it
    the winner's value is checked too. It may be None unless `must_recompute`.
    """
    if not found:
        return None
    if label32 is None:
        value, index = min((min(values), nonce) for nonce, values in found.items())
        return index, value, ()
    values = {
        nonce: next(iter(claimed)) if len(claimed) == 1 else label32(nonce)[:LABEL_SIZE]
        for nonce, claimed in found.items()
    }
    wrong = [nonce for nonce, claimed in found.items() if len(claimed) > 1]
    while True:
        smallest = min(values.values())
        labels = {nonce: label32(nonce) for nonce, value in values.items() if value == smallest}
        false = [nonce for nonce, label in labels.items() if label[:LABEL_SIZE] != smallest]
        if not false:
            best = min(labels, key=lambda nonce: (labels[nonce], nonce))
            return best, smallest, tuple(sorted(wrong))
        for nonce in false:
            values[nonce] = labels[nonce][:LABEL_SIZE]
        wrong += false


def merged_metadata(
    common: PostMetadata, directories: Sequence[Directory], nonce: int | None, nonce_value: bytes | None
) -> PostMetadata:
    """The destination's metadata. The destination itself is the first of the directories."""
    known = [one.metadata for one in directories if one.metadata is not None]
    positions = [one.last_position for one in known if one.last_position is not None]
    return PostMetadata(
        common.node_id,
        common.commitment_atx_id,
        common.labels_per_unit,
        common.num_units,
        common.max_file_size,
        nonce=nonce,
        nonce_value=nonce_value,
        # where a search beyond the data stands says nothing once there is a nonce
        last_position=min(positions, default=None) if nonce is None else None,
        unknown=_first_of_each([one.unknown for one in known]),
    )


def merged_record(
    scrypt_n: int, directories: Sequence[Directory], plan: MergePlan, last_position: int | None
) -> Record:
    """The destination's smesher.json. The destination itself is the first of the directories.

    Everything in the destination is on stable storage when this is written. What a power cut may have damaged
    in a source before is still to be checked by `init`: such notes travel with the file.
    """
    records = [(one, one.record) for one in directories if one.record is not None]
    doubtful: dict[int, int] = {}
    for one in plan.files:
        for directory, record in records:
            known = dict(record.durable)
            from_here = directory.files.get(one.number) == one.chosen
            if from_here and one.number in known and known[one.number] < one.chosen.labels:
                doubtful[one.number] = known[one.number]
    searches = [record.search for _, record in records if record.search is not None]
    return Record(
        scrypt_n,
        durable=tuple(sorted(doubtful.items())),
        search=next((one for one in searches if last_position is not None and one.start == last_position), None),
        unknown=_first_of_each([record.unknown for _, record in records]),
    )


def _first_of_each(sources: Iterable[tuple[tuple[str, object], ...]]) -> tuple[tuple[str, object], ...]:
    kept: list[tuple[str, object]] = []
    for fields in sources:
        before = {name for name, _ in kept}
        kept += [(name, value) for name, value in fields if name not in before]
    return tuple(kept)
