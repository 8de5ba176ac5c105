"""The label engine of the CPU against the scalar path and the known answers of protocol 01-post, sections 2 and 8."""

from __future__ import annotations

import functools
import itertools
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.devices.pool import Pool
from kernels.devices.types import Labels, Stopped, VrfCandidate
from kernels.errors import MemoryShortage
from kernels.labels import cpu, memory, scrypt
from kernels.labels import scalar as scrypt_scalar
from kernels.labels.memory import HEADROOM_BYTES, Plan
from protocol.post.rules import commitment

ZERO = bytes(32)
WAY = cpu.WAYS[0]
LANES = cpu.lanes(WAY)
INDICES = st.one_of(
    st.integers(0, 5000),
    st.integers(2**32 - 40, 2**32 + 40),
    st.integers(2**53 - 40, 2**53 + 40),
    st.integers(2**63 - 40, 2**63 + 40),
    st.integers(2**64 - 400, 2**64 - 1),
)
"""Where 32-bit, floating-point and signed arithmetic would go wrong, and the ends."""


@pytest.fixture(scope="module", autouse=True)
def the_first_way() -> Iterator[None]:
    """Whatever was measured on this machine; the other ways have a test of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu, "way", lambda: WAY)
        yield


quick = settings(max_examples=30, deadline=None)


@functools.cache
def engine(scrypt_n: int, threads: int = 1, plan: Plan | None = None) -> cpu.LabelEngine:
    """An engine that many tests use; only those that stop or close one make their own."""
    return cpu.LabelEngine(cpu.devices()[0], scrypt_n, threads, plan=plan)


def run(of: cpu.LabelEngine, key: bytes, start: int, count: int) -> tuple[Labels, VrfCandidate]:
    out = np.full((count, 16), 0xEE, np.uint8)
    return out, of.labels(key, start, count, out)


def scalar(key: bytes, indices: Sequence[int], scrypt_n: int) -> list[str]:
    return [scrypt_scalar.label32(key, index, scrypt_n).hex() for index in indices]


def vector(key: bytes, indices: Sequence[int] | npt.NDArray[Any], scrypt_n: int, threads: int = 1) -> list[str]:
    return [row.tobytes().hex() for row in engine(scrypt_n, threads).labels32([key], indices)]


# Known answers, numbered as in section 8


def test_answer_2_the_labels_that_the_first_miners_saw_on_disk() -> None:
    key = bytes.fromhex("72f83ca99604810287652e3402f62784f66ceecc3ca7fda28e680aa816cff153")
    labels, _ = run(engine(8192), key, 0, 8)
    assert [label.tobytes().hex() for label in labels] == [
        "4d9e4cf13c3601f41f6693eb00175d33",
        "2aeb3da42983b769776bd2d4c09f49d2",
        "fda2572fc9e46e6fc230ea59150a16be",
        "1e3bceb013154c0854d8e1c03ec4e739",
        "cc4c38fddcf6497f8ac908ba065f559b",
        "b12a84849c591d1351f04e68844b0776",
        "2b8ef3e34e007be821cdc73460787f97",
        "f1a7d024615b28115e0ea602939e42b8",
    ]


def test_answer_3_the_nonce_of_the_reference_s_own_test() -> None:
    key = bytes.fromhex("e26b543725490682675f6f84ea7689601adeaf14caa7024ec1140c82754ca339")
    _, candidate = run(engine(32, threads=2), key, 1024, 262144 - 1024 + 1)
    assert candidate.index == 165545
    assert candidate.label32.hex() == "00001f81fadfc488b990c940aba8367a97e85cbb5bc0720a308d293b22902a74"
    assert candidate.label32 < bytes.fromhex("00003f" + "ff" * 29)
    assert not candidate.label32 < bytes.fromhex("000000" + "ff" * 29)


@pytest.mark.parametrize(
    ("scrypt_n", "expected"),
    [
        (2, "ff29deee2578176c8c7d9495164e88213859c3db4b0fe3cdfdd27818b26943a6"),
        (4, "8b3058a6f80f233447696ac1f8aa8efc5a889ee83f02e8e914f5394c2c81611b"),
        (512, "a817e7a32debae46c293610b9dfa99dabccf2e7d94fb0ce315547da99c598e8d"),
        (8192, "8c7b34d495266b23799ddaddc2a1836babdd6719c20aca272b42e9d9675ad2b7"),
    ],
)
def test_answer_17_label_0_of_the_zero_commitment(scrypt_n: int, expected: str) -> None:
    assert vector(ZERO, [0], scrypt_n) == [expected]
    assert scalar(ZERO, [0], scrypt_n) == [expected]


def test_answer_18_labels_on_both_sides_of_2_32() -> None:
    expected = [
        "918efbbd18955ae0a1df3d82e764220d7d7c6c860c5e0c1e2e9e6e625ec7b7f0",
        "38350c34c09e8cb38b7908225a4cccd9246b90aa7da3c9c55a7fcf8e9fa6d27c",
    ]
    assert vector(ZERO, [2**32 - 1, 2**32], 512) == expected
    assert scalar(ZERO, [2**32 - 1, 2**32], 512) == expected
    labels, _ = run(engine(512), ZERO, 2**32 - 1, 2)
    assert [label.tobytes().hex() for label in labels] == [label[:32] for label in expected]


@pytest.mark.parametrize(
    ("scrypt_n", "index", "first_bytes"), [(512, 3921, "00061399f8f5316f"), (8192, 4234, "001c2d9fc349b70c")]
)
def test_answer_19_the_nonce_of_six_thousand_labels(scrypt_n: int, index: int, first_bytes: str) -> None:
    _, candidate = run(engine(scrypt_n, threads=2), b"this is some commitment for init", 0, 6000)
    assert candidate.index == index
    assert candidate.label32.hex().startswith(first_bytes)
    assert candidate.label32 < bytes.fromhex("002f" + "ff" * 30)


@pytest.mark.parametrize(("scrypt_n", "num_labels", "index"), [(16, 512, 360), (2, 256, 153), (8192, 256, 220)])
def test_answer_20_the_nonces_of_the_go_library_s_tests(scrypt_n: int, num_labels: int, index: int) -> None:
    key = commitment(ZERO, ZERO)
    assert key.hex() == "4d006976636a8696d909a630a4081aad4d7c50f81afdee04020bf05086ab6a55"
    _, candidate = run(engine(scrypt_n), key, 0, num_labels)
    assert candidate.index == index


# The vector engine and the scalar path


@pytest.mark.parametrize("scrypt_n", [2, 4, 16, 128, 1024])
@pytest.mark.parametrize("start", [0, 2**32 - 3, 2**63 - 3, 2**64 - 40])
def test_both_paths_agree_for_every_n(scrypt_n: int, start: int) -> None:
    indices = range(start, start + 2 * LANES + 3)
    assert vector(ZERO, indices, scrypt_n) == scalar(ZERO, indices, scrypt_n)


@pytest.mark.parametrize("count", [*range(1, 4 * LANES + 2), 8 * LANES - 1, 8 * LANES + 1])
def test_counts_need_not_be_multiples_of_the_lanes(count: int) -> None:
    labels, candidate = run(engine(4), ZERO, 11, count)
    expected = scalar(ZERO, range(11, 11 + count), 4)
    assert [label.tobytes().hex() for label in labels] == [label[:32] for label in expected]
    assert candidate.label32.hex() == min(expected)


def test_the_last_index_of_all() -> None:
    labels, candidate = run(engine(4), ZERO, 2**64 - 2, 1)
    assert labels.tobytes().hex() == scalar(ZERO, [2**64 - 2], 4)[0][:32]
    assert candidate.index == 2**64 - 2
    labels, _ = run(engine(4), ZERO, 2**64 - 2, 2)
    assert [row.tobytes().hex() for row in labels] == [x[:32] for x in scalar(ZERO, [2**64 - 2, 2**64 - 1], 4)]


@quick
@given(key=st.binary(min_size=32, max_size=32), index=INDICES, exponent=st.integers(1, 7))
def test_any_label_is_the_scalar_one(key: bytes, index: int, exponent: int) -> None:
    assert vector(key, [index], 2**exponent) == scalar(key, [index], 2**exponent)


@quick
@given(indices=st.lists(INDICES, max_size=40))
def test_indices_come_in_any_order_and_may_repeat(indices: list[int]) -> None:
    assert vector(ZERO, indices, 4) == scalar(ZERO, indices, 4)


@quick
@given(data=st.data(), start=INDICES.filter(lambda start: start < 2**64 - 300), count=st.integers(1, 200))
def test_any_split_of_a_range_equals_one_run(data: st.DataObject, start: int, count: int) -> None:
    whole, best = run(engine(8), ZERO, start, count)
    cuts = sorted(data.draw(st.sets(st.integers(1, count), max_size=8)) | {0, count})
    parts = [run(engine(8), ZERO, start + a, b - a) for a, b in itertools.pairwise(cuts)]
    assert b"".join(labels.tobytes() for labels, _ in parts) == whole.tobytes()
    assert min((candidate for _, candidate in parts), key=lambda c: (c.label32, c.index)) == best


@quick
@given(start=INDICES.filter(lambda start: start < 2**64 - 1000), count=st.integers(1, 900))
def test_any_number_of_threads_gives_the_same_bytes(start: int, count: int) -> None:
    labels, candidate = run(engine(2), ZERO, start, count)
    for threads in (2, 3, 4):
        others, other = run(engine(2, threads), ZERO, start, count)
        assert others.tobytes() == labels.tobytes()
        assert other == candidate


@quick
@given(
    wanted=st.lists(st.tuples(st.binary(min_size=32, max_size=32), INDICES), min_size=1, max_size=60),
    threads=st.integers(1, 4),
)
def test_one_commitment_each_equals_separate_runs(wanted: list[tuple[bytes, int]], threads: int) -> None:
    together = engine(4, threads).labels32([key for key, _ in wanted], [index for _, index in wanted])
    assert together.shape == (len(wanted), 32)
    for row, (key, index) in zip(together, wanted):
        assert row.tobytes() == engine(4).labels32([key], [index]).tobytes()


def test_no_label_wanted_is_no_label() -> None:
    assert engine(4).labels32([ZERO], []).shape == (0, 32)
    assert engine(4, 3).labels32([ZERO], []).shape == (0, 32)


@pytest.mark.parametrize("keys", [2, 4])
@pytest.mark.parametrize("plan", [Plan(1, 2), Plan(1, 0)])
def test_another_number_of_commitments_than_labels_is_refused(keys: int, plan: Plan) -> None:
    with pytest.raises(ValueError, match="commitment"):
        engine(4, plan=plan).labels32([ZERO] * keys, [1, 2, 3])


def test_the_kernel_is_compiled_once_for_every_kind_of_index_array() -> None:
    plain = np.arange(5, 15, dtype=np.uint64)
    read_only = plain.copy()
    read_only.flags.writeable = False
    strided = np.repeat(plain, 2)[::2]
    expected = scalar(ZERO, range(5, 15), 4)
    assert vector(ZERO, plain, 4) == expected
    before = len(scrypt.labels.signatures)
    for indices in (read_only, strided, plain.astype(np.int64), plain.tolist(), tuple(plain.tolist())):
        assert vector(ZERO, indices, 4) == expected
    assert len(scrypt.labels.signatures) == before


def test_the_pool_of_real_engines_gives_the_bytes_of_one_engine() -> None:
    engines = cpu.engines(cpu.devices()[0], 16, 3)
    pool = Pool(engines, check=lambda key, index: scrypt_scalar.label32(key, index, 16))
    ranges = [(0, 700), (2**32 - 50, 101)]
    batches = list(pool.run(ZERO, ranges))
    pool.close()
    expected = b"".join(run(engine(16), ZERO, start, count)[0].tobytes() for start, count in ranges)
    assert b"".join(batch.labels.tobytes() for batch in batches) == expected
    best = min((run(engine(16), ZERO, *one)[1] for one in ranges), key=lambda c: c.label32)
    assert min((batch.candidate for batch in batches), key=lambda c: c.label32) == best


# The VRF candidate


@quick
@given(start=INDICES.filter(lambda start: start < 2**64 - 300), count=st.integers(1, 200))
def test_the_candidate_is_the_smallest_full_label(start: int, count: int) -> None:
    _, candidate = run(engine(2), ZERO, start, count)
    full = vector(ZERO, range(start, start + count), 2)
    assert candidate.label32.hex() == min(full)
    assert candidate.index == start + full.index(min(full))


PIECES = st.sampled_from([bytes(8), bytes(7) + b"\1", b"\1" + bytes(7), b"\x7f" + b"\xff" * 7, b"\x80" + bytes(7)])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(PIECES, PIECES, PIECES, PIECES), min_size=1, max_size=12))
def test_smallest_compares_all_32_bytes_and_takes_the_first_of_equals(pieces: list[tuple[bytes, ...]]) -> None:
    rows = [b"".join(row) for row in pieces]
    labels = np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 32)
    assert cpu.smallest(labels) == rows.index(min(rows))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["05", "05", "05"], 0),
        (["06", "05", "05"], 1),
        (["05" * 8 + "02", "05" * 8 + "01", "05" * 8 + "01"], 1),
        (["05" * 31 + "02", "05" * 31 + "01"], 1),
        (["80", "7f"], 1),
        (["ff" * 32, "ff" * 32], 0),
        (["0100000000000000", "0000000000000001"], 1),
    ],
)
def test_smallest_of_crafted_ties(rows: list[str], expected: int) -> None:
    labels = np.array([list(bytes.fromhex(row.ljust(64, "0"))) for row in rows], np.uint8)
    assert cpu.smallest(labels) == expected


# Stopping


@pytest.mark.parametrize("plan", [Plan(1, 2), Plan(3, 2), Plan(1, 0), Plan(3, 0)], ids=str)
def test_stop_from_another_thread_ends_a_long_run(plan: Plan) -> None:
    own = cpu.LabelEngine(cpu.devices()[0], 1024, plan=plan)
    ends: list[BaseException | None] = []
    under_way = threading.Event()

    def work() -> None:
        try:
            under_way.set()
            run(own, ZERO, 0, 1 << (18 if plan.runs else 15))  # many seconds of work
            ends.append(None)
        except Stopped as stopped:
            ends.append(stopped)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    under_way.wait()
    worker.join(0.05)
    assert worker.is_alive()
    own.stop()
    worker.join(30)
    assert not worker.is_alive()
    assert isinstance(ends[0], Stopped)
    with pytest.raises(Stopped):
        own.labels32([ZERO], [0])
    own.close()


def test_a_stopped_kernel_leaves_the_output_and_the_scratch_memory_alone() -> None:
    out = np.full((3, 4), 7, np.uint64)
    scratch = np.full(scrypt.scratch_words(16, 2 * LANES), 9, np.uint32)
    keys = np.frombuffer(ZERO, np.uint64).reshape(1, 4)
    indices, stop = np.arange(3, dtype=np.uint64), np.ones(1, np.uint8)
    done = scrypt.labels(keys, indices, out, 16, 2, (0,) * WAY.registers, scratch, stop)
    assert done == 0
    assert (out == 7).all()
    assert (scratch == 9).all()


def test_a_closed_engine_computes_nothing_more() -> None:
    own = cpu.LabelEngine(cpu.devices()[0], 2, threads=2)
    run(own, ZERO, 0, 3)
    own.close()
    own.close()
    with pytest.raises(Stopped):
        run(own, ZERO, 0, 3)


# Memory

PLANS = [Plan(1, 0), Plan(2, 0), Plan(3, 0), Plan(1, 1), Plan(3, 1), Plan(1, 2), Plan(2, 2), Plan(1, 3), Plan(4, 4)]


@pytest.mark.parametrize("plan", PLANS, ids=str)
@pytest.mark.parametrize("scrypt_n", [2, 128])
def test_every_memory_plan_gives_the_same_bytes(plan: Plan, scrypt_n: int) -> None:
    of = engine(scrypt_n, plan=plan)
    assert of.granularity == max(1, plan.runs * LANES)
    for count in (1, 5, 70):
        labels, candidate = run(of, ZERO, 2**32 - 3, count)
        expected, best = run(engine(scrypt_n), ZERO, 2**32 - 3, count)
        assert labels.tobytes() == expected.tobytes()
        assert candidate == best
    keys = [bytes([byte]) * 32 for byte in range(9)]
    found = of.labels32(keys, range(9))
    assert found.tobytes() == engine(scrypt_n).labels32(keys, range(9)).tobytes()


@pytest.mark.parametrize("way", cpu.WAYS, ids=str)
@pytest.mark.parametrize("scrypt_n", [2, 128, 8192])
def test_every_way_gives_the_same_bytes(way: cpu.Way, scrypt_n: int) -> None:
    of = cpu.LabelEngine(cpu.devices()[0], scrypt_n, how=way)
    assert of.granularity == way.runs * way.registers * scrypt.REGISTER_LANES
    for count in (1, of.granularity + 1) if scrypt_n == 8192 else (1, of.granularity, 3 * of.granularity - 1):
        indices = np.arange(count, dtype=np.uint64) + np.uint64(2**32 - 3)
        for keys in [ZERO], [bytes([byte]) * 32 for byte in range(count)]:
            found = of.labels32(keys, indices)
            places = sorted({0, count // 2, count - 1}) if scrypt_n == 8192 else range(count)
            assert [found[place].tobytes() for place in places] == [
                scrypt_scalar.label32(keys[place % len(keys)], int(indices[place]), scrypt_n) for place in places
            ]
    of.close()


@pytest.fixture
def own_ways(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The fastest way is kept in a file of this test."""
    file = tmp_path / "ways.json"
    monkeypatch.setattr(cpu, "_ways_file", lambda: file)
    monkeypatch.setattr(cpu, "warm_up", lambda: None)
    return file


