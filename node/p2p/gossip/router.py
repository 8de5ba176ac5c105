"""The machine of gossip: what comes of peers, what is to be sent to them, and which messages are to be judged.

    connected, ready, disconnected    peers and their streams
    join, leave                       topics of this node
    rpc                               what a peer sent; raises WireError for what is none
    judged                            what became of a message that was handed out
    publish                           an own message
    heartbeat                         once a second

After each of them `take` gives what follows. Protocol 09a, section 2.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from node.contract.instants import Instant, after
from node.contract.messages import PeerId
from node.contract.ports import Random
from node.contract.verdicts import Judgement, Verdict

from . import rpc as wire
from .cache import History, Seen
from .meshes import FLOODSUB, IDONTWANT, MESH, Meshes, Neighbour, ToJudge, ToSend
from .parameters import GossipParameters
from .rpc import MessageId, Prune
from .score import Outcome

_OUTCOMES = {
    Judgement.ACCEPT: Outcome.VALID,
    Judgement.IGNORE: Outcome.IGNORED,
    Judgement.REJECT: Outcome.INVALID,
}


class Router(Meshes):
    """One node's part of the gossip."""

    def __init__(
        self,
        parameters: GossipParameters,
        random: Random,
        record_of: Callable[[PeerId], bytes | None] = lambda peer: None,
    ) -> None:
        """record_of: the sealed record of a connected peer, for those who are told of others."""
        super().__init__(parameters, random, record_of)
        self._seen = Seen(parameters.seen)
        self._history = History(parameters.history, parameters.history_gossip)
        self._judging: dict[MessageId, ToJudge] = {}
        self._promises: dict[PeerId, dict[MessageId, Instant]] = {}
        self._ticks = 0

    @property
    def judging(self) -> int:
        """Messages that were handed out and not judged yet."""
        return len(self._judging)

    def disconnected(self, peer: PeerId, now: Instant) -> None:
        """As Meshes says; nothing is expected of it any more."""
        super().disconnected(peer, now)
        self._promises.pop(peer, None)

    # ---- topics ----

    def join(self, topic: str, now: Instant) -> None:
        """This node wants the messages of a topic."""
        if topic in self._topics:
            return
        self._topics.add(topic)
        self._tell_all(wire.subscription(topic, True))
        fanout, _ = self._fanout.pop(topic, (set(), now))
        chosen = [peer for peer in sorted(fanout) if self.scores.of(peer, now) >= 0][: self._of.degree]
        chosen += self._fit(topic, now, chosen)[: max(0, self._of.degree - len(chosen))]
        self._meshes[topic] = set()
        for peer in chosen:
            self._graft(peer, topic, now)
            self._control(peer, wire.control(graft=(topic,)))

    def leave(self, topic: str, now: Instant) -> None:
        """It does not want them any more."""
        if topic not in self._topics:
            return
        self._topics.discard(topic)
        self._tell_all(wire.subscription(topic, False))
        for peer in self._meshes.pop(topic):
            self.scores.prune(peer, topic)
            self._backoff[topic, peer] = after(now, self._of.unsubscribe_backoff)
            self._control(peer, self._prunes(peer, [Prune(topic, self._of.unsubscribe_backoff)]))

    def _tell_all(self, data: bytes) -> None:
        for peer, found in self._peers.items():
            if found.is_ready:
                self._control(peer, data)

    # ---- messages ----

    def publish(self, topic: str, data: bytes, now: Instant) -> bool:
        """Send an own message that was accepted; whether it is new."""
        id = wire.message_id(topic, data)
        if not self._seen.add(id, now):
            return False
        self._spread(id, topic, data, None, now)
        return True

    def judged(self, id: MessageId, verdict: Verdict, now: Instant) -> None:
        """What became of a message that was handed out."""
        message = self._judging.pop(id, None)
        if message is None:
            return
        self.counts[verdict.judgement.value] += 1
        self.scores.judged(id, message.peer, message.topic, _OUTCOMES[verdict.judgement])
        if verdict.is_accepted:
            self._spread(id, message.topic, message.data, message.peer, now)

    def _spread(self, id: MessageId, topic: str, data: bytes, source: PeerId | None, now: Instant) -> None:
        encoded = wire.publication(topic, data)
        self._history.add(id, topic, encoded)
        for peer in self._targets(topic, source, now):
            if peer != source and id not in self._peers[peer].unwanted:
                self._outputs.append(ToSend(peer, encoded, False))

    def _targets(self, topic: str, source: PeerId | None, now: Instant) -> Iterable[PeerId]:
        least = self._of.score.publish_threshold
        subscribers = [peer for peer in self._subscribers.get(topic, ()) if self._peers[peer].is_ready]
        if self._of.flood_publish and source is None:
            return [one for one in subscribers if self._peers[one].is_direct or self.scores.of(one, now) >= least]
        targets = {
            peer
            for peer in subscribers
            if self._peers[peer].is_direct
            or (self._peers[peer].level == FLOODSUB and self.scores.of(peer, now) >= least)
        }
        if topic in self._meshes:
            return targets | self._meshes[topic]
        group, _ = self._fanout.get(topic, (set(), now))
        group = group or set(self._fit(topic, now)[: self._of.degree])
        self._fanout[topic] = group, now
        return targets | group

    # ---- what a peer sends ----

    def rpc(self, peer: PeerId, data: bytes, now: Instant) -> None:
        """What came on a peer's stream. Raises WireError for what is none: the stream is to be reset."""
        found = self._peers.get(peer)
        if found is None:
            return
        heard = wire.decode(data)
        for wants, topic in heard.subscriptions:
            self._subscription(peer, found, topic, wants, now)
        if not found.is_direct and self.scores.of(peer, now) < self._of.score.graylist_threshold:
            self.counts["graylisted"] += 1
            return
        for message in heard.messages:
            self._message(peer, message, now)
        if heard.control is not None:
            self._heed(peer, found, heard.control, now)

    def _message(self, peer: PeerId, message: wire.GossipMessage, now: Instant) -> None:
        topic = message.topic
        if topic is None or topic not in self._topics:
            self.counts["other_topic"] += 1
            return
        if message.is_signed:
            self.counts["signed"] += 1
            self.scores.invalid(peer, topic)
            return
        id = wire.message_id(topic, message.data)
        for promised in self._promises.values():
            promised.pop(id, None)
        if not self._seen.add(id, now):
            self.counts["duplicate"] += 1
            self.scores.duplicate(id, peer, topic)
            return
        self.counts["new"] += 1
        self.scores.received(id)
        if len(message.data) >= self._of.idontwant_bytes:
            self._need_no_more(id, topic, peer)
        found = self._judging[id] = ToJudge(id, topic, message.data, peer)
        self._outputs.append(found)

    def _need_no_more(self, id: MessageId, topic: str, source: PeerId) -> None:
        told = wire.control(idontwant=(id,))
        for peer in self._meshes.get(topic, ()):
            if peer != source and self._peers[peer].level >= IDONTWANT:
                self._control(peer, told)

    # ---- control ----

    def _heed(self, peer: PeerId, found: Neighbour, said: wire.Control, now: Instant) -> None:
        score = self.scores.of(peer, now)
        if said.ihave:
            self._told(peer, found, said.ihave, score, now)
        if said.iwant:
            self._asked(peer, found, said.iwant, score)
        prunes = [prune for topic in said.graft if (prune := self._grafted(peer, found, topic, score, now))]
        if prunes:
            self._control(peer, self._prunes(peer, prunes))
        for one in said.prune:
            self._pruned(peer, one, score, now)
        for id in said.idontwant:
            if len(found.unwanted) < self._of.idontwant_ids:
                found.unwanted[id] = self._of.idontwant_heartbeats

    def _told(
        self, peer: PeerId, found: Neighbour, told: list[tuple[str, list[MessageId]]], score: float, now: Instant
    ) -> None:
        """It has messages; those that are new are asked for."""
        found.ihave_messages += 1
        if score < self._of.score.gossip_threshold or found.ihave_messages > self._of.ihave_messages:
            self.counts["ihave_ignored"] += 1
            return
        new = {id: None for topic, ids in told if topic in self._meshes for id in ids if id not in self._seen}
        wanted = self._random.shuffled(list(new))[: max(0, self._of.ihave_ids - found.ids_asked)]
        if not wanted:
            return
        found.ids_asked += len(wanted)
        promised = wanted[self._random.below(len(wanted))]
        self._promises.setdefault(peer, {}).setdefault(promised, after(now, self._of.iwant_followup))
        self._control(peer, wire.control(iwant=wanted))

    def _asked(self, peer: PeerId, found: Neighbour, ids: list[MessageId], score: float) -> None:
        """It wants messages."""
        if score < self._of.score.gossip_threshold:
            return
        for id in dict.fromkeys(ids):
            stored = self._history.get(id, peer)
            if stored is not None and stored[1] <= self._of.retransmissions and id not in found.unwanted:
                self._outputs.append(ToSend(peer, stored[0] + wire.NO_CONTROL, False))

    # ---- once a second ----

    def heartbeat(self, now: Instant) -> None:
        """Counters fall, meshes are brought in order, peers are told which messages there are."""
        self._ticks += 1
        for id in self._seen.expire(now):
            self.scores.forget(id)
        self._backoff = {key: until for key, until in self._backoff.items() if until > now}
        self._break_promises(now)
        for found in self._peers.values():
            found.ihave_messages = found.ids_asked = 0
            found.unwanted = {id: left - 1 for id, left in found.unwanted.items() if left > 1}
        self.scores.decay(now)
        grafts: dict[PeerId, list[str]] = {}
        prunes: dict[PeerId, list[Prune]] = {}
        is_opportunistic = self._ticks % self._of.opportunistic_ticks == 0
        for topic, mesh in self._meshes.items():
            self._balance(topic, mesh, grafts, prunes, now, is_opportunistic=is_opportunistic)
            self._gossip(topic, mesh, now)
        self._keep_fanout(now)
        for peer in dict.fromkeys((*grafts, *prunes)):
            ended = self._known(peer, prunes.get(peer, ()))
            self._control(peer, wire.control(graft=grafts.get(peer, ()), prune=ended))
        self._history.shift()

    def _break_promises(self, now: Instant) -> None:
        for peer, promised in list(self._promises.items()):
            late = [id for id, until in promised.items() if until < now]
            for id in late:
                del promised[id]
            if late:
                self.counts["broken_promise"] += len(late)
                self.scores.penalise(peer, len(late))
            if not promised:
                del self._promises[peer]

    def _keep_fanout(self, now: Instant) -> None:
        for topic, (group, last) in list(self._fanout.items()):
            if after(last, self._of.fanout) < now:
                del self._fanout[topic]
                continue
            least = self._of.score.publish_threshold
            group.difference_update([peer for peer in group if self.scores.of(peer, now) < least])
            group.update(self._fit(topic, now, group)[: max(0, self._of.degree - len(group))])
            self._gossip(topic, group, now)

    def _gossip(self, topic: str, mesh: Collection[PeerId], now: Instant) -> None:
        """Tell some of those outside the mesh which messages there are."""
        ids = self._history.told(topic)
        if not ids:
            return
        least = self._of.score.gossip_threshold
        others = [
            peer
            for peer in sorted(self._subscribers.get(topic, ()))
            if peer not in mesh
            and (found := self._peers[peer]).is_ready
            and found.level >= MESH
            and not found.is_direct
            and self.scores.of(peer, now) >= least
        ]
        count = max(self._of.degree_lazy, int(self._of.gossip_factor * len(others)))
        for peer in self._random.shuffled(others)[:count]:
            told = ids if len(ids) <= self._of.ihave_ids else self._random.shuffled(ids)[: self._of.ihave_ids]
            self._control(peer, wire.control(ihave=((topic, told),)))
