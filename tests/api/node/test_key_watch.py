"""A key that is put beside a running node signs soon; one that cannot be used is told of and changes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from api.node import identities
from api.node.identities import Mode, OwnIdentity
from api.node.key_watch import LOOKS_EVERY_S, KeyWatch
from api.node.ports.keys import NodeKeys
from node.runtime.facts import Facts
from node.store.memory import MemoryBackend
from node.store.view import Rows
from protocol.params.config import networks
from protocol.types.ids import LayerId
from prover.post import identity
from tests.support.node_stores import stores_over

FACTS = Facts(False, False, *(LayerId(0) for _ in range(4)))


class Turns:
    """Turns of an engine, by a clock that a test sets."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, 0.0
        self.keys = NodeKeys(self.load(), folder, load=self.load)
        self.watch = KeyWatch(self.keys, lambda: self.now)

    def load(self) -> tuple[OwnIdentity, ...]:
        config = networks.BY_NAME["fastnet"]
        return identities.load(self.folder, bytes(20), {}, is_used=True, config=config, mode=Mode.REMOTE).all

    def turn(self, after_s: float = LOOKS_EVERY_S) -> int:
        """How many sign after it."""
        self.now += after_s
        view = stores_over((MemoryBackend(), MemoryBackend())).view()
        self.watch.committed(Rows(view), (), FACTS)
        view.close()
        return len(self.keys.signers())


def put(folder: Path, name: str, content: bytes | None = None) -> None:
    (folder / name).write_bytes(identity.generate().encode() if content is None else content)
    os.chmod(folder / name, 0o600)
    os.utime(folder, ns=(1, 1000 + len(name)))


def test_a_new_key_joins(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path, "a.key")
    turns = Turns(tmp_path)
    assert turns.turn() == 1
    put(tmp_path, "second.key")
    assert turns.turn(LOOKS_EVERY_S / 2) == 1, "nobody looks all the time"
    assert turns.turn() == 2 and turns.turn() == 2
    caplog.clear()
    put(tmp_path, "third.key", b"no key")
    assert turns.turn() == 2 and "third.key" in caplog.text
    caplog.clear()
    assert turns.turn() == 2 and not caplog.text, "it is said once"
    (tmp_path / "third.key").unlink()
    put(tmp_path, "fourth.key")
    assert turns.turn() == 3
