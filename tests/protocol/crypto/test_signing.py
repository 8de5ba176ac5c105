"""Keys, domains, identity files, and which path verifies a batch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import signatures
from bench.settings import Settings
from kernels.signatures import ed25519
from protocol.crypto import signing
from protocol.crypto.signing import NO_DOMAIN, Domain, InvalidIdentity, Signer
from protocol.poet import signing as poet_signing
from tests.support.ed25519_model import GO_STANDARD_LIBRARY, ODD_ENCODINGS, Signed, accepts, craft, crafted, shifted

GENESIS = bytes(range(20))
GOOD = Signer(bytes(range(32))).identity_text()


@pytest.fixture(autouse=True, scope="module")
def _loaded() -> None:
    """So that no thread of an earlier test loads the lanes while a later one pretends that there are none."""
    signing.prepare()


@pytest.fixture
def without_lanes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The code of the lanes is not loaded; what is asked of it is noted."""
    asked: list[str] = []
    monkeypatch.setattr(ed25519, "is_ready", lambda: False)
    monkeypatch.setattr(ed25519, "prepare_in_background", lambda: asked.append("prepare"))
    monkeypatch.setattr(ed25519, "verify_many", lambda *_, **__: pytest.fail("the lanes are not loaded"))
    yield asked


def batch(count: int) -> tuple[list[bytes], list[bytes], list[bytes]]:
    signers = [Signer(bytes([i]) * 32, GENESIS) for i in range(count)]
    messages = [bytes([i]) * i for i in range(count)]
    signatures = [signer.sign(Domain.HARE, message) for signer, message in zip(signers, messages)]
    return [signer.public_key for signer in signers], messages, signatures


# ---- what is signed ----


def test_prefix_and_domain_are_signed_with_the_message() -> None:
    signer = Signer(bytes(32), GENESIS)
    signature = signer.sign(Domain.BALLOT, b"message")
    assert Signer(bytes(32)).sign(NO_DOMAIN, GENESIS + b"\x02message") == signature
    assert signing.verify(Domain.BALLOT, signer.public_key, b"message", signature, GENESIS)
    for domain in set(Domain) - {Domain.BALLOT}:
        assert not signing.verify(domain, signer.public_key, b"message", signature, GENESIS)
    assert not signing.verify(Domain.BALLOT, signer.public_key, b"message", signature)
    assert not signing.verify(NO_DOMAIN, signer.public_key, b"message", signature, GENESIS)


def test_a_transaction_has_the_prefix_and_no_domain() -> None:
    signer = Signer(bytes(32), GENESIS)
    signature = signer.sign(NO_DOMAIN, b"transaction")
    assert signature == Signer(bytes(32)).sign(NO_DOMAIN, GENESIS + b"transaction")
    assert signing.verify(NO_DOMAIN, signer.public_key, b"transaction", signature, GENESIS)


def test_a_signature_is_that_of_rfc_8032() -> None:
    # section 7.1, test 2
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    signer = Signer(seed)
    assert signer.public_key.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert signer.sign(NO_DOMAIN, b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_seed_has_32_bytes(size: int) -> None:
    with pytest.raises(ValueError, match=f"a seed has 32 bytes, this one has {size}"):
        Signer(bytes(size))


def test_no_text_of_a_signer_holds_the_seed() -> None:
    seed = bytes(range(100, 132))
    signer = Signer(seed)
    for text in (repr(signer), str(signer), f"{signer}"):
        assert seed.hex() not in text and signer.public_key.hex() in text


@pytest.mark.parametrize("domain", [-1, 256])
def test_a_domain_is_one_byte(domain: int) -> None:
    with pytest.raises(ValueError, match="range"):
        Signer(bytes(32)).sign(domain, b"")


# ---- identity files ----


def test_an_identity_file_is_read_back() -> None:
    signer = Signer(bytes(range(32)), GENESIS)
    for content in (GOOD, GOOD.upper(), GOOD.encode()):
        found = signing.read_identity(content, GENESIS)
        assert found.public_key == signer.public_key
        assert found.sign(Domain.ATX, b"x") == signer.sign(Domain.ATX, b"x")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (GOOD + "\n", "not_hex"),
        (GOOD + "\r\n", "wrong_size"),
        (GOOD[:127] + "g", "not_hex"),
        (GOOD[:127] + "\xe9", "not_hex"),
        ("0x" + GOOD[2:], "not_hex"),
        (" " + GOOD[1:], "not_hex"),
        (GOOD[:64], "wrong_size"),
        ("", "wrong_size"),
        (GOOD[:64] + GOOD[64:][::-1], "public_private_mismatch"),
        (b"\xff" * 128, "not_hex"),
        (GOOD[64:] + GOOD[:64], "public_private_mismatch"),
    ],
)
def test_other_identity_files_are_refused(content: str | bytes, reason: str) -> None:
    with pytest.raises(InvalidIdentity) as caught:
        signing.read_identity(content)
    assert caught.value.reason == reason
    assert GOOD[:64] not in str(caught.value), "the private half must not be shown"


