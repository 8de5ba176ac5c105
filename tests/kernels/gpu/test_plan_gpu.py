"""The planner: from a device's numbers to layout, labels in flight and buffers (protocol 01-post-tools, 1.3 and 8)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import gpu_model
from kernels.errors import KernelError, MemoryShortage
from kernels.gpu import plan as plan_gpu
from kernels.gpu.layout import DeviceNumbers, Layout, layout_of
from kernels.gpu.plan import halved, plan

GIB = 1 << 30


def card(kind: str, gib: float, units: int, **more: object) -> DeviceNumbers:
    total = int(gib * GIB)
    numbers = DeviceNumbers(kind, total, None, total // 4, units, 1024)
    return replace(numbers, **more)  # type: ignore[arg-type]


RTX_3090 = card("nvidia", 24, 82, lane_op=2, capability=(8, 6))
RTX_4090 = card("nvidia", 24, 128, lane_op=2, capability=(8, 9))
RTX_5090 = card("nvidia", 32, 170, lane_op=2, capability=(12, 0))
H100 = card("nvidia", 80, 132, lane_op=2, bus_bits=5120)
MI300X = card("amd", 192, 304, lane_op=3, bus_bits=8192)
SMALL = card("nvidia", 4, 20, lane_op=2)
CPU = DeviceNumbers("cpu", 16 * GIB, None, 4 * GIB, 8, 4096)


@pytest.mark.parametrize(
    ("numbers", "layout", "slots", "buffers"),
    [
        # full waves of 82 x 128 labels in 7/8 of 85 % of 24 GiB: 18278 labels of 1 MiB, so one wave; gap 2: three
        (RTX_3090, Layout(), 10496, 2),
        (RTX_3090, Layout(gap=2, free=1), 31488, 3),
        # four items a label: a wave is a quarter as many labels
        (RTX_3090, Layout(lanes=4, lane_op=2), 15744, 3),
        (RTX_4090, Layout(), 16384, 3),
        (RTX_4090, Layout(gap=4, free=1), 65536, 3),
        (H100, Layout(), 50688, 3),
        (MI300X, Layout(), 116736, 3),
        # a small card: one wave of 20 x 128
        (SMALL, Layout(), 2560, 3),
        (SMALL, Layout(gap=4, free=1), 10240, 3),
        (CPU, Layout(vec=16, ilv=2, group=1), 64, 1),
        (CPU, Layout(group=1), 8, 1),
    ],
)
def test_labels_in_flight_of_known_cards(numbers: DeviceNumbers, layout: Layout, slots: int, buffers: int) -> None:
    found = plan(numbers, layout, 8192)
    assert (found.slots, found.buffers) == (slots, buffers)
    assert found.slots % found.wave == 0
    assert found.total_bytes <= numbers.memory_total * plan_gpu.MEMORY_SHARE


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (RTX_3090, Layout(gap=2, free=1)),
        (RTX_4090, Layout(gap=4, free=1)),
        (RTX_5090, Layout(gap=4, free=1)),
        (H100, Layout(gap=1)),
        (MI300X, Layout(gap=1, lanes=4, lane_op=3, tile=32)),
        (card("amd", 24, 48, lane_op=3), Layout(gap=2, free=1, lanes=4, lane_op=3, tile=32)),
        # two full waves do not fit at gap 2, so the gap grows before labels in flight become few
        (card("nvidia", 4, 46, lane_op=2), Layout(gap=4, free=1)),
        (card("nvidia", 2, 46, lane_op=2), Layout(gap=8, free=1)),
        (CPU, Layout(vec=16, ilv=2, group=1)),
    ],
)
def test_the_layout_without_a_measurement(numbers: DeviceNumbers, expected: Layout) -> None:
    assert plan_gpu.default_layout(numbers, 8192) == expected


def known(name: str) -> DeviceNumbers:
    """What a driver tells of a card with public figures."""
    public = gpu_model.CARDS[name]
    capability = (int(public.architecture[:-1]), int(public.architecture[-1]))
    figures = {"clock_hz": public.boost_ghz * 1e9, "bandwidth": public.gigabytes_a_second * 1e9}
    return card("nvidia", public.gigabytes, public.multiprocessors, lane_op=2, capability=capability, **figures)


@pytest.mark.parametrize(
    ("name", "gap"),
    [
        ("RTX 3090", 2),
        ("RTX 4090", 4),
        ("RTX 5090", 4),
        ("A100 80 GB", 1),
        ("H100 SXM", 1),
        ("H200", 1),
        ("B200", 1),
    ],
)
def test_with_the_figures_of_the_driver_the_gap_is_the_models(name: str, gap: int) -> None:
    """Not by the name or the kind of memory, which these numbers do not tell."""
    numbers = known(name)
    assert plan_gpu.default_layout(numbers, 8192) == Layout(gap=gap, free=int(gap > 1))
    rates = {one: plan_gpu.expected_rate(numbers, one) for one in plan_gpu.GAPS}
    assert rates[gap] == max(rates.values())
    assert sorted(plan_gpu.gaps(numbers)) == [1, 2, 4]


def test_a_larger_gap_has_to_be_worth_it() -> None:
    """A little more bandwidth, or a little less clock, and gap 2 is as good as gap 4: the smaller one is taken."""
    numbers = known("RTX 3090")

    def best(bandwidth: float) -> int:
        return plan_gpu.gaps(replace(numbers, bandwidth=bandwidth * 1e9))[0]

    chosen = [best(bandwidth) for bandwidth in range(200, 3000, 20)]
    assert chosen == sorted(chosen, reverse=True) and set(chosen) == {4, 2, 1}
    equal = next(bandwidth for bandwidth in range(200, 3000) if best(bandwidth) == 2)
    rates = [plan_gpu.expected_rate(replace(numbers, bandwidth=equal * 1e9), gap) for gap in (2, 4)]
    assert rates[0] is not None and rates[1] is not None and 0.95 <= rates[0] / rates[1] < 1


@pytest.mark.parametrize("missing", ["capability", "clock_hz", "bandwidth"])
def test_without_one_of_the_figures_the_kind_of_card_decides(missing: str) -> None:
    numbers = replace(known("RTX 4090"), **{missing: None})
    assert plan_gpu.expected_rate(numbers, 1) is None
    assert plan_gpu.gaps(numbers) == ([4, 2, 1] if missing != "capability" else [2, 1, 4])
    assert plan_gpu.gaps(replace(numbers, capability=(8, 6))) == ([2, 1, 4] if missing != "capability" else [4, 2, 1])
    assert plan_gpu.gaps(replace(numbers, capability=None, bus_bits=5120)) == [1, 2, 4]
    assert plan_gpu.gaps(card("amd", 24, 96, clock_hz=2.5e9, bandwidth=960e9)) == [2, 1, 4]


def test_what_is_free_and_what_a_person_allows_count() -> None:
    all_of_it = plan(RTX_3090, Layout(gap=2), 8192)
    busy = plan(replace(RTX_3090, memory_free=12 * GIB), Layout(gap=2), 8192)
    limited = plan(RTX_3090, Layout(gap=2), 8192, limit=8 * GIB)
    assert all_of_it.slots > busy.slots > limited.slots > 0
    assert busy.total_bytes <= 12 * GIB - plan_gpu.FREE_HEADROOM
    assert limited.total_bytes <= 8 * GIB


@pytest.mark.parametrize(
    ("numbers", "stacked"),
    [
        (card("nvidia", 80, 108, capability=(8, 0)), True),
        (card("nvidia", 80, 108, capability=(8, 0), bus_bits=5120), True),
        (card("nvidia", 16, 56, capability=(6, 0), bus_bits=4096), True),
        # RTX A1000 and A3000, Quadro P1000: names that begin as those of other cards
        (card("nvidia", 4, 16, capability=(8, 6), bus_bits=128), False),
        (card("nvidia", 6, 32, capability=(8, 6)), False),
        (card("nvidia", 4, 4, capability=(6, 1), bus_bits=128), False),
        # gfx90a is a card of a data centre, gfx90c a part of a processor
        (card("amd", 64, 104, bus_bits=4096), True),
        (card("amd", 8, 8, bus_bits=128), False),
        (card("amd", 8, 8), False),
    ],
)
def test_stacked_memory_is_what_the_driver_says(numbers: DeviceNumbers, stacked: bool) -> None:
    assert numbers.stacked == stacked
    assert plan_gpu.gaps(numbers)[0] == (1 if stacked else 2)


def test_a_limit_on_memory_reaches_the_choice_of_layout() -> None:
    """As a rig owner expects: with a quarter of the memory a larger gap, not a quarter of the card."""
    all_of_it = plan_gpu.default_layout(RTX_3090, 8192)
    limited = plan_gpu.default_layout(RTX_3090, 8192, 4 * GIB)
    assert (all_of_it.gap, limited.gap) == (2, 8)
    assert plan(RTX_3090, limited, 8192, 4 * GIB).slots > 2 * plan(RTX_3090, all_of_it, 8192, 4 * GIB).slots
    tuned = Layout(gap=1, group=128)
    assert plan_gpu.default_layout(H100, 8192, None, tuned) == tuned
    assert plan_gpu.default_layout(H100, 8192, 16 * GIB, tuned) == replace(tuned, gap=4, free=1)


def test_memory_that_is_the_machines_is_left_to_the_machine() -> None:
    """An integrated card of a laptop with 16 GiB, of which 9 are free, says that it has 12.8."""
    numbers = card("intel", 12.8, 96, shared=True, memory_free=9 * GIB, lane_op=1)
    found = plan(numbers, plan_gpu.default_layout(numbers, 8192), 8192)
    assert 0 < found.total_bytes <= 4.5 * GIB
    assert plan_gpu.budget(numbers, 2 * GIB) == 2 * GIB
    assert plan_gpu.budget(replace(numbers, memory_free=None)) == int(6.4 * GIB)


def test_less_than_a_wave_is_taken_in_whole_groups() -> None:
    found = plan(RTX_3090, Layout(), 8192, limit=2 * GIB)
    assert 0 < found.slots < found.wave
    assert found.slots % 64 == 0


def test_half_the_labels_in_flight_where_more_bring_nothing() -> None:
    found = plan(H100, Layout(), 8192, share=0.5)
    assert found.slots == 16896
    assert plan(SMALL, Layout(), 8192, share=0.5).slots == 2560, "never less than the one wave that fits"


@pytest.mark.parametrize("scrypt_n", [-8, 0, 1, 3, 1000, 8191])
def test_n_that_is_no_power_of_two_is_refused(scrypt_n: int) -> None:
    with pytest.raises(KernelError, match=f"scrypt N is {scrypt_n}, expected a power of two"):
        plan(RTX_3090, Layout(), scrypt_n)


def test_too_little_memory_says_how_much_is_needed() -> None:
    with pytest.raises(MemoryShortage, match="one work-group of 64 labels at N = 8192") as caught:
        plan(RTX_3090, Layout(), 8192, limit=32 << 20)
    assert caught.value.needed > 64 << 20
    assert caught.value.available == 32 << 20
    assert plan(RTX_3090, Layout(), 8192, limit=caught.value.needed).slots == 64


LAYOUTS = st.builds(
    Layout,
    gap=st.sampled_from([1, 2, 4, 8]),
    lanes=st.sampled_from([1, 4]),
    vec=st.sampled_from([4, 8, 16]),
    ilv=st.sampled_from([1, 2]),
    free=st.integers(0, 1),
    tile=st.sampled_from([1, 8, 32]),
    group=st.sampled_from([1, 4, 32, 64, 128, 256]),
    lane_op=st.integers(0, 3),
)
NUMBERS = st.builds(
    DeviceNumbers,
    kind=st.sampled_from(["nvidia", "amd", "intel", "cpu", "other"]),
    memory_total=st.integers(1 << 20, 1 << 38),
    memory_free=st.one_of(st.none(), st.integers(0, 1 << 38)),
    max_allocation=st.integers(1 << 18, 1 << 36),
    compute_units=st.integers(1, 304),
    max_group=st.sampled_from([1, 64, 256, 1024, 4096]),
    lane_op=st.integers(0, 3),
)
SCRYPT_N = st.integers(1, 17).map(lambda bits: 1 << bits)
LIMITS = st.one_of(st.none(), st.integers(1, 1 << 38))


@given(NUMBERS, LAYOUTS, SCRYPT_N, LIMITS, st.sampled_from([1.0, 0.5]))
def test_a_plan_keeps_to_what_it_was_told(
    numbers: DeviceNumbers, layout: Layout, scrypt_n: int, limit: int | None, share: float
) -> None:
    try:
        found = plan(numbers, layout, scrypt_n, limit, share)
    except MemoryShortage:
        return
    while True:
        check(found, numbers, limit)
        try:
            smaller = halved(found, numbers.max_allocation)
        except MemoryShortage:
            assert found.slots < 2 * found.layout.whole
            break
        assert smaller.slots <= found.slots // 2
        assert smaller.total_bytes < found.total_bytes
        found = smaller


def check(found: plan_gpu.Plan, numbers: DeviceNumbers, limit: int | None) -> None:
    assert found.slots >= 1
    assert found.slots % found.layout.whole == 0
    assert found.per_buffer % found.layout.tile == 0
    assert 1 <= found.buffers <= plan_gpu.MAX_BUFFERS
    assert found.per_buffer * found.buffers >= found.slots > found.per_buffer * (found.buffers - 1)
    assert found.buffer_bytes <= numbers.max_allocation
    assert found.launch >= found.slots
    assert found.launch % found.slots == 0
    # the last buffer is not always full: rounding may cost one work-group a buffer
    slack = plan_gpu.MAX_BUFFERS * found.layout.whole * found.layout.label_bytes(found.scrypt_n)
    assert found.total_bytes <= numbers.memory_total * plan_gpu.MEMORY_SHARE + slack
    assert limit is None or found.total_bytes <= limit + slack
    assert found.layout.gap <= found.scrypt_n
    assert found.layout.group <= max(numbers.max_group, found.layout.lanes)


@given(NUMBERS, SCRYPT_N, LIMITS)
def test_every_device_has_layouts_to_try(numbers: DeviceNumbers, scrypt_n: int, limit: int | None) -> None:
    candidates = plan_gpu.candidates(numbers)
    assert len(set(candidates)) == len(candidates) >= 6
    assert plan_gpu.simplest(numbers).lanes == 1
    default = plan_gpu.default_layout(numbers, scrypt_n, limit)
    assert default.gap <= scrypt_n
    for tuning in plan_gpu.refinements(numbers, candidates[0]):
        assert tuning.layout.group <= max(64, numbers.max_group)
    if numbers.kind != "cpu":
        assert {one.gap for one in candidates} == {1, 2, 4}
        assert {one.tile for one in candidates} == {1, 32}
        assert {one.lanes for one in candidates} == ({1, 4} if numbers.lane_op else {1})
        assert all(one.free == (one.gap > 1) for one in candidates)


@given(LAYOUTS)
def test_a_layout_survives_the_cache(layout: Layout) -> None:
    from dataclasses import asdict

    assert layout_of(asdict(layout)) == layout


@pytest.mark.parametrize(
    "change",
    [
        {"gap": 3},
        {"lanes": 2},
        {"vec": 32},
        {"vec": 2},
        {"ilv": 4},
        {"free": 2},
        {"lane_op": 4},
        {"rot_mul": 16},
        {"group": 0},
        {"gap": "1"},
        {"gap": True},
        {"other": 1},
        {"gap": None},
    ],
)
def test_what_is_no_layout_is_refused(change: dict[str, object]) -> None:
    from dataclasses import asdict

    with pytest.raises(ValueError, match=r"."):
        layout_of({**asdict(Layout()), **change})
