"""Vectors of hashes, ids and their texts, opinions and membership trees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from protocol.crypto import hashing, merkle
from protocol.types import text
from protocol.types.activation import active_set_hash
from protocol.types.ids import AtxId, BlockId, ProposalId, as_hash32
from protocol.types.opinions import opinion_hash
from protocol.types.proposals import proposals_hash
from tests.vector_cases.harness import Case, Context, Later, NotUnderstood, unknown_sections, vectors

UNHEX = bytes.fromhex

SIZES = {"ATXID": 32, "NodeID": 32, "BallotID": 20, "BlockID": 20, "Beacon": 4, "Hash32": 32, "Hash20": 20}
SHOWN_SHORT = {"ATXID", "BallotID", "BlockID"}


def same(found: object, expected: object, what: str = "found") -> None:
    assert found == expected, f"{what} {found}, expected {expected}"


@vectors("types/ids.json", variants=False)
def id_cases(document: Any, context: Context) -> Iterator[Case | Later]:
    checks: dict[str, Callable[[dict[str, Any]], None]] = {
        "blake3": check_hash,
        "conversions": check_conversions,
        "text_forms": check_forms,
        "text_parse": check_parsing,
        "proposal_lists": check_proposals,
        "block_lists": check_blocks,
        "atx_lists": check_atxs,
        "opinion_hashes": check_opinions,
        "merkle_validate": check_validation,
    }
    yield from unknown_sections(document, known=("description", "reference", "merkle", *checks))
    for section, check in checks.items():
        for position, entry in enumerate(document[section]):
            name = f"{section} {entry.get('name', position)}"
            yield Case(name, lambda check=check, entry=entry: check(entry))
    leaves = {entry["name"]: entry["leaves"] for entry in document["merkle"] if isinstance(entry["leaves"], list)}
    for entry in document["merkle"]:
        given = entry["leaves"]
        shown = given if isinstance(given, list) else leaves[given.removeprefix("as ")]
        yield Case(f"merkle {entry['name']}", lambda entry=entry, shown=shown: check_tree(entry, shown))


def check_hash(entry: dict[str, Any]) -> None:
    data = bytes(position % 251 for position in range(entry["length"]))
    same(hashing.hash32(data).hex(), entry["h32"], "h32")
    same(hashing.hash20(data[:7], data[7:]).hex(), entry["h20"], "h20")


def check_conversions(entry: dict[str, Any]) -> None:
    data = UNHEX(entry["input"])
    as_32 = hashing.right_aligned(data)
    as_20 = hashing.right_aligned(data, hashing.HASH20_SIZE)
    found = {
        "bytes_to_hash32": as_32,
        "hash20_set_bytes": as_20,
        "hash32_to_hash20": hashing.left_aligned(as_32, hashing.HASH20_SIZE),
        "hash20_to_hash32": as_hash32(BlockId(as_20)),
        "bytes_to_node_id": hashing.left_aligned(data, 32),
        "bytes_to_beacon": hashing.left_aligned(data, 4),
        "generate_address": bytes(4) + hashing.left_aligned(data[-20:], 20),
    }
    for name, value in entry.items():
        if name != "input":
            if name not in found:
                raise NotUnderstood(f"the conversion {name!r}")
            same(found[name].hex(), value, name)


def written(kind: str, data: bytes) -> Any:
    """The JSON form."""
    if kind == "TransactionID":
        return list(data)
    return text.to_hex(data) if kind.startswith("Hash") else text.to_base64(data)


def parsed(kind: str, shown: str) -> bytes:
    if kind == "PoetPubkeyBase64":
        return text.decode_base64(shown, kind)
    read = text.from_hex if kind.startswith("Hash") else text.from_base64
    return read(shown, SIZES[kind], kind)


def check_forms(entry: dict[str, Any]) -> None:
    kind, data = entry["type"], UNHEX(entry["bytes"])
    same(written(kind, data), entry["json"], "json")
    same(text.shown(data, kind in SHOWN_SHORT), entry["display_string"], "shown")
    if "text" in entry:
        same(written(kind, data), entry["text"], "text")
        same(parsed(kind, entry["text"]), data, "parsed")


def check_parsing(entry: dict[str, Any]) -> None:
    for kind, expected in entry.items():
        if kind == "text":
            continue
        try:
            found: Any = parsed(kind, entry["text"]).hex()
        except text.TextError as error:
            assert isinstance(expected, dict), f"{kind} refused: {error}"
            continue
        same(found, expected, kind)


def check_proposals(entry: dict[str, Any]) -> None:
    hashes = entry["hash_sorted"], entry["hash_in_given_order"]
    if (ids := listed(entry["ids"], 20)) is None:
        check_order(entry["ids"], *hashes)
        return
    proposals, prefix = [ProposalId(one) for one in ids], UNHEX(entry["prefix_bytes"])
    if not prefix:
        same(proposals_hash(proposals).hex(), hashes[0], "sorted")
    same(hashing.hash32(prefix, *(as_hash32(one) for one in sorted(proposals))).hex(), hashes[0], "sorted")
    same(hashing.hash32(prefix, *(as_hash32(one) for one in proposals)).hex(), hashes[1], "given order")


def check_blocks(entry: dict[str, Any]) -> None:
    same(sorted(entry["ids"]), entry["sorted"], "sorted")
    if (ids := listed(entry["ids"], 20)) is not None:
        blocks = (as_hash32(BlockId(one)) for one in ids)
        same(hashing.hash_of_list(blocks).hex(), entry["hash_in_given_order"], "given order")


def check_atxs(entry: dict[str, Any]) -> None:
    hashes = entry["hash_of_sorted"], entry["hash_in_given_order"]
    if (ids := listed(entry["ids"], 32)) is None:
        check_order(entry["ids"], *hashes)
        return
    atxs = [AtxId(one) for one in ids]
    same(active_set_hash(sorted(atxs)).hex(), hashes[0], "sorted")
    same(active_set_hash(atxs).hex(), hashes[1], "given order")


def listed(shown: list[str], size: int) -> list[bytes] | None:
    """The ids of a list; None where the vectors hold only how they are shown in logs, as text in hexadecimal.

    The first five bytes do not give a hash, but they give the order.
    """
    ids = [UNHEX(one) for one in shown]
    if all(len(one) == size for one in ids):
        return ids
    if all(len(one) == 2 * text.SHORT_SIZE for one in ids):
        return None
    raise NotUnderstood(f"ids of {[len(one) for one in ids]} bytes")


def check_order(shown: list[str], hash_sorted: str, hash_in_given_order: str) -> None:
    """What can be said without the ids: both hashes are one if the list was sorted already, and differ if not.

    Of ids that begin with the same bytes the order is not known.
    """
    if shown != sorted(shown):
        assert hash_sorted != hash_in_given_order, "one hash for two orders"
    elif len(set(shown)) == len(shown):
        same(hash_sorted, hash_in_given_order, "hash of a sorted list")


def check_opinions(entry: dict[str, Any]) -> None:
    for layer in entry["layers"]:
        previous = None if layer["previous"] is None else UNHEX(layer["previous"])
        supported = [(BlockId(UNHEX(block["id"])), int(block["height"])) for block in layer.get("blocks", [])]
        if layer["vote"] not in ("support", "against", "abstain"):
            raise NotUnderstood(f"the vote {layer['vote']!r}")
        found = opinion_hash(previous, None if layer["vote"] == "abstain" else supported)
        same(found.hex(), layer["opinion"], layer["vote"])


def check_tree(entry: dict[str, Any], shown: list[str]) -> None:
    leaves, indices = [UNHEX(leaf) for leaf in shown], entry["indices"]
    same(merkle.root_of(leaves).hex(), entry["root"], "root")
    nodes = merkle.prove(leaves, indices)
    same([node.hex() for node in nodes], entry["proof"], "proof")
    proven = [leaves[index] for index in indices]
    if "proven_leaves" in entry:
        same([leaf.hex() for leaf in proven], entry["proven_leaves"], "proven leaves")
    same(merkle.validate(indices, proven, nodes, UNHEX(entry["root"])), entry["validates"], "valid")
    if len(leaves) <= 256:
        filled = [*leaves, *[merkle.PADDING] * (256 - len(leaves))]
        same(merkle.filled_root(leaves, 8), merkle.root_of(filled), "root when filled up to 256 leaves")


def check_validation(entry: dict[str, Any]) -> None:
    leaves = [UNHEX(leaf) for leaf in entry["leaves"]]
    nodes = [UNHEX(node) for node in entry["proof"]]
    try:
        found = merkle.validate(entry["indices"], leaves, nodes, UNHEX(entry["root"]))
    except merkle.InvalidPartialTree as error:
        same((False, True), (entry["valid"], entry["error"]), str(error))
        return
    same((found, False), (entry["valid"], entry["error"]), "verdict")
