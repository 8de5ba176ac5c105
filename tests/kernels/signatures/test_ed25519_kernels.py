"""The eight lanes give the verdicts of the rules, whatever the batch looks like."""

from __future__ import annotations

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

from kernels.signatures import ecvrf, ed25519, ed25519_batch
from kernels.signatures.ed25519 import GO_STANDARD_LIBRARY, NODE
from kernels.signatures.ed25519_keys import KnownKeys
from kernels.vectors import target
from protocol.crypto import signing, vrf
from protocol.crypto.signing import Signer
from protocol.poet import signing as poet_signing
from tests.support.ed25519_model import ODD_ENCODINGS, Signed, accepts, columns, craft, crafted, shifted

ROOT = Path(__file__).resolve().parents[3]


def signed(count: int, seed: int = 1, signers: int = 0) -> list[Signed]:
    """Valid signatures, each by a key of its own unless `signers` says how many there are."""
    source = random.Random(seed)
    keys = [Signer(source.randbytes(32)) for _ in range(signers or count)]
    cases = []
    for i in range(count):
        signer, message = keys[i % len(keys)], source.randbytes(source.randrange(300))
        cases.append(Signed(signer.public_key, message, signer.sign(signing.NO_DOMAIN, message)))
    return cases


def spoiled(case: Signed) -> Signed:
    return Signed(case.key, case.message + b"\0", case.signature)


def flipped(data: bytes, bit: int) -> bytes:
    return (int.from_bytes(data, "little") ^ 1 << bit).to_bytes(len(data), "little")


@pytest.fixture(scope="module")
def odd_cases() -> list[Signed]:
    return crafted()


@pytest.mark.parametrize("rules", [NODE, GO_STANDARD_LIBRARY], ids=["node", "go"])
def test_crafted_signatures_get_the_verdict_of_the_rule_on_every_path(odd_cases: list[Signed], rules: int) -> None:
    expected = [accepts(case, rules) for case in odd_cases]
    assert 40 < sum(expected) < len(expected) - 40
    keys, messages, signatures = columns(odd_cases)
    known = KnownKeys()
    known.remember(keys)
    for size in (1, 8, 16, 17, len(odd_cases)):
        parts = [slice(first, first + size) for first in range(0, len(keys), size)]
        for tables in (None, known):
            found = [
                ed25519.verify_many(keys[part], messages[part], signatures[part], rules=rules, known=tables)
                for part in parts
            ]
            assert np.concatenate(found).tolist() == expected, (size, tables is known)
    verify = poet_signing.verify if rules == GO_STANDARD_LIBRARY else signing.verify
    head = () if rules == GO_STANDARD_LIBRARY else (signing.NO_DOMAIN,)
    assert [verify(*head, *row) for row in zip(keys, messages, signatures)] == expected


@pytest.mark.parametrize("count", range(34))
def test_every_size_of_a_batch(count: int) -> None:
    cases = signed(count, seed=count)
    assert ed25519.verify_many(*columns(cases)).tolist() == [True] * count
    wrong = [spoiled(case) if i % 3 == 1 else case for i, case in enumerate(cases)]
    expected = [i % 3 != 1 for i in range(count)]
    assert ed25519.verify_many(*columns(wrong)).tolist() == expected
    known = KnownKeys()
    known.remember([case.key for case in cases[::2]])
    assert ed25519.verify_many(*columns(wrong), known=known).tolist() == expected


@pytest.mark.parametrize("count", [5, 16, 33])
def test_one_wrong_signature_at_every_place(count: int) -> None:
    cases = signed(count, seed=99)
    for place in range(count):
        batch = [spoiled(case) if i == place else case for i, case in enumerate(cases)]
        expected = [i != place for i in range(count)]
        assert ed25519.verify_many(*columns(batch)).tolist() == expected
        assert signing.verify_many(signing.NO_DOMAIN, *columns(batch)) == expected


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_batches_with_flipped_bits(data: st.DataObject) -> None:
    cases = signed(data.draw(st.integers(1, 20)), seed=data.draw(st.integers(0, 2**32)))
    for i, case in enumerate(cases):
        part = data.draw(st.sampled_from(("none", "key", "message", "signature")))
        if part == "none" or not getattr(case, part):
            continue
        content = getattr(case, part)
        changed = {part: flipped(content, data.draw(st.integers(0, 8 * len(content) - 1)))}
        fields = {"key": case.key, "message": case.message, "signature": case.signature}
        cases[i] = Signed(**{**fields, **changed})
    expected = [accepts(case) for case in cases]
    assert ed25519.verify_many(*columns(cases)).tolist() == expected
    assert signing.verify_many(signing.NO_DOMAIN, *columns(cases)) == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.binary(min_size=64, max_size=64)), max_size=20))