def test_the_fastest_way_is_kept_for_this_machine(own_ways: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[cpu.Way] = []

    def rate(way: cpu.Way, threads: int) -> float:
        measured.append(way)
        return 3000.0 if way == cpu.WAYS[1] and len(measured) > 8 else 2000.0

    monkeypatch.setattr(cpu, "_labels_per_second", rate)
    assert cpu._remembered() is None
    cpu.choose_way()
    assert measured == list(cpu.WAYS) * cpu.MEASURED_TIMES, "in turns"
    assert cpu._remembered() == cpu.WAYS[1]
    monkeypatch.setattr(cpu, "_labels_per_second", lambda way, threads: 2000.0 + 50 * (way == cpu.WAYS[2]))
    cpu.choose_way()
    assert cpu._remembered() == cpu.WAYS[0], "a little more is no reason"
    monkeypatch.setattr(cpu, "_machine", lambda: "another machine")
    assert cpu._remembered() is None
    cpu._remember(cpu.WAYS[2])
    assert cpu._remembered() == cpu.WAYS[2]
    assert len(json.loads(own_ways.read_text())) == 2


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"MACHINE": {"registers": 9, "runs": 1}}', '{"MACHINE": 3}'])
def test_a_damaged_note_of_the_fastest_way_is_none(own_ways: Path, content: str) -> None:
    own_ways.write_text(content.replace("MACHINE", cpu._machine()))
    assert cpu._remembered() is None


