"""The machine of smeshing: the timelines of all own identities, and what they share.

| input | then |
|---|---|
| a layer begins | the keys are sampled: a new identity begins, one that is gone ends; what waited for a layer goes on |
| a timer of an identity | that identity goes on |
| an answer | all go on, since they share rounds, searches and marriages |
| an activation of an own identity is stored that was not signed here | of the past: it is noted as signed |
| – | of now: the key is in use elsewhere, the identity is stopped |
| somebody asks to what new labels are to be bound | the commitment of the identity, else the highest that holds |

`smesher` has the states of an identity. Protocol 04-activation-beacon-eligibility, section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from node.activation.columns import AtxColumns
from node.activation.machine import TOPIC
from node.activation.parameters import ActivationParameters
from node.activation.tables import ATXS, BLOBS, BY_SMESHER, StoredAtx, commitment_of, published
from node.contract.demands import ChooseCommitment, Failed
from node.contract.effects import GiveUp, Publish, Reply, SetTimer, StopIdentity, StopTimer
from node.contract.inputs import Answer, Asked, Change, NotSent, Sent, Tick, Timer
from node.contract.instants import Instant, after
from node.contract.machine import Machine
from node.contract.ports import Keys, Random
from node.contract.steps import Step
from node.store.own import SIGNED, Kind, Slot
from node.store.view import Rows, Span, View
from protocol.numbers.layers import NetworkTime
from protocol.types.ids import Address, AtxId, EpochId, NodeId

from .chain import Trust
from .parameters import SmeshingParameters
from .positioning import Search, newest_epoch
from .publishing import Nonces
from .rounds import Rounds, RoundTag
from .smesher import Smesher
from .tables import CHALLENGES
from .times import Timeline
from .work import Tag, Wake, Work


class SearchTag(NamedTuple):
    """Names a check of a search. publish: the publish epoch that it is for; None: a commitment is looked for."""

    publish: EpochId | None


class SearchEnd(NamedTuple):
    """Names the timer that ends a search."""

    publish: EpochId


REGOSSIP = "regossip"


class SmeshingMachine(Machine):
    """Smeshing of one node."""

    name = "smeshing"
    ticks = True
    watches = (ATXS,)
    serves = (ChooseCommitment,)

    def __init__(
        self,
        parameters: SmeshingParameters,
        activation: ActivationParameters,
        time: NetworkTime,
        keys: Keys,
        columns: AtxColumns,
        coinbase: Callable[[], Address],
        is_synced: Callable[[], bool],
        random: Random,
    ) -> None:
        """coinbase: where the rewards of activations go that are signed from now on; is_synced: whether all activations
        of the past are here."""
        self._parameters = parameters
        self._activation = activation
        self._timeline = Timeline(time, parameters)
        self._keys = keys
        self._columns = columns
        self._coinbase = coinbase
        self._is_synced = is_synced
        self._random = random
        self._smeshers: dict[NodeId, Smesher] = {}
        self._rounds = Rounds(parameters.poet_retry)
        self._nonces = Nonces()
        self._searches: dict[EpochId | None, Search] = {}
        """The last one for a positioning activation, by publish epoch, and one for commitments, under None."""
        self._askers: list[Asked] = []
        """Who wants to know a commitment."""

    # ---- inputs ----

    def start(self, view: View, now: Instant) -> Step:
        """As Machine says: every identity goes on where its rows say it is."""
        work = Work(Rows(view), now)
        for signer in self._keys.signers():
            self._adopt(work, signer.identity)
        if self._parameters.regossip_interval:
            work.effects.append(SetTimer(REGOSSIP, after(now, self._parameters.regossip_interval)))
        self._sample(work)
        return work.step()

    def tick(self, tick: Tick, view: View, now: Instant) -> Step:
        """As Machine says."""
        work = Work(Rows(view), now)
        for smesher in self._smeshers.values():
            smesher.errands.release()
        self._sample(work)
        self._serve_all(work)
        return work.step()

    def timer(self, timer: Timer, view: View, now: Instant) -> Step:
        """As Machine says."""
        work = Work(Rows(view), now)
        match timer.key:
            case Wake(identity):
                smesher = self._smeshers.get(identity)
                if smesher is not None:
                    smesher.errands.woken()
                    self._advance(work, identity)
            case SearchEnd(publish):
                search = self._searches.get(publish)
                if search is not None and search.found is None:
                    search.stop()
                    work.effects.append(GiveUp(SearchTag(publish)))
                    self._advance(work)
            case _:
                self._regossip(work)
        return work.step()

    def answer(self, answer: Answer, view: View, now: Instant) -> Step:
        """As Machine says."""
        work = Work(Rows(view), now)
        match answer.tag:
            case Tag(identity):
                smesher = self._smeshers.get(identity)
                if smesher is not None:
                    smesher.answered(work, answer, answer.tag)
                self._advance(work)
            case RoundTag() if not isinstance(answer.result, Sent | NotSent):
                self._rounds.answered(work, answer.tag, answer.asked, answer.result)
                self._advance(work)
            case SearchTag(publish) if not isinstance(answer.result, Sent | NotSent):
                search = self._searches.get(publish)
                if search is not None and search.found is None:
                    search.answered(work.rows, answer.result)
                    self._pursue(work, publish, search)
                self._serve_all(work)
                self._advance(work)
        return work.step()

    def changed(self, change: Change, view: View, now: Instant) -> Step:
        """As Machine says: an activation was stored."""
        work = Work(Rows(view), now)
        for id in change.keys:
            stored = view.get(ATXS, id)
            if stored is not None and stored.smesher in self._smeshers:
                self._own_stored(work, id, stored)
        return work.step()

    def serve(self, asked: Asked, view: View, now: Instant) -> Step:
        """As Machine says: to what new labels are to be bound."""
        work = Work(Rows(view), now)
        self._askers.append(asked)
        self._serve_all(work)
        return work.step()

    # ---- identities ----

    def _sample(self, work: Work) -> None:
        """The keys that are there now."""
        signers = {signer.identity: signer for signer in self._keys.signers()}
        for identity in [identity for identity in self._smeshers if identity not in signers]:
            self._smeshers.pop(identity).give_up(work)
        for identity in signers:
            if identity not in self._smeshers:
                self._smeshers[identity] = Smesher(
                    identity,
                    self._timeline,
                    self._activation,
                    self._keys,
                    self._coinbase,
                    self._is_synced,
                    self._find,
                    self._rounds,
                    self._nonces,
                    self._random,
                )
        self._advance(work)

    def _advance(self, work: Work, identity: NodeId | None = None) -> None:
        """Let one identity go on, or all."""
        for signer in self._keys.signers():
            smesher = self._smeshers.get(signer.identity)
            if smesher is not None and identity in (None, signer.identity):
                smesher.advance(work, signer)
        self._rounds.keep_only({one for smesher in self._smeshers.values() for one in smesher.wanted(work)})

    # ---- own activations that come from elsewhere ----

    def _adopt(self, work: Work, identity: NodeId) -> None:
        """What is stored of an identity counts as signed, also where the own store is a new one."""
        for _, id in work.rows.find(BY_SMESHER, Span(within=(identity,))):
            stored = work.rows.get(ATXS, id)
            if stored is not None:
                self._note_signed(work, id, stored)

    def _note_signed(self, work: Work, id: AtxId, stored: StoredAtx) -> bool:
        """Note that an activation was signed; whether that contradicts nothing."""
        slot = Slot(stored.smesher, Kind.ATX, stored.publish_epoch)
        data, signed = work.rows.get(BLOBS, id), work.rows.get(SIGNED, slot)
        if data is None or data == signed:
            return True
        if signed is not None:
            return False
        work.rows.put(SIGNED, slot, data)
        return True

    def _own_stored(self, work: Work, id: AtxId, stored: StoredAtx) -> None:
        slot = Slot(stored.smesher, Kind.ATX, stored.publish_epoch)
        is_new = not work.rows.has(SIGNED, slot)
        is_recent = stored.publish_epoch >= self._timeline.epoch_at(work.now)
        if not self._note_signed(work, id, stored) or (is_new and is_recent and self._is_synced()):
            sentence = (
                f"An activation for epoch {stored.publish_epoch} that this node did not sign, {id.hex()}, came from "
                "the network: the key is in use elsewhere. Two nodes with one key lose its rewards; stop one of them."
            )
            work.effects.append(StopIdentity(stored.smesher, sentence))

    # ---- positioning and commitment ----

    def _find(self, work: Work, publish: EpochId) -> AtxId | None:
        """The highest activation that holds, for a publish epoch; None while it is being looked for."""
        search = self._searches.get(publish)
        if search is None:
            newest = newest_epoch(work.rows)
            if newest is None or work.now >= self._timeline.search_end(publish):
                return self._activation.golden_atx
            self._searches = {key: one for key, one in self._searches.items() if key is None}
            search = self._searches[publish] = self._search(work, min(newest, publish - 1))
            work.effects.append(SetTimer(SearchEnd(publish), self._timeline.search_end(publish)))
            self._pursue(work, publish, search)
        return search.found

    def _search(self, work: Work, newest: int) -> Search:
        own = frozenset(signer.identity for signer in self._keys.signers())
        before = Instant(work.now - self._parameters.post_valid_delay)
        return Search(Trust(self._activation, before, own), EpochId(newest + 1))

    def _pursue(self, work: Work, publish: EpochId | None, search: Search) -> None:
        check = search.advance(work.rows, self._columns)
        if check is not None:
            work.ask(check, SearchTag(publish))
        elif publish is not None:
            work.effects.append(StopTimer(SearchEnd(publish)))

    def _serve_all(self, work: Work) -> None:
        """Answer who wants to know a commitment, as soon as it can be told."""
        waiting, self._askers = self._askers, []
        for asked in waiting:
            assert isinstance(asked.demand, ChooseCommitment), "nothing else is served"
            found = self._commitment(work, asked.demand.identity)
            if found is None:
                self._askers.append(asked)
            else:
                work.effects.append(Reply(asked.id, found))
        if not self._askers:
            self._searches.pop(None, None)

    def _commitment(self, work: Work, identity: NodeId) -> AtxId | Failed | None:
        """None: it cannot be told yet."""
        known = commitment_of(work.rows, identity)
        if known is not None:
            return known
        if next(iter(work.rows.find(BY_SMESHER, Span(within=(identity,)))), None) is not None:
            return Failed("not_found", f"The commitment of {identity.hex()} is in none of its activations.")
        if not self._is_synced():
            return None
        newest = newest_epoch(work.rows)
        if newest is None:
            return self._activation.golden_atx
        search = self._searches.get(None)
        if search is None:
            search = self._searches[None] = self._search(work, newest)
            self._pursue(work, None, search)
        return search.found

    # ---- regossip ----

    def _regossip(self, work: Work) -> None:
        """Send the activations of this epoch again, as they were signed."""
        work.effects.append(SetTimer(REGOSSIP, after(work.now, self._parameters.regossip_interval)))
        epoch = self._timeline.epoch_at(work.now)
        for signer in self._keys.signers():
            slot = Slot(signer.identity, Kind.ATX, epoch)
            data, challenge = work.rows.get(SIGNED, slot), work.rows.get(CHALLENGES, signer.identity)
            is_out = challenge is None or challenge.publish_epoch > epoch
            if data is not None and is_out and published(work.rows, signer.identity, epoch):
                work.effects.append(Publish(TOPIC, data, slot))
