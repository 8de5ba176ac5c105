"""Whether the labels on disk are the ones that are asked for, before any is added: one of every file is recomputed.

The last whole label of a file tells a file that is damaged at its end, made with another N, or a copy of another one.
Where the metadata was lost, first and middle labels are looked at too: then they are all that says whose the data is.
Specified in protocol 01-post, section 3.2; the reference looks at no label when it resumes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote

from protocol.post.rules import LABEL_SIZE
from prover.errors import DataError
from prover.post.directory import Storage
from prover.post.layout import Layout, file_name

NAMED = 5
"""Files that a sentence names; of more it gives the number."""

Labels16 = Callable[[Sequence[int]], Sequence[bytes]]
"""Label indices -> the right labels as they are on disk."""


@dataclass(frozen=True, slots=True)
class StoredLabel:
    """One label on disk."""

    number: int
    """Of its file."""
    position: int
    index: int
    found: bytes
    last: bool
    """Of those that are there."""


def last_labels(storage: Storage, layout: Layout, held: Mapping[int, int]) -> list[StoredLabel]:
    """The last of the labels that each file holds (`held`: file number -> labels beyond doubt)."""
    return [_read(storage, layout, number, count - 1, count) for number, count in held.items() if count]


def spread_labels(storage: Storage, layout: Layout, held: Mapping[int, int]) -> list[StoredLabel]:
    """First, middle and last label of every file."""
    places = ((number, count, {0, count // 2, count - 1}) for number, count in held.items() if count)
    return [
        _read(storage, layout, number, at, count) for number, count, positions in places for at in sorted(positions)
    ]


def _read(storage: Storage, layout: Layout, number: int, position: int, held: int) -> StoredLabel:
    found = storage.read(file_name(number), position * LABEL_SIZE, LABEL_SIZE)
    return StoredLabel(number, position, layout.first_label(number) + position, found, position == held - 1)


def check(labels: Sequence[StoredLabel], layout: Layout, right: Labels16, directory: str) -> None:
    """Raises DataError that names the files whose label is not the right one, and what they are a copy of."""
    wanted = dict(zip((one.index for one in labels), right([one.index for one in labels]), strict=True))
    wrong = [one for one in labels if wanted[one.index] != one.found]
    if not wrong:
        return
    sources = _sources(wrong, labels, layout, right)
    sentences = []
    for one in wrong[:NAMED]:
        last = "last " if one.last else ""
        place = f"{directory}/{file_name(one.number)}: the {last}label (index {one.index}, byte offset"
        what = f"{one.position * LABEL_SIZE}) is {one.found.hex()}, expected {wanted[one.index].hex()}"
        source = sources.get(one.number)
        copy = "" if source is None else f"; it is the label of {file_name(source)}: the file is a copy of that one"
        sentences.append(f"{place} {what}{copy}")
    more = f", and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
    raise DataError(
        f"{'; '.join(sentences)}{more}. Nothing was written. Run `smesher verify {quote(str(directory))}` to find all "
        f"wrong labels and `smesher repair {quote(str(directory))}` to rewrite them."
    )


def _sources(
    wrong: Sequence[StoredLabel], labels: Sequence[StoredLabel], layout: Layout, right: Labels16
) -> dict[int, int]:
    """File with a wrong label -> the file that this label belongs to, at the same place in it."""
    numbers = sorted({one.number for one in labels})
    positions = sorted({one.position for one in wrong})[:NAMED]
    places = [
        (number, position) for position in positions for number in numbers if position < layout.file_labels(number)
    ]
    belongs = dict(
        zip(right([layout.first_label(number) + position for number, position in places]), places, strict=True)
    )
    return {
        one.number: place[0]
        for one in wrong
        if (place := belongs.get(one.found)) is not None and place[1] == one.position and place[0] != one.number
    }
