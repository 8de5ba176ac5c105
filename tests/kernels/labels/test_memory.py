"""How much memory the label engines may use, and what they make of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.errors import KernelError, MemoryShortage
from kernels.labels import memory
from kernels.labels.memory import HEADROOM_BYTES, Plan, plan

MIB = 1 << 20
REPOSITORY = Path(__file__).resolve().parents[3]

# The plan


@pytest.mark.parametrize(
    ("labels_that_fit", "threads", "expected"),
    [
        # (8 lanes, 2 runs wanted) everything fits
        (10_000, 4, Plan(4, 2)),
        (64, 4, Plan(4, 2)),
        # fewer labels in flight a thread
        (63, 4, Plan(4, 1)),
        (32, 4, Plan(4, 1)),
        # then fewer threads
        (31, 4, Plan(3, 1)),
        (24, 4, Plan(3, 1)),
        (23, 4, Plan(2, 1)),
        (15, 4, Plan(1, 1)),
        (8, 4, Plan(1, 1)),
        # then one label at a time
        (7, 4, Plan(4, 0)),
        (4, 4, Plan(4, 0)),
        (3, 4, Plan(3, 0)),
        (1, 4, Plan(1, 0)),
        (16, 1, Plan(1, 2)),
        (15, 1, Plan(1, 1)),
        (7, 1, Plan(1, 0)),
        (7, 100, Plan(7, 0)),
    ],
)
def test_labels_in_flight_go_first_then_threads(labels_that_fit: int, threads: int, expected: Plan) -> None:
    available = HEADROOM_BYTES + labels_that_fit * MIB
    assert plan(available, MIB, 8, threads, 2) == expected
    assert plan(available + MIB - 1, MIB, 8, threads, 2) == expected


@pytest.mark.parametrize("available", [HEADROOM_BYTES + MIB - 1, HEADROOM_BYTES, 1, 0, -5])
def test_a_shortage_tells_both_figures(available: int) -> None:
    with pytest.raises(MemoryShortage) as caught:
        plan(available, MIB, 8, 4, 2)
    assert isinstance(caught.value, KernelError)
    assert caught.value.needed == HEADROOM_BYTES + MIB
    assert caught.value.available == max(0, available)
    text = str(caught.value)
    assert f"needs {(HEADROOM_BYTES + MIB) // MIB} MiB" in text
    assert f"{max(0, available) / MIB:,.0f} MiB are available" in text
    assert "fewer threads" in text


def in_flight(of: Plan, lanes: int) -> int:
    return of.threads * (of.runs * lanes or 1)


def planned(available: int, label: int, lanes: int, threads: int, runs: int) -> Plan | None:
    try:
        return plan(available, label, lanes, threads, runs)
    except MemoryShortage:
        return None


@given(
    available=st.integers(-MIB, 64 << 30),
    more=st.integers(0, 8 << 30),
    label=st.one_of(st.sampled_from([2**n * 128 + 4096 for n in range(1, 21)]), st.integers(1, 1 << 30)),
    lanes=st.sampled_from([1, 2, 4, 8]),
    threads=st.integers(1, 64),
    runs=st.integers(1, 4),
)
def test_a_plan_fits_and_grows_with_the_memory(
    available: int, more: int, label: int, lanes: int, threads: int, runs: int
) -> None:
    found = planned(available, label, lanes, threads, runs)
    assert (found is None) == (available - HEADROOM_BYTES < label)
    if found is not None:
        assert 1 <= found.threads <= threads
        assert 0 <= found.runs <= runs
        assert in_flight(found, lanes) * label <= available - HEADROOM_BYTES
        larger = planned(available + more, label, lanes, threads, runs)
        assert larger is not None
        assert in_flight(larger, lanes) >= in_flight(found, lanes)


@given(
    available=st.integers(HEADROOM_BYTES, 4 << 30),
    label=st.integers(1, 1 << 28),
    threads=st.integers(1, 64),
    runs=st.integers(1, 4),
)
def test_a_thread_more_never_means_fewer_labels_than_one_thread_has(
    available: int, label: int, threads: int, runs: int
) -> None:
    one = planned(available, label, 8, 1, 1)
    many = planned(available, label, 8, threads, runs)
    assert (one is None) == (many is None)
    if one is not None and many is not None:
        assert in_flight(many, 8) >= in_flight(one, 8)


# Control groups: small trees as the kernel shows them


class Groups:
    """A fake /proc/self/cgroup and /sys/fs/cgroup."""

    def __init__(self, folder: Path) -> None:
        self.membership = folder / "self"
        self.mount = folder / "cgroup"
        self.mount.mkdir()

    def of_process(self, *lines: str) -> None:
        self.membership.write_text("".join(line + "\n" for line in lines))

    def v2(self, path: str, limit: int | str, usage: int, inactive: int | None = None) -> None:
        self._write(path, {"memory.max": limit, "memory.current": usage}, inactive, "inactive_file")

    def v1(self, path: str, limit: int, usage: int, inactive: int | None = None) -> None:
        files: dict[str, int | str] = {"memory.limit_in_bytes": limit, "memory.usage_in_bytes": usage}
        self._write("memory/" + path, files, inactive, "total_inactive_file")

    def _write(self, path: str, files: dict[str, int | str], inactive: int | None, name: str) -> None:
        group = self.mount / path
        group.mkdir(parents=True, exist_ok=True)
        for file, value in files.items():
            (group / file).write_text(f"{value}\n")
        if inactive is not None:
            (group / "memory.stat").write_text(f"anon 5\n{name}_of_another 99\n{name} {inactive}\nslab 7\n")

    def left(self) -> list[int]:
        return list(memory._control_groups(self.membership, self.mount))


@pytest.fixture
def groups(tmp_path: Path) -> Groups:
    return Groups(tmp_path)


UNLIMITED_V1 = 9223372036854771712  # what version 1 shows where no limit is set


def test_version_2_counts_pages_that_nobody_uses_as_free(groups: Groups) -> None:
    groups.of_process("0::/app")
    groups.v2("app", 100 * MIB, 40 * MIB, 10 * MIB)
    assert groups.left() == [70 * MIB]


def test_version_2_without_statistics(groups: Groups) -> None:
    groups.of_process("0::/app")
    groups.v2("app", 100 * MIB, 40 * MIB)
    assert groups.left() == [60 * MIB]


def test_version_2_the_groups_around_count_too(groups: Groups) -> None:
    groups.of_process("0::/slice/service/app")
    groups.v2("slice/service/app", "max", 10 * MIB, 0)
    groups.v2("slice/service", 50 * MIB, 20 * MIB, 1 * MIB)
    groups.v2("slice", 500 * MIB, 480 * MIB, 0)
    assert groups.left() == [31 * MIB, 20 * MIB]


def test_version_2_without_any_limit(groups: Groups) -> None:
    groups.of_process("0::/app")
    groups.v2("app", "max", 10 * MIB, 0)
    assert groups.left() == []


def test_version_2_a_group_beyond_its_limit_has_nothing_left(groups: Groups) -> None:
    groups.of_process("0::/app")
    groups.v2("app", 10 * MIB, 12 * MIB, 1 * MIB)
    assert groups.left() == [0]


def test_version_2_in_a_container_the_mount_itself_is_the_group(groups: Groups) -> None:
    groups.of_process("0::/")
    groups.v2("", 64 * MIB, 14 * MIB, 0)
    assert groups.left() == [50 * MIB]


@pytest.mark.parametrize("path", ["/docker/8f3a", "/kubepods/burstable/pod1/8f3a", "/../../8f3a"])
def test_version_2_with_the_path_of_the_host(groups: Groups, path: str) -> None:
    groups.of_process(f"0::{path}")
    groups.v2("", 64 * MIB, 14 * MIB, 0)
    assert groups.left() == [50 * MIB]


def test_nothing_above_the_mount_is_read(groups: Groups) -> None:
    groups.of_process("0::/app")
    groups.v2("app", 100 * MIB, 40 * MIB)
    groups.v2("..", 1, 1)
    assert groups.left() == [60 * MIB]


def test_version_1(groups: Groups) -> None:
    groups.of_process("12:cpu,cpuacct:/app", "4:memory:/app", "1:name=systemd:/app")
    groups.v1("app", 100 * MIB, 40 * MIB, 10 * MIB)
    assert groups.left() == [70 * MIB]


def test_version_1_together_with_other_controllers(groups: Groups) -> None:
    groups.of_process("4:hugetlb,memory:/app", "3:memory_of_another:/app")
    groups.v1("app", 100 * MIB, 40 * MIB, 0)
    assert groups.left() == [60 * MIB]


def test_version_1_no_limit_is_a_very_large_number(groups: Groups) -> None:
    groups.of_process("4:memory:/docker/8f3a/inner")
    groups.v1("docker/8f3a/inner", UNLIMITED_V1, 40 * MIB, 0)
    groups.v1("docker/8f3a", 90 * MIB, 40 * MIB, 0)
    groups.v1("docker", UNLIMITED_V1, 40 * MIB, 0)
    groups.v1("", UNLIMITED_V1, 40 * MIB, 0)
    assert groups.left() == [50 * MIB]


def test_version_1_with_the_path_of_the_host(groups: Groups) -> None:
    groups.of_process("4:memory:/docker/8f3a")
    groups.v1("", 90 * MIB, 40 * MIB, 0)
    assert groups.left() == [50 * MIB]


def test_both_versions_at_once(groups: Groups) -> None:
    groups.of_process("4:memory:/app", "0::/app")
    groups.v1("app", 90 * MIB, 40 * MIB, 0)
    (groups.mount / "app").mkdir()
    assert groups.left() == [50 * MIB]


def test_a_path_with_colons_is_one_path(groups: Groups) -> None:
    groups.of_process("0::/a:b")
    groups.v2("a:b", 100 * MIB, 40 * MIB)
    assert groups.left() == [60 * MIB]


def test_no_control_groups_at_all(groups: Groups) -> None:
    assert groups.left() == []
    groups.membership.mkdir()  # cannot be read as a file
    assert groups.left() == []


@pytest.mark.parametrize("name", ["memory.max", "memory.current"])
@pytest.mark.parametrize("content", [None, "", "max", "a word", "-"])
def test_a_figure_that_cannot_be_read_is_no_limit(groups: Groups, name: str, content: str | None) -> None:
    groups.of_process("0::/slice/app")
    groups.v2("slice", 100 * MIB, 40 * MIB)
    groups.v2("slice/app", 50 * MIB, 40 * MIB)
    file = groups.mount / "slice" / "app" / name
    file.unlink()
    if content is None:
        file.mkdir()
    else:
        file.write_text(content)
    assert groups.left() == [60 * MIB]


@pytest.mark.parametrize(
    "content", [None, "", "inactive_file\n", "inactive_file x\n", "\n\n", "total_inactive_file 9\n"]
)
def test_statistics_that_cannot_be_read_count_as_nothing(groups: Groups, content: str | None) -> None:
    groups.of_process("0::/app")
    groups.v2("app", 100 * MIB, 40 * MIB)
    file = groups.mount / "app" / "memory.stat"
    if content is None:
        file.mkdir()
    else:
        file.write_text(content)
    assert groups.left() == [60 * MIB]


# What this process may use


def test_the_smallest_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_machine", lambda: 30)
    monkeypatch.setattr(memory, "_control_groups", lambda membership, mount: iter([50, 20]))
    monkeypatch.setattr(memory, "_address_space", lambda: iter([40]))
    assert memory.available_memory() == 20
    monkeypatch.setattr(memory, "_control_groups", lambda membership, mount: iter([]))
    assert memory.available_memory() == 30
    monkeypatch.setattr(memory, "_address_space", lambda: iter([0]))
    assert memory.available_memory() == 0


def test_the_machine_has_memory() -> None:
    assert 0 < memory.available_memory() <= memory.total_memory()


def python(code: str) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")


LIMIT = """
import os, resource
from pathlib import Path
def limit(room):
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + room, resource.RLIM_INFINITY))
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/statm is Linux's")