# ---- verdicts ----


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=300), st.sampled_from(Domain), st.integers(0, 511))
def test_valid_signatures_are_accepted_and_flipped_bits_refused(
    seed: bytes, message: bytes, domain: Domain, bit: int
) -> None:
    signer = Signer(seed, GENESIS)
    signature = signer.sign(domain, message)
    assert signing.verify(domain, signer.public_key, message, signature, GENESIS)
    other = (int.from_bytes(signature, "little") ^ 1 << bit).to_bytes(64, "little")
    assert not signing.verify(domain, signer.public_key, message, other, GENESIS)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 2**252),
    st.integers(0, 2**252),
    st.integers(0, 7),
    st.integers(0, 7),
    st.sampled_from([None, *ODD_ENCODINGS]),
    st.sampled_from([None, *ODD_ENCODINGS]),
)
def test_crafted_signatures_get_the_verdict_of_the_rule(
    secret: int, nonce: int, a: int, r: int, odd_key: bytes | None, odd_r: bytes | None
) -> None:
    key = odd_key or shifted(secret, a)
    case = craft(0 if odd_key else secret, key, 0 if odd_r else nonce, odd_r or shifted(nonce, r), b"crafted")
    assert signing.verify(NO_DOMAIN, case.key, case.message, case.signature) == accepts(case)
    assert poet_signing.verify(case.key, case.message, case.signature) == accepts(case, GO_STANDARD_LIBRARY)


@pytest.mark.parametrize(("key", "signature"), [(31, 64), (33, 64), (0, 64), (32, 63), (32, 65), (32, 0)])
def test_other_sizes_are_refused(key: int, signature: int) -> None:
    assert not signing.verify(Domain.ATX, bytes(key), b"", bytes(signature))
    keys, messages, signatures = batch(70)
    keys[3], signatures[3] = bytes(key), bytes(signature)
    found = signing.verify_many(Domain.HARE, keys, messages, signatures, GENESIS)
    assert found == [i != 3 for i in range(70)]


def test_lists_of_unequal_lengths_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="2 keys, 1 messages and 1 signatures"):
        signing.verify_many(Domain.ATX, [bytes(32)] * 2, [b""], [bytes(64)])
    with pytest.raises(ValueError, match="1 keys, 1 messages and 0 signatures"):
        poet_signing.verify_many([bytes(32)], [b""], [])


def test_an_empty_batch_is_refused() -> None:
    assert signing.verify_many(Domain.ATX, [], [], []) == []
    assert not signing.all_valid(Domain.ATX, [], [], [])
    assert poet_signing.verify_many([], [], []) == []


def test_a_batch_is_valid_when_all_its_signatures_are() -> None:
    keys, messages, signatures = batch(9)
    assert signing.all_valid(Domain.HARE, keys, messages, signatures, GENESIS)
    signatures[8] = signatures[7]
    assert not signing.all_valid(Domain.HARE, keys, messages, signatures, GENESIS)


def test_the_poet_takes_only_keys_of_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        poet_signing.verify_many([bytes(31)], [b""], [bytes(64)])


