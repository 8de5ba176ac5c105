"""poet/persisted.json: files and database rows of the reference are read and written in place."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from protocol.numbers.time import Time
from protocol.types.poet import MerkleProof
from prover.poet.server.records import (
    ExecutionState,
    ProofRecord,
    RoundState,
    decode_proof,
    decode_round_state,
    decode_server_state,
    encode_proof,
    encode_round_state,
    encode_server_state,
)
from prover.poet.server.store import ProofStore, RoundStore
from tests.vector_cases.harness import Case, Context, Later, NotUnderstood, unknown_sections, vectors


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


@vectors("poet/persisted.json", variants=False)
def persisted(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(
        document,
        (
            "reference",
            "server_state",
            "round_state",
            "round_member_dbs",
            "proofs_db",
            "service_pubkey",
            "files_after_one_round",
            "round_files_while_executing",
            "round_tid_file",
        ),
    )
    yield Case("server state", lambda: check_server_state(document["server_state"]))
    for entry in document["round_state"]:
        yield Case(f"round state: {entry['when']}", lambda e=entry: check_round_state(e))
    for entry in document["round_member_dbs"]:
        yield Case(f"members: {entry['db']}", lambda e=entry: check_members(e, context.temporary("db")))
    for entry in document["proofs_db"]:
        yield Case(
            f"proofs: {entry['key_text']}",
            lambda e=entry: check_proof_row(e, context.temporary("db")),
        )


def check_server_state(entry: dict[str, Any]) -> None:
    key = decode_server_state(unhex(entry["hex"]))
    assert key.hex() == entry["seed"] + entry["pubkey"]
    assert encode_server_state(key).hex() == entry["hex"]


def check_round_state(entry: dict[str, Any]) -> None:
    fields = entry["fields"]
    execution = fields["execution"]
    nip = execution["nip"]
    expected = RoundState(
        Time.parse(fields["execution_started"]),
        ExecutionState(
            execution["security_param"],
            tuple(unhex(one) for one in execution["members"]),
            unhex(execution["statement"]),
            tuple(unhex(one) for one in execution["parked_nodes"]),
            int(execution["num_leaves"]),
            None if nip is None else nip_of(nip),
        ),
    )
    found = decode_round_state(unhex(entry["state_bin"]))
    assert found == expected, f"expected {expected}, got {found}"
    assert encode_round_state(found).hex() == entry["state_bin"], "written back, the bytes differ"


def nip_of(fields: dict[str, Any]) -> MerkleProof:
    return MerkleProof(
        unhex(fields["root"]),
        tuple(unhex(one) for one in fields["proven_leaves"]),
        tuple(unhex(one) for one in fields["proof_nodes"]),
    )


def check_members(entry: dict[str, Any], directory: Path) -> None:
    rows = [(unhex(one["key_node_id"]), unhex(one["value_challenge"])) for one in entry["entries"]]
    path = directory / "round"
    store = RoundStore.create(path)
    store.write(dict(reversed(rows)))
    store.close()
    store = RoundStore.open(path)
    try:
        assert store.count() == len(rows)
        assert store.challenges() == [challenge for _, challenge in rows], "not in the order of the keys"
    finally:
        store.close()
        shutil.rmtree(path)


def check_proof_row(entry: dict[str, Any], directory: Path) -> None:
    key, value = unhex(entry["key"]), unhex(entry["value"])
    store = ProofStore(directory / "proofs")
    try:
        if "fields" not in entry:
            if not entry["key_text"].startswith("pow_challenge"):
                raise NotUnderstood(f"a row of the proofs has the key {entry['key_text']!r}")
            store.put_raw(key, value)
            current, previous = store.pow_challenges()
            assert value in (current, previous)
            return
        fields = entry["fields"]
        record = decode_proof(value)
        assert record.nip.root.hex() == fields["root"]
        assert len(record.nip.proven_leaves) == fields["proven_leaves_count"]
        assert len(record.nip.proof_nodes) == fields["proof_nodes_count"]
        assert [one.hex() for one in record.members] == fields["members"]
        assert record.num_leaves == int(fields["num_leaves"])
        assert record.service_pubkey.hex() == fields["service_pubkey"]
        assert record.round_id == fields["round_id"] == key.decode()
        assert encode_proof(record) == value, "written back, the bytes differ"
        store.put(record)
        assert store.raw(key) == value
        found: ProofRecord | None = store.get(record.round_id)
        assert found == record
    finally:
        store.close()
