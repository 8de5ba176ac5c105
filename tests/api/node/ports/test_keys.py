"""Own identities: who is stopped stays so, whatever happens to the disk; a key that is added signs from then on."""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.node.identities import OwnIdentity
from api.node.ports.keys import NodeKeys
from node.contract.ports import signer_of
from protocol.crypto import signing
from protocol.crypto.signing import Domain
from protocol.types.ids import NodeId

GENESIS = bytes(range(20))
WHY = "It has published two activations for epoch 7."


def own(number: int, name: str = "") -> OwnIdentity:
    signer = signing.Signer(bytes([number]) * 32, GENESIS)
    return OwnIdentity(name or f"{number}.key", NodeId(signer.public_key), signer)


def test_signatures_bear_the_prefix_of_the_network(tmp_path: Path) -> None:
    keys = NodeKeys([own(1)], tmp_path)
    (signer,) = keys.signers()
    signature = signer.sign(Domain.BALLOT, b"message")
    assert signing.verify(Domain.BALLOT, signer.identity, b"message", signature, GENESIS)
    assert not signing.verify(Domain.BALLOT, signer.identity, b"message", signature, bytes(20))


def test_who_is_stopped_signs_no_more_and_is_told_why(tmp_path: Path) -> None:
    told: list[tuple[NodeId, str]] = []
    first, second = own(1), own(2)
    keys = NodeKeys([first, second], tmp_path, told=lambda identity, why: told.append((identity, why)))
    keys.stop(first.node_id, WHY)
    assert [one.identity for one in keys.signers()] == [second.node_id]
    assert keys.key(first.node_id) is None and signer_of(keys, first.node_id) is None
    assert told == [(first.node_id, WHY)]
    keys.stop(first.node_id, "again")
    keys.stop(own(3).node_id, "not ours")
    assert told == [(first.node_id, WHY)] and keys.stopped()[first.node_id].sentence == WHY


def test_after_a_restart_it_is_stopped_still(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    day = datetime(2026, 11, 30, 18, tzinfo=UTC)
    NodeKeys([own(1)], tmp_path / "identities", today=lambda: day).stop(own(1).node_id, WHY)
    again = NodeKeys([own(1), own(2)], tmp_path / "identities")
    assert [one.identity for one in again.signers()] == [own(2).node_id]
    stopped = again.stopped()[own(1).node_id]
    assert (stopped.name, stopped.sentence, stopped.since) == ("1.key", WHY, "2026-11-30T18:00:00+00:00")
    assert WHY in caplog.text and "remove" in caplog.text


def test_the_note_is_found_whatever_the_key_file_is_called(tmp_path: Path) -> None:
    NodeKeys([own(1, "local.key")], tmp_path).stop(own(1).node_id, WHY)
    assert NodeKeys([own(1, "other.key")], tmp_path).signers() == ()


def test_without_the_note_it_signs_again(tmp_path: Path) -> None:
    NodeKeys([own(1)], tmp_path).stop(own(1).node_id, WHY)
    (note,) = tmp_path.iterdir()
    assert note.suffix != ".key", "the original reads every *.key as an identity"
    assert json.loads(note.read_text())["reason"] == WHY
    note.unlink()
    assert len(NodeKeys([own(1)], tmp_path).signers()) == 1


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"[1]", b"[" * 5000, b'{"reason": 7}', b"x" * 200_000])
def test_a_note_that_nobody_understands_counts(tmp_path: Path, content: bytes) -> None:
    (tmp_path / f"{own(1).node_id.hex()}.stopped").write_bytes(content)
    keys = NodeKeys([own(1)], tmp_path)
    assert keys.signers() == () and keys.stopped()[own(1).node_id].sentence


def test_a_note_says_one_line_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = json.dumps({"reason": "a\x1b[2J\nERROR forged", "stopped": "b\nc"})
    (tmp_path / f"{own(1).node_id.hex()}.stopped").write_text(text)
    NodeKeys([own(1)], tmp_path)
    (record,) = caplog.records
    assert "\x1b" not in record.getMessage() and "\n" not in record.getMessage()


def test_where_no_note_can_be_written_the_owner_is_told_what_to_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "identities"
    keys = NodeKeys([own(1)], place)
    place.write_text("no directory")
    with caplog.at_level(logging.ERROR):
        keys.stop(own(1).node_id, WHY)
    assert keys.signers() == () and "Take the key file 1.key away" in caplog.text


def test_a_key_that_is_added_signs_from_then_on(tmp_path: Path) -> None:
    there = [own(1)]
    keys = NodeKeys(there, tmp_path, load=lambda: there)
    assert not keys.look()
    there.append(own(2))
    os.utime(tmp_path, ns=(1, 1))
    assert [one.name for one in keys.look()] == ["2.key"]
    assert not keys.look() and len(keys.signers()) == 2
    assert keys.add(own(2)) and len(keys.signers()) == 2, "it is there once"


def test_a_stopped_key_that_is_added_again_does_not_sign(tmp_path: Path) -> None:
    there = [own(1)]
    keys = NodeKeys(there, tmp_path, load=lambda: there)
    keys.stop(own(1).node_id, WHY)
    os.utime(tmp_path, ns=(1, 1))
    assert not keys.look() and keys.signers() == ()
    assert not keys.add(own(1)) and keys.signers() == ()


def test_only_those_that_were_begun_smesh(tmp_path: Path) -> None:
    keys = NodeKeys([own(2, "b.key"), own(1, "a.key")], tmp_path)
    assert keys.smeshing.named() == [(own(1).node_id, "a.key"), (own(2).node_id, "b.key")]
    keys.smeshing.only([])
    assert keys.smeshing.signers() == () and keys.smeshing.named() == [] and len(keys.signers()) == 2
    keys.smeshing.only([own(1).node_id])
    assert [one.identity for one in keys.smeshing.signers()] == [own(1).node_id]
    keys.smeshing.stop(own(1).node_id, WHY)
    assert keys.smeshing.signers() == () and len(keys.signers()) == 1
