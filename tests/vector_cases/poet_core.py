"""poet/*.json, the pure part: labels, drawn indices, trees, verdicts, recovery, membership, encodings, challenges.

What a name says is only taken as input where the vectors record it nowhere else: which byte of a layer file was
changed, and how long the lists of an encoding were. Protocol 02-poet and 02-poet-client.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import nacl.signing
import numpy as np

from kernels.posw import sha256_verify
from protocol.crypto import merkle
from protocol.errors import ProtocolError
from protocol.types import poet
from protocol.types.activation import NIPostChallengeV1, PostV1
from protocol.types.activation_v2 import NIPostChallengeV2
from protocol.types.ids import AtxId, EpochId
from protocol.types.poet import NODE_SIZE, MerkleProof, PoetProof
from prover.errors import DataError, Interrupted, ProofError
from prover.poet.round import fiat_shamir, labels, layers
from prover.poet.round.prove import Proof, ProverConfig, RoundProver
from prover.poet.round.verify import PoetProofInvalid, _verify_any_lengths, is_member, verify
from tests.vector_cases.harness import Case, Context, Later, NotUnderstood, unknown_sections, vectors

UNHEX = bytes.fromhex


def unhex_all(items: list[str]) -> list[bytes]:
    return [UNHEX(item) for item in items]


def hex_all(items: Any) -> list[str]:
    return [item.hex() for item in items]


def sha_of(items: Any) -> str:
    return hashlib.sha256(b"".join(items)).hexdigest()


def same(found: object, expected: object, what: str) -> None:
    assert found == expected, f"{what}: expected {expected}, got {found}"


# ---- labels, indices ----


@vectors("poet/labels.json")
def label_cases(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, known=("reference", "label_hash_count", "labels", "nodes"))
    same(labels.NESTING, document["label_hash_count"], "hashes in a label")
    for entry in document["labels"]:
        yield Case(entry["name"], lambda entry=entry: check_label(entry))
    for entry in document["nodes"]:
        yield Case(entry["name"], lambda entry=entry: check_node(entry))


def check_label(entry: dict[str, Any]) -> None:
    statement, siblings = UNHEX(entry["statement"]), unhex_all(entry["left_siblings"])
    index = int(entry["leaf_index"])
    message = labels.message(index, siblings)
    same(message.hex(), entry["message"], "message")
    same(hashlib.sha256(statement + message).hexdigest(), entry["first_sha256"], "first hash")
    same(labels.label(statement, index, siblings).hex(), entry["label"], "label")


def check_node(entry: dict[str, Any]) -> None:
    left, right = UNHEX(entry["left"]), UNHEX(entry["right"])
    if entry["tree"] == "membership":
        found = merkle.member_node(left, right)
    elif entry["tree"] == "posw":
        found = labels.node(UNHEX(entry["statement"]), left, right)
    else:
        raise NotUnderstood(f"a node of the tree {entry['tree']!r}")
    same(found.hex(), entry["node"], "node")


@vectors("poet/fiat_shamir.json")
def fiat_shamir_cases(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, known=("reference", "cases"))
    for entry in document["cases"]:
        yield Case(entry["name"], lambda entry=entry: check_draw(entry))


def check_draw(entry: dict[str, Any]) -> None:
    root, leaves, count = UNHEX(entry["root"]), int(entry["num_leaves"]), entry["security_param"]
    same([str(index) for index in fiat_shamir.draw(root, leaves, count)], entry["indices"], "indices")
    if leaves >= count:
        compiled = np.empty(count, np.uint64)
        sha256_verify._draw(np.frombuffer(root, np.uint8), count, np.uint64(leaves), compiled)
        same([str(index) for index in compiled], entry["indices"], "compiled indices")


# ---- trees ----


def proved(
    directory: Path, statement: bytes, leaves: int, security_param: int, height: int, resume: bool = False
) -> Proof:
    config = ProverConfig(directory, kept_height=height, security_param=security_param)
    prover = RoundProver.resume(config, statement) if resume else RoundProver(config, statement)
    return prover.run(leaves=leaves)


class Layers:
    """All complete nodes of a round, from one that kept every leaf."""

    def __init__(self, directory: Path, statement: bytes, leaves: int, security_param: int) -> None:
        self._statement = statement
        self.proof = proved(directory, statement, leaves, security_param, 0)
        self.log = layers.open_log(directory, statement, 0)
        data = (directory / layers.NODES_FILE).read_bytes()
        self._leaves = [data[at : at + 32] for at in range(0, len(data), 32)]
        same(len(self._leaves), leaves, "kept leaves")

    def nodes(self, layer: int, leaves: int) -> list[bytes]:
        nodes = self._leaves[:leaves]
        for _ in range(layer):
            nodes = [labels.node(self._statement, *nodes[at : at + 2]) for at in range(0, len(nodes) - 1, 2)]
        return nodes

    def check_files(self, files: list[dict[str, Any]], leaves: int) -> None:
        for file in files:
            match = re.fullmatch(r"layercache_(\d+)\.bin", file["file"])
            if match is None:
                raise NotUnderstood(f"a layer file named {file['file']}")
            nodes = self.nodes(int(match[1]), leaves)
            same((len(nodes), sha_of(nodes)), (file["nodes"], file["sha256"]), f"{file['file']} at {leaves} leaves")


@vectors("poet/tree.json")
def tree_cases(document: Any, context: Context) -> Iterator[Case | Later]:
    known = {"reference", "cases", "datadir_rejects", "deadline_already_past", "label_hash_count"}
    known |= {"layer_independence", "node_size"}
    yield from unknown_sections(document, known=known)
    same(labels.NESTING, document["label_hash_count"], "hashes in a label")
    same(poet.NODE_SIZE, document["node_size"], "node size")
    for number, entry in enumerate(document["cases"]):
        yield Case(entry["name"], lambda entry=entry, number=number: check_tree(entry, number, context))
    for entry in document["datadir_rejects"]:
        yield Case(f"rejects: {entry['name']}", lambda entry=entry: check_reject(entry, context))
    statement = UNHEX(document["layer_independence"]["statement"])
    for entry in document["deadline_already_past"]:
        name = f"deadline past, T={entry['security_param']}"
        yield Case(name, lambda entry=entry: check_deadline_past(entry, statement, context))
    independence = document["layer_independence"]
    for entry in independence["runs"]:
        name = f"layers: {entry['name']}"
        yield Case(name, lambda entry=entry: check_independence(entry, independence, context))


def check_tree(entry: dict[str, Any], number: int, context: Context) -> None:
    statement, leaves, count = UNHEX(entry["statement"]), int(entry["num_leaves"]), entry["security_param"]
    # the kept layer is ours to choose; every case takes another one
    proof = proved(context.temporary(), statement, leaves, count, number % 15)
    check_proof_fields(proof, entry)
    same([str(i) for i in fiat_shamir.draw(proof.root, leaves, count)], entry["indices"], "indices")
    if "layers" in entry:
        found = Layers(context.temporary(), statement, leaves, count)
        for layer, expected in enumerate(entry["layers"]):
            same(hex_all(found.nodes(layer, leaves)), expected, f"layer {layer}")
    same(verdict(proof.merkle_proof, statement, leaves, count) is None, entry["verified"], "verified")


def check_proof_fields(proof: Proof, entry: dict[str, Any]) -> None:
    same(proof.root.hex(), entry["root"], "root")
    for name, items in (("proven_leaves", proof.proven_leaves), ("proof_nodes", proof.proof_nodes)):
        if name in entry:
            same(hex_all(items), entry[name], name)
        same(len(items), entry.get(f"{name}_count", len(items)), f"number of {name}")
        same(sha_of(items), entry.get(f"{name}_sha256", sha_of(items)), f"hash of {name}")
    if "poet_proof_ref" in entry:
        same(proof.poet_proof.ref().hex(), entry["poet_proof_ref"], "reference")
    if "poet_proof_scale_len" in entry:
        same(len(PoetProof.codec.encode(proof.poet_proof)), entry["poet_proof_scale_len"], "encoded size")


def check_reject(entry: dict[str, Any], context: Context) -> None:
    directory = context.temporary()
    for name in entry["files"]:
        (directory / name).write_bytes(b"")
    try:
        RoundProver(ProverConfig(directory, kept_height=0), bytes(32))
    except ProofError:
        return
    raise AssertionError(f"a round began in a directory with {entry['files']}")


def check_deadline_past(entry: dict[str, Any], statement: bytes, context: Context) -> None:
    config = ProverConfig(context.temporary(), kept_height=0, security_param=entry["security_param"])
    proof = RoundProver(config, statement, clock=lambda: 100.0).run(deadline=50.0)
    same(proof.num_leaves, entry["num_leaves_at_least"], "leaves")
    if proof.num_leaves == int(entry["num_leaves_observed"]):
        same(proof.root.hex(), entry["root"], "root")


def reference_refusal(sizes: Mapping[int, int], num_leaves: int) -> str | None:
    """Why the reference would not go on with layer files of these sizes (bytes by layer); None if it would."""
    if 0 not in sizes:
        return "layer 0 cache file is missing"
    for layer, size in sorted(sizes.items()):
        expected, found = num_leaves >> layer, size // NODE_SIZE
        if found < expected:
            return f"layer {layer} cache file invalid width. expected: {expected}, found: {found}"
    if num_leaves >> max(sizes) == 0:
        return "base layer cannot be empty"
    return None


def check_independence(entry: dict[str, Any], document: dict[str, Any], context: Context) -> None:
    statement, leaves = UNHEX(document["statement"]), int(document["num_leaves"])
    proof = proved(context.temporary(), statement, leaves, document["security_param"], entry["min_memory_layer"])
    check_proof_fields(proof, entry)
    whole = Layers(context.temporary(), statement, leaves, document["security_param"])
    whole.check_files(entry["layer_files"], leaves)
    same(str(whole.log.closed), entry["persist_calls"][-1], "leaves when the state was saved last")


# ---- verdicts ----


def verdict(proof: MerkleProof, statement: bytes, leaves: int, count: int) -> str | None:
    try:
        verify(proof, statement, leaves, count)
    except PoetProofInvalid as error:
        return error.reason
    return None


@vectors("poet/verify.json")
def verify_cases(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, known=("reference", "bases", "cases", "dishonest"))
    bases = {base["name"]: base for base in document["bases"]}
    for entry in document["cases"]:
        yield Case(
            entry["name"], lambda entry=entry: check_verdict(edited(bases[entry["base"]], entry["edits"]), entry)
        )
    for entry in document["dishonest"]:
        yield Case(entry["name"], lambda entry=entry: check_verdict(entry, entry))


def edited(base: dict[str, Any], edits: list[dict[str, Any]]) -> dict[str, Any]:
    proof = copy.deepcopy(base)
    for edit in edits:
        operation, field = edit["op"], edit["field"]
        if field not in proof:
            raise NotUnderstood(f"an edit of the field {field!r}")
        if operation == "set" and "index" in edit:
            proof[field][edit["index"]] = edit["value"]
        elif operation == "set":
            proof[field] = edit["value"]
        elif operation == "delete":
            del proof[field][edit["index"]]
        elif operation == "insert":
            proof[field].insert(edit["index"], edit["value"])
        elif operation == "swap":
            a, b = edit["index"], edit["other"]
            proof[field][a], proof[field][b] = proof[field][b], proof[field][a]
        elif operation == "reverse":
            proof[field].reverse()
        elif operation == "clear":
            proof[field] = []
        else:
            raise NotUnderstood(f"the edit {operation!r}")
    return proof


def check_verdict(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    proof = MerkleProof(
        UNHEX(fields["root"]), tuple(unhex_all(fields["proven_leaves"])), tuple(unhex_all(fields["proof_nodes"]))
    )
    statement, leaves, count = UNHEX(fields["statement"]), int(fields["num_leaves"]), fields["security_param"]
    reason = verdict(proof, statement, leaves, count)
    same(reason is None, expected["valid"], f"valid ({reason})")
    same(reason, expected["error_class"], "reason")
    if reason in (None, "root_mismatch", "snapshot_count", "label_mismatch"):
        try:
            _verify_any_lengths(proof, statement, leaves, count)
        except PoetProofInvalid as error:
            same(error.reason, reason, "reason without compiled code")
        else:
            same(None, reason, "reason without compiled code")


# ---- recovery ----


@vectors("poet/recovery.json")
def recovery_cases(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, known=("reference", "cases", "damage"))
    for entry in document["cases"]:
        yield Case(entry["name"], lambda entry=entry: check_recovery(entry, context))
    damage = document["damage"]
    files = ReferenceFiles(damage, context)
    for entry in damage["cases"]:
        yield Case(f"damage: {entry['name']}", lambda entry=entry: files.check(entry))


def check_recovery(entry: dict[str, Any], context: Context) -> None:
    statement, leaves, count = UNHEX(entry["statement"]), int(entry["num_leaves"]), entry["security_param"]
    whole = Layers(context.temporary(), statement, leaves, count)
    directory = context.temporary()
    config = ProverConfig(directory, kept_height=min(entry["min_memory_layer"], 16), security_param=count)
    for stage in entry["stages"]:
        at = int(stage["interrupted_at"])
        prover = RoundProver.resume(config, statement)
        prover.stop(at_leaves=at)
        try:
            prover.run(leaves=leaves)
        except Interrupted:
            same(prover.leaves_done, at, "leaves when it was interrupted")
            same(prover.durable_leaves, at >> config.height << config.height, "leaves on disk")
        else:
            raise AssertionError(f"the round went on beyond {at} leaves")
        whole.check_files(stage["layer_files"], at)
    proof = proved(directory, statement, leaves, count, config.height, resume=True)
    check_proof_fields(proof, entry)
    same(proof == whole.proof, entry["equals_uninterrupted"], "equals the uninterrupted round")
    whole.check_files(entry["layer_files_at_end"], leaves)
    same(verdict(proof.merkle_proof, statement, leaves, count) is None, entry["verified"], "verified")


class ReferenceFiles:
    """Layer files as the reference leaves them, and then damaged."""

    def __init__(self, document: dict[str, Any], context: Context) -> None:
        unknown = document.keys() - {"cases", "leaves_written", "min_memory_layer", "statement"}
        if unknown:
            raise NotUnderstood(f"damage has the keys {sorted(unknown)}")
        self._statement = UNHEX(document["statement"])
        self._written = int(document["leaves_written"])
        self._layers = document["min_memory_layer"]
        self._end = self._written + 300
        self._context = context

    @cache  # noqa: B019 - lives as long as the run
    def _whole(self) -> Layers:
        return Layers(self._context.temporary(), self._statement, self._end, 150)

    def check(self, entry: dict[str, Any]) -> None:
        state = int(entry["state_num_leaves"])
        sizes = {}
        for name, size in entry["layer_file_bytes_before"].items():
            match = re.fullmatch(r"layercache_(\d+)\.bin", name)
            if match is None:
                raise NotUnderstood(f"a layer file named {name}")
            sizes[int(match[1])] = size
        refusal = reference_refusal(sizes, state)
        same(refusal is None, entry["result"] == "recovered", f"the reference goes on ({refusal})")
        if refusal is not None:
            assert refusal in entry["error"], f"expected {entry['error']!r}, got {refusal!r}"
        for height in {0, self._layers - 1, self._layers + 2}:
            self._check_ours(entry["name"], sizes, state, height)

    def _check_ours(self, name: str, sizes: dict[int, int], state: int, height: int) -> None:
        """Ours goes on wherever nodes are left that it can use, and always to the right proof."""
        directory = self._context.temporary()
        contents = {}
        for layer, size in sizes.items():
            content = b"".join(self._whole().nodes(layer, self._written))
            contents[layer] = (content + b"\xa5" * size)[:size]
        changed = re.search(r"byte changed in (?:layer (\d+)|the top file layer)", name)
        if changed:
            layer = int(changed[1]) if changed[1] else max(contents)
            content = bytearray(contents[layer])
            content[len(content) // 3] ^= 1
            contents[layer] = bytes(content)
        for layer, content in contents.items():
            (directory / f"layercache_{layer}.bin").write_bytes(content)
        config = ProverConfig(directory, kept_height=height)
        try:
            prover = RoundProver.resume(config, self._statement, reference_leaves=state)
        except DataError:
            assert not any(layer <= height for layer in contents), "files that can be used were refused"
            return
        same(prover.run(leaves=self._end), self._whole().proof, f"proof with layer {height} kept")
        for layer, content in contents.items():
            same((directory / f"layercache_{layer}.bin").read_bytes() == content, True, f"layer file {layer} kept")


# ---- membership ----


@vectors("poet/membership.json", variants=False)
def membership_cases(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, known=("reference", "cases", "multi_leaf", "odd_members", "validate"))
    for entry in [*document["cases"], *document["odd_members"]]:
        yield Case(entry["name"], lambda entry=entry: check_members(entry))
    for entry in document["multi_leaf"]:
        yield Case(entry["name"], lambda entry=entry: check_multi_leaf(entry))
    validate = document["validate"]
    yield Case("validate: root", lambda: check_members({"members": validate["members"], "root": validate["root"]}))
    for entry in validate["cases"]:
        yield Case(f"validate: {entry['name']}", lambda entry=entry: check_validation(entry))


def check_members(entry: dict[str, Any]) -> None:
    members = unhex_all(entry["members"])
    root = merkle.root_of(members)
    same(root.hex(), entry["root"], "root")
    for proof in entry.get("proofs", []):
        index = int(proof["leaf_index"])
        nodes = merkle.membership_nodes(members, index)
        same(hex_all(nodes), proof["nodes"], f"proof of {index}")
        assert is_member(poet.MembershipProof(nodes, index), members[index], root), f"{index} is a member"


def check_multi_leaf(entry: dict[str, Any]) -> None:
    members, indices = unhex_all(entry["members"]), [int(index) for index in entry["leaf_indices"]]
    nodes = merkle.prove(members, indices)
    same(hex_all(nodes), entry["nodes"], "nodes")
    assert merkle.validate(indices, [members[index] for index in indices], nodes, UNHEX(entry["root"]))


def check_validation(entry: dict[str, Any]) -> None:
    indices = [int(index) for index in entry["leaf_indices"]]
    try:
        tree = merkle.partial_tree(indices, unhex_all(entry["leaves"]), unhex_all(entry["nodes"]), merkle.member_node)
    except merkle.InvalidPartialTree as error:
        same((False, error.reason), (entry["valid"], entry["error_class"]), "verdict")
        same(entry["left_siblings_per_leaf"], None, "left siblings")
        return
    same((tree.root == UNHEX(entry["expected_root"]), None), (entry["valid"], entry["error_class"]), "verdict")
    same([hex_all(siblings) for siblings in tree.left_siblings], entry["left_siblings_per_leaf"], "left siblings")


# ---- encodings ----


@vectors("poet/client_encoding.json", variants=False)
def encoding_cases(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, known=("reference", "decode", "encode_limits"))
    for entry in document["decode"]:
        yield Case(f"decode: {entry['name']}", lambda entry=entry: check_decode(entry))
    for entry in document["encode_limits"]:
        yield Case(f"encode: {entry['name']}", lambda entry=entry: check_encode(entry, document["decode"]))


def check_decode(entry: dict[str, Any]) -> None:
    decoders: dict[str, Any] = {
        "PoetProof": poet.PoetProof.codec.decode,
        "PoetProofMessage": poet.PoetProofMessage.codec.decode,
        "MerkleProof (membership)": poet.MembershipProof.codec.decode,
    }
    if entry["type"] not in decoders:
        raise NotUnderstood(f"the type {entry['type']!r}")
    data = UNHEX(entry["data"])
    try:
        record = decoders[entry["type"]](data)
    except ProtocolError as error:
        assert not entry["valid"], f"refused: {error}"
        return
    assert entry["valid"], f"accepted what is refused with {entry['error']!r}"
    same(record.codec.encode(record) == data, entry["reencodes_equal"], "encodes to the same bytes")
    shown = shown_fields(record)
    for name, value in entry["fields"].items():
        if name not in shown:
            raise NotUnderstood(f"the field {name!r}")
        if not isinstance(value, str) or "\ufffd" not in value:
            same(shown[name], value, name)


def shown_fields(record: Any) -> dict[str, Any]:
    if isinstance(record, poet.MembershipProof):
        return {"leaf_index": str(record.leaf_index), "nodes_count": len(record.nodes)}
    if isinstance(record, PoetProof):
        proof = record.merkle_proof
        return {
            "leaf_count": str(record.leaf_count),
            "proof_nodes_count": len(proof.proof_nodes),
            "proven_leaves_count": len(proof.proven_leaves),
            "root": proof.root.hex(),
        }
    return {
        **shown_fields(record.proof),
        "poet_service_id": record.service_id.hex(),
        "ref": record.ref().hex(),
        "round_id": record.round_id.decode("utf-8", "replace"),
        "signature": record.signature.hex(),
        "statement": record.statement.hex(),
    }


def check_encode(entry: dict[str, Any], decodable: list[dict[str, Any]]) -> None:
    """The inputs are not recorded: they are built as the name says, or are those of a decoded case of that length."""
    record = built(entry["name"])
    if record is None and entry["encodes"]:
        same_length = [other for other in decodable if len(other["data"]) == 2 * entry["length"] and other["valid"]]
        if not same_length:
            raise NotUnderstood("no input is known for this case")
        for other in same_length:
            check_decode(other)
        return
    if record is None:
        raise NotUnderstood("no input is known for this case")
    try:
        length = len(record.codec.encode(record))
    except ProtocolError as error:
        same(False, entry["encodes"], f"encodes ({error})")
        return
    same((True, length), (entry["encodes"], entry["length"]), "encodes")


def built(name: str) -> Any:
    root, element = bytes(32), bytes(32)
    if match := re.fullmatch(r"(\d+) leaves", name):
        return PoetProof(MerkleProof(root, (element,) * int(match[1]), ()), 9)
    if match := re.fullmatch(r"(\d+) nodes", name):
        return PoetProof(MerkleProof(root, (), (element,) * int(match[1])), 9)
    if match := re.fullmatch(r"root (\d+) bytes", name):
        return PoetProof(MerkleProof(bytes(int(match[1])), (), ()), 9)
    if match := re.fullmatch(r"a (leaf|node) of (\d+) bytes", name):
        elements = (bytes(int(match[2])),)
        return PoetProof(MerkleProof(root, *((elements, ()) if match[1] == "leaf" else ((), elements))), 9)
    if match := re.fullmatch(r"leaf_count (\d+)", name):
        return PoetProof(MerkleProof(bytes(3), (), ()), int(match[1]))
    if match := re.fullmatch(r"message, (round|service) id of (\d+) bytes", name):
        proof = PoetProof(MerkleProof(root, (), ()), 9)
        ids = {"round": b"1", "service": b"1", match[1]: bytes(int(match[2]))}
        return poet.PoetProofMessage(proof, ids["service"], ids["round"], bytes(32))
    if match := re.fullmatch(r"membership (\d+) nodes", name):
        return poet.MembershipProof((element,) * int(match[1]), 1000003 * int(match[1]))
    return None


# ---- challenges ----


@vectors("poet/client_challenges.json", variants=False)
def challenge_cases(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, known=("reference", "cases", "genesis_id"))
    for entry in document["cases"]:
        yield Case(entry["name"], lambda entry=entry: check_challenge(entry, UNHEX(document["genesis_id"])))


def check_challenge(entry: dict[str, Any], genesis_id: bytes) -> None:
    initial = entry["initial_post"]
    post = None
    if initial is not None:
        post = PostV1(initial["nonce"], UNHEX(initial["indices"]), int(initial["pow"]))
    commitment = None if entry["commitment_atx"] is None else AtxId(UNHEX(entry["commitment_atx"]))
    previous, positioning = AtxId(UNHEX(entry["prev_atx"])), AtxId(UNHEX(entry["positioning_atx"]))
    epoch = EpochId(entry["publish_epoch"])
    first = NIPostChallengeV1(epoch, int(entry["sequence"]), previous, positioning, commitment, post)
    second = NIPostChallengeV2(epoch, previous, positioning, post)
    same((first.codec.encode(first).hex(), first.hash().hex()), (entry["v1_scale"], entry["v1_hash"]), "v1")
    same((second.codec.encode(second).hex(), second.hash().hex()), (entry["v2_scale"], entry["v2_hash"]), "v2")
    prefix = genesis_id + b"\x04"
    same(prefix.hex(), entry["prefix_sent_to_poet"], "prefix")
    key = nacl.signing.SigningKey(UNHEX(entry["node_seed"]))
    same(key.verify_key.encode().hex(), entry["node_id"], "node id")
    signature = key.sign(prefix + first.hash()).signature
    same(signature.hex(), entry["poet_signature_over_v1_hash"], "signature")
