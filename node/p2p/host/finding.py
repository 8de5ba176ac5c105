"""Enough peers: those that are always connected, those of the last time, bootnodes, then whoever the table leads to.

Protocol 09a, section 1.5.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping

from node.contract.instants import Instant
from node.contract.messages import PeerId
from node.contract.ports import Random
from node.p2p.peers.book import AddressBook
from node.p2p.peers.table import Search, Table
from node.p2p.wire import kad
from node.p2p.wire.backup import KnownPeer

from .link import Link
from .meeting import Meeting
from .parameters import HostParameters

FIND_TIMEOUT_S = 10.0
"""For one peer to say who is near."""


class Finding:
    """Looks whether peers are missing, and dials."""

    def __init__(
        self,
        parameters: HostParameters,
        own: PeerId,
        book: AddressBook,
        table: Table,
        random: Random,
        meeting: Meeting,
        dial: Callable[[PeerId], bool],
        links: Mapping[PeerId, Link],
    ) -> None:
        """dial: begin to dial a peer; whether that is possible. links: connections to peers."""
        self._of = parameters
        self._own = own
        self._book, self._table, self._random, self._meeting = book, table, random, meeting
        self._dial, self._links = dial, links
        self._loop = asyncio.get_running_loop()
        self._backup: list[PeerId] = []
        self._search: Search | None = None
        self._searched = float("-inf")
        self._soon: asyncio.TimerHandle | None = None
        self._is_stopped = False
        for peer in (*parameters.bootnodes, *parameters.direct):
            book.add(peer.id, peer.addresses, is_kept=True)

    def start(self, backup: Iterable[KnownPeer]) -> None:
        """Begin. backup: peers of the last time."""
        for peer in backup:
            self._book.add(peer.id, peer.addresses)
            self._backup.append(peer.id)
        self.look()

    def stop(self) -> None:
        """No more."""
        self._is_stopped = True
        if self._soon is not None:
            self._soon.cancel()

    def look(self) -> None:
        """See whether peers are missing; again after a while."""
        if self._is_stopped:
            return
        if self._soon is not None:
            self._soon.cancel()
        self._soon = self._loop.call_later(self._of.look_s, self.look)
        self._dial_all([peer.id for peer in self._of.direct])
        missing = self._of.least_peers - len(self._links)
        if missing <= 0:
            self._backup.clear()
            return
        self._dial_all(self._backup)
        self._dial_all([peer.id for peer in self._of.bootnodes])
        if self._of.finds:
            self._dial_all(self._table.nearest(self._own, missing))
            self._look_in_table()

    def look_soon(self) -> None:
        """A peer is gone: do not wait as long as usual."""
        if not self._is_stopped and self._soon is not None and self._soon.when() > self._loop.time() + 1:
            self._soon.cancel()
            self._soon = self._loop.call_later(1, self.look)

    def _dial_all(self, peers: Iterable[PeerId]) -> None:
        now, connected = _now(), set(self._links)
        for peer in self._random.shuffled(list(peers)):
            if peer != self._own and peer not in connected and self._book.may_dial(peer, now):
                self._dial(peer)

    # ---- the table ----

    def _look_in_table(self) -> None:
        if self._search is not None or self._loop.time() < self._searched + self._of.search_s or not self._links:
            return
        self._searched = self._loop.time()
        search = self._search = Search(self._own)
        search.add(self._links)
        self._go_on(search)

    def _go_on(self, search: Search) -> None:
        """Ask whoever is next. Those who are not connected are dialled, and asked when they are looked for again."""
        for peer in search.next():
            link = self._links.get(peer)
            if link is None:
                search.answered(peer, None)
                if self._book.may_dial(peer, _now()):
                    self._dial(peer)
            else:
                self._ask(search, link, peer)
        if search.is_over and self._search is search:
            self._search = None

    def _ask(self, search: Search, link: Link, peer: PeerId) -> None:
        open_: list[PeerId] = [peer]

        def done(found: tuple[kad.NearPeer, ...] | None) -> None:
            if not open_:
                return  # it took too long
            open_.clear()
            timer.cancel()
            for near in found or ():
                self._book.add(near.id, near.addresses)
            search.answered(peer, None if found is None else [near.id for near in found])
            if not self._is_stopped:
                self._go_on(search)

        timer = self._loop.call_later(FIND_TIMEOUT_S, done, None)
        self._meeting.find(link, self._own, done)


def _now() -> Instant:
    return Instant(time.time_ns())
