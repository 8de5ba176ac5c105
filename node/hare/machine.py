"""The machine of hare: one session a layer, in the version that the parameters give for the layer.

| input | what happens |
|---|---|
| a layer begins | a session, unless the node is not synced, the beacon is missing, or no version runs |
| a timer | the next round: see `session` |
| a proof of an own identity | seats for the round; where they come late, the word is said at once |
| a message | see `reception` |
| a peer asks for a full list | answered where the message was relayed or is ours: see `exchange` |

What it agreed on are rows of `node.blocks.tables.AGREED`, from which blocks are made; a weak coin is a row, and told
to tortoise. Nothing is signed for a layer that began before this node did: what was signed then stands in the own
store, and no session of that layer runs any more. Protocol 05-consensus, sections 3 to 7.
"""

from __future__ import annotations

from collections.abc import Callable

from node.blocks.patrol import LayerPatrol
from node.contract.demands import Failed, PeerRequest
from node.contract.effects import Reply
from node.contract.inputs import Answer, Asked, Tick, Timer
from node.contract.instants import Instant
from node.contract.machine import Machine
from node.contract.messages import Message
from node.contract.ports import Keys
from node.contract.steps import NOTHING, Found, Judged, Needs, Step, Ticket
from node.eligibility import committee
from node.eligibility.active_set import Oracle
from node.hare import exchange
from node.hare.parameters import HareBounds, HareParameters, check_versions
from node.hare.proposals import Atxs, Proposals, Selection
from node.hare.reception import Reception
from node.hare.session import Memory
from node.hare.sessions import Sessions, WeakCoins
from node.hare.versions import Version
from node.store.view import View
from protocol.numbers.layers import NetworkTime
from protocol.types.ids import LayerId


class HareMachine(Machine):
    """Hare of one network."""

    name = "hare"
    signs = True
    ticks = True

    def __init__(
        self,
        hare3: HareParameters,
        hare4: HareParameters,
        time: NetworkTime,
        oracle: Oracle,
        proposals: Proposals,
        atxs: Atxs,
        keys: Keys,
        patrol: LayerPatrol,
        tortoise: WeakCoins,
        is_synced: Callable[[], bool],
        bounds: HareBounds | None = None,
    ) -> None:
        """is_synced: whether the node is synced and listens to gossip.

        Raises ValueError for versions that run in the same layer or share a topic.
        """
        check_versions(hare3, hare4)
        versions = tuple(Version(number, one) for number, one in ((3, hare3), (4, hare4)) if one.is_enabled)
        bounds = bounds or HareBounds()
        # a class of its own for every network would say the same
        self.topics = tuple(version.parameters.topic for version in versions)  # type: ignore[misc]
        self.protocols = (exchange.PROTOCOL,) if hare4.is_enabled else ()  # type: ignore[misc]
        self._memory = Memory(versions, time, bounds, LayerId(0), exchange.FullLists(bounds))
        self._answers = exchange.Answers(self._memory.lists, bounds)
        selection = Selection(time, proposals, atxs)
        self._sessions = Sessions(self._memory, oracle, selection, keys, patrol, tortoise, is_synced)
        self._reception = Reception(self._memory, selection)

    def start(self, view: View, now: Instant) -> Step:
        """As Machine says. Sessions that ran are not taken up."""
        committee.prepare()
        self._memory.first = LayerId(self._memory.time.layer_at(now) + 1)
        return NOTHING

    def tick(self, tick: Tick, view: View, now: Instant) -> Step:
        """As Machine says."""
        return self._sessions.tick(tick, view, now)

    def timer(self, timer: Timer, view: View, now: Instant) -> Step:
        """As Machine says."""
        return self._sessions.timer(timer, view)

    def answer(self, answer: Answer, view: View, now: Instant) -> Step:
        """As Machine says."""
        return self._sessions.answer(answer, view)

    def admit(self, message: Message, view: View, now: Instant) -> Judged | Needs:
        """As Machine says."""
        return self._reception.admit(message)

    def proceed(self, ticket: Ticket, found: Found, view: View, now: Instant) -> Judged | Needs:
        """As Machine says."""
        return self._reception.proceed(ticket, found, view)

    def serve(self, asked: Asked, view: View, now: Instant) -> Step:
        """As Machine says: a peer asks for a full list."""
        assert isinstance(asked.demand, PeerRequest), "nothing else is served"
        found = self._answers.answer(asked.demand.data, now)
        return Step(effects=(Reply(asked.id, Failed(found) if isinstance(found, str) else found),))
