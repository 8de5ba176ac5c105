"""Short ids of version 4, and the exchange of full lists where they do not suffice.

| a preround message came | its list is |
|---|---|
| judged before, or our own | remembered |
| every short id fits a proposal of ours | those proposals |
| one does not, or the signature does not fit the list | asked of the peer that sent the message, by the message's id |

Messages that were relayed are remembered for peers that ask us. Protocol 05-consensus, section 7.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from node.hare.parameters import HareBounds
from node.hare.proposals import LayerProposal
from protocol.codec.declare import CodecError, c32
from protocol.types.hare import MAX_EXCHANGED_IDS, CompactIdRequest, CompactIdResponse
from protocol.types.ids import COMPACT_ID_SIZE, CompactProposalId, Hash32, LayerId, ProposalId

PROTOCOL = "hare4/full_exchange"
"""Of requests. An answer is a frame: its length, compact, and a CompactIdResponse."""
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
    return CompactProposalId(proposal.eligibilities[0].sig[:COMPACT_ID_SIZE])


def matched(proposals: Iterable[LayerProposal], compact: Iterable[CompactProposalId]) -> Ids | None:
    """The proposals that short ids stand for, ascending: each the first one that fits and is not taken yet.

    None where nothing fits one of them.
    """
    free: dict[CompactProposalId, list[ProposalId]] = {}
    for one in sorted(proposals, key=lambda one: one.id):
        if (short_id := compact_id(one)) is not None:
            free.setdefault(short_id, []).append(one.id)
    taken: dict[CompactProposalId, int] = {}
    found = []
    for short in compact:
        fitting, position = free.get(short, ()), taken.get(short, 0)
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


class FullLists:
    """The lists behind messages that were sent with short ids, by the messages' ids. Mutable."""

    def __init__(self, bounds: HareBounds) -> None:
        self._bounds = bounds
        self._lists: dict[Hash32, tuple[LayerId, Ids]] = {}
        self.ids = 0
        """In all lists."""

    def __len__(self) -> int:
        return len(self._lists)

    def get(self, id: Hash32) -> Ids | None:
        """The list of a message."""
        known = self._lists.get(id)
        return None if known is None else known[1]

    def put(self, layer: LayerId, id: Hash32, ids: Ids) -> None:
        """Remember the list of a message of a layer. Where there are too many, the oldest go."""
        if id in self._lists:
            return
        self._lists[id] = (layer, ids)
        self.ids += len(ids)
        while len(self._lists) > self._bounds.lists or self.ids > self._bounds.list_ids:
            self._forget(next(iter(self._lists)))

    def forget_before(self, layer: LayerId) -> None:
        """Forget the lists of earlier layers."""
        for id in [id for id, (known, _) in self._lists.items() if known < layer]:
            self._forget(id)

    def _forget(self, id: Hash32) -> None:
        self.ids -= len(self._lists.pop(id)[1])


def answer(lists: FullLists, data: bytes) -> bytes | str:
    """The frame for a peer that asks for a list; or why there is none: malformed, not_found, too_long."""
    try:
        ids = lists.get(requested(data))
    except CodecError:
        return "malformed"
    if ids is None:
        return "not_found"
    return response(ids) if len(ids) <= MAX_EXCHANGED_IDS else "too_long"