def test_garbage_is_judged_like_anything_else(rows: list[tuple[bytes, bytes]]) -> None:
    cases = [Signed(key, b"", signature) for key, signature in rows]
    for rules in (NODE, GO_STANDARD_LIBRARY):
        expected = [accepts(case, rules) for case in cases]
        assert ed25519.verify_many(*columns(cases), rules=rules).tolist() == expected
    keys, proofs = [key for key, _ in rows], [signature + bytes(16) for _, signature in rows]
    alphas = [b""] * len(rows)
    assert ecvrf.verify_many(keys, alphas, proofs).tolist() == [
        vrf.verify_by_libsodium(*row) for row in zip(keys, alphas, proofs)
    ]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 2**252), st.integers(1, 2**252), st.integers(0, 7), st.integers(0, 7), st.binary(max_size=200))
def test_torsion_is_accepted_by_the_node_only(secret: int, nonce: int, a: int, r: int, message: bytes) -> None:
    case = craft(secret, shifted(secret, a), nonce, shifted(nonce, r), message)
    one = columns([case])
    assert ed25519.verify_many(*one).tolist() == signing.verify_many(None, *one) == [True]
    assert ed25519.verify_many(*one, rules=GO_STANDARD_LIBRARY).tolist() == [accepts(case, GO_STANDARD_LIBRARY)]


def test_a_prefix_belongs_to_every_message() -> None:
    cases = signed(11, seed=5)
    keys, messages, signatures = columns(cases)
    heads = {message[:4] for message in messages}
    assert len(heads) > 1
    prefix = b"genesis"
    resigned = [Signer(bytes([i]) * 32, prefix) for i in range(11)]
    signatures = [signer.sign(None, message) for signer, message in zip(resigned, messages)]
    keys = [signer.public_key for signer in resigned]
    assert ed25519.verify_many(keys, messages, signatures, prefix).all()
    assert not ed25519.verify_many(keys, messages, signatures).any()


def test_messages_of_all_lengths_around_the_blocks_of_the_hash() -> None:
    signer = Signer(bytes(32))
    messages = [bytes(length) for length in (*range(30, 70), *range(170, 200), 1000, 5000, 0)]
    signatures = [signer.sign(None, message) for message in messages]
    keys = [signer.public_key] * len(messages)
    assert ed25519.verify_many(keys, messages, signatures).all()


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_threads_share_a_batch(threads: int) -> None:
    cases = signed(700, seed=3, signers=20)
    batch = [spoiled(case) if i % 97 == 0 else case for i, case in enumerate(cases)]
    expected = [i % 97 != 0 for i in range(len(batch))]
    known = KnownKeys()
    for _ in range(3):
        found = ed25519.verify_many(*columns(batch), threads=threads, known=known)
        assert found.tolist() == expected
    assert signing.verify_many(None, *columns(batch), threads=threads) == expected


@pytest.mark.parametrize(("count", "threads"), [(1, 1), (64, 4), (65, 2), (700, 3), (2000, 1)])
def test_pieces_are_whole_groups_and_cover_the_batch(count: int, threads: int) -> None:
    parts = ed25519_batch.pieces(count, threads)
    assert [i for part in parts for i in range(part.start, part.stop)] == list(range(count))
    assert all(part.start % 8 == 0 and part.stop - part.start <= ed25519_batch.PIECE for part in parts)


@pytest.mark.parametrize(("key", "signature"), [(bytes(31), bytes(64)), (bytes(32), bytes(63)), (b"", bytes(64))])
def test_sizes_are_checked(key: bytes, signature: bytes) -> None:
    with pytest.raises(ValueError, match=r"expected \d+ bytes, found"):
        ed25519.verify_many([bytes(32), key], [b"", b""], [bytes(64), signature])


# ---- known keys ----


def test_a_key_gets_a_table_when_it_is_seen_again() -> None:
    known, cases = KnownKeys(), signed(8, seed=8)
    for expected in (0, 8, 8):
        assert ed25519.verify_many(*columns(cases), known=known).all()
        assert len(known) == expected


def test_a_burst_does_not_wait_for_the_tables_of_all_its_keys() -> None:
    known, cases = KnownKeys(), signed(64, seed=12)
    for expected in (0, 16, 24, 32, 40, 48, 56, 64, 64):
        assert ed25519.verify_many(*columns(cases), known=known).all()
        assert len(known) == expected


def test_keys_that_come_one_by_one_get_their_tables_together() -> None:
    known, cases = KnownKeys(), signed(8, seed=13)
    for case in cases * 2:
        assert len(known) == 0
        assert ed25519.verify_many(*columns([case]), known=known).all()
    assert len(known) == 8


def test_keys_of_refused_signatures_get_no_table() -> None:
    known = KnownKeys()
    cases = [spoiled(case) for case in signed(16, seed=9)]
    for _ in range(3):
        assert not ed25519.verify_many(*columns(cases), known=known).any()
    assert len(known) == 0


