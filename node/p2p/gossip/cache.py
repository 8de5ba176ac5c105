"""Messages that were seen, and those that others may still ask for. Protocol 09a, section 2.1."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator

from node.contract.instants import Instant, after
from node.contract.messages import PeerId

from .rpc import MessageId


class Seen:
    """Which messages are known by their ids, for some time after they were seen first."""

    def __init__(self, time: int) -> None:
        """time: nanoseconds."""
        self._time = time
        self._until: OrderedDict[MessageId, Instant] = OrderedDict()

    def __contains__(self, id: MessageId) -> bool:
        return id in self._until

    def __len__(self) -> int:
        return len(self._until)

    def add(self, id: MessageId, now: Instant) -> bool:
        """Whether it is new."""
        if id in self._until:
            return False
        self._until[id] = after(now, self._time)
        return True

    def expire(self, now: Instant) -> Iterator[MessageId]:
        """Forgets what was seen long ago, one after another."""
        while self._until:
            id, until = next(iter(self._until.items()))
            if until > now:
                return
            del self._until[id]
            yield id


class History:
    """The messages of the last heartbeats, encoded."""

    def __init__(self, heartbeats: int, told: int) -> None:
        """told: of how many heartbeats others are told."""
        self._windows: deque[list[MessageId]] = deque([[]], heartbeats)
        self._told = told
        self._messages: dict[MessageId, tuple[str, bytes]] = {}
        self._sent: dict[MessageId, dict[PeerId, int]] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, id: MessageId, topic: str, encoded: bytes) -> None:
        """A message that was accepted."""
        self._messages[id] = topic, encoded
        self._windows[-1].append(id)

    def get(self, id: MessageId, peer: PeerId) -> tuple[bytes, int] | None:
        """The encoded message, and how often this peer has asked for it; None: it is not here any more."""
        found = self._messages.get(id)
        if found is None:
            return None
        asked = self._sent.setdefault(id, {})
        asked[peer] = asked.get(peer, 0) + 1
        return found[1], asked[peer]

    def told(self, topic: str) -> list[MessageId]:
        """The messages of a topic of which others are told."""
        windows = list(self._windows)[-self._told :]
        return [id for window in windows for id in window if self._messages[id][0] == topic]

    def shift(self) -> None:
        """A heartbeat is over."""
        if len(self._windows) == self._windows.maxlen:
            for id in self._windows[0]:
                self._messages.pop(id, None)
                self._sent.pop(id, None)
        self._windows.append([])
