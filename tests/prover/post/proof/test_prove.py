"""Own prover against own verifier: random data, any number of threads, cuts at any batch, every tampered field."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernels.scan.scalar import encryptor
from protocol.errors import ProtocolError
from protocol.post.proof import (
    Proof,
    ProofMetadata,
    metadata_from_json,
    metadata_to_json,
    proof_from_json,
    proof_to_json,
    unpack_indices,
)
from protocol.post.rules import commitment
from prover.errors import DataError, Interrupted, UsageError
from prover.post.directory import Storage
from prover.post.metadata import PostMetadata
from prover.post.proof import prove, scan
from prover.post.proof.prove import ProveParams, Prover
from prover.post.proof.verify import Claim, Failure, Mode, VerifyParams, check
from tests.vector_cases.post_support import all_labels, engine

ANY_HASH = b"\xff" * 32
K1, K2 = 26, 30


def no_work(data: bytes) -> bytes:
    """A RandomX that finds everything: the proof of work has its own tests."""
    return bytes(32)


def data_set(path: Path, num_labels: int, file_labels: int, seed: int) -> tuple[Storage, PostMetadata]:
    source = random.Random(seed)
    metadata = PostMetadata(source.randbytes(32), source.randbytes(32), num_labels, 1, file_labels * 16)
    key = commitment(metadata.node_id, metadata.commitment_atx_id)
    content = b"".join(label[:16] for label in all_labels(key, num_labels, 2))
    for number in range(-(-num_labels // file_labels)):
        piece = content[number * file_labels * 16 : (number + 1) * file_labels * 16]
        (path / f"postdata_{number}.bin").write_bytes(piece)
    return Storage(path), metadata


def make(storage: Storage, metadata: PostMetadata, challenge: bytes, threads: int = 1, **named: object) -> Proof:
    params = ProveParams(K1, K2, 32, threads)
    return Prover(storage, metadata, challenge, params, lambda group: group * 7, **named).run()  # type: ignore[arg-type]


def verdict(proof: Proof, metadata: PostMetadata, challenge: bytes) -> Failure | None:
    claimed = ProofMetadata(metadata.node_id, metadata.commitment_atx_id, challenge, metadata.num_units)
    rules = VerifyParams(K1, K2, ANY_HASH, 1, 9, metadata.labels_per_unit, 2)
    return check(Claim(proof, claimed, Mode.all(K2)), rules, engine(2), no_work).failure


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    num_labels=st.integers(300, 9000), file_labels=st.sampled_from([64, 100, 1000, 1 << 20]), seed=st.integers(0, 999)
)
def test_what_the_prover_finds_is_valid(
    tmp_path_factory: pytest.TempPathFactory, num_labels: int, file_labels: int, seed: int
) -> None:
    storage, metadata = data_set(tmp_path_factory.mktemp("data"), num_labels, file_labels, seed)
    challenge = seed.to_bytes(32, "big")
    proof = make(storage, metadata, challenge)
    assert verdict(proof, metadata, challenge) is None
    assert make(storage, metadata, challenge, threads=4) == proof


def test_every_tampered_field_is_rejected(tmp_path: Path) -> None:
    storage, metadata = data_set(tmp_path, 9000, 1000, 1)
    challenge = bytes(32)
    proof = make(storage, metadata, challenge)
    assert verdict(replace(proof, nonce=4096), metadata, challenge) is Failure.NONCE_GROUP_OUT_OF_BOUNDS
    assert verdict(replace(proof, nonce=proof.nonce ^ 1), metadata, challenge) in (
        Failure.INVALID_MSB,
        Failure.INVALID_LSB,
    )
    assert verdict(replace(proof, pow=proof.pow + 1), metadata, challenge) in (Failure.INVALID_MSB, Failure.INVALID_LSB)
    assert verdict(replace(proof, indices=proof.indices[:-1]), metadata, challenge) is Failure.INVALID_INDICES_LEN
    flipped = bytes([proof.indices[0] ^ 0xFF]) + proof.indices[1:]
    assert verdict(replace(proof, indices=flipped), metadata, challenge) in (Failure.INVALID_MSB, Failure.INVALID_LSB)
    assert verdict(proof, metadata, b"\x01" * 32) in (Failure.INVALID_MSB, Failure.INVALID_LSB)


def test_a_pass_that_was_cut_gives_the_same_proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "BATCH_BYTES", 1024)
    monkeypatch.setattr(prove, "SAVE_SECONDS", 0.0)
    data = tmp_path / "data"
    data.mkdir()
    storage, metadata = data_set(data, 6000, 700, 2)
    challenge = b"\x05" * 32
    whole = make(storage, metadata, challenge, threads=2)
    state = tmp_path / prove.STATE_NAME
    source = random.Random(3)
    for _ in range(20):
        cuts = [source.randrange(1, 80) for _ in range(4)]
        while (found := run_until(storage, metadata, challenge, state, cuts.pop() if cuts else None)) is None:
            assert state.exists()
        assert found == whole
        assert not state.exists()


def run_until(storage: Storage, metadata: PostMetadata, challenge: bytes, state: Path, cut: int | None) -> Proof | None:
    """A prover that is stopped at its `cut`-th sign of progress; None when it was."""
    seen: list[str] = []

    def progress(phase: str, done: int, total: int) -> None:
        seen.append(phase)
        if len(seen) == cut:
            prover.stop()

    params = ProveParams(K1, K2, 32, 2)
    prover = Prover(storage, metadata, challenge, params, lambda group: group * 7, state_file=state, progress=progress)
    try:
        return prover.run()
    except Interrupted:
        return None


def test_a_saved_pass_of_another_challenge_is_not_used(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    storage, metadata = data_set(data, 3000, 700, 4)
    state = tmp_path / prove.STATE_NAME
    state.write_text('{"Key": "other"}')
    assert make(storage, metadata, bytes(32), state_file=state) == make(storage, metadata, bytes(32))
    state.write_text("not json")
    assert make(storage, metadata, bytes(32), state_file=state) == make(storage, metadata, bytes(32))


def test_the_winner_is_the_nonce_whose_last_label_comes_first(tmp_path: Path) -> None:
    """Against a plain walk over the data in the specification's order."""
    storage, metadata = data_set(tmp_path, 2000, 333, 5)
    challenge = b"\x07" * 32
    proof = make(storage, metadata, challenge)
    expected = plain_walk(tmp_path, metadata, challenge)
    assert (proof.nonce, unpack_indices(proof.indices, (2000).bit_length(), K2)) == expected


