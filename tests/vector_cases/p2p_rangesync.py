"""Vectors of set reconciliation: p2p/rangesync_messages.json, rangesync_runs.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from node.p2p.rangesync.keys import KeySet
from node.p2p.rangesync.reconcile import Message, ReconcileParameters, Reconciler
from protocol.codec.declare import CodecError
from protocol.numbers.durations import SECOND
from protocol.types.ids import Hash32
from protocol.types.rangesync import (
    MESSAGE,
    Done,
    EmptyRange,
    EmptySet,
    EndRound,
    Fingerprint,
    ItemBatch,
    Probe,
    RangeContents,
    Recent,
    Sample,
)
from tests.vector_cases.harness import Case, Context, NotUnderstood, unknown_sections, vectors

CLASSES = {"invalid_compact_hash": "compact_hash", "unknown_type": "invalid", "over_limit": "limit"}
"""The words of the vectors for our reasons."""
ANY_ERROR = ("", "must_reject")
"""Classes of which only that there is an error is compared."""


@vectors("p2p/rangesync_messages.json", variants=False)
def message_cases(document: Any, context: Context) -> Iterator[Case]:
    yield from unknown_sections(document, known=("encode", "decode"))
    for position, entry in enumerate(document["encode"]):
        yield Case(f"encode[{position}] {entry['name']}", lambda entry=entry: check_encode(entry))
    for position, entry in enumerate(document["decode"]):
        yield Case(f"decode[{position}] {entry['name']}", lambda entry=entry: check_decode(entry))


def key(text: str | None) -> Hash32 | None:
    return None if text is None else Hash32(bytes.fromhex(text))


def message(shown: Any) -> Message:
    """The message that the file shows."""
    name = shown["message"]
    plain = {"done": Done, "endRound": EndRound, "emptySet": EmptySet}
    if name in plain:
        found: Message = plain[name]()
        return found
    if name == "itemBatch":
        return ItemBatch([bytes.fromhex(one) for one in shown["keys"] or ()])
    if name == "recent":
        return Recent(int(shown["since_unix_ns"]))
    x, y = key(shown["x"]), key(shown["y"])
    if name == "emptyRange":
        return EmptyRange(x, y)
    if name == "rangeContents":
        return RangeContents(x, y, shown["count"])
    fingerprint = bytes.fromhex(shown["fingerprint"])
    if name == "fingerprint":
        return Fingerprint(x, y, fingerprint, shown["count"])
    if name == "probe":
        return Probe(x, y, fingerprint, shown["sample_size"] if "sample_size" in shown else shown["count"])
    if name == "sample":
        return Sample(x, y, fingerprint, shown["count"], shown["sample"] or ())
    raise NotUnderstood(f"the message {name!r}")


def check_encode(entry: Any) -> None:
    assert MESSAGE.encode(message(entry["value"])).hex() == entry["hex"]
    found, at = MESSAGE.read(bytes.fromhex(entry["hex"]), 0)
    assert (MESSAGE.encode(found).hex(), at) == (entry["hex"], len(entry["hex"]) // 2)


def check_decode(entry: Any) -> None:
    data = bytes.fromhex(entry["hex"])
    try:
        found, _ = MESSAGE.read(data, 0)
    except CodecError as error:
        assert not entry["ok"], str(error)
        if entry["error"] not in ANY_ERROR:
            assert CLASSES.get(error.reason, error.reason) == entry["error"]
    else:
        assert entry["ok"]
        if "value" in entry:
            assert MESSAGE.encode(found) == MESSAGE.encode(message(entry["value"]))


# ---- runs ----


@vectors("p2p/rangesync_runs.json", variants=False)
def run_cases(document: Any, context: Context) -> Iterator[Case]:
    yield from unknown_sections(document, known=("runs",))
    for entry in document["runs"]:
        for who in ("A", "B"):
            yield Case(f"{entry['name']} as {who}", lambda entry=entry, who=who: check_run(entry, who))


def side(entry: Any, who: str) -> Reconciler:
    keys = [bytes.fromhex(one) for one in entry[who.lower()]]
    parameters = ReconcileParameters(
        send_range=entry["max_send_range"],
        chunk=entry["item_chunk_size"],
        sample=entry["sample_size"],
        max_difference=entry["max_diff"] if entry["max_diff"] >= 0 else None,
        recent_span=entry["recent_span_s"] * SECOND if entry["recent"] else 0,
    )
    return Reconciler(KeySet(keys, keys[: entry["recent"]]), parameters)


def check_run(entry: Any, who: str) -> None:
    """Each side alone, fed with what the other one said, in any pieces."""
    assert not entry["error_a"] and not entry["error_b"]
    found = side(entry, who)
    said = b""
    if who == "A":
        since = (entry["now_unix_s"] - entry["recent_span_s"]) * SECOND
        said = found.begin(key(entry["x"]), key(entry["y"]), since)
    for turn in entry["turns"]:
        data = bytes.fromhex(turn["hex"])
        if turn["from"] == who:
            assert said.hex() == turn["hex"]
            said = b""
        else:
            half = len(data) // 2
            said += found.feed(data[:half]) + found.feed(data[half:])
    assert said == b""
    assert found.is_over
    found.ended()
    assert [one.hex() for one in found.received] == entry[f"received_{who.lower()}"]
