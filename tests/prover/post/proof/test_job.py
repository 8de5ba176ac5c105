"""One proof as a job: wrong labels are left out and remembered, other data is refused, what is told on the way."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kernels.labels import cpu, scalar
from protocol.post.proof import Proof, required_bits, unpack_indices
from prover.errors import EnvironmentFault
from prover.post import findings
from prover.post.directory import Storage
from prover.post.layout import Layout, file_name
from prover.post.metadata import PostMetadata
from prover.post.proof import job
from prover.post.proof.job import CheckFailed, ProofData, ProofJob, Rules
from prover.post.proof.prove import ProveParams
from tests.prover.post.proof.test_prove import data_set

CHALLENGE = bytes(range(32))
LABELS, FILE_LABELS = 4096, 1024
RULES = Rules(26, 30, b"\xff" * 32, 2)


class NoRandomX:
    """A RandomX that finds everything: the proof of work has its own tests."""

    state = "light"

    @contextmanager
    def lend(self, full: bool) -> Iterator[Any]:
        yield self

    def machine(self) -> NoRandomX:
        return self

    def hash(self, data: bytes) -> bytes:
        return bytes(32)

    def close(self) -> None:
        """Nothing is held."""


class Elsewhere:
    """A k2pow service."""

    def finder(self, challenge: bytes, node_id: bytes, difficulty: bytes, nonces: int) -> Callable[[int], int]:
        return lambda group: group

    def stop(self) -> None:
        """It has ended."""

    def close(self) -> None:
        """It has ended."""


class Told:
    """Keeps what a job tells."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.phases: list[str] = []

    def enter(self, phase: str, first_nonce: int, done: int, total: int) -> None:
        self.phases.append(phase)

    def advance(self, phase: str, first_nonce: int, done: int, total: int) -> None:
        assert done <= total

    def hashes(self, count: int) -> None:
        raise AssertionError("nothing is searched here")

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def data(tmp_path: Path) -> tuple[Storage, PostMetadata]:
    return data_set(tmp_path, LABELS, FILE_LABELS, 1)


def new_job(data: tuple[Storage, PostMetadata], told: Told | None = None) -> ProofJob:
    storage, metadata = data
    layout = Layout(metadata.num_labels, metadata.max_file_size)
    return ProofJob(
        ProofData(storage, metadata, layout, storage.path / "smesher-proof.json"),
        CHALLENGE,
        RULES,
        ProveParams(26, 30, 64, 1),
        NoRandomX(),
        told or Told(),
        full_randomx=False,
        engine=lambda: cpu.LabelEngine(cpu.devices()[0], 2),
        remote=lambda pow_hash: Elsewhere(),
    )


def indices_of(proof: Proof) -> list[int]:
    return list(unpack_indices(proof.indices, required_bits(LABELS), 30))


def put(storage: Storage, index: int, label: bytes) -> None:
    number, within = divmod(index, FILE_LABELS)
    storage.write_over(file_name(number), within * 16, label)
    storage.finish(file_name(number))


def label_at(storage: Storage, index: int) -> bytes:
    number, within = divmod(index, FILE_LABELS)
    return storage.read(file_name(number), within * 16, 16)


def one_bad_beside_the_winner(data: tuple[Storage, PostMetadata], good: list[int]) -> int:
    """A label beside the first good one becomes a copy of the second good one, so that it is taken for good."""
    bad = next(index for index in range(good[0] + 1, LABELS) if index not in good)
    put(data[0], bad, label_at(data[0], good[1]))
    return bad


def test_a_wrong_label_beside_a_winner_costs_a_label_and_not_the_proof(data: tuple[Storage, PostMetadata]) -> None:
    storage, metadata = data
    whole = new_job(data)
    good = indices_of(whole.make())
    whole.forget()
    bad = one_bad_beside_the_winner(data, good)
    told = Told()
    first = new_job(data, told)
    proof = first.make()
    assert bad not in indices_of(proof) and first.verdict(proof).valid
    assert [label.index for label in first.wrong] == [bad] and first.weakened == []
    assert any(f"Label {bad} in {file_name(bad // FILE_LABELS)}" in note and "repair" in note for note in told.notes)
    # the next proof knows it from the beginning
    first.forget()
    layout = Layout(metadata.num_labels, metadata.max_file_size)
    assert [label.index for label in findings.current(storage, layout)] == [bad]
    told = Told()
    second = new_job(data, told)
    assert second.make() == proof and second.wrong == []
    assert "1 labels are known to be wrong" in told.notes[0]


def test_what_was_left_out_survives_a_restart_where_nothing_can_be_kept_beside_the_data(
    data: tuple[Storage, PostMetadata], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = indices_of(new_job(data).make())
    (data[0].path / "smesher-proof.json").unlink()
    bad = one_bad_beside_the_winner(data, good)

    def read_only(*_: object) -> None:
        raise EnvironmentFault("read-only")

    monkeypatch.setattr(findings, "add", read_only)
    told = Told()
    first = new_job(data, told)
    proof = first.make()
    assert any("not kept beside the data" in note for note in told.notes)
    again = new_job(data)
    assert again.make() == proof and bad not in indices_of(proof)


def test_a_repaired_label_counts_again(data: tuple[Storage, PostMetadata]) -> None:
    whole = new_job(data).make()
    (data[0].path / "smesher-proof.json").unlink()
    good = indices_of(whole)
    before = {index: label_at(data[0], index) for index in range(LABELS)}
    bad = one_bad_beside_the_winner(data, good)
    first = new_job(data)
    first.make()
    first.forget()
    put(data[0], bad, before[bad])
    assert new_job(data).make() == whole


def test_a_file_of_rubbish_is_left_out_whole(data: tuple[Storage, PostMetadata]) -> None:
    storage, _ = data
    (storage.path / file_name(1)).write_bytes(random.Random(2).randbytes(FILE_LABELS * 16))
    making = new_job(data)
    try:
        proof = making.make()
    except CheckFailed:
        pytest.fail("three files are right")
    assert making.verdict(proof).valid
    assert all(label.file == 1 for label in making.wrong) and len(making.wrong) <= job.MOST_LEFT_OUT + 2 * RULES.k2
    if len(making.wrong) > job.MOST_LEFT_OUT:
        assert any(file_name(1) in sentence for sentence in making.weakened)


def test_zeros_are_left_out_however_many_there_are(data: tuple[Storage, PostMetadata]) -> None:
    """All zeros look the same to a cipher: the nonces that they satisfy win again and again."""
    storage, _ = data
    (storage.path / file_name(0)).write_bytes(bytes(FILE_LABELS * 16))
    making = new_job(data)
    proof = making.make()
    assert making.verdict(proof).valid and min(indices_of(proof)) >= FILE_LABELS


def test_data_of_another_identity_gives_no_proof(data: tuple[Storage, PostMetadata]) -> None:
    storage, metadata = data
    making = new_job((storage, replace(metadata, commitment_atx_id=bytes(32))))
    with pytest.raises(CheckFailed, match="None of the labels"):
        making.look(scalar.label32)
    with pytest.raises(CheckFailed, match="not valid"):
        making.make()
    assert not (storage.path / findings.FILE_NAME).exists(), "good labels are not called wrong"
    assert not (storage.path / "smesher-proof.json").exists()
