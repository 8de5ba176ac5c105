"""`PostService` and `PostInfoService` of a node, and what its port `Prover` asks of the services that connect.

All streams are served in one loop, that of the clients; calls come from any thread.
Specified in protocol 10-api, section 3.10.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import count
from typing import Any

from google.protobuf.message import Message

from api.edge.repeats import Repeats
from api.edge.rpc import Failed, Headers
from node.contract.demands import Result
from protocol.pb.spacemesh.v1 import post_types_pb2 as pb
from protocol.types.ids import NodeId

from .machine import NOT_THERE, Effect, End, PostServers, Say, Send, Tell, Wait, states

log = logging.getLogger("post")

POLL_S = 2.0
"""Between two requests for the same proof."""
LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class PostServices:
    """Those that are connected. Also `api.node.ports.proofs.Spaces`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        answered: Callable[[int, Result], None],
        identities: Callable[[], Sequence[tuple[NodeId, str]]],
        is_allowed: Callable[[], bool],
        *,
        poll_s: float = POLL_S,
    ) -> None:
        """answered: from any thread; identities: whose activations are made, with the names of their key files;
        is_allowed: whether a coinbase is set."""
        self._loop, self._answered = loop, answered
        self._identities, self._is_allowed, self._poll_s = identities, is_allowed, poll_s
        self._machine = PostServers()
        self._outboxes: dict[int, asyncio.Queue[Send | End]] = {}
        self._numbers = count(1)
        self._voice = Repeats()
        self.is_proving = False
        """Whether a service makes a proof now. May be read from any thread."""

    def register_calls(self) -> dict[str, Callable[..., Any]]:
        """The methods of `spacemesh.v1.PostService`."""
        return {"Register": self.register}

    def info_calls(self) -> dict[str, Callable[..., Any]]:
        """The methods of `spacemesh.v1.PostInfoService`."""
        return {"PostStates": self.post_states}

    def connected(self) -> frozenset[NodeId]:
        """Those for whom a service is there; in the loop."""
        return self._machine.connected()

    # ---- the port, from any thread ----

    def prove(self, call: int, identity: NodeId, challenge: bytes) -> None:
        """A proof of space. Result: ProvenPost or Failed."""
        self._in_loop(call, lambda: self._machine.prove(call, identity, challenge))

    def describe(self, call: int, identity: NodeId) -> None:
        """What there is. Result: HeldSpace or Failed."""
        self._in_loop(call, lambda: self._machine.describe(call, identity))

    def give_up(self, call: int) -> None:
        """The result is wanted no more."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(lambda: self._perform(self._machine.give_up(call)))

    def _in_loop(self, call: int, work: Callable[[], Sequence[Effect]]) -> None:
        if self._loop.is_closed():
            self._answered(call, NOT_THERE)
            return
        self._loop.call_soon_threadsafe(lambda: self._perform(work()))

    # ---- the services ----

    async def register(self, responses: AsyncIterator[pb.ServiceResponse]) -> AsyncIterator[Message | Headers]:
        """`PostService.Register`: the node asks, the service answers. Raises Failed."""
        link = next(self._numbers)
        outbox = self._outboxes[link] = asyncio.Queue()
        self._perform(self._machine.connect(link, is_allowed=self._is_allowed()))
        try:
            while True:
                one = await outbox.get()
                if isinstance(one, End):
                    raise Failed(one.status, one.text)
                yield one.request
                try:
                    response = await anext(responses)
                except StopAsyncIteration:
                    self._perform(self._machine.silent(link))
                else:
                    self._perform(self._machine.receive(link, response))
        finally:
            del self._outboxes[link]
            self._perform(self._machine.gone(link))

    async def post_states(self, request: pb.PostStatesRequest) -> pb.PostStatesResponse:
        """`PostInfoService.PostStates`."""
        return states(self._machine, self._identities())

    # ---- effects ----

    def _perform(self, effects: Sequence[Effect]) -> None:
        self.is_proving = self._machine.is_at_work
        for effect in effects:
            match effect:
                case Send(link) | End(link):
                    outbox = self._outboxes.get(link)
                    if outbox is not None:
                        outbox.put_nowait(effect)
                case Wait(link, ticket):
                    self._loop.call_later(self._poll_s, self._poll, link, ticket)
                case Tell(call, result):
                    self._answered(call, result)
                case Say(level, text):
                    said = self._voice.once(text, self._loop.time())
                    if said is not None:
                        log.log(LEVELS[level], "%s", said)

    def _poll(self, link: int, ticket: int) -> None:
        self._perform(self._machine.poll(link, ticket))
