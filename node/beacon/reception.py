"""What becomes of the messages of the beacon: proposals, first and later votes, coins.

Protocol 04b, sections 1.5 to 1.7.
"""

from __future__ import annotations

from collections.abc import Iterable

from node.beacon.memory import COINS, FIRST_ROUND, FIRST_VOTES, PROPOSALS, Memory
from node.contract.checks import SignatureCheck, VrfCheck
from node.contract.instants import Instant
from node.contract.messages import Message
from node.contract.steps import Found, Judged, Needs, Ticket
from node.contract.verdicts import ACCEPT, Verdict, ignore, reject
from node.store.view import View
from protocol.codec.declare import CodecError
from protocol.crypto import vrf
from protocol.crypto.signing import Domain
from protocol.types.beacon import FirstVotingMessage, FollowingVotingMessage, ProposalMessage, WeakCoinMessage
from protocol.types.eligibility import beacon_proposal_input, weak_coin_input
from protocol.types.ids import EpochId


class Reception:
    """The judge of what others say."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def admit(self, message: Message, view: View, now: Instant) -> Judged | Needs:
        """The first step of a message."""
        try:
            if message.channel == PROPOSALS:
                return self._admit_proposal(ProposalMessage.codec.decode(message.data), message)
            if message.channel == COINS:
                return self._admit_coin(message.data)
            if self._memory.run is None:
                return Judged(ignore("protocol_not_running"))
            if message.channel == FIRST_VOTES:
                return self._admit_first(FirstVotingMessage.codec.decode(message.data))
            return self._admit_following(FollowingVotingMessage.codec.decode(message.data), message)
        except CodecError as error:
            return Judged(reject("malformed", str(error)))

    def proceed(self, ticket: Ticket, found: Found, view: View, now: Instant) -> Judged | Needs:
        """Its second one: signature or proof was looked at."""
        decoded = ticket.memo
        if isinstance(decoded, ProposalMessage):
            return Judged(self._take_proposal(decoded, ticket.message, found.all_hold))
        if isinstance(decoded, WeakCoinMessage):
            return Judged(self._take_coin(decoded, found.all_hold))
        if not found.all_hold:
            return Judged(ignore("bad_signature"))
        if isinstance(decoded, FirstVotingMessage):
            return Judged(self._take_first(decoded))
        assert isinstance(decoded, FollowingVotingMessage)
        return Judged(self._take_following(decoded, ticket.message))

    def _admit_proposal(self, decoded: ProposalMessage, message: Message) -> Judged | Needs:
        refusal = self._proposal_refusal(decoded, message)
        if refusal is not None:
            return Judged(refusal)
        nonce = self._memory.activations.nonce(decoded.node_id, decoded.epoch)
        if nonce is None:
            return Judged(ignore("no_nonce"))
        alpha = beacon_proposal_input(nonce, decoded.epoch)
        return Needs(vrf_proofs=(VrfCheck(decoded.node_id, alpha, decoded.vrf_signature),), memo=decoded)

    def _proposal_refusal(self, decoded: ProposalMessage, message: Message) -> Verdict | None:
        if not self._is_timely(decoded.epoch, message.received):
            return ignore("untimely")
        state = self._memory.state(decoded.epoch)
        if state is None:
            return ignore("zero_epoch_weight")
        if state.smeshers.get(decoded.node_id) is None:
            return ignore("miner_not_active")
        return None

    def _is_timely(self, epoch: EpochId, received: Instant) -> bool:
        if epoch == self._memory.epoch + 1:
            return (
                received
                > self._memory.time.start_ns(self._memory.time.first_layer(epoch)) - self._memory.parameters.grace
            )
        return epoch == self._memory.epoch

    def _take_proposal(self, decoded: ProposalMessage, message: Message, is_valid: bool) -> Verdict:
        if not is_valid:
            return ignore("bad_vrf")
        refusal = self._proposal_refusal(decoded, message)
        if refusal is not None:
            return refusal
        state = self._memory.states[decoded.epoch]
        if state.has_proposed(decoded.node_id):
            return ignore("already_proposed")
        state.propose(decoded.node_id, decoded.vrf_signature, message.received)
        return ACCEPT

    def _admit_first(self, decoded: FirstVotingMessage) -> Judged | Needs:
        refusal = self._first_refusal(decoded)
        if refusal is not None:
            return Judged(refusal)
        check = SignatureCheck(Domain.BEACON_FIRST_MSG, decoded.smesher_id, decoded.signed_bytes(), decoded.signature)
        return Needs(signatures=(check,), memo=decoded)

    def _first_refusal(self, decoded: FirstVotingMessage) -> Verdict | None:
        if self._memory.run is None:
            return ignore("protocol_not_running")
        if decoded.body.epoch != self._memory.epoch or decoded.body.epoch not in self._memory.states:
            return ignore("epoch_not_active")
        if self._memory.run.round > FIRST_ROUND:
            return ignore("untimely")
        return None

    def _take_first(self, decoded: FirstVotingMessage) -> Verdict:
        refusal = self._first_refusal(decoded)
        if refusal is not None:
            return refusal
        state, body = self._memory.states[decoded.body.epoch], decoded.body
        if not state.register_vote(decoded.smesher_id, FIRST_ROUND):
            return ignore("already_voted")
        if not state.vote_first(decoded.smesher_id, body.valid_proposals, body.potentially_valid_proposals):
            return ignore("miner_not_active")
        return ACCEPT

    def _admit_following(self, decoded: FollowingVotingMessage, message: Message) -> Judged | Needs:
        refusal = self._following_refusal(decoded, message)
        if refusal is not None:
            return Judged(refusal)
        check = SignatureCheck(
            Domain.BEACON_FOLLOWUP_MSG, decoded.smesher_id, decoded.signed_bytes(), decoded.signature
        )
        return Needs(signatures=(check,), memo=decoded)

    def _following_refusal(self, decoded: FollowingVotingMessage, message: Message) -> Verdict | None:
        run, body = self._memory.run, decoded.body
        if run is None:
            return ignore("protocol_not_running")
        if body.epoch != self._memory.epoch or body.epoch not in self._memory.states:
            return ignore("epoch_not_active")
        is_next = body.round == run.round + 1 and run.earliest_vote is not None and message.received > run.earliest_vote
        if body.round != run.round and not is_next:
            return ignore("untimely")
        return None

    def _take_following(self, decoded: FollowingVotingMessage, message: Message) -> Verdict:
        refusal = self._following_refusal(decoded, message)
        if refusal is not None:
            return refusal
        state, body = self._memory.states[decoded.body.epoch], decoded.body
        if not state.register_vote(decoded.smesher_id, body.round):
            return ignore("already_voted")
        reason = state.vote(decoded.smesher_id, body.votes)
        return ACCEPT if reason is None else ignore(reason)

    def _admit_coin(self, data: bytes) -> Judged | Needs:
        if self._memory.run is None:
            return Judged(ignore("protocol_not_running"))
        decoded = WeakCoinMessage.codec.decode(data)
        refusal = self._memory.coin.refusal(decoded)
        if refusal is not None:
            return Judged(ignore(refusal))
        if not self._memory.coin.is_current(decoded):
            self._memory.coin.keep(decoded)
            return Judged(ACCEPT)
        check = self._coin_check(decoded)
        return Judged(ignore("no_nonce")) if check is None else Needs(vrf_proofs=(check,), memo=decoded)

    def _coin_check(self, decoded: WeakCoinMessage) -> VrfCheck | None:
        nonce = self._memory.activations.nonce(decoded.node_id, decoded.epoch)
        if nonce is None:
            return None
        alpha = weak_coin_input(nonce, decoded.epoch, decoded.round, decoded.unit)
        return VrfCheck(decoded.node_id, alpha, decoded.vrf_signature)

    def _take_coin(self, decoded: WeakCoinMessage, is_valid: bool) -> Verdict:
        if not is_valid:
            return ignore("bad_vrf")
        if not self._memory.coin.is_current(decoded):
            return ignore("wrong_round")
        if decoded.unit > self._memory.activations.units(decoded.node_id, decoded.epoch):
            return ignore("unit_not_allowed")
        return ACCEPT if self._memory.coin.take(decoded.vrf_signature) else ignore("not_smallest")

    def take_kept(self, messages: Iterable[WeakCoinMessage]) -> None:
        """Judge coins that came before their round: from the smallest on, up to the first that counts.

        One proof is looked at unless somebody sent bad ones; then in batches, each twice the size of the one before.
        """
        due = [
            (decoded, check)
            for decoded in sorted(messages, key=lambda one: vrf.order_key(one.vrf_signature))
            if (check := self._coin_check(decoded)) is not None
        ]
        start, size = 0, 1
        while start < len(due):
            batch = due[start : start + size]
            checks = [check for _, check in batch]
            verdicts = vrf.verify_many(
                [check.public_key for check in checks],
                [check.alpha for check in checks],
                [check.proof for check in checks],
            )
            for (decoded, _), is_valid in zip(batch, verdicts, strict=True):
                if self._take_coin(decoded, is_valid).is_accepted:
                    return
            start, size = start + size, 2 * size
