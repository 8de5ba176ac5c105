"""post/vrf.json: thresholds, searches in a range, the search beyond the data, verdicts on nonces."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from protocol.errors import ProtocolError
from protocol.post.rules import MAX_LABELS, vrf_difficulty
from prover.post import metadata as metadata_file
from prover.post.init import vrf_nonce
from prover.post.init.plan import Request
from tests.vector_cases.harness import Case, Context, Later, NotUnderstood, unknown_sections, vectors
from tests.vector_cases.post_support import engine, initialise, label32, open_pool

REASONS = {
    "no_labels": "panic_division_by_zero",
    "too_few_labels": "panic_too_few_labels",
    "scrypt_n": "n_not_power_of_two",
}
"""Our reasons where they have another name than the vectors' classes."""


@vectors("post/vrf.json")
def vrf(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, known=("difficulty", "search", "extended_search", "verify"))
    for entry in document["difficulty"]:
        yield Case(f"difficulty {entry['num_labels']}", partial(check_difficulty, entry))
    for entry in document["search"]:
        yield Case(f"search {entry['name']}", partial(check_search, entry))
    for entry in document["extended_search"]:
        yield Case(f"extended {entry['name']}", partial(check_extended, entry, context))
    for entry in document["verify"]:
        yield Case(f"verify {entry['name']}", partial(check_verify, entry))


def check_difficulty(entry: dict[str, Any]) -> None:
    num_labels = int(entry["num_labels"])
    try:
        found = vrf_difficulty(num_labels).hex()
    except ProtocolError as error:
        # from 2^63 on the reference's figures come from a signed cast and mean nothing: ours refuses them all
        assert "reference_panics" in entry or num_labels > MAX_LABELS, f"refused: {error}"
        return
    assert found == entry.get("difficulty"), f"expected {entry.get('difficulty')}, got {found}"


def check_search(entry: dict[str, Any]) -> None:
    """In batches, as initialisation does it: the smallest full label below the threshold."""
    start, end = int(entry["start"]), int(entry["end_exclusive"])
    difficulty, key = bytes.fromhex(entry["difficulty"]), bytes.fromhex(entry["commitment"])
    whole = _search(key, entry["n"], [(start, end - start)], difficulty)
    expected = None if entry["nonce"] is None else (int(entry["nonce"]), entry["label32"])
    assert whole == expected, f"expected {expected}, got {whole}"
    middle = start + (end - start) // 2
    parts = [(start, middle - start), (middle, end - middle)]
    assert _search(key, entry["n"], [part for part in parts if part[1]], difficulty) == expected


def _search(key: bytes, n: int, ranges: list[tuple[int, int]], difficulty: bytes) -> tuple[int, str] | None:
    best: tuple[bytes, int] | None = None
    opened = open_pool(n)
    for batch in opened.run(key, ranges):
        candidate = batch.candidate
        if candidate.label32 < difficulty and (best is None or candidate.label32 < best[0]):
            best = (candidate.label32, candidate.index)
    opened.close()
    return None if best is None else (best[1], best[0].hex())


def check_extended(entry: dict[str, Any], context: Context) -> None:
    first = metadata_file.decode(entry["first_run"]["metadata_text"])
    scrypt_n = entry.get("n", 2)
    request = Request(
        node_id=bytes.fromhex(entry["node_id"]),
        commitment_atx_id=bytes.fromhex(entry["commitment_atx_id"]),
        labels_per_unit=first.labels_per_unit,
        num_units=first.num_units,
        max_file_size=first.max_file_size,
        scrypt_n=scrypt_n,
        to_file=entry.get("to_file"),
    )
    batch = entry.get("compute_batch_size", 1 << 20)
    path = context.temporary("search")
    run = initialise(path, request, batch_size=batch)
    # a nonce beyond the data: the reference saves its value at its second start only, ours at once
    last_run = entry["second_run" if "second_run" in entry else "first_run"]
    assert run.metadata_text == last_run["metadata_text"], f"wrote {run.metadata_text}"
    written = sum(run.storage.data_files().values()) // 16
    assert written == int(entry["first_run"]["num_labels_written"]), f"{written} labels were written"
    if "second_run" not in entry:
        return
    assert first.nonce is not None and first.nonce_value is None, "recorded without its value"
    second = initialise(path, request, batch_size=batch)
    assert second.metadata_text == last_run["metadata_text"], f"wrote {second.metadata_text}"
    assert second.metadata is not None
    assert str(second.metadata.nonce) == last_run["nonce"]
    hit = int(entry["first_hit_beyond"])
    labels = engine(request.scrypt_n).labels32(
        [bytes.fromhex(entry["commitment"])], np.arange(request.num_labels, hit + 1, dtype=np.uint64)
    )
    below = [position for position, label in enumerate(labels) if label.tobytes() < bytes.fromhex(entry["difficulty"])]
    assert below == [len(labels) - 1], "the first hit beyond the data is not where the vectors say"


def check_verify(entry: dict[str, Any]) -> None:
    try:
        valid = vrf_nonce.verify(
            None if entry["nonce"] is None else int(entry["nonce"]),
            bytes.fromhex(entry["node_id"]),
            bytes.fromhex(entry["commitment_atx_id"]),
            int(entry["num_units"]),
            int(entry["labels_per_unit"]),
            entry["n"],
            label32,
        )
    except ProtocolError as error:
        reason = REASONS.get(error.reason, error.reason)
        expected = entry.get("error_class")
        assert not entry["valid"], f"refused ({reason}), expected valid"
        assert reason == expected, f"refused for {reason}, expected {expected}"
        return
    if not entry["valid"] and entry.get("error_class") != "not_valid":
        raise AssertionError(f"expected a refusal ({entry.get('error_class')}), got {valid}")
    if entry["valid"] not in (True, False):
        raise NotUnderstood(f"valid is {entry['valid']!r}")
    assert valid == entry["valid"], f"expected {entry['valid']}, got {valid}"
