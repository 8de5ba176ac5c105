"""The proofs of post/datadir.json: what the Go library made of the base directory, or why it made none.

Ours is `smesher prove`. It proves from data with a surplus, of which nothing is read; for the library such data are not
complete.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prover.post import metadata as metadata_file
from prover.post.directory import Storage
from prover.post.layout import file_name
from prover.post.metadata import PostMetadata
from prover.post.proof.prove import incomplete
from tests.support.cli import Result, smesher
from tests.vector_cases.harness import Context, NotUnderstood
from tests.vector_cases.post_datadir import Labels, request_of

ANY_HASH = "ff" * 32
MISMATCHES = {"NodeId": "node_id", "CommitmentAtxId": "commitment_atx_id", "LabelsPerUnit": "labels_per_unit"}
BAD_NONCES = ("nonces_zero", "prover_failed")


def check_prove(base: dict[str, Any], entry: dict[str, Any], context: Context) -> None:
    operation, expected = entry["operation"], entry["result"]
    unknown = operation.keys() - {"op", "challenge", "nonces", "k1", "k2", *MISMATCHES.values()}
    if unknown:
        raise NotUnderstood(f"unknown options {sorted(unknown)}")
    right = Labels(request_of(base))
    path = context.temporary("prove")
    if expected == "ok":
        make(path, right)
        compare(prove(path, base, operation, context), entry)
    elif expected == "init_not_completed":
        check_incomplete(path, right, base, operation, context)
    elif expected in BAD_NONCES:
        make(path, right)
        prove(path, base, operation, context).refused(2, "nonces", operation["nonces"])
    elif expected.startswith("config_mismatch:") and expected.partition(":")[2] in MISMATCHES:
        make(path, right)
        field = MISMATCHES[expected.partition(":")[2]]
        prove(path, base, operation, context).refused(2, f"--{field.replace('_', '-')}", operation[field], base[field])
    else:
        raise NotUnderstood(f"result {expected!r}")


def make(path: Path, right: Labels) -> None:
    """The whole base directory."""
    request = right.request
    for number in range(right.layout.num_files):
        (path / file_name(number)).write_bytes(right.file(number))
    metadata = PostMetadata(
        request.node_id, request.commitment_atx_id, request.labels_per_unit, request.num_units, request.max_file_size
    )
    (path / metadata_file.FILE_NAME).write_text(metadata_file.encode(metadata))


def prove(path: Path, base: dict[str, Any], operation: dict[str, Any], context: Context) -> Result:
    """`smesher prove` with the recorded options."""
    words: list[object] = ["prove", path, "--challenge", operation["challenge"], "--randomx-mode", "light", "--json"]
    words += ["--nonces", operation["nonces"], "--k1", operation["k1"], "--k2", operation["k2"]]
    words += ["--pow-difficulty", ANY_HASH, "--scrypt-n", base["n"], "--out", context.temporary("proof")]
    for field in MISMATCHES.values():
        if field in operation:
            words += [f"--{field.replace('_', '-')}", operation[field]]
    return smesher(*words)


def compare(result: Result, entry: dict[str, Any]) -> None:
    done = result.ok().last
    found = (done["nonce"], done["indices"], str(done["pow"]))
    assert found == (entry["nonce"], entry["indices"], entry["pow"]), f"got {found}"
    metadata = json.loads(Path(done["metadata"]).read_text())
    assert metadata["num_units"] == entry["num_units"]


def check_incomplete(
    path: Path, right: Labels, base: dict[str, Any], operation: dict[str, Any], context: Context
) -> None:
    """Every way in which a directory is not complete, for the library or for us."""
    last = right.layout.num_files - 1
    spoil: dict[str, Callable[[Path], object]] = {
        "a file is missing": lambda folder: (folder / file_name(1)).unlink(),
        "a file is short": lambda folder: (folder / file_name(last)).write_bytes(right.file(last)[:-16]),
        "a file is too long": lambda folder: (folder / file_name(last)).write_bytes(right.file(last) + bytes(16)),
        "a file too many": lambda folder: (folder / file_name(last + 1)).write_bytes(bytes(16)),
    }
    for what, change in spoil.items():
        folder = path / what.replace(" ", "-")
        folder.mkdir()
        make(folder, right)
        change(folder)
        surplus = not incomplete(right.layout, Storage(folder).data_files())
        assert surplus == ("too" in what), what
        result = prove(folder, base, operation, context)
        if surplus:  # the library makes no proof then; ours never reads what is too much
            result.ok()
        else:
            result.refused(1, file_name(1 if "missing" in what else last), "--allow-incomplete")