def test_keys_that_no_node_accepts_get_no_table() -> None:
    known = KnownKeys()
    good = Signer(bytes(32)).public_key
    known.remember([*ODD_ENCODINGS, good])
    tables, starts = known.find([*ODD_ENCODINGS, good])
    assert [start >= 0 for start in starts] == [False] * len(ODD_ENCODINGS) + [True]
    assert len(tables) > starts[-1] >= 0


def test_room_that_is_used_up_is_given_back_while_others_read() -> None:
    known, cases = KnownKeys(24), signed(200, seed=10, signers=50)
    batch = [spoiled(case) if i % 7 == 0 else case for i, case in enumerate(cases)]
    expected = [i % 7 != 0 for i in range(len(batch))]
    wrong: list[int] = []

    def work(shift: int) -> None:
        for first in range(0, 200, 20):
            at = [(first + shift + i) % 200 for i in range(40)]
            found = ed25519.verify_many(*columns([batch[i] for i in at]), known=known)
            wrong.extend(i for i, verdict in zip(at, found) if verdict != expected[i])

    threads = [threading.Thread(target=work, args=(50 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(known) <= 24


# ---- proofs ----


def test_proofs_make_no_tables() -> None:
    known, signer = KnownKeys(), Signer(bytes(32))
    proof = signer.prove(b"alpha")
    for _ in range(3):
        assert ecvrf.verify_many([signer.public_key] * 8, [b"alpha"] * 8, [proof] * 8, known=known).all()
    assert len(known) == 0


def test_proofs_in_batches_of_every_size() -> None:
    source = random.Random(4)
    rows = []
    for i in range(34):
        seed, alpha = source.randbytes(32), source.randbytes(i * 5)
        rows.append((Signer(seed).public_key, alpha, vrf.prove(seed, alpha)))
    for count in range(len(rows) + 1):
        batch = [
            (key, alpha + b"\0", proof) if i % 5 == 2 else (key, alpha, proof)
            for i, (key, alpha, proof) in enumerate(rows[:count])
        ]
        keys, alphas, proofs = ([row[i] for row in batch] for i in range(3))
        known = KnownKeys()
        known.remember(keys[::2])
        for tables in (None, known):
            found = ecvrf.verify_many(keys, alphas, proofs, known=tables)
            assert found.tolist() == [i % 5 != 2 for i in range(count)]
    keys, alphas, proofs = ([row[i] for row in rows] * 10 for i in range(3))
    assert ecvrf.verify_many(keys, alphas, proofs, threads=3).all()


def test_every_flipped_bit_of_a_proof_is_found() -> None:
    signer = Signer(bytes(range(32)))
    proof = signer.prove(b"alpha")
    proofs = [flipped(proof, bit) for bit in range(640)]
    assert not ecvrf.verify_many([signer.public_key] * 640, [b"alpha"] * 640, proofs).any()


# ---- compiled code ----


def test_preparing_loads_the_code_once() -> None:
    ed25519.prepare()
    assert ed25519.is_ready() and ed25519.is_compiled()
    ed25519.prepare()
    ed25519.prepare_in_background()
    assert ed25519.is_ready()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("variant", [name for name in target.supported_variants() if name != "avx512"])
def test_the_portable_twin_gives_the_same_verdicts(variant: str) -> None:
    program = (
        "from kernels.signatures import ecvrf, ed25519\n"
        "from kernels.vectors import lanes as simd_lanes\n"
        "from kernels.signatures.ed25519_keys import KnownKeys\n"
        "from tests.support.ed25519_model import accepts, columns, crafted\n"
        "assert not simd_lanes.HAS_MULTIPLY_ADD_52 and not ed25519.is_fast()\n"
        "cases = crafted(2)\n"
        "known = KnownKeys()\n"
        "known.remember([case.key for case in cases])\n"
        "for rules in (ed25519.NODE, ed25519.GO_STANDARD_LIBRARY):\n"
        "    expected = [accepts(case, rules) for case in cases]\n"
        "    assert ed25519.verify_many(*columns(cases), rules=rules).tolist() == expected\n"
        "    assert ed25519.verify_many(*columns(cases), rules=rules, known=known).tolist() == expected\n"
        "from protocol.crypto.signing import Signer\n"
        "signers = [Signer(bytes([i]) * 32) for i in range(20)]\n"
        "rows = [(signer.public_key, bytes(i), signer.prove(bytes(i))) for i, signer in enumerate(signers)]\n"
        "rows[7] = (rows[7][0], b'other', rows[7][2])\n"
        "known.remember([row[0] for row in rows[:9]])\n"
        "for tables in (None, known):\n"
        "    found = ecvrf.verify_many(*([row[i] for row in rows] for i in range(3)), known=tables)\n"
        "    assert found.tolist() == [i != 7 for i in range(20)]\n"
        "print('same')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT), target.FORCE_VARIABLE: variant},
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.stdout == "same\n", done.stderr
