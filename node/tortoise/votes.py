"""What ballots vote for: blocks, and the votes of an opinion as a chain from its newest layer to the oldest.

Ballots with the same opinion share one chain, and an opinion shares with its base ballot's whatever lies below the
first layer in which they differ. A ballot is sent as a difference to its base; `decode` unfolds it.
Protocol 06-tortoise, sections 2, 4 and 5.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from node.tortoise.errors import VotesRefused
from protocol.types.ballots import Vote, Votes
from protocol.types.ids import BlockId, Hash32, LayerId
from protocol.types.opinions import opinion_hash

SUPPORT, AGAINST, NEUTRAL = 1, -1, 0
ABSTAIN = NEUTRAL

Sign = int
"""SUPPORT, AGAINST or NEUTRAL (of a vote: ABSTAIN)."""


class Block:
    """A block that is voted on. Two blocks with one id and unlike heights are two blocks. Mutable."""

    __slots__ = ("data", "hare", "height", "id", "layer", "margin", "validity")

    def __init__(self, id: BlockId, layer: LayerId, height: int) -> None:
        self.id = id
        self.layer = layer
        self.height = height
        """Ticks."""
        self.hare: Sign = NEUTRAL
        self.validity: Sign = NEUTRAL
        """What was verified."""
        self.margin = 0
        """Weight for it less weight against it, counted in full mode; raw 72.56, signed."""
        self.data = False
        """Whether the block itself is here, not only votes on it."""

    def vote(self) -> Vote:
        """The block as ballots name it."""
        return Vote(self.id, self.layer, self.height)


def order(block: Block) -> tuple[int, bytes]:
    """Key of the order in which the blocks of a layer are hashed, listed and decided."""
    return block.height, block.id


class LayerVotes:
    """The votes of one opinion on one layer, chained to those on the layers below."""

    __slots__ = ("below", "is_abstain", "layer", "newest_abstain", "opinion", "supported")

    def __init__(
        self, layer: LayerId, *, is_abstain: bool, supported: tuple[Block, ...], below: LayerVotes | None
    ) -> None:
        """Supported blocks in any order; the hash of the opinion follows from all of it."""
        self.layer = layer
        self.is_abstain = is_abstain
        self.supported = tuple(sorted(supported, key=order)) if len(supported) > 1 else supported
        self.below = below
        self.newest_abstain: LayerId = layer if is_abstain else below.newest_abstain if below else LayerId(0)
        """The newest layer, up to this one, that is abstained on; 0: none was."""
        named = None if is_abstain and not supported else ((block.id, block.height) for block in self.supported)
        self.opinion: Hash32 = opinion_hash(below.opinion if below else None, named)


Chain = LayerVotes | None
"""The votes of an opinion, the newest layer first; None: no votes, or those that there were are outside the window."""

Difference = dict[LayerId, dict[BlockId, tuple[Vote, Sign]]]


def walk(chain: Chain) -> Iterator[LayerVotes]:
    """The votes on every layer, the newest first."""
    while chain is not None:
        yield chain
        chain = chain.below


def difference(votes: Votes) -> Difference:
    """A ballot's explicit votes by layer; a layer without any is abstained on.

    Raises VotesRefused: conflicting_votes, conflict_abstain.
    """
    found: Difference = {}
    for listed, sign in ((votes.against, AGAINST), (votes.support, SUPPORT)):
        for vote in listed:
            layer = found.setdefault(vote.layer, {})
            if vote.id in layer:
                raise VotesRefused(
                    f"block {vote.id.hex()} of layer {vote.layer} is voted on twice", "conflicting_votes"
                )
            layer[vote.id] = (vote, sign)
    for number in votes.abstain:
        if number in found:
            raise VotesRefused(f"layer {number} is abstained on and voted on", "conflict_abstain")
        found[number] = {}
    return found


def decode(base: Chain, base_layer: LayerId, until: LayerId, votes: Votes) -> tuple[LayerVotes, LayerId]:
    """The votes of a ballot in layer `until`, and the lowest layer on which it says something itself.

    base: the votes of its base ballot, which is of `base_layer`, below `until`. Supported blocks of the ballot's own
    votes are new objects; whoever stores the ballot replaces them by those that are known.
    Raises VotesRefused: conflicting_votes, conflict_abstain, wrong_target.
    """
    differences = difference(votes)
    lowest = min(base_layer, *differences) if differences else base_layer
    chain = base if lowest >= base_layer or base is None else _rewritten(base, lowest, differences)
    for number in range(base_layer, until):
        layer = LayerId(number)
        changes = differences.get(layer)
        supported = tuple(_block(vote) for vote, sign in (changes or {}).values() if sign == SUPPORT)
        chain = LayerVotes(layer, is_abstain=changes == {}, supported=supported, below=chain)
    if chain is None:
        raise ValueError(f"a ballot of layer {until} cannot stand on one of layer {base_layer}")
    return chain, lowest


def _rewritten(base: LayerVotes, lowest: LayerId, differences: Difference) -> LayerVotes:
    """The base's votes with the differences laid over them; layers below the lowest one are shared."""
    touched = []
    chain: Chain = base
    while chain is not None and chain.layer >= lowest:
        touched.append(chain)
        chain = chain.below
    for votes in reversed(touched):
        changes = differences.get(votes.layer)
        if changes is None:
            is_abstain, supported = votes.is_abstain, votes.supported
        elif not changes:
            is_abstain, supported = True, ()
        else:
            is_abstain, supported = votes.is_abstain, _changed(votes.supported, changes)
        chain = LayerVotes(votes.layer, is_abstain=is_abstain, supported=supported, below=chain)
    return chain or base


def _changed(supported: Sequence[Block], changes: dict[BlockId, tuple[Vote, Sign]]) -> tuple[Block, ...]:
    kept = []
    for block in supported:
        change = changes.get(block.id)
        if change is None:
            kept.append(block)
        elif change[1] == AGAINST and change[0] != block.vote():
            raise VotesRefused(
                f"block {block.id.hex()} is voted against with layer {change[0].layer} and height {change[0].height}, "
                f"but the base supports it with layer {block.layer} and height {block.height}",
                "wrong_target",
            )
    return (*kept, *(_block(vote) for vote, sign in changes.values() if sign == SUPPORT))


def _block(vote: Vote) -> Block:
    return Block(vote.id, vote.layer, vote.height)
