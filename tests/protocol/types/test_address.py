"""Addresses as text, and issuance: what is refused and how that is said, laws of both."""

from __future__ import annotations

import threading
from decimal import Context, setcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec.declare import CodecError
from protocol.numbers import issuance
from protocol.types import address
from protocol.types.ids import NodeId
from protocol.types.templates import MULTISIG, WALLET, MultisigSpawnArguments, WalletSpawnArguments, principal_address

GOOD = "sm1qqqqqq8qfup0nhv33kk39km8u7ftgvgfkmfhkfgz6a44l"
_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


@given(st.binary(min_size=20, max_size=20), st.sampled_from(sorted(set(address.NETWORKS.values()))))
def test_text_holds_the_address(payload: bytes, hrp: str) -> None:
    raw = bytes(4) + payload
    text = address.to_text(raw, hrp)
    assert text.startswith(f"{hrp}1qqqqqq")
    assert address.from_text(text, hrp) == address.from_text(text.upper(), hrp) == raw


@given(st.integers(3, len(GOOD) - 1), st.sampled_from(_ALPHABET))
def test_no_single_character_can_change(place: int, other: str) -> None:
    changed = GOOD[:place] + other + GOOD[place + 1 :]
    if changed == GOOD:
        assert address.from_text(changed, "sm")
        return
    with pytest.raises(address.AddressError) as caught:
        address.from_text(changed, "sm")
    assert caught.value.reason == "bech32" and "mistyped" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "hrp", "reason", "said"),
    [
        ("", "sm", "bech32", "0 characters"),
        ("sm1", "sm", "bech32", "3 characters"),
        (GOOD.replace("sm1", "smq"), "sm", "bech32", 'such as "sm1"'),
        (GOOD + " ", "sm", "bech32", "' '"),
        (GOOD.replace("8q", "8Q"), "sm", "bech32", "mixed"),
        (GOOD.replace("8q", "8b"), "sm", "bech32", "'b'"),
        ("sm1fulwwxxa", "sm", "wrong_length", "expected 39"),
        (GOOD, "stest", "wrong_network", "begins with 'sm'"),
        ("stest1fejq2x3d79ukpkw06t7h6lndjuwzxdnj59npghsg43mh4", "stest", "missing_reserved_space", "zero"),
    ],
)
def test_what_is_no_address_is_said_plainly(text: str, hrp: str, reason: str, said: str) -> None:
    with pytest.raises(address.AddressError) as caught:
        address.from_text(text, hrp)
    assert caught.value.reason == reason
    assert said in str(caught.value)


@given(st.text(max_size=80))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        found = address.from_text(text, "sm")
    except address.AddressError as error:
        assert error.reason
    else:
        assert len(found) == address.SIZE


def test_only_24_bytes_have_a_text() -> None:
    with pytest.raises(address.AddressError):
        address.to_text(bytes(20), "sm")


def test_generated_addresses() -> None:
    assert address.generate(b"\x01\x02") == bytes(4) + b"\x01\x02" + bytes(18)
    assert address.generate(bytes(range(32))) == bytes(4) + bytes(range(12, 32))
    assert address.is_empty(b"\xff" * 4 + bytes(20)) and not address.is_empty(address.generate(b"\x01"))


def test_principals() -> None:
    key = NodeId(bytes.fromhex("683ddb36a04ad05d7348058313c3f633f5bac9e973ca12fd399326c4214212fa"))
    found = principal_address(WALLET, WalletSpawnArguments(key))
    assert found.hex() == "000000002c3dcf45633d678c25c99b93984e6e4419870910"
    with pytest.raises(CodecError):
        principal_address(MULTISIG, MultisigSpawnArguments(3, (key,) * 11))


# ---- issuance ----


@given(st.integers(0, 1 << 31))
def test_subsidies_fall_and_never_exceed_the_total(layers: int) -> None:
    now, later = issuance.subsidy(layers), issuance.subsidy(layers + 1000)
    assert 0 <= later <= now + 1, "each is the difference of two roundings"
    assert issuance.accumulated_subsidy(layers) <= issuance.TOTAL_SUBSIDY


def test_ten_years_pay_what_was_promised() -> None:
    paid = issuance.accumulated_subsidy(issuance.TEN_YEARS - 1)
    assert paid + issuance.TOTAL_VAULTED == issuance.TEN_YEAR_TARGET


def test_the_context_of_the_thread_does_not_matter() -> None:
    found: list[int] = []

    def compute() -> None:
        setcontext(Context(prec=5))
        issuance.accumulated_subsidy.cache_clear()
        found.append(issuance.accumulated_subsidy(1_051_200))

    thread = threading.Thread(target=compute)
    thread.start()
    thread.join()
    assert found == [450_000_000 * issuance.SMESH]


@given(st.integers(0, 100), st.integers(0, (1 << 64) - 1), st.integers(0, 40), st.integers(0, 40))
def test_what_is_vested_grows_from_nothing_to_everything(layer: int, total: int, start: int, length: int) -> None:
    end = start + length
    now = issuance.vested(layer, total, start, end)
    assert 0 <= now <= issuance.vested(layer + 1, total, start, end) <= total
    assert issuance.vested(end, total, start, end) == total
    if layer < start:
        assert now == 0


@pytest.mark.parametrize(("layer", "free"), [(1, 0), (2, 0), (3, 12), (5, 37), (9, 87), (10, 100), (11, 100)])
def test_known_vesting(layer: int, free: int) -> None:
    assert issuance.vested(layer, 100, 2, 10) == free


def test_vesting_is_exact() -> None:
    assert issuance.vested(420_479, 150 * 10**15, 105_120, 420_480) == 149_999_524_353_120_243
