"""Joining the parts of a split initialisation: what is refused, and that no kill loses a byte."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.cli.main import main
from kernels.labels import scalar as scrypt_scalar
from prover.errors import DataError, EnvironmentFault, Interrupted, MetadataError, ProofError, UsageError
from prover.post import directory, metadata, record
from prover.post.directory import LOCK_NAME, Storage
from prover.post.merge import files as merge_files
from prover.post.merge.run import Merge
from prover.post.merge.types import Mode
from prover.post.metadata import PostMetadata
from prover.post.record import Record
from tests.support.merging import (
    IDENTITY,
    KEY,
    META,
    NUM_FILES,
    PER_FILE,
    content,
    held,
    label32,
    merge,
    meta_of,
    on_another_disk,
    part,
    tree,
    whole,
)


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    with on_another_disk(tmp_path) as path:
        yield path


# -- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"node_id": bytes(32)},
        {"commitment_atx_id": bytes(32)},
        {"labels_per_unit": META.labels_per_unit + 1},
        {"num_units": 2},
        {"max_file_size": 256},
        {"num_units": 2, "max_file_size": 256},
    ],
)
@pytest.mark.parametrize("place", ["b", "d"])
def test_parts_of_something_else_are_refused(tmp_path: Path, change: dict[str, object], place: str) -> None:
    a = part(tmp_path / "a", whole(0))
    other = replace(META, **change)  # type: ignore[arg-type]
    b = part(tmp_path / place, {}, other)
    with pytest.raises(UsageError) as raised:
        merge([a, b] if place == "b" else [a], tmp_path / "d")
    message = str(raised.value)
    for name in change:
        value, wanted = getattr(other, name), getattr(META, name)
        for one in (value, wanted):
            assert (one.hex() if isinstance(one, bytes) else str(one)) in message
        assert name.replace("_", "") in message.lower()
    assert str(a) in message and str(b) in message
    assert message.count(" in ") >= 2 * len(change)


def test_scrypt_n_must_agree(tmp_path: Path) -> None:
    a, b = part(tmp_path / "a", whole(0)), part(tmp_path / "b", whole(1), n=4)
    with pytest.raises(UsageError, match=r"scrypt N differs: 2 .*4"):
        merge([a, b], tmp_path / "d")
    with pytest.raises(UsageError, match="scrypt N differs"):
        merge([a], tmp_path / "d", asked_scrypt_n=8192)
    c = part(tmp_path / "c", {1: b"".join(label32(KEY, PER_FILE + at, 4)[:16] for at in range(8))}, n=None)
    with pytest.raises(UsageError, match="N = 4"):
        merge([a, c], tmp_path / "d")


def test_a_record_that_only_one_part_has_is_written(tmp_path: Path) -> None:
    a, b = part(tmp_path / "a", whole(0), n=None), part(tmp_path / "b", whole(1))
    merge([a, b], tmp_path / "d")
    assert record.decode((tmp_path / "d" / record.FILE_NAME).read_bytes()) == Record(2)
    outcome, _ = merge([a], tmp_path / "e")
    assert outcome.scrypt_n is None
    assert not (tmp_path / "e" / record.FILE_NAME).exists()
    merge([a], tmp_path / "f", asked_scrypt_n=2)
    assert record.decode((tmp_path / "f" / record.FILE_NAME).read_bytes()) == Record(2)


@pytest.mark.parametrize("place", ["b", "d"])
def test_identities_that_differ_are_refused(tmp_path: Path, place: str) -> None:
    a = part(tmp_path / "a", whole(0), identity=IDENTITY)
    b = part(tmp_path / place, {}, identity=b"cd" * 64)
    with pytest.raises(UsageError) as raised:
        merge([a, b] if place == "b" else [a], tmp_path / "d")
    assert str(a / "identity.key") in str(raised.value) and str(b / "identity.key") in str(raised.value)
    assert (a / "identity.key").read_bytes() == IDENTITY
    (b / "identity.key").write_bytes(IDENTITY.upper() + b"\n")
    merge([a, b] if place == "b" else [a], tmp_path / "d")


def test_places_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    a = part(tmp_path / "a", whole(0))
    (tmp_path / "file").write_text("")
    (tmp_path / "same").symlink_to(a)
    for sources, into, words in (
        ([tmp_path / "nothing"], tmp_path / "d", "nothing does not exist"),
        ([tmp_path / "file"], tmp_path / "d", "file is not a directory"),
        ([a], tmp_path / "file", "file is not a directory"),
        ([a], a, "both a source and the destination"),
        ([a], tmp_path / "same", "both a source and the destination"),
        ([a, tmp_path / "same"], tmp_path / "d", "the same directory"),
    ):
        with pytest.raises(UsageError, match=words):
            merge(sources, into)
    assert not (tmp_path / "d").exists()


def test_directories_without_metadata_are_refused(tmp_path: Path) -> None:
    a = part(tmp_path / "a", whole(0))
    b = part(tmp_path / "b", {}, meta=None)
    for mode in Mode:
        with pytest.raises(DataError, match=f"{b} has no postdata_metadata.json"):
            merge([a, b], tmp_path / "d", mode)
    d = part(tmp_path / "d", whole(1), meta=None)
    with pytest.raises(DataError, match=f"{d} holds 8 labels but no"):
        merge([a], d)
    (b / metadata.FILE_NAME).write_text("{")
    with pytest.raises(MetadataError):
        merge([a, b], tmp_path / "e")


@pytest.mark.parametrize("files", [{0: content(0) + bytes(16)}, {7: bytes(16)}, {4: content(4) + bytes(32)}])
@pytest.mark.parametrize("place", ["a", "d"])
def test_surplus_is_refused(tmp_path: Path, files: dict[int, bytes], place: str) -> None:
    part(tmp_path / "a", {})
    one = part(tmp_path / place, files)
    with pytest.raises(DataError, match=f"postdata_{next(iter(files))}.bin has .* expected at most"):
        merge([tmp_path / "a"], tmp_path / "d")
    assert held(one) == files


def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    a, d = part(tmp_path / "a", whole(0)), part(tmp_path / "d", {})
    for one in (a, d):
        with Storage(one).lock(), pytest.raises(DataError, match=f"{one} is in use by process {os.getpid()}"):
            merge([a], d)


@pytest.mark.parametrize("mode", [Mode.COPY, Mode.MOVE])
def test_room_is_counted_on_every_disk_before_work(
    tmp_path: Path, mode: Mode, other_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = part(tmp_path / "a", whole(0))
    b = part(other_disk / "b", whole(1, 2))
    d = part(tmp_path / "d", {})
    (d / "postdata_0.bin").symlink_to(other_disk / "zero")
    before = tree(a, b, d)
    free = 128 + (1 << 20)
    monkeypatch.setattr(directory, "free_bytes", lambda path: free)
    with pytest.raises(EnvironmentFault) as raised:
        merge([a, b], d, mode)
    message = str(raised.value)
    assert f"the disk of {d} has {free} bytes free" in message
    assert f"{free + 128} are needed" in message
    assert str(other_disk) not in message
    assert tree(a, b, d) == before


# -- killed at any instant ----------------------------------------------------------------------------------


class Killed(BaseException):
    """Nothing in the program catches it, so nothing is tidied up."""


class Killer:
    """Counts what changes files, and stops the program before, within or after one of these steps."""

    DEEDS = ("link", "symlink", "rename", "replace", "unlink", "truncate", "fsync", "mkdir", "open")
    WRITES = ("write", "copy_file_range")

    def __init__(self, patch: pytest.MonkeyPatch, at: int | None) -> None:
        self.steps = 0
        self.at = at
        patch.setattr(os, "fsync", lambda descriptor: None)  # a step, but the disk need not turn
        for name in self.DEEDS:
            patch.setattr(os, name, self._deed(name, getattr(os, name)))
        for name in self.WRITES:
            if hasattr(os, name):
                patch.setattr(os, name, self._write(name, getattr(os, name)))

    def _step(self) -> None:
        self.steps += 1
        if self.steps - 1 == self.at:
            raise Killed

    def _deed(self, name: str, deed: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object, **options: object) -> object:
            if name == "open" and not int(arguments[1]) & os.O_CREAT:  # type: ignore[call-overload]
                return deed(*arguments, **options)
            if str(arguments[0]).endswith(LOCK_NAME):  # the system takes locks back, here nobody would
                return deed(*arguments, **options)
            self._step()
            result = deed(*arguments, **options)
            if name != "open":  # a descriptor that nobody gets would stay open, and with it its lock
                self._step()
            return result

        return step

    def _write(self, name: str, deed: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object) -> object:
            if self.steps == self.at:  # half of it arrives
                if name == "write":
                    deed(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])  # type: ignore[call-overload, arg-type]
                else:
                    deed(*arguments[:2], int(arguments[2]) // 2 or 1)  # type: ignore[call-overload]
            self._step()
            return deed(*arguments)

        return step


def scene(root: Path, with_destination: bool) -> tuple[list[Path], Path]:
    """Everything at once: duplicates, partial files, links inside, outside and across, and small files."""
    best = min(range(META.num_labels), key=lambda index: label32(KEY, index, 2))
    first = replace(META, nonce=best, nonce_value=label32(KEY, best, 2)[:16])
    a = part(root / "a", {0: content(0), 1: content(1, 5) + b"torn"}, first, identity=IDENTITY)
    b = part(root / "b", {0: content(0), 1: content(1, 6) + b"x"}, replace(META, nonce=7), n=None)
    outside = root / "outside"
    outside.mkdir()
    (outside / "four").write_bytes(content(4))
    (b / "sub").mkdir()
    (b / "sub" / "two").write_bytes(content(2))
    for one in (a, b):
        (one / "postdata_4.bin").symlink_to(outside / "four")
    (b / "postdata_2.bin").symlink_to("sub/two")
    (a / "postdata_2.bin").symlink_to(b / "postdata_2.bin")
    into = root / "d"
    if with_destination:
        part(into, {1: content(1, 2)}, n=None)
        (into / "postdata_0.bin").symlink_to(outside / "zero")
        (into / "postdata_2.bin").symlink_to(b / "sub" / "two")
    return [a, b], into


SCENE = {0: content(0), 1: content(1, 6), 2: content(2), 4: content(4)}


def nothing_is_lost(places: list[Path]) -> None:
    for number, data in SCENE.items():
        copies = [one.read_bytes() for place in places if (one := place / f"postdata_{number}.bin").exists()]
        # within a rename across the links of a source only the destination has it; it never has less
        assert any(copy[: len(data)] == data for copy in copies), number


@pytest.mark.parametrize(
    ("mode", "joined", "with_destination"),
    [
        (Mode.LINK, True, True),
        (Mode.COPY, False, True),
        (Mode.MOVE, True, False),
        (Mode.MOVE, True, True),
        (Mode.MOVE, False, False),
        (Mode.MOVE, False, True),
    ],
)
def test_killed_at_every_step_and_run_again(tmp_path: Path, mode: Mode, joined: bool, with_destination: bool) -> None:
    def attempt(root: Path, at: int | None) -> int:
        sources, into = [root / "a", root / "b"], root / "d"
        with pytest.MonkeyPatch.context() as patch:
            if not joined:
                patch.setattr(Merge, "_can_join", lambda self, file, place: False)
            killer = Killer(patch, at)
            merge(sources, into, mode)
            return killer.steps

    scene(tmp_path / "clean", with_destination)
    steps = attempt(tmp_path / "clean", None)
    assert steps > 40
    expected = meta_of(tmp_path / "clean" / "d")
    assert expected.nonce_value == min(label32(KEY, index, 2) for index in range(META.num_labels))[:16]
    dice = random.Random(steps)
    for at in range(steps):
        root = tmp_path / str(at)
        sources, into = scene(root, with_destination)
        untouched = tree(*sources)
        for moment in (at, dice.randrange(steps)):
            try:
                attempt(root, moment)
            except Killed:
                nothing_is_lost([*sources, into])
        attempt(root, None)
        assert held(into) == SCENE
        assert meta_of(into) == expected
        assert record.decode((into / record.FILE_NAME).read_bytes()) == Record(2)
        assert (into / "identity.key").read_bytes() == IDENTITY
        if mode is Mode.MOVE:
            # a copied link leaves its target behind, which is not a name of the source
            assert [one for one in tree(*sources) if "postdata" in one or one.endswith(("json", "key"))] == []
        else:
            assert {path: data for path, data in tree(*sources).items() if ".merge" not in path} == untouched
        assert not [name for name in os.listdir(into) if name.startswith(".merge") and name != ".merge.probe"]
        shutil.rmtree(root)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(
        st.dictionaries(st.integers(0, NUM_FILES - 1), st.integers(0, PER_FILE * 16), max_size=NUM_FILES),
        min_size=2,
        max_size=4,
    ),
    mode=st.sampled_from(Mode),
)
def test_any_split_merges_to_the_longest(tmp_path: Path, lengths: list[dict[int, int]], mode: Mode) -> None:
    root = tmp_path / str(random.getrandbits(64))
    parts = [{number: content(number)[:size] for number, size in one.items()} for one in lengths]
    d, *sources = [part(root / str(at), files) for at, files in enumerate(parts)]
    outcome, _ = merge(sources, d, mode)
    expected = {
        number: max((files.get(number, b"") for files in parts), key=len)
        for number in {number for files in parts for number in files}
    }
    assert {number: data for number, data in held(d).items() if data} == {
        number: data[: len(data) // 16 * 16] for number, data in expected.items() if len(data) >= 16
    }
    absent = {number for numbers in outcome.missing for number in numbers}
    assert absent == set(range(NUM_FILES)) - {number for number, data in expected.items() if len(data) >= 16}
    if mode is Mode.MOVE:
        assert not any(held(one) for one in sources)
    else:
        assert [held(one) for one in sources] == parts[1:]
    shutil.rmtree(root)


# -- stopping, and the command ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [Mode.COPY, Mode.MOVE])
def test_a_stop_leaves_nothing_half_done(tmp_path: Path, mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    a = part(tmp_path / "a", whole(0, 1, 2))
    monkeypatch.setattr(Merge, "_can_join", lambda self, file, place: False)
    asked = iter([False] * 4 + [True] * 99)
    with pytest.raises(Interrupted):
        merge([a], tmp_path / "d", mode, stop=lambda: next(asked))
    assert not [name for name in os.listdir(tmp_path / "d") if name.endswith(".new")]
    assert not (tmp_path / "d" / metadata.FILE_NAME).exists()
    merge([a], tmp_path / "d", mode)
    assert held(tmp_path / "d") == whole(0, 1, 2)


def test_the_fallback_of_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> int:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuse, raising=False)
    a = part(tmp_path / "a", whole(0, 1))
    merge([a], tmp_path / "d", Mode.COPY)
    assert held(tmp_path / "d") == whole(0, 1)


def test_a_link_that_is_refused_late_becomes_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    a = part(tmp_path / "a", whole(0))
    monkeypatch.setattr(Merge, "_can_join", lambda self, file, place: True)
    monkeypatch.setattr(os, "link", refuse)
    outcome, _ = merge([a], tmp_path / "d")
    assert (outcome.linked, outcome.bytes_copied) == (0, 128)
    monkeypatch.setattr(directory, "free_bytes", lambda path: 100)
    with pytest.raises(EnvironmentFault, match="has to be copied"):
        merge([a], tmp_path / "e")


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    a = part(tmp_path / "a", whole(0))
    monkeypatch.setattr(os, "copy_file_range", full, raising=False)
    with pytest.raises(EnvironmentFault, match="disk is full"):
        merge([a], tmp_path / "d", Mode.COPY)
    assert not [name for name in os.listdir(tmp_path / "d") if name.endswith(".new")]


def real_part(path: Path, files: Mapping[int, int], meta: PostMetadata = META) -> Path:
    """A part with real labels (N = 2)."""
    return part(
        path,
        {
            number: b"".join(scrypt_scalar.label32(KEY, number * PER_FILE + at, 2)[:16] for at in range(count))
            for number, count in files.items()
        },
        meta,
    )


def test_the_command_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = scrypt_scalar.label32(KEY, 6, 2)[:16]
    a = real_part(tmp_path / "a", {0: 8, 1: 8}, replace(META, nonce=6))
    b = real_part(tmp_path / "b", {3: 2})
    assert main(["merge", str(a), str(b), "--into", str(tmp_path / "d"), "--json"]) == 0
    done = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert done.pop("seconds") >= 0
    assert done == {
        "event": "done",
        "files": 3,
        "labels": 18,
        "total_labels": META.num_labels,
        "complete": False,
        "bytes_copied": 32,
        "linked": 2,
        "moved": 0,
        "removed": 0,
        "missing": [2, 4],
        "missing_count": 2,
        "incomplete": [3],
        "nonce": 6,
        "nonce_value": value.hex(),
        "scrypt_n": 2,
        "next": f"smesher init --data-dir {tmp_path / 'd'} fills what is missing",
    }
    assert main(["merge", str(a), str(b), "--into", str(tmp_path / "d")]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert "missing: file 2, 4" in lines[-3]
    assert "smesher init" in lines[-1]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["{a}", "--into", "{a}"], 2),
        (["{a}", "{nothing}", "--into", "{d}"], 2),
        (["{a}", "--into", "{d}", "--move", "--copy"], 2),
        (["{a}", "--into", "{d}", "--scrypt-n", "3"], 2),
        (["{a}", "--into", "{d}", "--network", "mainnet"], 2),
        (["{a}", "--into", "{d}", "--network", "fastnet"], 0),
        (["{a}", "{b}", "--into", "{d}"], 1),
        (["{a}"], 2),
        (["--into", "{d}"], 2),
    ],
)
def test_exit_codes(tmp_path: Path, words: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    names = {
        "a": real_part(tmp_path / "a", {0: 8}),
        "b": tmp_path / "b",
        "d": tmp_path / "d",
        "nothing": tmp_path / "x",
    }
    part(tmp_path / "b", {}, meta=None)
    assert main(["merge", "--json", *(word.format(**names) for word in words)]) == code
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["event"], last.get("code", 0)) == (("done", 0) if code == 0 else ("error", code))


def test_a_signal_ends_with_130(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = merge_files.copy_some

    def interrupted(*arguments: int) -> object:
        os.kill(os.getpid(), signal.SIGINT)
        return copy(*arguments)  # type: ignore[arg-type]

    a = real_part(tmp_path / "a", {0: 8, 1: 8})
    monkeypatch.setattr(merge_files, "copy_some", interrupted)
    assert main(["merge", str(a), "--into", str(tmp_path / "d"), "--copy", "--json"]) == 130
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["code"] == 130
    monkeypatch.undo()
    assert main(["merge", str(a), "--into", str(tmp_path / "d"), "--copy"]) == 0
    assert held(tmp_path / "d") == held(a)


def test_errors_carry_their_exit_codes() -> None:
    assert [one.exit_code for one in (DataError, UsageError, EnvironmentFault, Interrupted)] == [1, 2, 3, 130]
    assert issubclass(MetadataError, ProofError)
