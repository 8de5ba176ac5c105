"""Identity of a network: texts of times, the genesis file, layers that do not fit."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.numbers.durations import DurationError, parse, text
from protocol.numbers.layers import LayerError, NetworkTime
from protocol.numbers.time import Time
from protocol.params.genesis import Genesis, GenesisError, read_time

times = st.builds(
    Time,
    st.integers(-62_135_596_800 + 86_400, 253_402_300_799 - 86_400),
    st.integers(0, 999_999_999),
    st.integers(-23 * 60, 23 * 60),
)


@given(times)
def test_a_time_survives_its_text(time: Time) -> None:
    assert read_time(str(time)) == time


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_duration_survives_its_text(nanoseconds: int) -> None:
    assert parse(text(nanoseconds)) == nanoseconds


@given(st.text(max_size=20))
def test_any_text_is_a_duration_or_refused_in_words(value: str) -> None:
    try:
        parse(value)
    except DurationError as error:
        assert "1h30m" in str(error)


@given(
    times,
    st.text(min_size=1, max_size=60),
    st.dictionaries(st.text(max_size=10), st.integers(0, 2**64 - 1), max_size=4),
)
def test_a_genesis_survives_its_file(time: Time, extra: str, accounts: dict[str, int]) -> None:
    genesis = Genesis(time, extra.encode("utf-8", "replace").decode(), accounts)
    content = genesis.file_content()
    assert Genesis.from_file_content(content) == genesis
    assert not set("<>&") & set(content)
    genesis.check_same(Genesis.from_file_content(content))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"GenesisTime":1,"ExtraData":"x","Accounts":{}}',
        '{"GenesisTime":"2023-07-14T08:00:00Z","ExtraData":"x","Accounts":{"a":-1}}',
        '{"GenesisTime":"2023-07-14T08:00:00Z","ExtraData":"x","Accounts":[1]}',
        "[" * 100_000,
    ],
)
def test_a_damaged_genesis_file_is_refused(content: str) -> None:
    with pytest.raises(GenesisError, match=r"genesis\.json is damaged"):
        Genesis.from_file_content(content)


def test_data_of_another_network_is_refused_with_the_difference() -> None:
    ours = Genesis(Time(0), "ours", {"sm1a": 1})
    for other, words in (
        (Genesis(Time(1), "ours", {"sm1a": 1}), "genesis-time differs"),
        (Genesis(Time(0), "theirs", {"sm1a": 1}), "'theirs' configured"),
        (Genesis(Time(0), "ours", {"sm1a": 2}), "accounts differs"),
    ):
        with pytest.raises(GenesisError, match="another network") as caught:
            ours.check_same(other)
        assert words in str(caught.value)
        assert caught.value.reason == "mismatch"


def test_the_main_networks_prologue() -> None:
    genesis = Genesis(
        read_time("2023-07-14T08:00:00Z"),
        "00000000000000000001a6bc150307b5c1998045752b3c87eccf3c013036f3cc",
    )
    assert genesis.prologue(8063) == "9eebff023abb17ccb775c602daade8ed708f0a50-8063"
    assert json.loads(genesis.file_content())["Accounts"] == {}


@pytest.mark.parametrize(("duration", "size"), [(0, 1), (-1, 1), (1, 0), (1, 2**32)])
def test_a_network_without_time_is_refused(duration: int, size: int) -> None:
    with pytest.raises(LayerError) as caught:
        NetworkTime(0, duration, size)
    assert caught.value.reason == "clock"


@given(st.integers(0, 2**32 - 1), st.integers(1, 10**13), st.integers(1, 10_000))
def test_a_layer_starts_in_itself(layer: int, duration: int, size: int) -> None:
    time = NetworkTime(17, duration, size)
    start = time.start_ns(layer)
    assert time.layer_at(start) == layer
    assert time.layer_at(start + duration - 1) == layer
    assert time.epoch_of(layer) * size + time.ordinal_in_epoch(layer) == layer
