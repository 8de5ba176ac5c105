"""The verifier, its compiled walk against the plain one, batches, membership; the kernels below it; the encodings."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.cli.poet import verify as poet_verify
from api.edge.errors import UsageError
from kernels.errors import KernelError
from kernels.posw import ripemd, sha256, sha256_verify
from kernels.vectors import target
from protocol.codec import declare as codec
from protocol.crypto import merkle
from protocol.crypto.ripemd256 import ripemd256
from protocol.errors import ProtocolError
from protocol.types.poet import (
    MembershipProof,
    MerkleProof,
    PoetProof,
    PoetProofMessage,
)
from prover.poet.round import fiat_shamir, labels
from prover.poet.round.prove import Proof, ProverConfig, RoundProver
from prover.poet.round.verify import (
    PoetProofInvalid,
    Task,
    _verify_any_lengths,
    are_members,
    is_member,
    verify,
    verify_many,
)

STATEMENT = b"hello world, this is a challenge"
REPOSITORY = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="module")
def proof(tmp_path_factory: pytest.TempPathFactory) -> Proof:
    return RoundProver(ProverConfig(tmp_path_factory.mktemp("round"), kept_height=0), STATEMENT).run(leaves=1000)


# ---- verdicts ----


def test_the_known_proof(proof: Proof) -> None:
    """The values of protocol 02-poet, section 10."""
    assert proof.root.hex() == "2c28ca6bfcb42605d5386114bedcb3056058ee771d8c4245b705a6150963fdb9"
    assert proof.poet_proof.ref().hex() == "230ad0a6c863503a233496d280cb3fcb87623cd8cfdde8e6b2c73a791335d90a"
    assert hashlib.sha256(b"".join(proof.proof_nodes)).hexdigest().startswith("e6e7fdbb8205")
    verify(proof.merkle_proof, STATEMENT, 1000)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_both_walks_judge_alike(data: st.DataObject) -> None:
    """Crafted trees of any shape: both walks rebuild the same root and reach as many leaves."""
    seed = data.draw(st.integers(0, 2**32))
    dice = random.Random(seed)
    count = dice.randrange(1, 12)
    num_leaves = dice.choice([count, count + 1, 20, 1 << 20, (1 << 63) + 5, (1 << 64) - 1])
    nodes = tuple(dice.randbytes(32) for _ in range(dice.randrange(80)))
    leaves = tuple(dice.randbytes(32) for _ in range(count))
    statement = dice.randbytes(dice.choice([0, 1, 20, 32, 55, 64]))
    root = dice.randbytes(32)
    indices = fiat_shamir.draw(root, num_leaves, count)
    drawn = np.empty(count, np.uint64)
    sha256_verify._draw(np.frombuffer(root, np.uint8), count, np.uint64(num_leaves), drawn)
    assert list(indices) == [int(index) for index in drawn]
    tree = merkle.partial_tree(indices, leaves, nodes, labels.node_of(statement))
    order = [np.empty((count + len(nodes), 5), np.int64), np.empty(count + len(nodes), np.int64)]
    reached, made, top = sha256_verify._walk(np.array(indices, np.uint64), len(nodes), *order)
    values = [*leaves, *nodes]
    parked: list[list[bytes]] = [[] for _ in leaves]
    for join in range(made):
        left, right, sibling, first, last = (int(part) for part in order[0][join])
        values.append(labels.node(statement, values[left], values[right]))
        for leaf in range(first, last):
            parked[leaf].append(values[sibling])
    assert values[top] == tree.root
    assert reached == len(tree.left_siblings)
    expected = [[sibling for sibling in siblings if sibling] for siblings in tree.left_siblings]
    assert parked[:reached] == expected


def test_every_changed_bit_is_noticed_and_named_alike(proof: Proof) -> None:
    dice = random.Random(3)
    original = proof.merkle_proof
    for _ in range(60):
        parts = [[original.root], list(original.proven_leaves), list(original.proof_nodes)]
        part = parts[dice.randrange(3)]
        at = dice.randrange(len(part))
        changed = bytearray(part[at])
        changed[dice.randrange(32)] ^= 1 << dice.randrange(8)
        part[at] = bytes(changed)
        forged = MerkleProof(parts[0][0], tuple(parts[1]), tuple(parts[2]))
        with pytest.raises(PoetProofInvalid) as compiled:
            verify(forged, STATEMENT, 1000)
        with pytest.raises(PoetProofInvalid) as plain:
            _verify_any_lengths(forged, STATEMENT, 1000, 150)
        assert compiled.value.reason == plain.value.reason == "root_mismatch"


def test_a_wrong_label_is_named_by_its_position(tmp_path: Path) -> None:
    """A whole tree over random leaves: only the labels can give it away."""
    dice = random.Random(4)
    leaves = [dice.randbytes(32) for _ in range(37)]
    join = labels.node_of(STATEMENT)
    root = merkle.root_of(leaves, join)
    for count in (1, 2, 3, 5, 37):
        indices = fiat_shamir.draw(root, 37, count)
        forged = MerkleProof(root, tuple(leaves[index] for index in indices), merkle.prove(leaves, indices, join))
        with pytest.raises(PoetProofInvalid, match="label at index 0") as found:
            verify(forged, STATEMENT, 37, count)
        assert found.value.reason == "label_mismatch"


def test_many_proofs_at_once(proof: Proof) -> None:
    good = Task(proof.merkle_proof, STATEMENT, 1000)
    wrong = Task(proof.merkle_proof, b"another", 1000)
    for threads in (1, 2):
        verdicts = verify_many([good, wrong, good, good], threads)
        assert [one.reason if one else None for one in verdicts] == [None, "root_mismatch", None, None]


def test_membership() -> None:
    members = [bytes([number]) * 32 for number in range(1, 6)]
    root = merkle.root_of(members)
    assert root.hex() == "0c97a4e2c62b2c1a75c3c68bcfcf5e8da9c37d01dd52d30e611245694b29279f"
    nodes = merkle.membership_nodes(members, 1)
    assert is_member(MembershipProof(nodes, 1), members[1], root)
    assert not is_member(MembershipProof(nodes, 1), members[2], root)
    several = merkle.prove(members, [0, 4])
    assert are_members([(4, members[4]), (0, members[0]), (0, b"never looked at")], several, root)
    # kept for consensus: an index that the nodes do not lead to is not looked at
    assert are_members([(1, members[1]), (1 << 40, b"anything")], nodes, root)
    assert merkle.root_of([]) == b""
    with pytest.raises(ProtocolError):
        merkle.prove(members, [5])


# ---- kernels ----


@settings(deadline=None)
@given(value=st.binary(min_size=32, max_size=32), times=st.integers(0, 5))
def test_a_chain_is_a_chain_of_hashes(value: bytes, times: int) -> None:
    expected = value
    for _ in range(times):
        expected = hashlib.sha256(expected).digest()
    assert sha256.chain(value, times) == expected


@settings(deadline=None)
@given(message=st.binary(max_size=300), nesting=st.integers(1, 3))
def test_a_label_of_any_message(message: bytes, nesting: int) -> None:
    expected = message
    for _ in range(nesting):
        expected = hashlib.sha256(expected).digest()
    assert sha256.label(message, nesting) == expected


@settings(deadline=None)
@given(statement=st.binary(max_size=130), count=st.integers(1, 11), seed=st.integers(0, 1000))
def test_parents_of_any_number_of_nodes(statement: bytes, count: int, seed: int) -> None:
    nodes = random.Random(seed).randbytes(32 * count)
    found = sha256.parents(statement, np.frombuffer(nodes, np.uint8)).tobytes()
    padded = nodes + bytes(32 * (count % 2))
    pairs = [padded[at : at + 64] for at in range(0, len(padded), 64)]
    assert found == b"".join(hashlib.sha256(statement + pair).digest() for pair in pairs)


VARIANT_CHECK = """
import hashlib
from kernels.posw import ripemd; from kernels.posw import sha256
value = bytes(range(32))
expected = value
for _ in range(50):
    expected = hashlib.sha256(expected).digest()
