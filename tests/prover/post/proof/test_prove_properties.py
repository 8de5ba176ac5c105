"""Own prover against own verifier for random parameters; tampered proofs against a plain second reading of the rules.

`plain_verdict` follows the table of protocol 01-post, section 6, one check after another, with its own unpacking and
its own labels; BLAKE3 stands in for RandomX on both sides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from kernels.scan.scalar import encryptor
from protocol.errors import ProtocolError
from protocol.post.proof import Difficulty, Proof, ProofMetadata, pow_input, scale_pow_difficulty
from protocol.post.rules import commitment
from prover.errors import DataError
from prover.post.directory import Storage
from prover.post.metadata import PostMetadata
from prover.post.proof import verify
from prover.post.proof.prove import ProveParams, Prover
from prover.post.proof.verify import Claim, Mode, Verdict, VerifyParams, check, check_many
from tests.vector_cases.post_support import all_labels, engine

SCRYPT_N = 2


def pow_hash(data: bytes) -> bytes:
    """In place of RandomX."""
    return blake3(data).digest()


@dataclass(frozen=True)
class Made:
    """A proof, and everything that it is verified with."""

    proof: Proof
    metadata: ProofMetadata
    rules: VerifyParams


def make(path: pytest.TempPathFactory, draw: Callable[..., int], seed: bytes) -> Made:
    """A proof over random data with random parameters; without one (it may be) the example is dropped."""
    units, per_unit = draw(st.integers(1, 4)), draw(st.integers(64, 1200))
    num_labels = units * per_unit
    k1 = draw(st.integers(8, min(60, num_labels // 4)))
    k2 = draw(st.integers(1, k1 + 4))
    difficulty = bytes([draw(st.integers(0x20, 0xFF))]) * 32
    node_id, atx_id, challenge = (blake3(seed + bytes([number])).digest() for number in range(3))
    labels = b"".join(label[:16] for label in all_labels(commitment(node_id, atx_id), num_labels, SCRYPT_N))
    file_labels = draw(st.sampled_from([64, 104, 1000]))
    folder = path.mktemp("data")
    for number in range(-(-num_labels // file_labels)):
        piece = labels[number * file_labels * 16 : (number + 1) * file_labels * 16]
        (folder / f"postdata_{number}.bin").write_bytes(piece)
    scaled = scale_pow_difficulty(difficulty, units)

    def find(group: int) -> int:
        return next(p for p in range(1 << 20) if pow_hash(pow_input(p, group, challenge, node_id)) < scaled)

    data = PostMetadata(node_id, atx_id, per_unit, units, file_labels * 16)
    params = ProveParams(k1, k2, 16 * draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    try:
        proof = Prover(Storage(folder), data, challenge, params, find).run()
    except DataError:
        assume(False)
    rules = VerifyParams(k1, k2, difficulty, 1, 10, per_unit, SCRYPT_N)
    return Made(proof, ProofMetadata(node_id, atx_id, challenge, units), rules)


def plain_verdict(made: Made, positions: list[int]) -> tuple[str, int | None]:
    """Class and failing position; "Ok"."""
    proof, metadata, rules = made.proof, made.metadata, made.rules
    if metadata.num_units < rules.min_num_units:
        return "NumUnitsTooSmall", None
    if metadata.num_units > rules.max_num_units:
        return "NumUnitsTooLarge", None
    group = proof.nonce // 16
    if group > 255:
        return "NonceGroupOutOfBounds", None
    low_bytes = (proof.pow % 2**56).to_bytes(7, "little")
    hashed = pow_hash(low_bytes + bytes([group]) + metadata.challenge[:8] + metadata.node_id)
    if int.from_bytes(hashed, "big") >= int.from_bytes(rules.pow_difficulty, "big") // metadata.num_units:
        return "InvalidPoW", None
    num_labels = metadata.num_units * rules.labels_per_unit
    bits = len(f"{num_labels:b}")
    if 8 * len(proof.indices) != (bits * rules.k2 + 7) // 8 * 8:
        return "InvalidIndicesLen", None
    if num_labels <= rules.k1:
        return "InvalidNumLabels", None
    difficulty = 2**64 * rules.k1 // num_labels
    stream = "".join(f"{byte:08b}"[::-1] for byte in proof.indices)
    key = proof.pow.to_bytes(8, "little")
    outer = encryptor(blake3(metadata.challenge + group.to_bytes(4, "little") + key).digest()[:16])
    tail = proof.nonce.to_bytes(4, "little")
    lazy = encryptor(blake3(metadata.challenge + group.to_bytes(4, "little") + key + tail).digest()[:16])
    place = commitment(metadata.node_id, metadata.commitment_atx_id)
    for position in positions:
        index = int(stream[position * bits : (position + 1) * bits][::-1], 2)
        label = engine(SCRYPT_N).labels32([place], [index])[0].tobytes()[:16]
        value = outer(label)[proof.nonce % 16]
        if value > difficulty >> 56:
            return "InvalidMsb", position
        if value == difficulty >> 56 and int.from_bytes(lazy(label)[:7], "little") >= difficulty % 2**56:
            return "InvalidLsb", position
    return "Ok", None


def ours(made: Made, mode: Mode) -> tuple[str, int | None]:
    verdict = check(Claim(made.proof, made.metadata, mode), made.rules, engine(SCRYPT_N), pow_hash)
    return named(verdict)


def named(verdict: Verdict) -> tuple[str, int | None]:
    assert verdict.valid or verdict.diagnosis, "no word for people"
    return (verdict.failure.value if verdict.failure else "Ok"), verdict.position


def flipped(data: bytes, bit: int) -> bytes:
    """The bytes with one bit turned."""
    place = bit % (8 * len(data))
    return bytes(byte ^ (1 << place % 8 if at == place // 8 else 0) for at, byte in enumerate(data))


Tamper = Callable[[Made, int], Made]
TAMPERS: dict[str, Tamper] = {
    "nonce": lambda made, number: replace(made, proof=replace(made.proof, nonce=number % 5000)),
    "nonce of the group": lambda made, number: replace(
        made, proof=replace(made.proof, nonce=made.proof.nonce ^ (1 + number % 15))
    ),
    "pow": lambda made, number: replace(made, proof=replace(made.proof, pow=made.proof.pow + 1 + number % 9)),
    "top byte of pow": lambda made, number: replace(
        made, proof=replace(made.proof, pow=made.proof.pow + ((1 + number % 255) << 56))
    ),
    "one bit of the indices": lambda made, number: replace(
        made, proof=replace(made.proof, indices=flipped(made.proof.indices, number))
    ),
    "indices cut": lambda made, number: replace(
        made, proof=replace(made.proof, indices=made.proof.indices[: -1 - number % 3] or b"\0")
    ),
    "indices longer": lambda made, number: replace(
        made, proof=replace(made.proof, indices=made.proof.indices + bytes(1 + number % 3))
    ),
    "node id": lambda made, number: replace(
        made, metadata=replace(made.metadata, node_id=flipped(made.metadata.node_id, number))
    ),
    "commitment": lambda made, number: replace(
        made, metadata=replace(made.metadata, commitment_atx_id=flipped(made.metadata.commitment_atx_id, number))
    ),
    "challenge": lambda made, number: replace(
        made, metadata=replace(made.metadata, challenge=flipped(made.metadata.challenge, number))
    ),
    "units": lambda made, number: replace(made, metadata=replace(made.metadata, num_units=number % 13)),
    "k1": lambda made, number: replace(made, rules=replace(made.rules, k1=1 + number % 6000)),
    "k2": lambda made, number: replace(made, rules=replace(made.rules, k2=1 + number % 70)),
    "pow difficulty": lambda made, number: replace(
        made, rules=replace(made.rules, pow_difficulty=number.to_bytes(4, "big") + bytes(28))
    ),
    "labels per unit": lambda made, number: replace(made, rules=replace(made.rules, labels_per_unit=1 + number % 9000)),
    "unit limits": lambda made, number: replace(
        made, rules=replace(made.rules, min_num_units=number % 6, max_num_units=number % 7)
    ),
}
HARMLESS = {"units", "k1", "k2", "unit limits", "labels per unit", "pow difficulty", "nonce"}
"""May leave a parameter as it was, or make the rules milder."""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(data=st.data(), seed=st.binary(min_size=8, max_size=8))
def test_a_proof_is_valid_and_a_tampered_one_is_judged_by_the_table(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, seed: bytes
) -> None:
    made = make(tmp_path_factory, data.draw, seed)
    assert ours(made, Mode.all(made.rules.k2)) == ("Ok", None) == plain_verdict(made, list(range(made.rules.k2)))
    numbers = st.integers(0, 2**32 - 1)
    for name, tamper in TAMPERS.items():
        other = tamper(made, data.draw(numbers, label=name))
        k2 = other.rules.k2
        mode = Mode.all(k2)
        if data.draw(st.booleans()):
            mode = Mode.subset(data.draw(st.integers(1, k2)), seed, k2, other.metadata)
        if other.metadata.num_units == 0 and other.rules.min_num_units == 0:
            with pytest.raises(ProtocolError):
                ours(other, mode)
            continue
        expected = plain_verdict(other, list(mode.positions))
        assert ours(other, mode) == expected, name
        claims = [Claim(one.proof, one.metadata, mode) for one in (other, other)]
        assert [named(one) for one in check_many(claims, other.rules, engine(SCRYPT_N), pow_hash, threads=2)] == [
            expected
        ] * 2


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(data=st.data(), seed=st.binary(min_size=8, max_size=8))
def test_what_was_tampered_with_is_rejected(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, seed: bytes
) -> None:
    """With enough indices no change passes by luck; those in the prover's own fields and ids all fail."""
    made = make(tmp_path_factory, data.draw, seed)
    assume(made.rules.k2 >= 8 and made.metadata.num_units * made.rules.labels_per_unit > 40 * made.rules.k1)
    for name, tamper in TAMPERS.items():
        if name in HARMLESS:
            continue
        other = tamper(made, data.draw(st.integers(0, 2**32 - 1), label=name))
        if name == "one bit of the indices" and other.proof.indices[:-1] == made.proof.indices[:-1]:
            continue  # perhaps one of the padding bits, which nobody looks at
        verdict = check(Claim(other.proof, other.metadata, Mode.all(made.rules.k2)), made.rules, engine(2), pow_hash)
        if name == "one bit of the indices" and verdict.valid:
            assert plain_verdict(other, list(range(made.rules.k2))) == ("Ok", None)  # another good label
            continue
        assert not verdict.valid, name