def test_wrong_points_cost_no_more_than_a_verdict() -> None:
    # y = 2 belongs to no point; with S = 0 and a message of any hash nothing else is wrong
    no_point = (2).to_bytes(32, "little")
    for key, r in ((no_point, shifted(5, 0)), (shifted(5, 0), no_point)):
        case = Signed(key, b"", r + bytes(32))
        assert hashlib.sha512(r + key).digest()
        assert not signing.verify(NO_DOMAIN, case.key, case.message, case.signature)
        assert not poet_signing.verify(case.key, case.message, case.signature)


# ---- paths ----


@pytest.mark.parametrize("threads", [1, 3])
def test_without_the_lanes_libsodium_and_the_exact_check_decide(without_lanes: list[str], threads: int) -> None:
    cases = crafted(7)
    keys, messages, signatures = ([getattr(case, name) for case in cases] for name in ("key", "message", "signature"))
    expected = [accepts(case) for case in cases]
    assert signing.verify_many(NO_DOMAIN, keys, messages, signatures, threads=threads) == expected
    poet = [accepts(case, GO_STANDARD_LIBRARY) for case in cases]
    assert poet_signing.verify_many(keys, messages, signatures, threads=threads) == poet


def test_only_a_large_batch_starts_loading(without_lanes: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ed25519, "is_fast", lambda: True)
    keys, messages, signatures = batch(signing.LANES_WANTED_FROM)
    for count in (1, 2, 3, signing.LANES_WANTED_FROM - 1):
        assert all(signing.verify_many(Domain.HARE, keys[:count], messages[:count], signatures[:count], GENESIS))
    assert without_lanes == []
    assert all(signing.verify_many(Domain.HARE, keys, messages, signatures, GENESIS))
    assert without_lanes == ["prepare"]


def test_a_processor_without_the_instructions_stays_with_libsodium(
    without_lanes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ed25519, "is_fast", lambda: False)
    keys, messages, signatures = batch(100)
    assert all(signing.verify_many(Domain.HARE, keys, messages, signatures, GENESIS))
    assert without_lanes == []


@pytest.mark.parametrize(("count", "in_lanes"), [(1, False), (2, False), (3, True), (64, True)])
def test_one_or_two_signatures_never_go_to_the_lanes(
    monkeypatch: pytest.MonkeyPatch, count: int, in_lanes: bool
) -> None:
    calls: list[int] = []

    def verify_many(keys: list[bytes], *_: object, **__: object) -> object:
        calls.append(len(keys))
        return real(keys, *_, **__)  # type: ignore[arg-type]

    real = ed25519.verify_many
    monkeypatch.setattr(ed25519, "is_ready", lambda: True)
    monkeypatch.setattr(ed25519, "is_fast", lambda: True)
    monkeypatch.setattr(ed25519, "verify_many", verify_many)
    keys, messages, signatures = batch(count)
    assert all(signing.verify_many(Domain.HARE, keys, messages, signatures, GENESIS))
    assert calls == ([count] if in_lanes else [])


def test_a_failure_in_the_background_leaves_libsodium(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(ed25519, "prepare", fail)
    monkeypatch.setattr(ed25519, "_preparing", None)
    monkeypatch.setattr(ed25519, "is_ready", lambda: False)
    signing.prepare(in_background=True)
    thread = ed25519._preparing
    assert thread is not None
    thread.join(30)
    assert "no space left on device" in caplog.text
    keys, messages, signatures = batch(70)
    assert all(signing.verify_many(Domain.HARE, keys, messages, signatures, GENESIS))


def test_preparing_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(ed25519, "prepare", lambda: calls.append("now"))
    monkeypatch.setattr(ed25519, "prepare_in_background", lambda: calls.append("later"))
    signing.prepare()
    signing.prepare(in_background=True)
    assert calls == ["now", "later"]


def test_the_benchmark_names_every_batch() -> None:
    shown: list[object] = []
    figures = signatures.run(Settings(threads=2, seconds=0.01, rounds=1), shown.append)
    compared = figures["signatures"]
    assert isinstance(compared, dict) and shown
    assert {f"lanes, batch of {size}" for size in signatures.SIZES} < set(compared)
    assert compared[signatures.BASELINE]["ratio"] == 1.0
