"""ECVRF: known proofs, what torsion and other nonces do, and how proofs are used."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.signatures import ecvrf, ecvrf_lanes, ecvrf_proving, ed25519, ed25519_sodium
from kernels.signatures.ed25519_batch import aligned_words
from kernels.signatures.ed25519_curve import ORDER, TORSION, compress, decompress, is_canonical, map_to_curve, multiply
from kernels.signatures.ed25519_curve import P as PRIME
from kernels.signatures.ed25519_keys import KnownKeys
from kernels.signatures.field25519 import ELEMENT, PAIR, to_limbs
from protocol.crypto import vrf
from protocol.crypto.signing import Signer

KNOWN = [  # RFC 9381, B.4, with beta: protocol 03-encoding-and-types, section 11, rows 15 to 17
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "",
        "7d9c633ffeee27349264cf5c667579fc583b4bda63ab71d001f89c10003ab46f14adf9a3cd8b8412d9038531e865c341"
        "cafa73589b023d14311c331a9ad15ff2fb37831e00f0acaa6d73bc9997b06501",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "72",
        "47b327393ff2dd81336f8a2ef10339112401253b3c714eeda879f12c509072ef055b48372bb82efbdce8e10c8cb9a2f9"
        "d60e93908f93df1623ad78a86a028d6bc064dbfc75a6a57379ef855dc6733801",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "af82",
        "926e895d308f5e328e7aa159c06eddbe56d06846abf5d98c2512235eaa57fdce35b46edfc655bc828d44ad09d1150f31"
        "374e7ef73027e14760d42e77341fe05467bb286cc2c9d7fde29120a0b2320d04",
    ),
]
BETA = (
    "9d574bf9b8302ec0fc1e21c3ec5368269527b87b462ce36dab2d14ccf80c53cc"
    "cf6758f058c5b1c856b116388152bbe509ee3b9ecfe63d93c3b4346c1fbc6c54"
)


def root(square: int) -> int | None:
    """A square root modulo the prime, or None."""
    for factor in (1, pow(2, (PRIME - 1) // 4, PRIME)):
        found = pow(square, (PRIME + 3) // 8, PRIME) * factor % PRIME
        if found * found % PRIME == square % PRIME:
            return found
    return None


def elligator_by_the_text(u: int) -> bytes:
    """Protocol 03-encoding-and-types, section 9, word by word."""
    a = 486662
    x = -a * pow(1 + 2 * u * u, -1, PRIME) % PRIME
    y, parity = root(x**3 + a * x * x + x), 1
    if y is None:
        x = (-x - a) % PRIME
        y, parity = root(x**3 + a * x * x + x), 0
    assert y is not None, "one of the two is a square"
    y = y if y % 2 == parity else -y % PRIME
    c1 = root(-(a + 2))
    assert c1 is not None
    c1 = c1 if c1 % 2 == 0 else PRIME - c1
    if y == 0 or x == PRIME - 1:
        return TORSION[0]
    edwards = c1 * x * pow(y, -1, PRIME) % PRIME, (x - 1) * pow(x + 1, -1, PRIME) % PRIME
    return compress(multiply(8, (*edwards, 1, edwards[0] * edwards[1] % PRIME)))


# u for which x is -1 at the first or the second try, where there are such
EXCEPTIONS = [root((486662 - 1) * pow(2, -1, PRIME)), root(pow(2 * (486662 - 1), -1, PRIME))]
ODD_ELEMENTS = [0, 1, 2, PRIME - 1, PRIME, 2**384 - 1, *(found for found in EXCEPTIONS if found is not None)]


def every_path(key: bytes, alpha: bytes, proof: bytes) -> set[bool]:
    """The verdicts of libsodium with integers and of the lanes, and of what is chosen."""
    one = [key], [alpha], [proof]
    known = KnownKeys(8)
    known.remember([key])
    lanes = {bool(ecvrf.verify_many(*one, known=tables)[0]) for tables in (None, known)}
    return {vrf.verify_by_libsodium(key, alpha, proof), vrf.verify(key, alpha, proof)} | lanes


@pytest.mark.parametrize(("seed", "alpha", "proof"), KNOWN)
def test_known_proofs(seed: str, alpha: str, proof: str) -> None:
    signer = Signer(bytes.fromhex(seed))
    assert signer.prove(bytes.fromhex(alpha)).hex() == proof
    assert every_path(signer.public_key, bytes.fromhex(alpha), bytes.fromhex(proof)) == {True}


def test_the_output_of_a_known_proof() -> None:
    assert vrf.output(bytes.fromhex(KNOWN[0][2])).hex() == BETA


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.integers(0, 639))
def test_proofs_verify_and_others_do_not(seed: bytes, alpha: bytes, bit: int) -> None:
    key, proof = Signer(seed).public_key, vrf.prove(seed, alpha)
    assert every_path(key, alpha, proof) == {True}
    assert every_path(key, alpha + b"\0", proof) == {False}
    assert every_path(key, alpha, (int.from_bytes(proof, "little") ^ 1 << bit).to_bytes(80, "little")) == {False}


def crafted_proof(
    seed: bytes, alpha: bytes, nonce: int, key_torsion: int, gamma_torsion: int
) -> tuple[bytes, bytes, int]:
    """Key, proof and challenge of a prover who adds torsion to its key or to Gamma, and chooses its nonce."""
    secret = int.from_bytes(vrf._expand(seed)[0], "little") % ORDER
    key = ed25519_sodium.add(Signer(seed).public_key, TORSION[key_torsion])
    h = vrf.encode_to_curve(key, alpha)
    gamma = ed25519_sodium.add(ed25519_sodium.multiply(secret, h), TORSION[gamma_torsion])
    u, v = ed25519_sodium.multiply_base(nonce), ed25519_sodium.multiply(nonce, h)
    challenge = vrf._challenge(key, h, gamma, u, v)
    c = int.from_bytes(challenge, "little")
    return key, gamma + challenge + ((nonce + c * secret) % ORDER).to_bytes(32, "little"), c


@settings(max_examples=60, deadline=None)
@given(
    st.binary(min_size=32, max_size=32),
    st.binary(max_size=20),
    st.integers(1, ORDER - 1),
    st.integers(0, 7),
    st.integers(0, 7),
)
def test_torsion_is_accepted_where_the_challenge_cancels_it(
    seed: bytes, alpha: bytes, nonce: int, key_torsion: int, gamma_torsion: int
) -> None:
    key, proof, c = crafted_proof(seed, alpha, nonce, key_torsion, gamma_torsion)
    # [c] of a point of small order vanishes when its order divides c
    cancels = c * key_torsion % 8 == 0 and c * gamma_torsion % 8 == 0
    assert every_path(key, alpha, proof) == {cancels}


@pytest.mark.parametrize("torsion", range(8))
def test_keys_of_small_order_are_refused(torsion: int) -> None:
    seed = bytes(32)
    proof = vrf.prove(seed, b"alpha")
    assert every_path(TORSION[torsion], b"alpha", proof) == {False}


def test_s_beyond_the_group_order_is_refused() -> None:
    seed = bytes(32)
    key, proof = Signer(seed).public_key, vrf.prove(seed, b"alpha")
    s = int.from_bytes(proof[48:], "little")
    for times in (1, 8, 14):
        assert every_path(key, b"alpha", proof[:48] + (s + times * ORDER).to_bytes(32, "little")) == {False}


def test_a_challenge_of_zero_does_not_hide_what_is_no_point() -> None:
    no_point = (2).to_bytes(32, "little")
    key = Signer(bytes(32)).public_key
    assert every_path(key, b"", no_point + bytes(48)) == {False}
    assert every_path(no_point, b"", key + bytes(48)) == {False}
    assert every_path(key, b"", key + bytes(48)) == {False}


@pytest.mark.parametrize(("key", "proof"), [(31, 80), (33, 80), (0, 80), (32, 79), (32, 81), (32, 0)])
def test_other_sizes_are_refused(key: int, proof: int) -> None:
    assert not vrf.verify(bytes(key), b"", bytes(proof))
    seed = bytes(32)
    good = (Signer(seed).public_key, b"alpha", vrf.prove(seed, b"alpha"))
    rows = [good, (bytes(key), b"alpha", bytes(proof)), good, good]
    assert vrf.verify_many(*([row[i] for row in rows] for i in range(3))) == [True, False, True, True]


@pytest.mark.parametrize("is_ready", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_batches_on_both_paths(monkeypatch: pytest.MonkeyPatch, is_ready: bool, threads: int) -> None:
    asked: list[str] = []
    monkeypatch.setattr(ed25519, "is_ready", lambda: is_ready)
    monkeypatch.setattr(ed25519, "prepare_in_background", lambda: asked.append("prepare"))
    rows = [(Signer(bytes([i]) * 32).public_key, bytes(i), vrf.prove(bytes([i]) * 32, bytes(i))) for i in range(140)]
    rows[5] = (rows[5][0], b"other", rows[5][2])
    keys, alphas, proofs = ([row[i] for row in rows] for i in range(3))
    assert vrf.verify_many(keys, alphas, proofs, threads) == [i != 5 for i in range(140)]
    assert asked == ([] if is_ready else ["prepare"])


def test_lists_of_unequal_lengths_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="1 keys, 2 inputs and 1 proofs"):
        vrf.verify_many([bytes(32)], [b"", b""], [bytes(80)])


def test_a_seed_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="a seed has 32 bytes, this one has 64"):
        vrf.prove(bytes(64), b"")


# ---- proofs in lanes ----


@pytest.mark.parametrize("count", [0, 1, 8, 17, 70])
def test_proofs_of_open_keys_are_those_of_libsodium(count: int) -> None:
    seeds = [hashlib.sha256(b"open key %d" % number).digest() for number in range(count)]
    inputs = [b"x" * (7 * number) for number in range(count)]  # of several blocks, and none at all
    keys = [ecvrf_proving.OpenKey.of(seed, Signer(seed).public_key) for seed in seeds]
    assert ecvrf_proving.prove_many(keys, inputs) == [vrf.prove(*one) for one in zip(seeds, inputs)]


def test_proofs_of_open_keys_need_an_input_for_each() -> None:
    with pytest.raises(ValueError, match="1 keys and 0 inputs"):
        ecvrf_proving.prove_many([ecvrf_proving.OpenKey(bytes(32), 1, b"")], [])


# ---- Elligator 2 ----


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**384))
def test_the_map_gives_points_of_prime_order(element: int) -> None:
    encoded = map_to_curve(element)
    assert is_canonical(encoded)
    point = decompress(encoded)
    assert point is not None
    x, y, z, _ = multiply(ORDER, point)
    assert x % PRIME == 0 and (y - z) % PRIME == 0


@settings(max_examples=100, deadline=None)
@given(st.integers(0, PRIME - 1))
def test_the_map_is_that_of_the_text(element: int) -> None:
    assert map_to_curve(element) == elligator_by_the_text(element)


@pytest.mark.parametrize("element", ODD_ELEMENTS)
def test_the_map_of_odd_elements(element: int) -> None:
    expected = elligator_by_the_text(element % PRIME)
    assert map_to_curve(element) == map_to_curve(element % PRIME) == map_to_curve(-element % PRIME) == expected


def test_the_map_in_lanes() -> None:
    elements = [*ODD_ELEMENTS, *(pow(3, power, PRIME) for power in range(32 - len(ODD_ELEMENTS)))]
    memory = aligned_words(ecvrf_lanes.memory_words(2))
    at = ecvrf_lanes.SCRATCH
    for first in range(0, 32, 16):
        for i in range(2):
            lanes = elements[first + 8 * i : first + 8 * i + 8]
            limbs = [to_limbs(element % PRIME) for element in lanes]
            memory[at + i * ELEMENT : at + (i + 1) * ELEMENT] = np.array(limbs, np.uint64).T.reshape(-1)
        points = [at + PAIR, at + PAIR + 3 * ELEMENT]
        ecvrf_lanes.map_two(memory, *points, at)
        for i, point in enumerate(points):
            x, y, z = (carried(memory, point + part * ELEMENT) for part in range(3))
            found = [compress((*row, 0)) for row in zip(x, y, z)]
            assert found == [map_to_curve(element) for element in elements[first + 8 * i : first + 8 * i + 8]]


def carried(memory: npt.NDArray[np.uint64], place: int) -> list[int]:
    limbs = memory[place : place + ELEMENT].reshape(5, 8)
    top, low = limbs[4].tolist(), (limbs[:4] & np.uint64(2**52 - 1)).tolist()
    return [sum(low[i][lane] << 52 * i for i in range(4)) + (top[lane] << 208) for lane in range(8)]


# ---- what proofs are used for ----


def test_a_slot_lies_in_its_epoch() -> None:
    proof = bytes([7, 1, 0, 0, 0, 0, 0, 0]) + bytes(72)
    assert vrf.slot_layer(proof, 3, 10) == 30 + (7 + 256) % 10
    last = b"\xff" * 8 + bytes(72)
    assert vrf.slot_layer(last, 0, 4032) == (2**64 - 1) % 4032


def test_the_three_orders_of_the_bytes() -> None:
    proof = bytes(range(1, 81))
    assert vrf.threshold_value(proof) >> 632 == 1
    assert vrf.order_key(proof) >> 632 == 80
    assert vrf.coin_bit(proof) == 1 and vrf.coin_bit(b"\x02" + proof[1:]) == 0
    assert vrf.beacon_proposal(proof) == vrf.compact_id(proof) == bytes([1, 2, 3, 4])


@given(st.binary(min_size=80, max_size=80), st.binary(min_size=80, max_size=80))
def test_proofs_are_compared_from_the_last_byte_on(a: bytes, b: bytes) -> None:
    expected = (a[::-1] > b[::-1]) - (a[::-1] < b[::-1])
    assert vrf.compare(a, b) == expected == -vrf.compare(b, a)
    assert vrf.compare(a, None) == -1
    assert sorted([a, b], key=vrf.order_key)[0] == (a if expected <= 0 else b)


def test_the_nonce_of_a_proof_is_not_the_nonce_of_a_signature() -> None:
    # the prover hashes H with its secret prefix: the same for the same input, another for another
    seed = bytes(range(32))
    proofs = {vrf.prove(seed, bytes([i])) for i in range(8)}
    assert len(proofs) == 8 and vrf.prove(seed, b"\0") in proofs
    assert hashlib.sha512(seed).digest()[32:] not in b"".join(proofs)
