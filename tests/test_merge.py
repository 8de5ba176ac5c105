"""Joining the parts of a split initialisation: what is refused, how files travel, and that no kill loses a byte."""

import hashlib
import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.cli.main import main
from kernels import scrypt_scalar
from protocol.post import commitment
from prover.errors import DataError, EnvironmentFault, Interrupted, MetadataError, ProofError, UsageError
from prover.post import merge_files, merge_plan, metadata, record
from prover.post.merge import Merge, Outcome
from prover.post.merge_plan import Mode
from prover.post.metadata import PostMetadata
from prover.post.record import Record, Search
from prover.post.storage import LOCK_NAME, Storage

PER_FILE = 8
NUM_FILES = 5
LAST = 3
"""Labels of the last file."""

META = PostMetadata(
    node_id=bytes(range(32)),
    commitment_atx_id=bytes(range(32, 64)),
    labels_per_unit=PER_FILE * (NUM_FILES - 1) + LAST,
    num_units=1,
    max_file_size=PER_FILE * 16,
)
KEY = commitment(META.node_id, META.commitment_atx_id)
IDENTITY = b"ab" * 64


def label32(key: bytes, index: int, n: int) -> bytes:
    """Stands in for scrypt: quick, and another one for every N."""
    return hashlib.sha256(key + index.to_bytes(8, "little") + n.to_bytes(4, "little")).digest()


def content(number: int, labels: int | None = None) -> bytes:
    """The right content of a data file, or its first labels."""
    size = (PER_FILE if number < NUM_FILES - 1 else LAST) if labels is None else labels
    return b"".join(label32(KEY, number * PER_FILE + at, 2)[:16] for at in range(size))


def part(
    path: Path, files: Mapping[int, bytes], meta: PostMetadata | None = META, n: int | None = 2, identity: bytes = b""
) -> Path:
    """A data directory."""
    path.mkdir(parents=True, exist_ok=True)
    for number, data in files.items():
        (path / f"postdata_{number}.bin").write_bytes(data)
    if meta is not None:
        (path / metadata.FILE_NAME).write_text(metadata.encode(meta))
    if n is not None:
        (path / record.FILE_NAME).write_text(record.encode(Record(n)))
    if identity:
        (path / "identity.key").write_bytes(identity)
    return path


def whole(*numbers: int) -> dict[int, bytes]:
    return {number: content(number) for number in numbers}


def merge(sources: list[Path], into: Path, mode: Mode = Mode.LINK, **options: object) -> tuple[Outcome, str]:
    """The outcome and all notes."""
    notes: list[str] = []
    options.setdefault("label32", label32)
    outcome = Merge(sources, into, mode=mode, note=notes.append, **options).run()  # type: ignore[arg-type]
    return outcome, "\n".join(notes)


def held(path: Path) -> dict[int, bytes]:
    return {number: (path / f"postdata_{number}.bin").read_bytes() for number in Storage(path).data_files()}


def meta_of(path: Path) -> PostMetadata:
    return metadata.decode((path / metadata.FILE_NAME).read_bytes())


def tree(*paths: Path) -> dict[str, object]:
    """Everything below some directories but lock files: content, or where a link leads."""
    return {
        str(one): os.readlink(one) if one.is_symlink() else one.read_bytes() if one.is_file() else None
        for path in paths
        for one in sorted(path.rglob("*"))
        if one.name != "smesher.lock"
    }


# -- how files travel ---------------------------------------------------------------------------------------


