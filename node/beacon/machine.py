"""The machine of the beacon: one run an epoch, driven by timers, its messages from four topics.

| phase of a run | ends with | then |
|---|---|---|
| proposals | proposal_duration | first votes are sent |
| round 0 | first_voting_duration | what was voted decides our next votes |
| round r, votes | voting_duration | the coin of the round opens |
| round r, coin | weak_coin_duration | the coin decides what votes left open; the next round, or the beacon |

A run that began before this node was synced is not taken part in. Proposals are taken for the epoch that runs and, at
its end, for the next one, whether or not there is a run. Protocol 04b, section 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from node.beacon.coin import WeakCoin
from node.beacon.epochs import EpochState
from node.beacon.memory import COINS, FIRST_ROUND, FIRST_VOTES, FOLLOWING_VOTES, PROPOSALS, Activations, Memory, Run
from node.beacon.parameters import BeaconParameters
from node.beacon.reception import Reception
from node.beacon.votes import Class, encode_bits
from node.contract.demands import ProveVrf
from node.contract.effects import Ask, Effect, Emit, Publish, SetTimer, StopIdentity
from node.contract.inputs import Answer, NotSent, Sent, Tick, Timer
from node.contract.instants import Instant, after
from node.contract.machine import Machine
from node.contract.messages import Message, Origin
from node.contract.ports import Keys
from node.contract.steps import NOTHING, Found, Judged, Needs, Step, Ticket
from node.store.keys import EPOCH
from node.store.own import SIGNED, Kind, Slot
from node.store.table import Table
from node.store.view import Rows, View
from protocol.codec.declare import codec_of
from protocol.crypto.signing import Domain
from protocol.numbers.layers import NetworkTime
from protocol.types.beacon import (
    FirstVotingMessage,
    FirstVotingMessageBody,
    FollowingVotingMessage,
    FollowingVotingMessageBody,
    ProposalMessage,
    WeakCoinMessage,
    beacon_of,
)
from protocol.types.eligibility import beacon_proposal_input, weak_coin_input
from protocol.types.ids import Beacon, EdSignature, EpochId, NodeId, RoundId, VrfSignature

BEACONS: Table[EpochId, Beacon] = Table(b"bc", "beacons", EPOCH, codec_of(Beacon))
"""The beacon of an epoch."""


@dataclass(frozen=True, slots=True)
class BeaconAgreed:
    """An event: a run ended with the beacon of an epoch."""

    epoch: EpochId
    beacon: Beacon


@dataclass(frozen=True, slots=True)
class BeaconFailed:
    """An event: a run did not end with a beacon. reason: zero_epoch_weight, no_coin, no_proposals, known_otherwise."""

    epoch: EpochId
    reason: str


@dataclass(frozen=True, slots=True)
class _ProposalTag:
    """Names the proof of a proposal that was asked for."""

    identity: NodeId
    epoch: EpochId


@dataclass(frozen=True, slots=True)
class _CoinTag:
    """Names the proof of a coin that was asked for."""

    identity: NodeId
    round: RoundId
    unit: int


class BeaconMachine(Machine):
    """The beacon of one network."""

    name = "beacon"
    topics = (PROPOSALS, FIRST_VOTES, FOLLOWING_VOTES, COINS)
    ticks = True

    def __init__(
        self,
        parameters: BeaconParameters,
        time: NetworkTime,
        keys: Keys,
        activations: Activations,
        is_synced: Callable[[], bool],
    ) -> None:
        self._memory = Memory(parameters, time, activations, WeakCoin(parameters.rounds), EpochId(0))
        self._reception = Reception(self._memory)
        self._keys = keys
        self._is_synced = is_synced
        self._own_coins: dict[NodeId, dict[int, VrfSignature]] = {}

    @property
    def states(self) -> dict[EpochId, EpochState]:
        """What is known of the epochs; not to be changed."""
        return self._memory.states

    def on_atx(self, epoch: EpochId, node: NodeId, weight: int, received: Instant) -> None:
        """An ATX came that is active in an epoch."""
        state = self._memory.states.get(epoch)
        if state is not None:
            state.smeshers.add(node, weight, received)

    # ---- a run ----

    def start(self, view: View, now: Instant) -> Step:
        """As Machine says. A run that was under way is not taken up: nothing is signed for it a second time."""
        self._memory.epoch = self._memory.time.epoch_of(self._memory.time.layer_at(now))
        return NOTHING

    def tick(self, tick: Tick, view: View, now: Instant) -> Step:
        """As Machine says."""
        self._memory.epoch = epoch = self._memory.time.epoch_of(tick.layer)
        run = self._memory.run
        oldest = epoch if run is None else min(run.epoch, epoch)  # a run that outlasts its epoch still needs the state
        for known in [known for known in self._memory.states if known < oldest]:
            del self._memory.states[known]
        if (
            run is not None
            or self._memory.time.ordinal_in_epoch(tick.layer) != 0
            or tick.layer <= self._memory.time.effective_genesis
            or self._memory.parameters.rounds == 0
            or not self._is_synced()
        ):
            return NOTHING
        state = self._memory.state(epoch)
        if state is None:
            return Step(effects=[Emit(BeaconFailed(EpochId(epoch + 1), "zero_epoch_weight"))])
        signers = tuple(
            signer
            for signer in self._keys.signers()
            if state.smeshers.get(signer.identity)
            and self._memory.activations.nonce(signer.identity, epoch) is not None
        )
        self._memory.run = Run(epoch, signers)
        self._memory.coin.start_epoch(epoch)
        effects: list[Effect] = [SetTimer("proposals", after(tick.due, self._memory.parameters.proposal_duration))]
        for signer in signers:
            alpha = beacon_proposal_input(self._memory.activations.nonce(signer.identity, epoch) or 0, epoch)
            effects.append(Ask(ProveVrf(signer.identity, alpha), _ProposalTag(signer.identity, epoch)))
        return Step(effects=effects)

    def answer(self, answer: Answer, view: View, now: Instant) -> Step:
        """As Machine says: a proof of an own identity is here."""
        run = self._memory.run
        if isinstance(answer.result, Sent | NotSent) or not isinstance(answer.asked, ProveVrf) or run is None:
            return NOTHING
        proof = answer.result if isinstance(answer.result, bytes) else None
        if isinstance(answer.tag, _CoinTag):
            return self._own_coin(run, answer.tag, None if proof is None else VrfSignature(proof))
        assert isinstance(answer.tag, _ProposalTag)
        epoch, identity = answer.tag.epoch, answer.tag.identity
        state = self._memory.states.get(epoch)
        smesher = None if state is None else state.smeshers.get(identity)
        if proof is None or run.epoch != epoch or state is None or smesher is None or smesher.is_malicious:
            return NOTHING
        if state.classify(smesher, VrfSignature(proof), now) is Class.INVALID:
            return NOTHING
        message = ProposalMessage(epoch, identity, VrfSignature(proof))
        return Step(effects=[Publish(PROPOSALS, ProposalMessage.codec.encode(message))])

    def timer(self, timer: Timer, view: View, now: Instant) -> Step:
        """As Machine says: a phase has ended."""
        run = self._memory.run
        if run is None:
            return NOTHING
        state, parameters = self._memory.states[run.epoch], self._memory.parameters
        if timer.key == "proposals":
            state.phase_end = timer.due
            return self._enter_round(run, FIRST_ROUND, timer.due, self._first_votes(run, state))
        if timer.key == "votes":
            run.votes = state.own_votes()
            if run.round == FIRST_ROUND:
                return self._next_round(run, state, timer.due, view)
            effects: list[Effect] = [SetTimer("coin", after(timer.due, parameters.weak_coin_duration))]
            self._reception.take_kept(self._memory.coin.start_round(run.round))
            return Step(effects=[*effects, *self._ask_coins(run)])
        self._memory.coin.finish_round()
        is_heads = self._memory.coin.coins.get(run.round)
        if is_heads is None:
            return self._end(run, BeaconFailed(EpochId(run.epoch + 1), "no_coin"))
        assert run.votes is not None, "votes are counted before the coin of their round"
        run.votes = run.votes.after_coin(is_heads)
        return self._next_round(run, state, timer.due, view)

    def _next_round(self, run: Run, state: EpochState, now: Instant, view: View) -> Step:
        if run.round + 1 < self._memory.parameters.rounds:
            round = RoundId(run.round + 1)
            return self._enter_round(run, round, now, self._following_votes(run, state, round))
        assert run.votes is not None, "round 0 has ended"
        if not run.votes.support:
            return self._end(run, BeaconFailed(EpochId(run.epoch + 1), "no_proposals"))
        return self._agreed(run, beacon_of(run.votes.support), view)

    def _agreed(self, run: Run, beacon: Beacon, view: View) -> Step:
        epoch = EpochId(run.epoch + 1)
        known = view.get(BEACONS, epoch)
        if known is not None and known != beacon:
            return self._end(run, BeaconFailed(epoch, "known_otherwise"))
        rows = Rows(view)
        rows.put(BEACONS, epoch, beacon)
        return Step(rows, self._end(run, BeaconAgreed(epoch, beacon)).effects)

    def _end(self, run: Run, event: object) -> Step:
        self._memory.run = None
        self._memory.coin.finish_epoch()
        self._own_coins = {}
        self._memory.states.pop(run.epoch, None)
        return Step(effects=[Emit(event)])

    def _enter_round(self, run: Run, round: RoundId, now: Instant, votes: Sequence[Publish]) -> Step:
        parameters = self._memory.parameters
        run.round = round
        if round == FIRST_ROUND:
            voting, length = parameters.first_voting_duration, parameters.first_voting_duration
        else:
            voting, length = parameters.voting_duration, parameters.voting_duration + parameters.weak_coin_duration
        run.earliest_vote = Instant(now + length - parameters.grace)
        return Step(effects=[*votes, SetTimer("votes", after(now, voting))])

    # ---- what we say ----

    def _first_votes(self, run: Run, state: EpochState) -> list[Publish]:
        body = FirstVotingMessageBody(run.epoch, tuple(sorted(state.valid)), tuple(sorted(state.potentially_valid)))
        found = []
        for signer in run.signers:
            signature = signer.sign(Domain.BEACON_FIRST_MSG, FirstVotingMessageBody.codec.encode(body))
            message = FirstVotingMessage(body, signer.identity, EdSignature(signature))
            slot = Slot(signer.identity, Kind.BEACON_FIRST, run.epoch)
            found.append(Publish(FIRST_VOTES, FirstVotingMessage.codec.encode(message), slot))
        return found

    def _following_votes(self, run: Run, state: EpochState, round: RoundId) -> list[Publish]:
        assert run.votes is not None, "round 0 has ended"
        found = []
        for signer in run.signers:
            first = state.first_vote_of(signer.identity)
            if not state.has_voted_first(signer.identity):
                continue  # its first vote was not accepted, so nobody could read this one
            body = FollowingVotingMessageBody(run.epoch, round, encode_bits(first, run.votes.support))
            signature = signer.sign(Domain.BEACON_FOLLOWUP_MSG, FollowingVotingMessageBody.codec.encode(body))
            message = FollowingVotingMessage(body, signer.identity, EdSignature(signature))
            slot = Slot(signer.identity, Kind.BEACON_FOLLOWING, run.epoch, round)
            found.append(Publish(FOLLOWING_VOTES, FollowingVotingMessage.codec.encode(message), slot))
        return found

    def _ask_coins(self, run: Run) -> list[Effect]:
        self._own_coins = {}
        asks: list[Effect] = []
        for signer in run.signers:
            identity = signer.identity
            nonce = self._memory.activations.nonce(identity, run.epoch)
            units = self._memory.activations.units(identity, run.epoch)
            if nonce is None or not units:
                continue
            self._own_coins[identity] = {}
            for unit in range(units):
                alpha = weak_coin_input(nonce, run.epoch, run.round, unit)
                asks.append(Ask(ProveVrf(identity, alpha), _CoinTag(identity, run.round, unit)))
        return asks

    def _own_coin(self, run: Run, tag: _CoinTag, proof: VrfSignature | None) -> Step:
        known = self._own_coins.get(tag.identity)
        if known is None or run.round != tag.round or not self._memory.coin.is_round_open or proof is None:
            return NOTHING
        known[tag.unit] = proof
        if len(known) < self._memory.activations.units(tag.identity, run.epoch):
            return NOTHING
        del self._own_coins[tag.identity]
        proofs = [known[unit] for unit in sorted(known)]
        return Step(
            effects=[
                Publish(
                    COINS,
                    WeakCoinMessage.codec.encode(WeakCoinMessage(run.epoch, run.round, unit, tag.identity, best)),
                )
                for unit, best in self._memory.coin.to_publish(proofs)
            ]
        )

    # ---- what others say ----

    def admit(self, message: Message, view: View, now: Instant) -> Judged | Needs:
        """As Machine says."""
        return self._reception.admit(message, view, now)

    def proceed(self, ticket: Ticket, found: Found, view: View, now: Instant) -> Judged | Needs:
        """As Machine says."""
        judged = self._reception.proceed(ticket, found, view, now)
        stops = self._from_elsewhere(ticket, found, view) if isinstance(judged, Judged) else []
        return replace(judged, effects=(*judged.effects, *stops)) if stops and isinstance(judged, Judged) else judged

    def _from_elsewhere(self, ticket: Ticket, found: Found, view: View) -> list[Effect]:
        """What follows where a peer brings votes of an own identity in this run that this node did not sign."""
        run, message, decoded = self._memory.run, ticket.message, ticket.memo
        match decoded:
            case FirstVotingMessage():
                slot = Slot(decoded.smesher_id, Kind.BEACON_FIRST, decoded.body.epoch)
            case FollowingVotingMessage():
                slot = Slot(decoded.smesher_id, Kind.BEACON_FOLLOWING, decoded.body.epoch, decoded.body.round)
            case _:
                return []
        is_own = run is not None and any(signer.identity == slot.identity for signer in run.signers)
        if not is_own or not found.all_hold or message.origin is Origin.OWN or view.get(SIGNED, slot) == message.data:
            return []
        sentence = (
            f"Another node has voted on the beacon in epoch {slot.number} with the key of {slot.identity.hex()}. Two "
            "nodes with one key contradict each other: run the key on one node only."
        )
        return [StopIdentity(slot.identity, sentence)]