def test_limits_are_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """What equals a limit is not below it: the hash of the proof of work, and the low bits of the lazy cipher."""
    proof = Proof(3, bytes(9), 0)
    metadata = ProofMetadata(b"n" * 32, b"a" * 32, b"c" * 32, 2)
    limit = (1 << 255).to_bytes(32, "big")
    below = ((1 << 254) - 1).to_bytes(32, "big")
    rules = VerifyParams(8, 8, limit, 1, 10, 128, SCRYPT_N)
    claim = Claim(proof, metadata, Mode.one(0, 8))
    difficulty = Difficulty(0)
    monkeypatch.setattr(verify, "proving_difficulty", lambda k1, labels: difficulty)

    def verdict(hashed: bytes) -> Verdict:
        return check(claim, rules, engine(SCRYPT_N), lambda data: hashed)

    assert named(verdict((1 << 254).to_bytes(32, "big"))) == ("InvalidPoW", None)
    first = verdict(below)
    assert first.failure is not None and first.failure.value == "InvalidMsb" and first.cipher_value
    difficulty = Difficulty(first.cipher_value << 56)
    second = verdict(below)
    assert named(second) == ("InvalidLsb", 0) and second.cipher_value
    difficulty = Difficulty((first.cipher_value << 56) + second.cipher_value)
    assert named(verdict(below)) == ("InvalidLsb", 0)
    difficulty = Difficulty((first.cipher_value << 56) + second.cipher_value + 1)
    assert named(verdict(below)) == ("Ok", None)
    difficulty = Difficulty((first.cipher_value + 1) << 56)
    assert named(verdict(below)) == ("Ok", None)
