"""Joining the parts of a split initialisation: how files travel, and what the small files say in the end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from prover.errors import DataError, EnvironmentFault
from prover.post import metadata, record
from prover.post.merge import small as merge_small
from prover.post.merge.types import Mode
from prover.post.record import Record, Search
from tests.support.merging import (
    IDENTITY,
    KEY,
    META,
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
def other_disk(tmp_path: Path) -> Iterator[Path]:
    with on_another_disk(tmp_path) as path:
        yield path


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
    assert merge_small.must_recompute(claimed) <= (labels is not None)
    assert merge_small.choose_nonce(claimed, recompute) == expected


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
    (a / record.FILE_NAME).write_text(record.encode(Record(2, ((1, 4),))))
    merge([a], tmp_path / "d")
    assert record.decode((tmp_path / "d" / record.FILE_NAME).read_bytes()) == Record(2, ((1, 4),))
    b = part(tmp_path / "b", whole(1))
    merge([a, b], tmp_path / "e")
    assert record.decode((tmp_path / "e" / record.FILE_NAME).read_bytes()) == Record(2)