def test_complete_files_are_linked(tmp_path: Path) -> None:
    a = part(tmp_path / "a", whole(0, 1), identity=IDENTITY)
    b = part(tmp_path / "b", whole(2, 3, 4), identity=IDENTITY)
    before = tree(a, b)
    outcome, notes = merge([a, b], tmp_path / "new" / "d")
    into = tmp_path / "new" / "d"
    assert held(into) == whole(0, 1, 2, 3, 4)
    assert (into / "postdata_3.bin").samefile(b / "postdata_3.bin")
    assert (outcome.files, outcome.linked, outcome.bytes_copied, outcome.labels) == (5, 5, 0, META.num_labels)
    assert (outcome.missing, outcome.incomplete) == ((), ())
    assert "share" in notes
    assert (into / metadata.FILE_NAME).read_text() == metadata.encode(META)
    assert (into / record.FILE_NAME).read_text() == record.encode(Record(2))
    assert (into / "identity.key").read_bytes() == IDENTITY
    assert (into / "identity.key").stat().st_mode & 0o777 == 0o600
    assert into.stat().st_mode & 0o777 == 0o700
    assert tree(a, b) == before
    assert not [name for name in os.listdir(into) if name.startswith(".")]


def test_copies_share_nothing(tmp_path: Path) -> None:
    a = part(tmp_path / "a", whole(0, 1, 2, 3, 4))
    outcome, notes = merge([a], tmp_path / "d", Mode.COPY)
    assert held(tmp_path / "d") == held(a)
    assert not (tmp_path / "d" / "postdata_0.bin").samefile(a / "postdata_0.bin")
    assert outcome.bytes_copied == META.num_labels * 16
    assert "share" not in notes


def test_a_file_that_init_would_append_to_is_not_shared(tmp_path: Path) -> None:
    a = part(tmp_path / "a", {0: content(0), 1: content(1, 5)})
    outcome, _ = merge([a], tmp_path / "d")
    assert (outcome.linked, outcome.bytes_copied) == (1, 5 * 16)
    assert not (tmp_path / "d" / "postdata_1.bin").samefile(a / "postdata_1.bin")
    assert outcome.missing == (range(2, 5),)
    assert outcome.incomplete == (1,)


def test_moving_renames_and_empties_the_sources(tmp_path: Path) -> None:
    a = part(tmp_path / "a", whole(0, 1), identity=IDENTITY)
    b = part(tmp_path / "b", whole(1, 2, 3, 4))
    inode = (b / "postdata_4.bin").stat().st_ino
    outcome, _ = merge([a, b], tmp_path / "d", Mode.MOVE)
    assert held(tmp_path / "d") == whole(0, 1, 2, 3, 4)
    assert (tmp_path / "d" / "postdata_4.bin").stat().st_ino == inode
    assert (outcome.moved, outcome.bytes_copied, outcome.removed) == (5, 0, 1)
    assert tree(a, b) == {}
    again, _ = merge([a, b], tmp_path / "d", Mode.MOVE)
    assert (again.files, again.moved, again.removed) == (5, 0, 0)


def test_moving_to_another_disk_copies_and_removes(tmp_path: Path, other_disk: Path) -> None:
    a = part(tmp_path / "a", whole(0, 1, 2, 3, 4))
    outcome, _ = merge([a], other_disk / "d", Mode.MOVE)
    assert held(other_disk / "d") == whole(0, 1, 2, 3, 4)
    assert (outcome.moved, outcome.bytes_copied) == (0, META.num_labels * 16)
    assert tree(a) == {}


def test_linking_to_another_disk_copies(tmp_path: Path, other_disk: Path) -> None:
    a = part(tmp_path / "a", whole(0))
    outcome, _ = merge([a], other_disk / "d")
    assert (outcome.linked, outcome.bytes_copied) == (0, 128)


@pytest.fixture
def other_disk(tmp_path: Path) -> Path:
    shm = Path("/dev/shm")
    if not shm.is_dir() or not os.access(shm, os.W_OK) or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    path = shm / f"merge-{os.getpid()}-{random.getrandbits(32)}"
    path.mkdir()
    yield path  # type: ignore[misc]
    shutil.rmtree(path)


@pytest.mark.parametrize("mode", Mode)
def test_a_partial_label_is_not_carried_over(tmp_path: Path, mode: Mode) -> None:
    files = {0: content(0, 3) + b"torn", 1: content(1) + b"surplus", 2: b"only this"}
    a = part(tmp_path / "a", files)
    outcome, notes = merge([a], tmp_path / "d", mode)
    assert held(tmp_path / "d") == {0: content(0, 3), 1: content(1)}
    assert "partial label" in notes
    assert outcome.missing == (range(2, 5),)
    assert held(a) == ({} if mode is Mode.MOVE else files)


