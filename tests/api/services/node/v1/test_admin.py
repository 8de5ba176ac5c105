"""Checkpoints on disk, the end of the process, log levels."""

from __future__ import annotations

import asyncio
import logging
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.empty_pb2 import Empty

from api.edge.node_log import loggers_of
from api.edge.rpc import Failed, Status
from api.services.node.v1 import admin
from api.services.node.v1.debug import MODULES
from node.checkpoint import files
from node.malfeasance.tables import PROOFS, StoredProof
from protocol.pb.spacemesh.v1 import admin_types_pb2, debug_types_pb2
from protocol.types.ids import NodeId
from tests.support.calling import Answered
from tests.support.served_v1 import ServedNode

ADMIN, DEBUG = "spacemesh.v1.AdminService", "spacemesh.v1.DebugService"


def checkpoint(node: ServedNode, layer: int, atxs: int = 0) -> Answered:
    request = admin_types_pb2.CheckpointStreamRequest(snapshot_layer=layer, num_atxs=atxs)
    return node.answer(ADMIN, "CheckpointStream", request.SerializeToString(), ends=True)


def test_a_checkpoint_is_a_file_that_is_sent_in_pieces(node: ServedNode, tmp_path: Path) -> None:
    answered = checkpoint(node, 40)
    sizes = [len(message.data) for message in answered.messages]
    assert set(sizes[:-1]) == {1024} and 0 < sizes[-1] <= 1024
    path = tmp_path / "checkpoint" / "snapshot-40"
    assert path.read_bytes() == b"".join(message.data for message in answered.messages)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [one.name for one in path.parent.iterdir()] == ["snapshot-40"]
    made = files.parse(path.read_bytes())
    assert made.layer == 40 and made.atxs and made.accounts


@pytest.mark.parametrize(("asked", "got"), [(0, 4), (3, 4), (4, 4), (5, 5)])
def test_a_checkpoint_has_four_activations_of_a_smesher_or_more(node: ServedNode, asked: int, got: int) -> None:
    data = b"".join(message.data for message in checkpoint(node, 40, asked).messages)
    assert f'"num_atxs\\":{got}'.encode() in data
    made = files.parse(data)
    by_smesher = [one.smesher_id for one in made.atxs]
    assert {by_smesher.count(smesher) for smesher in by_smesher} == {got}
    assert by_smesher == sorted(by_smesher)


def test_convicted_smeshers_are_left_out(node: ServedNode) -> None:
    every = {one.smesher_id for one in files.parse(b"".join(m.data for m in checkpoint(node, 40).messages)).atxs}
    convicted = NodeId(min(every))
    node.backend.write(lambda rows: rows.put(PROOFS, convicted, StoredProof(b"x", 1)))
    left = {one.smesher_id for one in files.parse(b"".join(m.data for m in checkpoint(node, 41).messages)).atxs}
    assert left == every - {convicted}


def test_a_checkpoint_is_never_written_over_another(node: ServedNode, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint" / "snapshot-40"
    path.parent.mkdir()
    path.symlink_to(tmp_path / "nowhere")
    answered = checkpoint(node, 40)
    assert answered.status is Status.INTERNAL and "file already exist" in answered.text and not answered.messages
    assert path.is_symlink() and not (tmp_path / "nowhere").exists()


def test_of_two_that_ask_for_a_checkpoint_at_once_one_gets_it(node: ServedNode) -> None:
    method = admin.calls(node.backend)["CheckpointStream"]
    request = admin_types_pb2.CheckpointStreamRequest(snapshot_layer=40)

    async def asked() -> int:
        try:
            return len([message async for message in method(request)])  # type: ignore[union-attr,arg-type]
        except Failed as error:
            return -error.status

    async def both() -> list[int]:
        return list(await asyncio.gather(asked(), asked()))

    first, second = sorted(node.runner.run(both()))
    assert (first, second > 1) == (-Status.INTERNAL, True)


def test_what_the_disk_refuses_is_said_in_a_sentence(node: ServedNode, tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_text("in the way")
    answered = checkpoint(node, 40)
    assert answered.status is Status.INTERNAL and answered.text.startswith("failed to create checkpoint: ")
    assert str(tmp_path / "checkpoint") in answered.text


def test_without_activations_there_is_no_checkpoint(empty: ServedNode, tmp_path: Path) -> None:
    answered = checkpoint(empty, 40)
    assert (answered.status, answered.text) == (
        Status.INTERNAL,
        "failed to create checkpoint: atxs snapshot: database: not found",
    )
    assert not (tmp_path / "checkpoint").exists()


def test_recover_ends_the_process_a_second_later(node: ServedNode) -> None:
    request = admin_types_pb2.RecoverRequest(uri="http://127.0.0.1/x", restore_layer=7)
    answered = node.answer(ADMIN, "Recover", request.SerializeToString())
    assert answered.status is Status.OK and answered.messages == [Empty()]
    assert node.backend.ended_after == 1.0


# ---- levels ----


def loggers() -> list[logging.Logger]:
    """Those of all parts of a node."""
    return [logging.getLogger(name) for module in MODULES for name in loggers_of(module)]


@pytest.fixture
def levels() -> Iterator[None]:
    """Puts the levels of all parts back."""
    before = {logger: logger.level for logger in loggers()}
    yield
    for logger, level in before.items():
        logger.setLevel(level)


def change(node: ServedNode, module: str, level: str) -> tuple[Status, str]:
    request = debug_types_pb2.ChangeLogLevelRequest(module=module, level=level)
    answered = node.answer(DEBUG, "ChangeLogLevel", request.SerializeToString())
    return answered.status, answered.text


@pytest.mark.usefixtures("levels")
@pytest.mark.parametrize(
    ("text", "level"), [("DEBUG", logging.DEBUG), ("warn", logging.WARNING), ("info", logging.INFO)]
)
def test_a_part_of_the_node_says_as_much_as_it_is_told_to(empty: ServedNode, text: str, level: int) -> None:
    (hare,) = (logging.getLogger(name) for name in loggers_of("hare"))
    others = {logger: logger.level for logger in loggers() if logger is not hare}
    assert change(empty, "hare", text) == (Status.OK, "")
    assert hare.level == level
    assert others == {logger: logger.level for logger in others}


@pytest.mark.usefixtures("levels")
def test_all_parts_at_once(empty: ServedNode) -> None:
    assert change(empty, "*", "error") == (Status.OK, "")
    assert {logger.level for logger in loggers()} == {logging.ERROR}


@pytest.mark.usefixtures("levels")
@pytest.mark.parametrize(
    ("module", "level", "words"),
    [
        ("hare", "loud", 'parse level: unrecognized level: "loud"'),
        ("nomod", "info", "cannot find logger nomod"),
        ("nomod", "loud", 'parse level: unrecognized level: "loud"'),
        ("log-encoder", "info", "cannot find logger log-encoder"),
        ("", "info", "cannot find logger "),
    ],
)
def test_levels_and_parts_that_are_not_there_are_named(empty: ServedNode, module: str, level: str, words: str) -> None:
    before = {logger: logger.level for logger in loggers()}
    assert change(empty, module, level) == (Status.UNKNOWN, words)
    assert before == {logger: logger.level for logger in loggers()}
