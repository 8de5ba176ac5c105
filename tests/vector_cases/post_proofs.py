"""post/proofs.json: one run of the reference's prover with one thread for each case."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from protocol.post.proof import Proof, ProofMetadata, proving_difficulty, scale_pow_difficulty, unpack_indices
from prover.post.directory import Storage
from prover.post.init.plan import Request
from prover.post.metadata import PostMetadata
from prover.post.proof import verify
from prover.post.proof.prove import ProveParams, Prover
from prover.post.proof.verify import Claim, Mode, VerifyParams
from tests.vector_cases.harness import Case, Context, Later, unknown_sections, vectors
from tests.vector_cases.post_support import engine, initialise
from tests.vector_cases.post_verify import pow_hash

BASES: dict[str, Path] = {}
"""Directories made in this run, by their name in the vectors."""


@vectors("post/proofs.json")
def proofs(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, known=("cases",))
    for entry in document["cases"]:
        yield Case(entry["name"], partial(check_proof, entry, context))


def directory(entry: dict[str, Any], context: Context, max_file_size: int) -> Path:
    key = f"{context.root}/{entry['pos']}"
    if key not in BASES:
        request = Request(
            node_id=bytes.fromhex(entry["node_id"]),
            commitment_atx_id=bytes.fromhex(entry["commitment_atx_id"]),
            labels_per_unit=int(entry["labels_per_unit"]),
            num_units=entry["num_units"],
            max_file_size=max_file_size,
            scrypt_n=entry["n"],
        )
        path = context.temporary(entry["pos"])
        if (context.root / "post" / "pos" / f"{entry['pos']}.tar.gz").is_file():
            shutil.copytree(context.archive(f"post/pos/{entry['pos']}.tar.gz"), path, dirs_exist_ok=True)
        else:
            initialise(path, request)
        BASES[key] = path
    return BASES[key]


def check_proof(entry: dict[str, Any], context: Context) -> None:
    import json

    known = {case["name"]: case for case in json.loads(context.path("post/pos.json").read_text())["cases"]}
    max_file_size = int(known[entry["pos"]]["max_file_size"])
    max_file_size -= max_file_size % 16
    path = directory(entry, context, max_file_size)
    num_labels = int(entry["labels_per_unit"]) * entry["num_units"]
    difficulty = proving_difficulty(entry["k1"], num_labels)
    expected = (entry["difficulty"], entry["difficulty_msb"], entry["difficulty_lsb"])
    assert (str(difficulty.value), difficulty.msb, str(difficulty.lsb)) == expected
    scaled = scale_pow_difficulty(bytes.fromhex(entry["pow_difficulty"]), entry["num_units"])
    assert scaled.hex() == entry["scaled_pow_difficulty"]
    metadata = PostMetadata(
        bytes.fromhex(entry["node_id"]),
        bytes.fromhex(entry["commitment_atx_id"]),
        int(entry["labels_per_unit"]),
        entry["num_units"],
        max_file_size,
    )
    pows = {group: int(power) for group, power in entry["group_pows"]}
    challenge = bytes.fromhex(entry["challenge"])
    for threads in (1, 3):
        params = ProveParams(entry["k1"], entry["k2"], entry["nonces"], threads)
        proof = Prover(Storage(path), metadata, challenge, params, pows.__getitem__).run()
        wanted = (entry["proof"]["nonce"], entry["proof"]["indices"], int(entry["proof"]["pow"]))
        found = (proof.nonce, proof.indices.hex(), proof.pow)
        assert found == wanted, f"{threads} threads: expected {wanted}, got {found}"
    indices = unpack_indices(proof.indices, entry["bits_per_index"], entry["k2"])
    assert [str(index) for index in indices] == entry["indices"]
    _check_verdicts(entry, proof, challenge)


def _check_verdicts(entry: dict[str, Any], proof: Proof, challenge: bytes) -> None:
    """Our proof, and the other answers that the reference gave with two threads, are valid."""
    params = VerifyParams(
        entry["k1"],
        entry["k2"],
        bytes.fromhex(entry["pow_difficulty"]),
        1,
        2**32 - 1,
        int(entry["labels_per_unit"]),
        entry["n"],
    )
    metadata = ProofMetadata(
        bytes.fromhex(entry["node_id"]), bytes.fromhex(entry["commitment_atx_id"]), challenge, entry["num_units"]
    )
    others = [
        Proof(run["nonce"], bytes.fromhex(run["indices"]), int(run["pow"])) for run in entry.get("two_thread_runs", ())
    ]
    claims = [Claim(one, metadata, Mode.all(params.k2)) for one in (proof, *others)]
    for verdict in verify.check_many(claims, params, engine(params.scrypt_n), pow_hash):
        assert verdict.valid, f"{verdict}"
