"""Vectors of a node's key among peers (p2p/identity.json). Texts of peer ids are for the network, which comes later."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from api.edge.errors import DataError
from api.node.peer_key import FILE_NAME, PeerKey, read
from tests.vector_cases.harness import Case, Context, Later, vectors

REFUSED = {
    "public_half_wrong": "the reference signs with a key that nobody can check; a damaged file",
    "type_secp256k1": "another kind of key, which no node makes",
}
"""Files that the reference takes and ours does not, and why."""


def _check_key(case: dict[str, Any]) -> None:
    key = PeerKey.of(bytes.fromhex(case["seed"]))
    assert key.public_key.hex() == case["public"]
    assert key.id == case["peer_id"]
    assert key.file_content() == case["p2p_key_file"].rstrip("\n")


def _check_file(case: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE_NAME
        path.write_text(case["content"])
        try:
            found = read(path)
        except DataError:
            assert not case["ok"] or case["name"] in REFUSED, "refused"
            return
    assert case["ok"] and case["name"] not in REFUSED, "accepted"
    assert found.id == case["peer_id"], found.id


@vectors("p2p/identity.json", variants=False)
def identity(document: Any, context: Context) -> Iterator[Case | Later]:
    for case in document["keys"]:
        yield Case(case["name"], lambda case=case: _check_key(case))
    for case in document["key_files"]:
        yield Case(case["name"], lambda case=case: _check_file(case))
    for number, _ in enumerate(document["peer_id_text"]):
        yield Later(f"text {number}")
