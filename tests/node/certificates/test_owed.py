"""A message of a certifier that was signed and perhaps not sent is sent after a start, as long as anybody wants it."""

from __future__ import annotations

from node.certificates.machine import TOPIC
from node.certificates.tables import TABLES
from node.contract.effects import Publish
from node.contract.instants import Instant
from node.contract.owed import OWED, note
from node.store.memory import MemoryBackend
from node.store.own import Kind, Slot
from node.store.store import Store
from node.store.table import Schema
from node.store.view import Rows
from protocol.types.certificates import CertifyMessage
from tests.node.certificates.test_machine import BEACONS, KEYS, LAYER, TIME, Node, word


def test_what_is_owed_is_sent_after_a_start() -> None:
    store = Store(Schema("certificates", 1, (BEACONS, OWED, *TABLES)), MemoryBackend())
    end = Instant(TIME.start_ns(LAYER + 4))
    slot = Slot(KEYS[0].identity, Kind.CERTIFY, LAYER)
    message = Publish(TOPIC, CertifyMessage.codec.encode(word(KEYS[0])), slot, end)
    node = Node(store=store)
    rows = Rows(store.view())
    note(rows, node.machine.name, message)
    store.write(rows)
    assert node.machine.start(store.view(), node.now).effects == [message]
    assert not node.machine.start(store.view(), end).effects