def test_ways_that_do_not_fit_into_memory_are_not_measured(own_ways: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = HEADROOM_BYTES + cpu.lanes(cpu.WAYS[3]) * (8192 * cpu.ROW_BYTES + cpu.LABEL_OVERHEAD)
    monkeypatch.setattr(memory, "available_memory", lambda: room)
    monkeypatch.setattr(cpu, "usable_cores", lambda: 1)
    monkeypatch.setattr(cpu, "_labels_per_second", lambda way, threads: pytest.fail("there is nothing to choose"))
    cpu.choose_way()
    assert cpu._remembered() == cpu.WAYS[3]


def test_a_measurement_computes_labels_on_every_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "MEASURED_N", 16)
    assert cpu._labels_per_second(cpu.WAYS[0], 2) > 0


def test_the_engine_fits_itself_into_the_memory_it_is_given() -> None:
    label = 1024 * cpu.ROW_BYTES + cpu.LABEL_OVERHEAD
    expected = run(engine(1024), ZERO, 0, 21)[0].tobytes()
    cases = {
        1: Plan(1, 0),
        LANES: Plan(1, 1),
        2 * LANES - 1: Plan(1, 1),
        2 * LANES: Plan(2, 1),
        4 * LANES - 1: Plan(2, 1),
        4 * LANES: Plan(2, 2),
        1000 * LANES: Plan(2, 2),
    }
    for labels_in_flight, plan in cases.items():
        room = HEADROOM_BYTES + labels_in_flight * label
        own = cpu.LabelEngine(cpu.devices()[0], 1024, threads=2, memory_bytes=room)
        assert own.plan == plan
        assert run(own, ZERO, 0, 21)[0].tobytes() == expected
        own.close()
        several = cpu.engines(cpu.devices()[0], 1024, 2, memory_bytes=room)
        assert [one.plan for one in several] == [Plan(1, plan.runs)] * plan.threads
        for one in several:
            one.close()


def test_no_engine_where_not_even_one_label_fits() -> None:
    label = 8192 * cpu.ROW_BYTES + cpu.LABEL_OVERHEAD
    for make in (cpu.LabelEngine, cpu.engines):
        with pytest.raises(MemoryShortage) as caught:
            make(cpu.devices()[0], 8192, 2, memory_bytes=HEADROOM_BYTES + label - 1)
        assert caught.value.needed == HEADROOM_BYTES + label
        assert caught.value.available == HEADROOM_BYTES + label - 1


@pytest.mark.parametrize("exponent", range(1, 21))
@pytest.mark.parametrize("runs", [1, 2, 4])
def test_the_scratch_memory_is_no_more_than_was_planned_for(exponent: int, runs: int) -> None:
    planned = runs * LANES * (2**exponent * cpu.ROW_BYTES + cpu.LABEL_OVERHEAD)
    assert 4 * scrypt.scratch_words(2**exponent, runs * LANES) <= planned