def plain_walk(path: Path, metadata: PostMetadata, challenge: bytes) -> tuple[int, list[int]]:
    from protocol.post.proof import group_key, lazy_key, proving_difficulty

    difficulty = proving_difficulty(K1, metadata.num_labels)
    groups = [encryptor(group_key(challenge, group, group * 7)) for group in range(2)]
    lazy = [encryptor(lazy_key(challenge, nonce, nonce // 16 * 7)) for nonce in range(32)]
    hits: dict[int, list[int]] = {}
    per_file = metadata.max_file_size // 16
    for number in range(-(-metadata.num_labels // per_file)):
        content = (path / f"postdata_{number}.bin").read_bytes()
        for chunk in range(len(content) // 128):
            for group in range(2):
                for within in range(8):
                    position = chunk * 8 + within
                    label = content[position * 16 : position * 16 + 16]
                    for offset, value in enumerate(groups[group](label)):
                        nonce = group * 16 + offset
                        low = int.from_bytes(lazy[nonce](label)[:8], "little") & ((1 << 56) - 1)
                        if value < difficulty.msb or (value == difficulty.msb and low < difficulty.lsb):
                            found = hits.setdefault(nonce, [])
                            found.append(number * per_file + position)
                            if len(found) == K2:
                                return nonce, found
    raise AssertionError("no nonce won")


def test_without_enough_good_labels_there_is_an_end(tmp_path: Path) -> None:
    metadata = PostMetadata(bytes(32), bytes(32), 64, 1, 1024)
    (tmp_path / "postdata_0.bin").write_bytes(bytes(1024))
    params = ProveParams(1, 65, 4096, 1)  # more than there are
    with pytest.raises(DataError, match="No proof was found"):
        Prover(Storage(tmp_path), metadata, bytes(32), params, lambda group: 0).run()


@pytest.mark.parametrize("nonces", [0, 15, 17, 4112])
def test_nonces_that_cannot_be(tmp_path: Path, nonces: int) -> None:
    with pytest.raises(UsageError, match=str(nonces)):
        ProveParams(1, 1, nonces, 1).check()


def test_a_missing_file_does_not_shift_the_others(tmp_path: Path) -> None:
    """The number in the name counts: labels of a later file keep their indices."""
    storage, metadata = data_set(tmp_path, 9000, 1000, 6)
    (tmp_path / "postdata_3.bin").unlink()
    challenge = b"\x09" * 32
    assert prove.incomplete(prove.Layout(9000, 16000), storage.data_files()) == ["postdata_3.bin is missing"]
    assert verdict(make(storage, metadata, challenge), metadata, challenge) is None


def test_json_forms() -> None:
    proof = Proof(5, b"\x01\x02", 2**63)
    metadata = ProofMetadata(bytes(32), bytes(range(32)), bytes(32), 4)
    assert proof_from_json(proof_to_json(proof)) == proof
    assert metadata_from_json(metadata_to_json(metadata)) == metadata
    for broken in ({}, {"nonce": -1, "indices": "", "pow": 0}, {"nonce": 1, "indices": "!", "pow": 0}, [], None):
        with pytest.raises(ProtocolError):
            proof_from_json(broken)
