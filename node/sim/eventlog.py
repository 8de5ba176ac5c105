"""A fingerprint of everything that happened: two runs of one seed have the same, to the last message."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from node.contract.messages import Message
from node.engine.edges import Call, Input, Judge, Outputs, Returned, Send

from .disk import Crash
from .seen import Seen
from .watch import Watcher


class EventLog(Watcher):
    """Turns with their inputs and outputs, starts and crashes, in the order in which they happen."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self.turns = 0
        self.messages = 0
        """Of gossip, that machines were handed."""

    def digest(self) -> str:
        """Of everything so far."""
        return self._hash.hexdigest()

    def turned(self, node: Seen, inputs: Sequence[Input], outputs: Outputs) -> None:
        """As Watcher says."""
        self.turns += 1
        self._note(node, "turn")
        for one in inputs:
            if isinstance(one, Message):
                self.messages += 1
                self._hash.update(one.channel.encode() + (one.peer or b"") + one.data)
            elif isinstance(one, Returned):
                self._hash.update(b"%d %s" % (one.call, type(one.result).__name__.encode()))
        self._outputs(outputs)

    def started(self, node: Seen, outputs: Outputs) -> None:
        """As Watcher says."""
        self._note(node, "start")
        self._outputs(outputs)

    def crashed(self, node: Seen, kind: Crash) -> None:
        """As Watcher says."""
        self._note(node, f"crash {kind.value}")

    def stopped(self, node: Seen, error: BaseException) -> None:
        """As Watcher says."""
        self._note(node, f"stop {error}")

    def _note(self, node: Seen, what: str) -> None:
        self._hash.update(f"\n{node.timeline.now()} {node.number} {what} ".encode())

    def _outputs(self, outputs: Outputs) -> None:
        for one in outputs:
            name = type(one).__name__.encode()
            if isinstance(one, Send):
                self._hash.update(name + one.topic.encode() + one.data)
            elif isinstance(one, Judge):
                self._hash.update(one.verdict.judgement.value.encode() + one.verdict.reason.encode())
            elif isinstance(one, Call):
                self._hash.update(name + type(one.demand).__name__.encode())
            else:
                self._hash.update(name)