@pytest.mark.parametrize("mode", Mode)
def test_a_partial_label_in_the_destination_is_cut(tmp_path: Path, mode: Mode) -> None:
    a = part(tmp_path / "a", whole(1))
    d = part(tmp_path / "d", {0: content(0, 3) + b"torn"})
    os.link(d / "postdata_0.bin", a / "postdata_0.bin")
    merge([a], d, mode)
    assert held(d)[0] == content(0, 3)
    if mode is not Mode.MOVE:
        assert held(a)[0] == content(0, 3) + b"torn"


# -- links to other disks -----------------------------------------------------------------------------------


def linked_part(tmp_path: Path, data: bytes = b"") -> tuple[Path, Path]:
    a = part(tmp_path / "a", whole(0))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "four").write_bytes(data or content(4))
    (a / "postdata_4.bin").symlink_to("../elsewhere/four")
    return a, elsewhere / "four"


@pytest.mark.parametrize("mode", [Mode.LINK, Mode.MOVE])
def test_a_link_stays_a_link(tmp_path: Path, mode: Mode) -> None:
    a, target = linked_part(tmp_path)
    outcome, _ = merge([a], tmp_path / "x" / "d", mode)
    link = tmp_path / "x" / "d" / "postdata_4.bin"
    assert os.readlink(link) == str(target)
    assert target.read_bytes() == content(4)
    assert outcome.bytes_copied == 0
    assert os.path.lexists(a / "postdata_4.bin") == (mode is Mode.LINK)


def test_copying_follows_links(tmp_path: Path) -> None:
    a, target = linked_part(tmp_path)
    merge([a], tmp_path / "d", Mode.COPY)
    assert not (tmp_path / "d" / "postdata_4.bin").is_symlink()
    assert held(tmp_path / "d")[4] == content(4) == target.read_bytes()


def test_a_moved_link_with_a_partial_label_is_cut_where_it_is(tmp_path: Path) -> None:
    a, target = linked_part(tmp_path, content(4, 2) + b"torn")
    merge([a], tmp_path / "d", Mode.MOVE)
    assert target.read_bytes() == content(4, 2)
    assert (tmp_path / "d" / "postdata_4.bin").is_symlink()


def test_the_target_of_a_link_inside_a_source_moves(tmp_path: Path) -> None:
    a = part(tmp_path / "a", whole(0))
    (a / "sub").mkdir()
    (a / "sub" / "one").write_bytes(content(1))
    (a / "postdata_1.bin").symlink_to("sub/one")
    merge([a], tmp_path / "d", Mode.MOVE)
    assert not (tmp_path / "d" / "postdata_1.bin").is_symlink()
    assert held(tmp_path / "d") == whole(0, 1)
    assert list(tree(a)) == [str(a / "sub")]


def test_a_link_from_one_source_into_another_is_no_second_copy(tmp_path: Path) -> None:
    b = part(tmp_path / "b", whole(0, 1))
    a = part(tmp_path / "a", {})
    (a / "postdata_1.bin").symlink_to(b / "postdata_1.bin")
    merge([a, b], tmp_path / "d", Mode.MOVE)
    assert held(tmp_path / "d") == whole(0, 1)
    assert not (tmp_path / "d" / "postdata_1.bin").is_symlink()
    assert tree(a, b) == {}


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("better", [False, True])
def test_a_destination_that_links_into_a_source_keeps_its_labels(tmp_path: Path, mode: Mode, better: bool) -> None:
    a = part(tmp_path / "a", {1: content(1, 4)})
    b = part(tmp_path / "b", {1: content(1, 6)} if better else {0: content(0)})
    d = part(tmp_path / "d", {})
    (d / "postdata_1.bin").symlink_to(a / "postdata_1.bin")
    merge([a, b], d, mode)
    assert held(d)[1] == content(1, 6 if better else 4)
    if mode is Mode.MOVE:
        assert tree(a, b) == {}
    else:
        assert held(a)[1] == content(1, 4)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("begun", [b"", content(2, 3), None])
