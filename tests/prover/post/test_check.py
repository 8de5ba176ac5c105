"""Checking stored labels: the disk is read while the engine computes, and nothing else changes by that."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kernels.devices.types import Stopped
from prover.errors import EnvironmentFault
from prover.post import check as pos
from prover.post.check import Findings
from prover.post.directory import Storage
from prover.post.layout import Layout, file_name

LABELS = 1000
FILE_LABELS = 300
LAYOUT = Layout(LABELS, FILE_LABELS * 16)
SOON = 10.0


def label(index: int) -> bytes:
    return index.to_bytes(16, "big")


class Engine:
    """Labels are their indices; `before` is called with the number of the call."""

    def __init__(self, before: Any = lambda call: None) -> None:
        self.calls: list[list[int]] = []
        self._before = before

    def labels32(self, commitments: Sequence[bytes], indices: Any) -> Any:
        self.calls.append([int(index) for index in indices])
        self._before(len(self.calls))
        rows = b"".join(label(int(index)) + bytes(16) for index in indices)
        return np.frombuffer(rows, np.uint8).reshape(-1, 32)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    for number in range(LAYOUT.num_files):
        first = LAYOUT.first_label(number)
        content = b"".join(label(first + at) for at in range(LAYOUT.file_labels(number)))
        (tmp_path / file_name(number)).write_bytes(content)
    return Storage(tmp_path)


def everything() -> list[tuple[int, Sequence[int]]]:
    return [(number, range(LAYOUT.file_labels(number))) for number in range(LAYOUT.num_files)]


def checked(storage: Storage, engine: Engine, work: Any = None, findings: Findings | None = None) -> Findings:
    found = findings if findings is not None else Findings()
    pos.check(storage, LAYOUT, bytes(32), everything() if work is None else work, engine, found, lambda done: None)
    return found


def put(storage: Storage, name: str, offset: int, data: bytes) -> None:
    storage.write_over(name, offset, data)
    storage.finish(name)


def test_every_label_once_and_in_order(storage: Storage) -> None:
    engine = Engine()
    found = checked(storage, engine)
    assert (found.checked, found.labels) == (LABELS, [])
    assert [index for call in engine.calls for index in call] == list(range(LABELS))
    sizes = [len(call) for call in engine.calls]
    assert sizes[:3] == [64, 64, 128], "pieces grow while they take little time"


def test_wrong_labels_are_named_with_their_places(storage: Storage) -> None:
    for number, position in ((0, 0), (0, 63), (1, 299), (3, 99)):
        put(storage, file_name(number), position * 16, bytes([9]) * 16)
    found = checked(storage, Engine())
    assert [(bad.file, bad.offset // 16, bad.index) for bad in found.labels] == [
        (0, 0, 0),
        (0, 63, 63),
        (1, 299, 599),
        (3, 99, 999),
    ]
    assert {bad.found for bad in found.labels} == {bytes([9]) * 16}
    assert [bad.expected for bad in found.labels] == [label(bad.index) for bad in found.labels]


def test_labels_are_read_while_others_are_computed(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece is only computed when the next one has been read: reading after computing would wait for ever."""
    read: list[int] = []
    change = threading.Condition()
    real = pos.read_labels

    def reading(*words: Any) -> Any:
        found = real(*words)
        with change:
            read.append(len(found))
            change.notify_all()
        return found

    def until_the_next_is_read(call: int) -> None:
        with change:
            assert change.wait_for(lambda: len(read) > call or sum(read) == LABELS, SOON), "read too late"

    monkeypatch.setattr(pos, "read_labels", reading)
    assert checked(storage, Engine(until_the_next_is_read)).checked == LABELS


@pytest.mark.timing
def test_reading_costs_no_time_beside_computing(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    real, each = pos.read_labels, 0.05

    def slow(*words: Any) -> Any:
        time.sleep(each)
        return real(*words)

    monkeypatch.setattr(pos, "read_labels", slow)
    monkeypatch.setattr(pos, "MAX_PIECE", pos.FIRST_PIECE)
    engine = Engine(lambda call: time.sleep(each))
    began = time.monotonic()
    checked(storage, engine)
    seconds, pieces = time.monotonic() - began, len(engine.calls)
    assert pieces >= 16
    assert seconds <= (pieces + 1) * each * 1.1, "one after the other it would take twice as long"


def test_a_file_that_cannot_be_read_ends_the_check(storage: Storage) -> None:
    (storage.path / file_name(2)).unlink()
    found = Findings()
    with pytest.raises(EnvironmentFault, match=r"postdata_2.bin"):
        checked(storage, Engine(), findings=found)
    assert found.checked == 2 * FILE_LABELS, "what was read before is checked"


def test_a_stopped_check_keeps_what_was_found_and_leaves_no_thread(storage: Storage) -> None:
    def stop(call: int) -> None:
        if call == 3:
            raise Stopped("stopped")

    put(storage, file_name(0), 16, bytes(16))
    found, before = Findings(), threading.active_count()
    with pytest.raises(Stopped):
        checked(storage, Engine(stop), findings=found)
    assert found.checked == 64 + 64 and [bad.index for bad in found.labels] == [1]
    assert threading.active_count() == before


def test_nothing_to_check_is_nothing(storage: Storage) -> None:
    assert checked(storage, Engine(), work=[]) == Findings()
