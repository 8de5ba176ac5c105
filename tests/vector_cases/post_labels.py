"""post/labels.json and post/labels_8192.*: commitments and labels, by the vector engine and by the scalar path."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from blake3 import blake3

from kernels.labels import scalar as scrypt_scalar
from protocol.post.rules import commitment
from tests.vector_cases.harness import Case, Context, Later, unknown_sections, vectors
from tests.vector_cases.post_support import engine


@vectors("post/labels.json")
def labels(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, known=("commitments", "labels", "runs", "labels_rp"))
    for entry in document["commitments"]:
        if "node_id" in entry:  # without ids it only gives a name to a value that other entries use
            yield Case(f"commitment {entry['name']}", partial(check_commitment, entry))
        else:
            yield Case(f"commitment {entry['name']}", partial(check_name, entry, document))
    for entry in document["labels"]:
        yield Case(entry["name"], partial(check_label, entry))
    for entry in document["runs"]:
        yield Case(entry["name"], partial(check_run, entry))
    for entry in document["labels_rp"]:
        yield Case(f"labels_rp {entry['name']}", partial(check_any_rp, entry))


def check_commitment(entry: dict[str, Any]) -> None:
    found = commitment(bytes.fromhex(entry["node_id"]), bytes.fromhex(entry["commitment_atx_id"])).hex()
    assert found == entry["commitment"], f"expected {entry['commitment']}, got {found}"


def check_name(entry: dict[str, Any], document: Any) -> None:
    assert len(bytes.fromhex(entry["commitment"])) == 32
    assert any(label["commitment"] == entry["commitment"] for label in document["labels"])


def check_label(entry: dict[str, Any]) -> None:
    key, index = bytes.fromhex(entry["commitment"]), int(entry["index"])
    found = engine(entry["n"]).labels32([key], [index])[0].tobytes().hex()
    assert found == entry["label32"], f"expected {entry['label32']}, got {found}"
    assert found[:32] == entry["label"]
    out = np.zeros((1, 16), np.uint8)
    candidate = engine(entry["n"]).labels(key, index, 1, out)
    assert out.tobytes().hex() == entry["label"]
    assert (candidate.index, candidate.label32.hex()) == (index, entry["label32"])


def check_run(entry: dict[str, Any]) -> None:
    key, start, count = bytes.fromhex(entry["commitment"]), int(entry["start"]), entry["count"]
    out = np.zeros((count, 16), np.uint8)
    candidate = engine(entry["n"]).labels(key, start, count, out)
    assert out.tobytes().hex() == entry["labels"], "other labels"
    assert blake3(out.tobytes()).hexdigest() == entry["labels_blake3"], "other hash"
    full = engine(entry["n"]).labels32([key], range(start, start + count))
    assert full[:, :16].tobytes() == out.tobytes()
    if "labels32" in entry:
        assert full.tobytes().hex() == entry["labels32"], "other full labels"
    smallest = min(range(count), key=lambda position: (full[position].tobytes(), position))
    assert (candidate.index, candidate.label32) == (start + smallest, full[smallest].tobytes())


def check_any_rp(entry: dict[str, Any]) -> None:
    found = scrypt_scalar.label32(
        bytes.fromhex(entry["commitment"]), int(entry["index"]), entry["n"], entry["r"], entry["p"]
    ).hex()
    assert found == entry["label32"], f"expected {entry['label32']}, got {found}"
    assert found[:32] == entry["label"]


@vectors("post/labels_*.meta.json")
def label_files(document: Any, context: Context) -> Iterator[Case | Later]:
    parameters = ("commitment", "n", "start")
    for name, entry in document.items():
        if name not in parameters:
            yield Case(name, partial(check_file, name, entry, document, context))


def check_file(name: str, entry: dict[str, Any], document: Any, context: Context) -> None:
    content = context.path(f"post/{name}").read_bytes()
    count, size = entry["count"], entry["bytes_per_label"]
    assert len(content) == count * size
    assert blake3(content).hexdigest() == entry["blake3"], "the vector file is damaged"
    start = int(document["start"])
    key = bytes.fromhex(document["commitment"])
    found = engine(document["n"]).labels32([key], range(start, start + count))[:, :size].tobytes()
    wrong = [at for at in range(count) if found[at * size : (at + 1) * size] != content[at * size : (at + 1) * size]]
    assert not wrong, f"labels {wrong[:5]} differ"
    assert scrypt_scalar.label32(key, start, document["n"])[:size] == content[:size]
