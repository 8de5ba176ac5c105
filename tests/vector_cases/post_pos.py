"""post/pos.json: whole data directories, made by the initializer and by the Go library."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from functools import partial
from typing import Any

from protocol.post.rules import MIN_LABELS, commitment
from prover.errors import UsageError
from prover.post import metadata as metadata_file
from prover.post.check import Findings, planned, sizes
from prover.post.check import check as check_labels
from prover.post.directory import Storage
from prover.post.init.plan import Request, check
from tests.vector_cases.harness import Case, Context, Later, unknown_sections, vectors
from tests.vector_cases.post_support import engine, initialise


@vectors("post/pos.json")
def directories(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, known=("cases",))
    for entry in document["cases"]:
        yield Case(entry["name"], partial(check_directory, entry, context))
        if entry["archive"] is not None:
            yield Case(f"{entry['name']}: archive verifies", partial(check_archive, entry, context))


def request_of(entry: dict[str, Any], max_file_size: int) -> Request:
    return Request(
        node_id=bytes.fromhex(entry["node_id"]),
        commitment_atx_id=bytes.fromhex(entry["commitment_atx_id"]),
        labels_per_unit=int(entry["labels_per_unit"]),
        num_units=entry["num_units"],
        max_file_size=max_file_size,
        scrypt_n=entry["n"],
    )


def check_directory(entry: dict[str, Any], context: Context) -> None:
    """Ours makes the same files, and the metadata that the Go library writes for the same parameters."""
    asked = int(entry["max_file_size"])
    request = request_of(entry, asked)
    if asked % 16 or request.num_labels < MIN_LABELS:
        _refused(request)
        # what the initializer made of it can still be made: it rounds the size down
        request = request_of(entry, asked - asked % 16)
        if request.num_labels < MIN_LABELS:
            return
    run = initialise(context.temporary(entry["name"]), request)
    data = run.data()
    if isinstance(entry["files"], int):
        assert len(data) == entry["files"], f"{len(data)} files"
    else:
        found = [
            {"name": f"postdata_{number}.bin", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for number, content in sorted(data.items())
        ]
        assert found == entry["files"], f"expected {entry['files']}, got {found}"
    joined = b"".join(content for _, content in sorted(data.items()))
    assert hashlib.sha256(joined).hexdigest() == entry["all_labels_sha256"], "other labels"
    go = entry["post_go"]
    if "metadata_text" in go:
        expected = go["metadata_text"].replace(f'"MaxFileSize": {asked}', f'"MaxFileSize": {request.max_file_size}')
        assert run.metadata_text == expected, f"expected {expected}, wrote {run.metadata_text}"
        assert run.metadata is not None
        assert (str(run.metadata.nonce), (run.metadata.nonce_value or b"").hex()) == (go["nonce"], go["nonce_value"])
    for number in data:
        mode = stat.S_IMODE((run.storage.path / f"postdata_{number}.bin").stat().st_mode)
        assert mode == 0o600, f"file {number} has mode {mode:o}"


def _refused(request: Request) -> None:
    try:
        check(request)
    except UsageError:
        return
    raise AssertionError("expected a refusal of these parameters")


def check_archive(entry: dict[str, Any], context: Context) -> None:
    """What the initializer wrote is read, and every label in it is right."""
    storage = Storage(context.archive(f"post/{entry['archive']}"))
    text = storage.read_small(metadata_file.FILE_NAME)
    assert text is not None
    assert text.decode() == entry["initializer_metadata"]
    metadata = metadata_file.decode(text)
    assert (metadata.node_id.hex(), metadata.num_units) == (entry["node_id"], entry["num_units"])
    assert (metadata.labels_per_unit, metadata.nonce_value) == (int(entry["labels_per_unit"]), None)
    from prover.post.layout import Layout

    layout = Layout(metadata.num_labels, metadata.max_file_size)
    files = range(layout.num_files)
    findings = sizes(storage, layout, files)
    assert findings.good and not findings.long
    key = commitment(metadata.node_id, metadata.commitment_atx_id)
    work = planned(layout, storage, files, 100.0, seed=0)
    check_labels(storage, layout, key, work, engine(entry["n"]), findings, lambda done: None)
    assert findings == Findings(checked=layout.num_labels)