@linux
def test_a_limit_of_the_address_space_is_a_limit() -> None:
    code = "from kernels.labels import memory\nlimit(100 << 20)\nprint(memory.available_memory())"
    available = int(python(LIMIT + code)[0])
    assert 90 * MIB <= available <= 100 * MIB


@linux
def test_the_engine_works_within_a_limit_of_the_address_space() -> None:
    code = """
from kernels.labels import cpu; from kernels.labels import memory; from kernels.labels import scalar as scrypt_scalar
cpu.way = lambda: cpu.WAYS[0]
cpu.warm_up()
label = 8192 * cpu.ROW_BYTES + cpu.LABEL_OVERHEAD
lanes = cpu.lanes()
for labels in (4 * lanes + 2, lanes + 1, lanes - 0.5):
    limit(memory.HEADROOM_BYTES + int(labels * label))
    engine = cpu.LabelEngine(cpu.devices()[0], 8192)
    found = engine.labels32([bytes(32)], [0])[0].tobytes().hex()
    print(engine.plan.runs, found)
    engine.close()
limit(memory.HEADROOM_BYTES)
try:
    cpu.LabelEngine(cpu.devices()[0], 8192)
except memory.MemoryShortage as shortage:
    print(shortage)
"""
    *lines, shortage, _ = python(LIMIT + code)
    expected = "8c7b34d495266b23799ddaddc2a1836babdd6719c20aca272b42e9d9675ad2b7"
    assert lines == [f"2 {expected}", f"1 {expected}", f"0 {expected}"]
    assert "needs 33 MiB" in shortage