def test_a_link_in_the_destination_says_where_a_file_goes(tmp_path: Path, mode: Mode, begun: bytes | None) -> None:
    a = part(tmp_path / "a", whole(2))
    d = part(tmp_path / "d", {})
    disk = tmp_path / "disk"
    disk.mkdir()
    (d / "postdata_2.bin").symlink_to(disk / "two")
    if begun is not None:
        (disk / "two").write_bytes(begun)
    merge([a], d, mode)
    assert (d / "postdata_2.bin").is_symlink()
    assert (disk / "two").read_bytes() == content(2)
    assert os.listdir(disk) == ["two"]


def test_a_link_that_leads_nowhere_may_be_a_disk_that_is_not_mounted(tmp_path: Path) -> None:
    a, target = linked_part(tmp_path)
    target.unlink()
    with pytest.raises(DataError, match="mounted"):
        merge([a], tmp_path / "d")
    d = part(tmp_path / "e", {})
    (d / "postdata_2.bin").symlink_to(tmp_path / "gone" / "two")
    with pytest.raises(EnvironmentFault, match="mounted"):
        merge([part(tmp_path / "b", whole(2))], d)


def test_one_file_under_two_numbers_is_refused(tmp_path: Path) -> None:
    a = part(tmp_path / "a", whole(0))
    (a / "postdata_1.bin").symlink_to("postdata_0.bin")
    with pytest.raises(DataError, match="two numbers"):
        merge([a], tmp_path / "d")


def test_the_destination_may_stand_in_a_source_or_around_it(tmp_path: Path) -> None:
    a = part(tmp_path / "a", whole(0))
    merge([a], a / "inner", Mode.MOVE)
    assert held(a / "inner") == whole(0)
    outer = part(tmp_path / "outer", whole(1))
    inner = part(outer / "inner", whole(2))
    merge([inner], outer, Mode.MOVE)
    assert held(outer) == whole(1, 2)


# -- the same file twice ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("order", [1, -1])
def test_the_longest_copy_is_taken(tmp_path: Path, mode: Mode, order: int) -> None:
    a = part(tmp_path / "a", {0: content(0, 3), 1: content(1)})
    b = part(tmp_path / "b", {0: content(0), 1: content(1, 7)})
    merge([a, b][::order], tmp_path / "d", mode)
    assert held(tmp_path / "d") == whole(0, 1)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("place", ["b", "d"])
@pytest.mark.parametrize("labels", [None, 5])
def test_copies_that_differ_are_refused(tmp_path: Path, mode: Mode, place: str, labels: int | None) -> None:
    wrong = bytearray(content(1, labels))
    wrong[37] ^= 1
    a = part(tmp_path / "a", whole(0, 1))
    b = part(tmp_path / place, {1: bytes(wrong)})
    sources = [a, b] if place == "b" else [a]
    before = tree(a, b)
    with pytest.raises(DataError, match=r"postdata_1\.bin and .*postdata_1\.bin differ from byte 37"):
        merge(sources, tmp_path / "d", mode)
    assert tree(a, b) == before
    assert (tmp_path / "d").exists() == (place == "d")


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
    monkeypatch.setattr(merge_files, "free_bytes", lambda path: free)
    with pytest.raises(EnvironmentFault) as raised:
        merge([a, b], d, mode)
    message = str(raised.value)
    assert f"the disk of {d} has {free} bytes free" in message
    assert f"{free + 128} are needed" in message
    assert str(other_disk) not in message
    assert tree(a, b, d) == before


# -- the nonce and the other small fields -------------------------------------------------------------------


V = [bytes([value]) * 16 for value in range(4)]


