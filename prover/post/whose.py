"""Whose labels a directory may hold when they are not those that its metadata, or the command, says.

One altered character of an id makes every label "wrong", and rewriting them all would destroy good data. So where
(nearly) all labels differ that were looked at over all files, the parameters are wrong, not the disk. What is known of
other owners is then tried on stored labels: key files beside the data, other N, and the size that the files have.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from protocol.post.rules import LABEL_SIZE, commitment
from prover.errors import ProofError
from prover.post import identity as identity_file
from prover.post.directory import Storage
from prover.post.init.scrypt_n import Label32, Sample, samples
from prover.post.layout import Layout

EXAMPLES = 64
"""Labels, spread over all that are on disk, that are looked at before the parameters are called wrong."""

MOST = 0.9
"""Share of wrong labels from which it is the parameters rather than the disk."""

USUAL_N = (8192, 2)

RightLabels = Callable[[Sequence[int]], Sequence[bytes]]
"""Label indices -> the right labels, their first 16 bytes at least."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The parameters do not belong to the labels."""

    wrong: int
    """Of the labels that were looked at."""
    looked_at: int
    examples: tuple[Sample, ...]
    """Labels that are wrong."""
    but_first_file: bool
    """Those of the first file are right: the files have another size than the metadata says."""


def mismatch(storage: Storage, layout: Layout, right: RightLabels) -> Mismatch | None:
    """Whether the labels on disk as a whole are others than the parameters give; None where they are not.

    Labels that are there more than once, zeros among them, are damage and say nothing.
    """
    found = samples(storage, layout, count=EXAMPLES)
    times = Counter(label for _, label in found)
    telling = [one for one in found if times[one[1]] == 1 and any(one[1])]
    if 2 * len(telling) < len(found) or not telling:
        return None
    wanted = right([index for index, _ in telling])
    wrong = [one for one, label in zip(telling, wanted, strict=True) if label[:LABEL_SIZE] != one[1]]
    later = [index for index, _ in telling if index >= layout.labels_per_file]
    but_first = bool(later) and len(later) < len(telling) and [index for index, _ in wrong] == later
    if len(wrong) < MOST * len(telling) and not but_first:
        return None
    return Mismatch(len(wrong), len(telling), tuple(wrong), but_first)


def find(storage: Storage, node_id: bytes, commitment_atx_id: bytes, found: Sequence[Sample], label32: Label32) -> str:
    """A sentence that says whose the labels are; empty where nothing that is known explains them."""
    for name, other in _keys(storage):
        if other == node_id:
            continue
        key = commitment(other, commitment_atx_id)
        for n in USUAL_N:
            if any(label32(key, index, n)[:LABEL_SIZE] == label for index, label in found):
                return f"They are labels of node {other.hex()}, whose key is in {name}, with scrypt N = {n}."
    return ""


def explain(
    storage: Storage,
    layout: Layout,
    node_id: bytes,
    commitment_atx_id: bytes,
    scrypt_n: int,
    fault: Mismatch,
    label32: Label32,
) -> str:
    """Sentences for a person: what does not fit, and whose data it may be. No advice to rewrite anything."""
    if fault.but_first_file:
        actual = storage.data_files().get(0)
        hint = f" The first file has {actual} bytes." if actual is not None else ""
        return (
            f"The labels of the first file of {storage.path} are right and those of all others that were looked at are "
            f"not: MaxFileSize in the metadata ({layout.max_file_size}) is not what the data was made with, rather "
            f"than the disk being damaged.{hint} Correct the metadata; nothing is to be repaired."
        )
    owner = find(storage, node_id, commitment_atx_id, fault.examples[:4], label32)
    return (
        f"{fault.wrong} of {fault.looked_at} labels, spread over all files of {storage.path}, are not those of node "
        f"{node_id.hex()} with the commitment ATX {commitment_atx_id.hex()} and scrypt N = {scrypt_n}. So it is not "
        "the disk: the metadata (or the N that was asked for) belongs to other data, or one of its ids was altered. "
        f"{owner or 'No key file beside the data explains them.'} Restore the metadata that belongs to these labels."
    )


def _keys(storage: Storage) -> Iterator[tuple[str, bytes]]:
    """Names and node ids of the key files in a directory."""
    for name in (identity_file.FILE_NAME, *identity_file.FORMER_NAMES):
        with contextlib.suppress(ProofError):  # a file that is no key names no owner
            data = storage.read_small(name)
            if data is not None:
                yield name, identity_file.decode(data, name).node_id
