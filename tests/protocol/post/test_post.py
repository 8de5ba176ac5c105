"""Commitment, VRF difficulty and network parameters, against protocol 01-post, sections 2.2, 7 and 8."""

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ProtocolError
from protocol.params.post import NETWORKS, PostParams, network
from protocol.post.rules import (
    CPU_PROVIDER_ID,
    LABEL_SIZE,
    MAX_LABELS,
    MIN_LABELS,
    check_scrypt_n,
    commitment,
    vrf_difficulty,
)

COMMITMENTS = [
    (
        "8411931ece38b5abfb611f3bb1155a7eecd9c0e6c26672b567f7b1629c70a924",
        "66ec687158c86167efec0fcad4b9a6f3e98db07cc065a595a5b979f8a20dc7e2",
        "72f83ca99604810287652e3402f62784f66ceecc3ca7fda28e680aa816cff153",
    ),
    ("00" * 32, "00" * 32, "4d006976636a8696d909a630a4081aad4d7c50f81afdee04020bf05086ab6a55"),
    ("4d" * 32, "00" * 32, "788596c567c2b8f4d5fd10329c57077e432f42caee8283101e0f3964f8c7e076"),
]


@pytest.mark.parametrize(("node", "atx", "expected"), COMMITMENTS)
def test_commitment_is_the_known_answer(node: str, atx: str, expected: str) -> None:
    assert commitment(bytes.fromhex(node), bytes.fromhex(atx)).hex() == expected


@pytest.mark.parametrize(("node", "atx"), [(31, 32), (32, 33), (0, 32), (64, 0)])
def test_commitment_refuses_ids_of_another_length(node: int, atx: int) -> None:
    with pytest.raises(ProtocolError, match="expected 32") as caught:
        commitment(bytes(node), bytes(atx))
    assert caught.value.reason == "id_length"


DIFFICULTIES = [
    (9, "e38e38e38e38e38e38e38e38e38e38e38e38e38e38e38e38e38e38e38e38e388"),
    (10, "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc8"),
    (15, "88" * 32),
    (256, "08" + "00" * 31),
    (257, "07f8" * 16),
    (512, "04" + "00" * 31),
    (1000, "020c49ba5e353f7ced916872b020c49ba5e353f7ced916872b020c49ba5e3538"),
    (2**34, "0000000200000000000000000000000000000000000000000000000000000000"),
    (21474836480, "0000000199999999999999999999999999999999999999999999999999999998"),
    (2**63 - 1, "0000000000000010000000000000002000000000000000400000000000000080"),
]


@pytest.mark.parametrize(("num_labels", "expected"), DIFFICULTIES)
def test_vrf_difficulty_is_the_known_answer(num_labels: int, expected: str) -> None:
    assert vrf_difficulty(num_labels).hex() == expected


@pytest.mark.parametrize(
    ("num_labels", "reason"),
    [
        (-1, "no_labels"),
        (0, "no_labels"),
        (1, "too_few_labels"),
        (MIN_LABELS - 1, "too_few_labels"),
        (MAX_LABELS + 1, "too_many_labels"),
        (2**64 - 1, "too_many_labels"),
    ],
)
def test_vrf_difficulty_refuses_what_makes_the_reference_crash(num_labels: int, reason: str) -> None:
    with pytest.raises(ProtocolError, match=str(num_labels)) as caught:
        vrf_difficulty(num_labels)
    assert caught.value.reason == reason


@given(st.integers(MIN_LABELS, MAX_LABELS), st.integers(MIN_LABELS, MAX_LABELS))
def test_more_labels_mean_a_lower_threshold(a: int, b: int) -> None:
    if a <= b:
        assert vrf_difficulty(a) >= vrf_difficulty(b)
    assert len(vrf_difficulty(a)) == 32


@pytest.mark.parametrize("exponent", [1, 2, 13, 20, 31])
def test_scrypt_n_is_a_power_of_two(exponent: int) -> None:
    assert check_scrypt_n(2**exponent) == 2**exponent


@pytest.mark.parametrize("n", [-8192, -2, 0, 1, 3, 6, 8191, 8193])
def test_scrypt_n_refuses_the_rest(n: int) -> None:
    with pytest.raises(ProtocolError, match="power of two") as caught:
        check_scrypt_n(n)
    assert caught.value.reason == "scrypt_n"


FF = "ff" * 32
PRESETS = {
    "mainnet": (4, 2**32 - 1, 2**32, 26, 37, 1, "000dfb23b0979b4b" + "00" * 24, 8192, 4, 2**20, 2**32),
    "testnet": (2, 2**32 - 1, 1024, 26, 37, 1, FF, 8192, 2, 2**20, 2**32),
    "fastnet": (2, 4, 128, 12, 4, 1, FF, 2, 2, 128, 2**32),
    "standalone": (1, 2, 64, 12, 4, 1, FF, 8192, 1, 2**20, 2**32),
}


def test_the_presets_are_those_of_the_specification() -> None:
    assert list(NETWORKS) == list(PRESETS)
    for name, expected in PRESETS.items():
        values = dataclasses.astuple(network(name))
        assert tuple(v.hex() if isinstance(v, bytes) else v for v in values) == expected


@pytest.mark.parametrize("params", NETWORKS.values(), ids=NETWORKS.keys())
def test_every_preset_is_consistent(params: PostParams) -> None:
    assert params.min_num_units <= params.default_num_units <= params.max_num_units
    assert params.max_file_size % (8 * LABEL_SIZE) == 0
    assert len(params.pow_difficulty) == 32
    check_scrypt_n(params.scrypt_n)
    vrf_difficulty(params.min_num_units * params.labels_per_unit)


def test_the_cpu_has_the_largest_provider_id() -> None:
    assert CPU_PROVIDER_ID == 2**32 - 1


def test_a_network_is_found_in_any_case() -> None:
    assert network("MainNet") is NETWORKS["mainnet"]


@pytest.mark.parametrize(("name", "hint"), [("mainet", "mainnet"), ("FAST-NET", "fastnet"), ("zzz", None)])
def test_an_unknown_network_lists_the_known_ones(name: str, hint: str | None) -> None:
    with pytest.raises(ProtocolError, match="mainnet, testnet, fastnet, standalone") as caught:
        network(name)
    suggested = re.search(r"Did you mean (\w+)\?", str(caught.value))
    assert (suggested.group(1) if suggested else None) == hint
