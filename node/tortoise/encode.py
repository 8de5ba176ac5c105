"""Our own votes: a base ballot that comes close to our opinion, and where we differ from it.

The newest ballot that can serve as a base does. Ballots with the same opinion give the same votes but for the base's
name, so each opinion of a layer is tried once. Protocol 06-tortoise, section 12.
"""

from __future__ import annotations

from collections.abc import Mapping

from node.tortoise.errors import CannotVote, TortoiseError, VotesRefused
from node.tortoise.state import State
from node.tortoise.thresholds import crosses
from node.tortoise.verifying import Verifying
from node.tortoise.votes import AGAINST, NEUTRAL, SUPPORT, Block, Chain, Sign, decode, walk
from protocol.types.ballots import Opinion, Vote, Votes
from protocol.types.ids import EMPTY_BALLOT_ID, BallotId, LayerId


def encode_votes(state: State, verifying: Verifying, current: LayerId) -> Opinion:
    """The votes of a ballot in layer `current`.

    Raises CannotVote: no_ballots, or why the last base that was tried does not serve.
    """
    refusal: TortoiseError | None = None
    for number in range(current - 1, state.evicted, -1):
        if number == state.parameters.effective_genesis:
            bases: Mapping[Chain, BallotId] = {None: EMPTY_BALLOT_ID}
            newest: Chain = None
        elif (layer := state.layers.get(LayerId(number))) is not None:
            bases, newest = {votes: ballot.id for votes, ballot in layer.bases.items()}, layer.newest_base
        else:
            continue
        for votes, id in bases.items():
            try:
                return _encode(state, verifying, id, LayerId(number), votes, current)
            except (CannotVote, VotesRefused) as error:
                if votes is newest:  # what the last ballot of the lowest layer fails with is what is told
                    refusal = error
    if refusal is not None:
        raise CannotVote(f"No ballot serves as a base for votes in layer {current}: {refusal}", refusal.reason)
    raise CannotVote(f"There is no ballot below layer {current} to vote on", "no_ballots")


def _encode(
    state: State, verifying: Verifying, base: BallotId, base_layer: LayerId, base_votes: Chain, current: LayerId
) -> Opinion:
    support: list[Vote] = []
    against: list[Vote] = []
    abstain: list[LayerId] = []
    agreed = min(verifying.settled, LayerId(max(0, current - state.parameters.hdist)))
    for votes in walk(base_votes):
        if votes.layer <= state.evicted:
            break
        layer = state.layer(votes.layer)
        if votes.layer <= agreed and votes.opinion == layer.opinion and _is_plain(state, verifying, votes.layer):
            if votes.newest_abstain <= state.evicted:
                break  # the hash covers everything below, and nothing there is undecided or absent
        if votes.is_abstain:
            if layer.hare_terminated:
                raise CannotVote(
                    f"ballot {base.hex()} abstains on layer {votes.layer}, on which hare has ended", "base_unusable"
                )
        elif not layer.hare_terminated:
            abstain.append(votes.layer)
        else:
            for block in layer.blocks:
                vote = _full_vote(state, block, current)
                if vote != (SUPPORT if any(block is one for one in votes.supported) else AGAINST):
                    if vote == SUPPORT:
                        support.append(block.vote())
                    elif vote == AGAINST:
                        against.append(block.vote())
    for number in range(max(base_layer, state.evicted + 1), current):
        layer = state.layer(number)
        if not layer.hare_terminated:
            abstain.append(LayerId(number))
        else:
            support += [block.vote() for block in layer.blocks if _full_vote(state, block, current) == SUPPORT]
    if len(support) + len(against) > state.parameters.max_exceptions:
        raise CannotVote(
            f"ballot {base.hex()} differs from our opinion in {len(support) + len(against)} votes, at most "
            f"{state.parameters.max_exceptions} may be listed",
            "too_many_exceptions",
        )
    found = Votes(base, tuple(support), tuple(against), tuple(abstain))
    return Opinion(decode(base_votes, base_layer, current, found)[0].opinion, found)


def _is_plain(state: State, verifying: Verifying, layer: LayerId) -> bool:
    """Whether all valid blocks up to a settled layer are here, so that we vote for each."""
    return not verifying.lacking_data or min(verifying.lacking_data) > layer


def _full_vote(state: State, block: Block, current: LayerId) -> Sign:
    """What we vote for a block in layer `current`: never undecided."""
    if not block.data:
        return AGAINST
    vote = state.local_vote(block, current)
    if vote != NEUTRAL or state.is_within_hdist(block.layer, current):
        return vote
    vote = crosses(block.margin, state.local_threshold)
    if vote != NEUTRAL:
        return vote
    coin = state.layer(current - 1).coin
    if coin == NEUTRAL:
        raise CannotVote(
            f"the weak coin of layer {current - 1} is not recorded; it decides about block {block.id.hex()} of layer "
            f"{block.layer}",
            "coin_not_recorded",
        )
    return coin