assert sha256.chain(value, 50) == expected
assert ripemd.search(b"challenge this" + bytes(32) + b"some data to submit to poet", 6) == 143
from kernels.vectors import target; print(target.has_sha256())
"""


@pytest.mark.slow
@pytest.mark.parametrize("variant", target.supported_variants())
def test_every_variant_of_the_code(variant: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "KERNELS_FORCE": variant}
    done = subprocess.run([sys.executable, "-c", VARIANT_CHECK], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if variant in ("portable", "avx2"):
        assert done.stdout.strip() == "False", "a forced variant has no instructions above it"


def test_the_search_for_a_proof_of_work() -> None:
    dice = random.Random(5)
    for size in (*range(40, 72), 96, 104, 200):
        beginning = dice.randbytes(size)
        first = dice.choice([0, 7, 2**32 - 30, 2**64 - 60, dice.randrange(2**63)])
        last = min(first + 200, 2**64)
        found = ripemd.search(beginning, 6, first, 200)
        hashes = ((nonce, ripemd256(beginning + nonce.to_bytes(8, "little"))) for nonce in range(first, last))
        assert found == next((nonce for nonce, digest in hashes if digest[0] < 4), None), size
    assert ripemd.search(bytes(96), 0) == 0
    assert ripemd.search(bytes(96), 257) is None
    assert ripemd.search(bytes(96), 200, count=1000) is None


def test_a_search_can_be_stopped() -> None:
    stop = np.zeros(1, np.uint8)
    threading.Timer(0.2, lambda: stop.__setitem__(0, 1)).start()
    with pytest.raises(KernelError, match="stopped"):
        ripemd.search(bytes(96), 256, stop=stop)


# ---- encodings ----


@settings(deadline=None)
@given(
    root=st.binary(max_size=32),
    leaves=st.lists(st.binary(max_size=32), max_size=5),
    nodes=st.lists(st.binary(max_size=32), max_size=5),
    count=st.integers(0, 2**64 - 1),
    service=st.binary(max_size=32),
    round_id=st.binary(max_size=32),
)
def test_what_is_encoded_is_decoded(
    root: bytes, leaves: list[bytes], nodes: list[bytes], count: int, service: bytes, round_id: bytes
) -> None:
    proof = PoetProof(MerkleProof(root, tuple(leaves), tuple(nodes)), count)
    message = PoetProofMessage(proof, service, round_id, bytes(range(32)))
    assert PoetProof.codec.decode(PoetProof.codec.encode(proof)) == proof
    assert PoetProofMessage.codec.decode(PoetProofMessage.codec.encode(message)) == message


@settings(deadline=None)
@given(data=st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_named_error(data: bytes) -> None:
    for decode in (PoetProof.codec.decode, PoetProofMessage.codec.decode):
        try:
            decode(data)
        except codec.CodecError as error:
            assert error.field.startswith("Poet")
            assert error.reason


def test_an_error_names_the_field() -> None:
    encoded = PoetProof.codec.encode(PoetProof(MerkleProof(bytes(32), (bytes(32),), ()), 9))
    with pytest.raises(codec.CodecError, match=r"PoetProof\.merkle_proof\.proven_leaves\[0\]: 32 bytes are needed"):
        PoetProof.codec.decode(encoded[:50])
    with pytest.raises(codec.CodecError, match="PoetProof: 1 byte follows"):
        PoetProof.codec.decode(encoded + b"\0")
    with pytest.raises(codec.CodecError, match=r"proof_nodes: 5401 elements, at most 5400"):
        PoetProof.codec.encode(PoetProof(MerkleProof(bytes(32), (), (bytes(32),) * 5401), 9))


# ---- files of proofs ----


def test_a_proof_is_read_in_each_form(proof: Proof) -> None:
    message = PoetProofMessage.codec.encode(PoetProofMessage(proof.poet_proof, bytes(32), b"7", STATEMENT))
    for data in (message, message.hex().encode(), b" " + message.hex().encode() + b"\n"):
        loaded = poet_verify.load(data, "file")
        assert (loaded.proof, loaded.statement, loaded.round_id) == (proof.poet_proof, STATEMENT, "7")
    from base64 import b64encode

    def encoded(items: tuple[bytes, ...]) -> list[str]:
        return [b64encode(item).decode() for item in items]

    inner = {
        "root": b64encode(proof.root).decode(),
        "provenLeaves": encoded(proof.proven_leaves),
        "proofNodes": encoded(proof.proof_nodes),
    }
    body = {"proof": {"proof": inner, "members": encoded((STATEMENT,)), "leaves": "1000"}, "pubkey": "AAAA"}
    loaded = poet_verify.load(json.dumps(body).encode(), "file")
    assert (loaded.proof, loaded.statement) == (proof.poet_proof, STATEMENT)
    for data, word in ((b"{", "no JSON"), (b"{}", "proof is missing"), (b"zz", "PoetProofMessage"), (b"", "root")):
        with pytest.raises(UsageError, match=word):
            poet_verify.load(data, "file")
    inner["root"] = "*"
    with pytest.raises(UsageError, match=r"proof\.proof\.root"):
        poet_verify.load(json.dumps(body).encode(), "file")