@pytest.mark.parametrize(
    ("found", "labels", "expected"),
    [
        ({}, None, None),
        ({9: [V[2]], 700: [V[1]]}, None, (700, V[1], ())),
        ({9: [V[2]], 700: []}, {9: V[2], 700: V[1]}, (700, V[1], ())),
        ({9: [V[2]], 700: []}, {9: V[2], 700: V[3]}, (9, V[2], ())),
        ({9: [V[1]], 5: [V[1]]}, {9: V[1] + b"\0", 5: V[1] + b"\1"}, (9, V[1], ())),
        ({9: [V[1]], 5: [V[1]]}, {9: V[1], 5: V[1]}, (5, V[1], ())),
        ({9: [V[0]], 5: [V[1]]}, {9: V[2], 5: V[1]}, (5, V[1], (9,))),
        ({9: [V[0], V[2]], 5: [V[3]]}, {9: V[2], 5: V[3]}, (9, V[2], (9,))),
    ],
)
def test_the_smallest_label_is_the_nonce(
    found: dict[int, list[bytes]], labels: dict[int, bytes] | None, expected: object
) -> None:
    claimed = {nonce: frozenset(values) for nonce, values in found.items()}
    recompute = None if labels is None else (lambda index: labels[index].ljust(32, b"\7"))
    assert merge_plan.must_recompute(claimed) <= (labels is not None)
    assert merge_plan.choose_nonce(claimed, recompute) == expected


def test_a_nonce_without_a_value_is_recomputed(tmp_path: Path) -> None:
    a = part(tmp_path / "a", whole(0), replace(META, nonce=3), n=None)
    outcome, notes = merge([a], tmp_path / "d")
    assert outcome.metadata == replace(META, nonce=3, nonce_value=label32(KEY, 3, 2)[:16])
    assert "stored labels say 2" in notes
    assert outcome.scrypt_n == 2
    assert record.decode((tmp_path / "d" / record.FILE_NAME).read_bytes()) == Record(2)


def test_the_nonce_of_the_destination_takes_part(tmp_path: Path) -> None:
    good = sorted(range(META.num_labels), key=lambda index: label32(KEY, index, 2))
    metas = [replace(META, nonce=index, nonce_value=label32(KEY, index, 2)[:16]) for index in good]
    a, d = part(tmp_path / "a", whole(0), metas[1]), part(tmp_path / "d", {}, metas[0])
    merge([a], d)
    assert meta_of(d) == metas[0]


def test_positions_and_unknown_fields(tmp_path: Path) -> None:
    a = part(tmp_path / "a", {}, replace(META, last_position=900, unknown=(("X", 1), ("Y", 2))))
    b = part(tmp_path / "b", {}, replace(META, last_position=500, unknown=(("Y", 3), ("Z", 4))))
    (b / record.FILE_NAME).write_text(record.encode(Record(2, search=Search(500, 600), unknown=(("R", 1),))))
    merge([a, b], tmp_path / "d")
    assert meta_of(tmp_path / "d") == replace(META, last_position=500, unknown=(("X", 1), ("Y", 2), ("Z", 4)))
    assert record.decode((tmp_path / "d" / record.FILE_NAME).read_bytes()) == Record(
        2, search=Search(500, 600), unknown=(("R", 1),)
    )
    c = part(tmp_path / "c", {}, replace(META, nonce=1, nonce_value=label32(KEY, 1, 2)[:16], last_position=700))
    merge([a, b, c], tmp_path / "e")
    assert meta_of(tmp_path / "e").last_position is None
    assert record.decode((tmp_path / "e" / record.FILE_NAME).read_bytes()).search is None


def test_what_a_power_cut_may_have_damaged_stays_noted(tmp_path: Path) -> None:
    a = part(tmp_path / "a", {0: content(0), 1: content(1, 6)})
    (a / record.FILE_NAME).write_text(record.encode(Record(2, "another boot", ((1, 4),))))
    merge([a], tmp_path / "d")
    assert record.decode((tmp_path / "d" / record.FILE_NAME).read_bytes()) == Record(2, None, ((1, 4),))
    b = part(tmp_path / "b", whole(1))
    merge([a, b], tmp_path / "e")
    assert record.decode((tmp_path / "e" / record.FILE_NAME).read_bytes()) == Record(2)


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
    monkeypatch.setattr(merge_files, "free_bytes", lambda path: 100)
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
