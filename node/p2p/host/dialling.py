"""Dialling peers: one address after another, not too many at once. Protocol 09a, section 1.5."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from node.contract.instants import Instant
from node.contract.messages import PeerId
from node.p2p.peers.book import AddressBook
from node.p2p.peers.gater import Gater
from node.p2p.wire.multiaddr import Multiaddr

from .link import Link, Owner

log = logging.getLogger("p2p")

AT_ONCE = 16
"""Peers that are being dialled."""


class Dialling:
    """What is being dialled."""

    def __init__(
        self, owner: Owner, gater: Gater, book: AddressBook, links: Mapping[PeerId, Link], pending: set[Link]
    ) -> None:
        """links: connections to peers. pending: those whose handshake is not done, which new ones join."""
        self._owner = owner
        self._gater, self._book, self._links, self._pending = gater, book, links, pending
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[PeerId, asyncio.Task[None]] = {}
        self._is_stopped = False
        self.counts: Counter[str] = Counter()
        """What came of addresses that were dialled."""

    def dial(self, peer: PeerId) -> bool:
        """Begin to dial a peer; whether that is possible now."""
        if self._is_stopped or peer in self._links or peer in self._tasks or peer == self._owner.key.id:
            return False
        if not self._gater.may_dial(peer, len(self._links)) or len(self._tasks) >= AT_ONCE:
            return False
        addresses = [one for one in self._book.addresses(peer) if self._gater.may_dial_at(peer, one)]
        if not addresses:
            return False
        task = self._tasks[peer] = self._loop.create_task(self._dial(peer, addresses))
        task.add_done_callback(lambda _: self._tasks.pop(peer, None))
        return True

    async def stop(self) -> None:
        """No more."""
        self._is_stopped = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _dial(self, peer: PeerId, addresses: Sequence[Multiaddr]) -> None:
        for address in addresses:
            where = address.tcp
            assert where is not None, "the book has no others"
            link = Link(self._owner, expected=peer, is_outbound=True)
            self._pending.add(link)
            try:
                async with asyncio.timeout(self._owner.parameters.dial_s):
                    await self._loop.create_connection(lambda link=link: link, *where)  # type: ignore[misc]
                self.counts["reached"] += 1
                return  # what comes of the handshake the owner is told
            except (OSError, TimeoutError) as error:
                self.counts["unreachable"] += 1
                log.debug("%s cannot be reached: %s", address, error)
            finally:
                if link.is_closed:
                    self._pending.discard(link)
        self._book.failed(peer, Instant(time.time_ns()))
