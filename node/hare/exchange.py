"""Short ids of version 4, and the exchange of full lists where they do not suffice.

| a preround message came | its list is |
|---|---|
| judged before, or our own | remembered |
| every short id fits a proposal of ours | those proposals |
| one does not, or the signature does not fit the list | asked of the peer that sent the message, by the message's id |

Messages that were relayed are remembered for peers that ask us. Protocol 05-consensus, section 7.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from node.contract.instants import Instant
from node.hare.parameters import HareBounds
from node.hare.proposals import LayerProposal
from protocol.codec.declare import CodecError, c32
from protocol.crypto import vrf
from protocol.numbers.durations import SECOND
from protocol.types.hare import MAX_EXCHANGED_IDS, CompactIdRequest, CompactIdResponse
from protocol.types.ids import CompactProposalId, Hash32, LayerId, ProposalId

PROTOCOL = "hare4/full_exchange"
"""Of requests. An answer stands on the stream as it is, without the envelope that those of other protocols have: its
length, compact, then a CompactIdResponse."""
MAX_RESPONSE_BYTES = 1_000_000
"""Answers are shorter than this."""

Ids = tuple[ProposalId, ...]


def request(id: Hash32) -> bytes:
    """Asks for the list of a message."""
    return CompactIdRequest.codec.encode(CompactIdRequest(id))


def requested(data: bytes) -> Hash32:
    """The message whose list a peer asks for. Raises CodecError."""
    return CompactIdRequest.codec.decode(data).msg_id


def response(ids: Sequence[ProposalId]) -> bytes:
    """The frame that answers. Raises CodecError for more ids than one may hold."""
    body = CompactIdResponse.codec.encode(CompactIdResponse(ids))
    return c32.encode(len(body)) + body


def responded(frame: bytes) -> Ids:
    """The ids of an answer, in its order; what follows them is not looked at.

    Raises CodecError, and ValueError for an answer that is too long, or not as long as it says.
    """
    length, start = c32.read(frame)
    if length >= MAX_RESPONSE_BYTES:
        raise ValueError(f"the answer has {length} bytes, expected fewer than {MAX_RESPONSE_BYTES}")
    found, end = CompactIdResponse.codec.read(frame, start)
    if end - start != length:
        raise ValueError(f"the answer says that it has {length} bytes, found {end - start}")
    return tuple(found.ids)


def compact_id(proposal: LayerProposal) -> CompactProposalId | None:
    """The first bytes of a proposal's first eligibility; None where it has none."""
    if not proposal.eligibilities:
        return None
    return CompactProposalId(vrf.compact_id(proposal.eligibilities[0].sig))


ByShortId = Mapping[CompactProposalId, Sequence[ProposalId]]
"""The proposals of a layer that a short id fits, ascending."""


def by_short_id(proposals: Iterable[LayerProposal]) -> ByShortId:
    """Proposals of one layer."""
    fitting: dict[CompactProposalId, list[ProposalId]] = {}
    for one in sorted(proposals, key=lambda one: one.id):
        if (short_id := compact_id(one)) is not None:
            fitting.setdefault(short_id, []).append(one.id)
    return fitting


def matched(known: ByShortId, compact: Iterable[CompactProposalId]) -> Ids | None:
    """The proposals that short ids stand for, ascending: each the first one that fits and is not taken yet.

    None where nothing fits one of them.
    """
    taken: dict[CompactProposalId, int] = {}
    found = []
    for short in compact:
        fitting, position = known.get(short, ()), taken.get(short, 0)
        if position == len(fitting):
            return None
        taken[short] = position + 1
        found.append(fitting[position])
    return tuple(sorted(found))


def compacted(proposals: Iterable[LayerProposal], ids: Sequence[ProposalId]) -> list[CompactProposalId] | None:
    """The short ids of proposals, in their order; None where one of them is not here."""
    known = {one.id: compact_id(one) for one in proposals}
    short = [known.get(id) for id in ids]
    return None if None in short else [one for one in short if one is not None]


class _Lists:
    """So many lists with so many ids. Mutable."""

    def __init__(self, limit: int, ids_limit: int) -> None:
        self._limit = limit
        self._ids_limit = ids_limit
        self.lists: dict[Hash32, tuple[LayerId, Ids]] = {}
        self.ids = 0
        """In all of them."""

    def put(self, layer: LayerId, id: Hash32, ids: Ids) -> None:
        """The oldest go where there are too many."""
        self.lists[id] = (layer, ids)
        self.ids += len(ids)
        while len(self.lists) > self._limit or self.ids > self._ids_limit:
            self.forget(next(iter(self.lists)))

    def forget(self, id: Hash32) -> None:
        """Let one go."""
        self.ids -= len(self.lists.pop(id)[1])


class FullLists:
    """The lists behind messages that were sent with short ids, by the messages' ids. Mutable.

    Those of messages that count for nothing have a place of their own, and drive out no other.
    """

    def __init__(self, bounds: HareBounds) -> None:
        self._counted = _Lists(bounds.lists, bounds.list_ids)
        self._uncounted = _Lists(bounds.uncounted_lists, bounds.list_ids)
        self._all = (self._counted, self._uncounted)

    def __len__(self) -> int:
        return sum(len(one.lists) for one in self._all)

    @property
    def ids(self) -> int:
        """In all lists."""
        return sum(one.ids for one in self._all)

    def get(self, id: Hash32) -> Ids | None:
        """The list of a message."""
        for one in self._all:
            if id in one.lists:
                return one.lists[id][1]
        return None

    def put(self, layer: LayerId, id: Hash32, ids: Ids, *, is_counted: bool) -> None:
        """Remember the list of a message of a layer, the first one of each. Where there are too many, the oldest go.

        is_counted: whether the message is of the round in which lists are counted.
        """
        if self.get(id) is None:
            (self._counted if is_counted else self._uncounted).put(layer, id, ids)

    def forget_before(self, layer: LayerId) -> None:
        """Forget the lists of earlier layers."""
        for one in self._all:
            for id in [id for id, (known, _) in one.lists.items() if known < layer]:
                one.forget(id)


class Answers:
    """What peers are told that ask for lists, so many in a second. Mutable."""

    def __init__(self, lists: FullLists, bounds: HareBounds) -> None:
        self._lists = lists
        self._limit = bounds.answers
        self._second = 0
        self._given = 0

    def answer(self, data: bytes, now: Instant) -> bytes | str:
        """The frame for a peer; or why there is none: malformed, not_found, too_long, busy."""
        try:
            ids = self._lists.get(requested(data))
        except CodecError:
            return "malformed"
        if ids is None:
            return "not_found"
        if len(ids) > MAX_EXCHANGED_IDS:
            return "too_long"
        if now // SECOND != self._second:
            self._second, self._given = now // SECOND, 0
        if self._given >= self._limit:
            return "busy"
        self._given += 1
        return response(ids)
