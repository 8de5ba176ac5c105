"""A crash at any instant, then the same command again: the same bytes as an uninterrupted run.

The disk of `crash_disk` is cut off at its k-th change. Real children that are killed come last.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kernels.devices.pool import Batch
from kernels.devices.types import Stopped, VrfCandidate
from kernels.labels import cpu
from protocol.post.rules import vrf_difficulty
from prover import durable
from prover.errors import EnvironmentFault, Interrupted
from prover.post import directory as storage_module
from prover.post import metadata as metadata_file
from prover.post import record as record_file
from prover.post.directory import Storage
from prover.post.init.plan import Request, check, decide
from prover.post.init.run import Initialisation, look
from prover.post.record import Record
from tests.support import cli
from tests.support.cli import NO_NONCE_IN_64, Job
from tests.support.crash_disk import Cut, Disk, Kind

# == initialisations on it =====================================================================================


@functools.cache
def table(atx_id: str) -> np.ndarray:
    """The full labels 0 … 2047 of a commitment ATX, N = 2."""
    return Job(atx_id=atx_id).labels32(0, 2048)


class Labels:
    """Labels out of the table, in batches of random size; `stop_after` of them it is told to stop."""

    def __init__(self, job: Job, rng: random.Random, largest: int, stop_after: int | None = None) -> None:
        self._table = table(job.atx_id)
        self._rng = rng
        self._largest = largest
        self._left = stop_after

    def run(self, commitment: bytes, ranges: Iterable[tuple[int, int]]) -> Iterator[Batch]:
        for start, count in ranges:
            end = start + count
            while start < end:
                if self._left is not None:
                    if self._left == 0:
                        raise Stopped("stopped")
                    self._left -= 1
                rows = self._table[start : min(end, start + self._rng.randint(1, self._largest))]
                at = cpu.smallest(rows)
                candidate = VrfCandidate(start + at, rows[at].tobytes())
                yield Batch(start, rows[:, :16].copy(), candidate, cpu.devices()[0])
                start += len(rows)


@dataclass(frozen=True)
class Scenario:
    """A directory at the beginning, and what is asked of it."""

    job: Job
    begin: Callable[[Path], None] = lambda root: None
    options: dict[str, Any] = field(default_factory=dict)
    """Of the request."""
    batch_size: int = 16
    """Of the search beyond the data."""
    largest: int = 40
    """Labels that are written at once at most."""

    @property
    def request(self) -> Request:
        return Request(
            node_id=bytes.fromhex(self.job.node_id),
            commitment_atx_id=bytes.fromhex(self.job.atx_id),
            labels_per_unit=self.job.labels_per_unit,
            num_units=self.job.units,
            max_file_size=self.job.max_file_size,
            scrypt_n=2,
            **self.options,
        )


def initialise(disk: Disk, scenario: Scenario, rng: random.Random, stop_after: int | None = None) -> None:
    """What `smesher init` does, with everything slow taken out."""
    storage = Storage(disk.root)
    request = scenario.request
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += rng.choice([0.0, 0.0, 1.0, 4.0])
        return now

    def label32(commitment: bytes, index: int, scrypt_n: int) -> bytes:
        return table(scenario.job.atx_id)[index].tobytes() if scrypt_n == 2 else b"another label" + bytes(19)

    check(request)
    plan = decide(request, look(storage), str(disk.root))
    initialisation = Initialisation(
        storage,
        request,
        plan,
        label32,
        batch_size=scenario.batch_size,
        clock=clock,
    )
    initialisation.prepare()
    initialisation.run(Labels(scenario.job, rng, scenario.largest, stop_after))


DiskOf = Callable[[Scenario, random.Random], Disk]
"""Makes a new directory for a scenario, with a `Disk` below the storage."""


@pytest.fixture
def disk_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DiskOf:
    return disks(tmp_path, monkeypatch)


def disks(directory: Path, monkeypatch: pytest.MonkeyPatch) -> DiskOf:
    """As above, in directories of this one."""
    number = iter(range(1_000_000))

    def make(scenario: Scenario, rng: random.Random) -> Disk:
        root = directory / str(next(number))
        root.mkdir()
        scenario.begin(root)
        disk = Disk(root, rng)
        for module in (durable, storage_module):
            monkeypatch.setattr(module, "os", disk)
        return disk

    return make


def visible(root: Path) -> dict[str, bytes]:
    """Everything but smesher.json and half-written temporary files, which nobody reads."""
    return {
        path.name: path.read_bytes()
        for path in sorted(root.iterdir())
        if path.name != record_file.FILE_NAME and not path.name.startswith(".")
    }


def some_file_is_damaged(job: Job, changes: dict[str, int]) -> Callable[[Path], None]:
    """A complete set in which some files have another length (surplus is zeros), -1: no file."""

    def begin(root: Path) -> None:
        job.make(root)
        for name, size in changes.items():
            if size < 0:
                (root / name).unlink()
            else:
                os.truncate(root / name, size)

    return begin


def nonce_lost(job: Job) -> Callable[[Path], None]:
    """A complete set whose metadata has no nonce."""

    def begin(root: Path) -> None:
        job.make(root)
        cli.edit_metadata(root, lambda text: metadata_file.encode(job.metadata(nonce=None, nonce_value=None)))

    return begin


NO_NONCE_IN_128 = f"{1390:064x}"
"""With node id NODE_ID and N = 2 none of the labels 0 … 127 of this commitment ATX is a VRF nonce for 128 labels."""

SMALL = Job(units=2, labels_per_unit=100, max_file_size=1024)
NO_NONCE = Job(units=1, atx_id=NO_NONCE_IN_64)
SCENARIOS = {
    "one file": Scenario(Job(units=3, labels_per_unit=100, max_file_size=8192)),
    "many files": Scenario(Job(units=5, labels_per_unit=100, max_file_size=1024)),
    "label by label": Scenario(Job(units=3, labels_per_unit=50, max_file_size=1120), largest=3),
    "odd last file": Scenario(Job(units=3, labels_per_unit=77, max_file_size=1600)),
    "last file of one label": Scenario(Job(units=1, labels_per_unit=129, max_file_size=1024)),
    "search beyond the data": Scenario(NO_NONCE, batch_size=4, largest=20),
    "long search beyond the data": Scenario(NO_NONCE, batch_size=1, largest=20),
    "search in large batches": Scenario(NO_NONCE, batch_size=512, largest=20),
    "only files 1 and 2": Scenario(Job(units=5, labels_per_unit=100), options={"from_file": 1, "to_file": 2}),
    "gaps": Scenario(
        Job(), some_file_is_damaged(Job(), {"postdata_0.bin": 333, "postdata_1.bin": -1, "postdata_3.bin": 7})
    ),
    "grow": Scenario(replace(SMALL, units=5), lambda root: (SMALL.make(root), None)[1], {"grow": True}),
    "grow with a nonce beyond the data": Scenario(
        replace(NO_NONCE, units=3), lambda root: (NO_NONCE.make(root), None)[1], {"grow": True}
    ),
    "shrink": Scenario(
        replace(SMALL, units=1),
        lambda root: (replace(SMALL, units=4).make(root), None)[1],
        {"yes": True},
    ),
    "surplus": Scenario(
        Job(), some_file_is_damaged(Job(), {"postdata_0.bin": 2000, "postdata_2.bin": 160}), {"yes": True}
    ),
    "lost nonce": Scenario(SMALL, nonce_lost(SMALL)),
}

SEEDS = 16
"""Jobs for each scenario and each kind of crash; with 15 scenarios 240 of each kind."""


class Runner:
    """Scenarios run to their end with crashes on the way."""

    def __init__(self, disk_of: Callable[[Scenario, random.Random], Disk]) -> None:
        self._disk_of = disk_of
        self._expected: dict[str, tuple[dict[str, bytes], int]] = {}

    def uninterrupted(self, name: str) -> tuple[dict[str, bytes], int]:
        """What a run without crash leaves, and how many changes of the disk it takes."""
        if name not in self._expected:
            disk = self._disk_of(SCENARIOS[name], random.Random(name))
            initialise(disk, SCENARIOS[name], random.Random(name))
            self._expected[name] = (visible(disk.root), disk.count)
        return self._expected[name]

    def crash(self, name: str, seed: int, kinds: list[Kind], *, survives: bool = False) -> int:
        """Crashes once for each of the kinds, goes on to the end, compares. Returns how many crashes there were.

        `survives`: compares again after a power cut, which must not harm what a finished run has made.
        """
        scenario, rng = SCENARIOS[name], random.Random(f"{name}/{seed}")
        expected, changes = self.uninterrupted(name)
        disk = self._disk_of(scenario, rng)
        story: list[str] = []
        for kind in kinds:
            disk.arm(rng.randint(1, changes))
            try:
                initialise(disk, scenario, rng)
            except Cut:
                pass
            except Exception as error:
                raise AssertionError(f"{name}, seed {seed}: after {story}: {type(error).__name__}: {error}") from error
            story.append(f"{kind} at change {disk.cut_at}" if disk.dead else f"ended before change {disk.cut_at}")
            if kind == "power cut":
                disk.power_cut()
            elif disk.dead and "power cut" not in kinds:
                self._is_true(disk.root, scenario)
        disk.arm(None)
        try:
            initialise(disk, scenario, rng)
        except Exception as error:
            raise AssertionError(f"{name}, seed {seed}: after {story}: {type(error).__name__}: {error}") from error
        self._compare(disk.root, expected, f"{name}, seed {seed}: after {story}")
        record = record_file.decode((disk.root / record_file.FILE_NAME).read_bytes())
        assert record == replace(Record(2), search=record.search), f"{name}, seed {seed}: after {story}: {record}"
        if survives:
            disk.after_power_cut = "what was synced"
            disk.power_cut()
            self._compare(disk.root, expected, f"{name}, seed {seed}: after {story}, done, and a power cut after that")
        return sum(" at " in line for line in story)

    @staticmethod
    def _compare(root: Path, expected: dict[str, bytes], story: str) -> None:
        found = visible(root)
        assert found.keys() == expected.keys(), story
        different = [file for file in expected if found[file] != expected[file]]
        assert not different, f"{story}: {different} differ"

    @staticmethod
    def _is_true(root: Path, scenario: Scenario) -> None:
        """After a kill: every whole label is right, and the metadata can be read and says what is so."""
        files = cli.data_files(root)
        rows = table(scenario.job.atx_id)
        per_file = scenario.job.max_file_size // 16
        for name, content in files.items():
            first = int(name.removeprefix("postdata_").removesuffix(".bin")) * per_file
            count = min(len(content) // 16, per_file)
            assert content[: count * 16] == rows[first : first + count, :16].tobytes(), name
        text = root / metadata_file.FILE_NAME
        if any(len(content) >= 16 for content in files.values()):
            metadata = metadata_file.decode(text.read_bytes())
            if metadata.nonce is not None:
                label = rows[metadata.nonce].tobytes()
                assert metadata.nonce_value in (None, label[:16])
                assert label < vrf_difficulty(min(metadata.num_labels, scenario.job.num_labels))
            assert record_file.decode((root / record_file.FILE_NAME).read_bytes()).scrypt_n == 2


@pytest.fixture
def runner(disk_of: Callable[[Scenario, random.Random], Disk]) -> Runner:
    return Runner(disk_of)


# == any cut ===================================================================================================


@pytest.mark.parametrize("name", SCENARIOS)
def test_uninterrupted_runs_make_what_they_should(runner: Runner, name: str) -> None:
    job = SCENARIOS[name].job
    found, changes = runner.uninterrupted(name)
    files = job.files()
    if name == "only files 1 and 2":
        files = {key: files[key] for key in ("postdata_1.bin", "postdata_2.bin")}
    assert {key: value for key, value in found.items() if key.endswith(".bin")} == files
    metadata = metadata_file.decode(found[metadata_file.FILE_NAME])
    assert changes >= 4
    if "beyond" in name or "large batches" in name:
        assert metadata.nonce is not None and metadata.nonce_value == table(job.atx_id)[metadata.nonce, :16].tobytes()
    elif name not in ("only files 1 and 2", "shrink"):
        assert metadata == job.metadata()


@pytest.mark.parametrize("name", SCENARIOS)
def test_kill_at_any_change(runner: Runner, name: str) -> None:
    assert sum(runner.crash(name, seed, ["kill"]) for seed in range(SEEDS)) >= SEEDS // 2


@pytest.mark.parametrize("name", SCENARIOS)
def test_power_cut_at_any_change(runner: Runner, name: str) -> None:
    assert sum(runner.crash(name, seed, ["power cut"]) for seed in range(SEEDS)) >= SEEDS // 2


@pytest.mark.parametrize("name", SCENARIOS)
def test_kills_again_and_again(runner: Runner, name: str) -> None:
    for seed in range(100, 100 + SEEDS // 2):
        runner.crash(name, seed, ["kill"] * 6)


@pytest.mark.parametrize("name", SCENARIOS)
def test_power_cuts_again_and_again(runner: Runner, name: str) -> None:
    for seed in range(200, 200 + SEEDS // 2):
        runner.crash(name, seed, ["power cut"] * 6)


@pytest.mark.parametrize("name", SCENARIOS)
def test_kill_then_power_cut(runner: Runner, name: str) -> None:
    """What a killed process had not yet synced is still not synced when the next one goes on from it."""
    for seed in range(300, 300 + 2 * SEEDS):
        runner.crash(name, seed, ["kill", "power cut"])


@pytest.mark.parametrize("name", SCENARIOS)
def test_kills_and_power_cuts_in_any_order(runner: Runner, name: str) -> None:
    for seed in range(400, 400 + SEEDS // 2):
        order = random.Random(seed)
        kinds: list[Kind] = [order.choice(("kill", "power cut")) for _ in range(6)]
        runner.crash(name, seed, kinds)


@pytest.mark.parametrize("kind", ["kill", "power cut"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_what_a_finished_run_leaves_survives_a_power_cut(runner: Runner, name: str, kind: Kind) -> None:
    """What was called done is on stable storage, also the part that an earlier, killed process wrote."""
    for seed in range(500, 500 + SEEDS):
        runner.crash(name, seed, [kind] * (seed % 3), survives=True)


@pytest.mark.parametrize("kind", ["kill", "power cut"])
@pytest.mark.parametrize("name", ["odd last file", "shrink", "surplus", "gaps", "lost nonce"])
def test_every_single_change_of_a_small_job(
    runner: Runner, disk_of: Callable[..., Disk], name: str, kind: Kind
) -> None:
    scenario = replace(SCENARIOS[name], largest=60)
    expected = runner.uninterrupted(name)[0]
    for cut_at, half_done in itertools.product(range(1, 200), (0.0, 1.0)):
        rng = random.Random(f"{name} {kind} {cut_at}")
        disk = disk_of(scenario, rng)
        disk.half_done = half_done
        disk.arm(cut_at)
        try:
            initialise(disk, scenario, random.Random(7))
            break
        except Cut:
            pass
        if kind == "power cut":
            disk.power_cut()
        disk.arm(None)
        initialise(disk, scenario, rng)
        assert visible(disk.root) == expected, (cut_at, half_done)
        disk.after_power_cut = "what was synced"
        disk.power_cut()
        assert visible(disk.root) == expected, f"{cut_at}, {half_done}: done, and a power cut after that"
    assert 4 < cut_at < 199


@pytest.mark.parametrize("name", ["one file", "many files", "label by label", "grow", "search beyond the data"])
def test_a_power_cut_that_leaves_zeros_where_nothing_was_synced(
    runner: Runner, disk_of: Callable[..., Disk], name: str
) -> None:
    """Also when that is everything: a job that has just begun."""
    expected, changes = runner.uninterrupted(name)
    for cut_at in range(1, changes, max(1, changes // 20)):
        rng = random.Random(f"{name} {cut_at}")
        disk = disk_of(SCENARIOS[name], rng)
        disk.after_power_cut = "zeros"
        disk.arm(cut_at)
        with contextlib.suppress(Cut):
            initialise(disk, SCENARIOS[name], rng)
        disk.power_cut()
        disk.arm(None)
        try:
            initialise(disk, SCENARIOS[name], rng)
        except Exception as error:
            raise AssertionError(f"a power cut at change {cut_at}: {type(error).__name__}: {error}") from error
        assert visible(disk.root) == expected, cut_at


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_sync_that_fails_is_not_believed_later(runner: Runner, disk_of: Callable[..., Disk], name: str) -> None:
    """Each sync of a job fails once, in one boot: what it lost is made again, though every later sync succeeds."""
    expected = runner.uninterrupted(name)[0]
    disk = disk_of(SCENARIOS[name], random.Random(7))
    initialise(disk, SCENARIOS[name], random.Random(7))
    syncs = disk.syncs
    assert syncs >= 3
    for fail_at in range(1, syncs + 1, max(1, syncs // 16)):
        rng = random.Random(f"{name} {fail_at}")
        disk = disk_of(SCENARIOS[name], rng)
        disk.arm(None, fail_at)
        with pytest.raises(EnvironmentFault, match="input/output error"):
            initialise(disk, SCENARIOS[name], random.Random(7))
        disk.arm(None)
        initialise(disk, SCENARIOS[name], rng)
        assert visible(disk.root) == expected, fail_at
        disk.after_power_cut = "what was synced"
        disk.power_cut()
        assert visible(disk.root) == expected, f"sync {fail_at} failed; done, and a power cut after that"


@pytest.mark.parametrize("name", ["one file", "many files", "grow", "gaps"])
def test_failing_syncs_kills_and_power_cuts_in_any_order(
    runner: Runner, disk_of: Callable[..., Disk], name: str
) -> None:
    for seed in range(SEEDS):
        failing_syncs(runner, disk_of, name, random.Random(f"{name} syncs {seed}"))


def failing_syncs(runner: Runner, disk_of: DiskOf, name: str, rng: random.Random) -> None:
    """Four runs whose syncs fail, that are killed or lose their power, then one that is left alone."""
    expected, changes = runner.uninterrupted(name)
    disk = disk_of(SCENARIOS[name], rng)
    disk.after_power_cut = "what was synced"
    for _ in range(4):
        disk.arm(rng.choice([None, rng.randint(1, changes)]), rng.randint(1, max(1, changes // 2)))
        with contextlib.suppress(Cut, EnvironmentFault):
            initialise(disk, SCENARIOS[name], rng)
        if rng.random() < 0.3:
            disk.power_cut()
    disk.arm(None)
    initialise(disk, SCENARIOS[name], rng)
    disk.power_cut()
    assert visible(disk.root) == expected


@pytest.mark.parametrize("name", ["one file", "many files", "search beyond the data", "search in large batches"])
def test_stops_and_crashes(runner: Runner, disk_of: Callable[..., Disk], name: str) -> None:
    """Ctrl-C after so many batches leaves everything synced: a power cut right after it takes nothing."""
    scenario = SCENARIOS[name]
    for seed in range(SEEDS):
        rng = random.Random(f"stop {seed}")
        disk = disk_of(scenario, rng)
        for _ in range(3):
            disk.arm(None)
            with contextlib.suppress(Interrupted):
                initialise(disk, scenario, rng, stop_after=rng.randint(0, 12))
            before = visible(disk.root)
            disk.power_cut()
            assert visible(disk.root) == before
        disk.arm(None)
        initialise(disk, scenario, rng)
        assert visible(disk.root) == runner.uninterrupted(name)[0]


@pytest.mark.parametrize("crash", ["kill", "power cut"])
def test_power_cut_then_a_run_over_other_files(runner: Runner, disk_of: Callable[..., Disk], crash: Kind) -> None:
    """A run over a part of the files must not forget that others were not yet on stable storage."""
    whole = SCENARIOS["many files"]
    first = replace(whole, options={"from_file": 0, "to_file": 2}, largest=20)
    other = replace(whole, options={"from_file": 4, "to_file": 5})
    for seed in range(4 * SEEDS):
        rng = random.Random(f"{crash} {seed}")
        disk = disk_of(whole, rng)
        story = []
        disk.arm(rng.randint(3, 30))
        with contextlib.suppress(Cut):
            initialise(disk, first, rng)
        story.append(f"{crash} at change {disk.cut_at}")
        if crash == "power cut":
            disk.power_cut()
        disk.arm(None)
        try:
            initialise(disk, other, rng)
            disk.power_cut()
            disk.arm(None)
            initialise(disk, whole, rng)
        except Exception as error:
            raise AssertionError(f"seed {seed}: after {story}: {error}") from error
        assert visible(disk.root) == runner.uninterrupted("many files")[0], f"seed {seed}: after {story}"


def test_a_search_that_was_noted_does_not_outlive_growing(disk_of: Callable[..., Disk]) -> None:
    """The best label of an interrupted search counted for fewer units; for more it may be too large."""
    fewer, more = vrf_difficulty(64), vrf_difficulty(128)
    job = Job(units=1, atx_id=NO_NONCE_IN_128)
    rows = [row.tobytes() for row in table(NO_NONCE_IN_128)]
    hit = next(at for at in range(128, 2048) if more <= rows[at] < fewer)

    def begin(root: Path) -> None:
        job.make(root)
        text = metadata_file.encode(job.metadata(nonce=None, nonce_value=None, last_position=128))
        (root / metadata_file.FILE_NAME).write_text(text)
        (root / record_file.FILE_NAME).write_text(
            f'{{"ScryptN": 2, "Search": {{"Start": 128, "Position": {hit + 1}, "Best": {hit}}}}}'
        )

    grown = Scenario(replace(job, units=2), begin, {"grow": True}, batch_size=hit - 127)
    assert all(row >= more for row in rows[:128]), "the nonce has to be searched beyond the data"
    disk = disk_of(grown, random.Random(1))
    initialise(disk, grown, random.Random(1))
    metadata = cli.metadata_of(disk.root)
    assert metadata.nonce is not None
    assert rows[metadata.nonce] < more, f"the nonce {metadata.nonce} is not valid for 2 units"


def test_temporary_files_of_a_killed_process_do_no_harm(disk_of: Callable[..., Disk]) -> None:
    scenario = SCENARIOS["many files"]
    rng = random.Random(3)
    disk = disk_of(scenario, rng)
    for name in (metadata_file.FILE_NAME, record_file.FILE_NAME, "identity.key", "probe"):
        (disk.root / f".{name}.new").write_bytes(b"{ half")
    disk = disk_of(replace(scenario, begin=lambda root: None), rng)
    initialise(disk, scenario, rng)
    assert {key for key in visible(disk.root) if key.endswith(".bin")} == set(scenario.job.files())


# == real processes ============================================================================================

REAL = Job(units=3, labels_per_unit=40_000, max_file_size=500_000, scrypt_n=256)
KILLS = 20


@pytest.fixture(scope="module")
def right() -> dict[str, bytes]:
    cpu.warm_up()
    return REAL.files()


def wait_for_work(child: subprocess.Popen[str], directory: Path) -> None:
    """Returns when the child has written labels, whatever its start takes on this machine, or has ended."""
    held = sum(map(len, cli.data_files(directory).values()))
    cli.wait_for(lambda: child.poll() is not None or sum(map(len, cli.data_files(directory).values())) > held)


def test_kill_9_of_a_child_at_random_moments(tmp_path: Path, right: dict[str, bytes]) -> None:
    rng = random.Random(9)
    kills = jobs = 0
    while kills < KILLS:
        directory = tmp_path / str(jobs)
        jobs += 1
        assert jobs <= KILLS
        for _ in range(KILLS):
            child = cli.start(*REAL.options(directory, "--throttle", 30))
            at_any_moment = rng.random() < 0.3
            try:
                if at_any_moment:
                    time.sleep(rng.random() * 0.7)
                else:
                    wait_for_work(child, directory)
                    time.sleep(rng.random() * 0.15)
            finally:
                child.kill()
            result = cli.finish(child)
            if result.code == 0:
                break
            assert result.code == -signal.SIGKILL, result.text
            kills += 1
            for name, content in cli.data_files(directory).items():
                whole = len(content) // 16 * 16
                assert content[:whole] == right[name][:whole]
        else:
            REAL.init(directory).ok()
        assert cli.data_files(directory) == right
        assert cli.metadata_text(directory) == metadata_file.encode(REAL.metadata())
    print(f"{kills} kills in {jobs} jobs")
