"""Vectors of layers, epochs and time: types/clock.json.

The reference saturates or wraps around at extremes; there ours is asked to refuse or to give the unwrapped value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from protocol.numbers import layers
from protocol.numbers.layers import LayerError, NetworkTime
from tests.vector_cases.harness import Case, Context, NotUnderstood, vectors

_LISTS = (
    "networks",
    "time_to_layer",
    "layers",
    "epochs",
    "arithmetic",
    "effective_genesis",
    "clock_options",
)
_TITLES = ("description", "reference")
SECOND = 1_000_000_000


def _or_none(compute: Callable[[], int]) -> int | None:
    try:
        return compute()
    except LayerError:
        return None


def _equal(found: Any, expected: Any, what: str) -> None:
    assert found == expected, f"{what} is {found}, expected {expected}"


def _network_time(case: dict[str, Any]) -> NetworkTime:
    return NetworkTime(int(case["genesis_unix_ns"]), int(case["layer_duration_ns"]), case["layers_per_epoch"])


def _check_network(case: dict[str, Any]) -> None:
    time = _network_time(case)
    _equal(time.first_effective_genesis, case["first_effective_genesis"], "the first effective genesis")
    _equal(time.effective_genesis, case["effective_genesis"], "the effective genesis")


def _reference_layer(time: NetworkTime, now_ns: int) -> int:
    """There the time since the genesis saturates at 2^63 - 1 nanoseconds, and the layer wraps around at 2^32."""
    elapsed = min(max(0, now_ns - time.genesis_ns), (1 << 63) - 1)
    return elapsed // time.layer_duration_ns % (1 << 32)


def _reference_start(time: NetworkTime, layer: int) -> int:
    """There the product of layer and duration wraps around at 2^63."""
    return time.genesis_ns + (layer * time.layer_duration_ns + (1 << 63)) % (1 << 64) - (1 << 63)


def _check_time(time: NetworkTime, case: dict[str, Any]) -> None:
    now = case["time_unix"] * SECOND + case["time_nanosecond"]
    _equal(_reference_layer(time, now), case["layer"], "the reference's layer")
    exact = max(0, now - time.genesis_ns) // time.layer_duration_ns
    _equal(_or_none(lambda: time.layer_at(now)), exact if exact <= layers.MAX_LAYER else None, "the layer")


def _check_layer(time: NetworkTime, case: dict[str, Any]) -> None:
    layer = case["layer"]
    start = case["start_unix"] * SECOND + case["start_nanosecond"]
    _equal(_reference_start(time, layer), start, "the reference's start")
    _equal(time.start_ns(layer), time.genesis_ns + layer * time.layer_duration_ns, "the start")
    _equal(time.layer_at(time.start_ns(layer)), layer, "the layer at its own start")
    _equal(time.epoch_of(layer), case["epoch"], "the epoch")
    _equal(time.ordinal_in_epoch(layer), case["ordinal_in_epoch"], "the ordinal")
    _equal(time.ordinal_in_epoch(layer) == 0, case["first_in_epoch"], "being first")


def _check_epoch(time: NetworkTime, case: dict[str, Any]) -> None:
    _equal(_or_none(lambda: time.first_layer(case["epoch"])), case["first_layer"], "the first layer")
    _equal(_or_none(lambda: layers.next_epoch(case["epoch"])), case["next_epoch"], "the next epoch")


def _check_arithmetic(case: dict[str, Any]) -> None:
    a, b = case["a"], case["b"]
    for name, compute in (
        ("add", lambda: layers.add(a, b)),
        ("sub", lambda: layers.sub(a, b)),
        ("mul", lambda: layers.mul(a, b)),
        ("difference", lambda: layers.difference(a, b)),
        ("epoch_add", lambda: layers.add(a, b)),
    ):
        _equal(_or_none(compute), case[name], name)


def _check_effective_genesis(case: dict[str, Any]) -> None:
    size = case["layers_per_epoch"]
    recorded = case.get("after_setting_layers_per_epoch_again", case.get("first_effective_genesis"))
    exact = layers.GENESIS_EPOCHS * size - 1
    found = _or_none(lambda: NetworkTime(0, SECOND, size).first_effective_genesis)
    # the reference computes in 32 bits that wrap; ours refuses what does not fit
    _equal(exact % (1 << 32), recorded, "the wrapped effective genesis")
    _equal(found, exact if size >= 1 and exact <= layers.MAX_LAYER else None, "the first effective genesis")
    if "set_effective_genesis" in case:
        restored = NetworkTime(0, SECOND, size).restored_at(case["set_effective_genesis"] + 1)
        _equal(restored.effective_genesis, case["effective_genesis"], "the effective genesis")
        _equal(restored.first_effective_genesis, case["first_effective_genesis"], "the first one")


def _check_options(case: dict[str, Any]) -> None:
    try:
        NetworkTime(0, case["layer_duration_ns"], 1).check_tick(case["tick_interval_ns"])
    except LayerError:
        assert not case["ok"], "refused"
    else:
        assert case["ok"], "accepted"


@vectors("types/clock.json", variants=False)
def clock(document: Any, context: Context) -> Iterator[Case]:
    for name in document:
        if name not in _LISTS and name not in _TITLES:
            raise NotUnderstood(f"a list named {name}")
    times = {case["network"]: _network_time(case) for case in document["networks"]}
    for case in document["networks"]:
        yield Case(f"networks/{case['network']}", lambda case=case: _check_network(case))
    for kind, with_network in (("time_to_layer", _check_time), ("layers", _check_layer), ("epochs", _check_epoch)):
        for position, case in enumerate(document[kind]):
            yield Case(
                f"{kind}[{position}]",
                lambda case=case, check=with_network: check(times[case["network"]], case),
            )
    for kind, check in (
        ("arithmetic", _check_arithmetic),
        ("effective_genesis", _check_effective_genesis),
        ("clock_options", _check_options),
    ):
        for position, case in enumerate(document[kind]):
            yield Case(f"{kind}[{position}]", lambda case=case, check=check: check(case))
