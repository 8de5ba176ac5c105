"""Active sets that ballots name: those of peers are judged, and what they weigh is remembered.

Protocol 04b, section 6: check 3 of ballots, and the active set message.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from node.activation.columns import ID_WORDS, AtxColumns, words_of
from node.activation.tables import ATXS
from node.contract.demands import Fetch, Fetched
from node.contract.messages import Message
from node.contract.steps import Found, Judged, Needs
from node.contract.verdicts import ACCEPT, ignore, reject
from node.proposals.errors import BallotIgnored, BallotRejected
from node.proposals.parameters import ProposalParameters
from node.proposals.tables import ACTIVE_SETS, put_active_set
from node.store.view import Rows, View
from protocol.codec.declare import CodecError
from protocol.codec.id_list import joined
from protocol.types.activation import EpochActiveSet, active_set_hash
from protocol.types.fetch import Hint
from protocol.types.ids import ID_SIZE, AtxId, EpochId, Hash32


@dataclass(frozen=True, slots=True)
class SetStage:
    """An active set whose ATXs were asked for."""

    hash: Hash32
    active: EpochActiveSet


class ActiveSets:
    """The active sets of one node. Mutable: weights are remembered, which follow from rows."""

    def __init__(self, parameters: ProposalParameters, atxs: AtxColumns) -> None:
        self._parameters = parameters
        self._atxs = atxs
        self._weights: OrderedDict[Hash32, int] = OrderedDict()

    def weight(self, view: View, hash: Hash32) -> int | None:
        """What a stored active set weighs; None where it is not here. Raises BallotRejected (empty_active_set),
        BallotIgnored (active_set_atx_missing)."""
        known = self._weights.get(hash)
        if known is not None:
            self._weights.move_to_end(hash)
            return known
        active = view.get(ACTIVE_SETS, hash)
        if active is None:
            return None
        if not active.set:
            raise BallotRejected("The active set of a first ballot is empty.", "empty_active_set")
        weight = self._atxs.weight_of(active.epoch, joined(active.set))
        if weight is None:
            raise BallotIgnored(
                f"Active set {hash.hex()} has an ATX that is not known in epoch {active.epoch}.",
                "active_set_atx_missing",
            )
        self._weights[hash] = weight
        if len(self._weights) > self._parameters.weights_kept:
            self._weights.popitem(last=False)
        return weight

    # ---- of peers ----

    def admit(self, message: Message, view: View) -> Judged | Needs:
        """The first step of an active set that was asked for by its hash."""
        try:
            active = EpochActiveSet.codec.decode(message.data)
        except CodecError as error:
            return Judged(reject("malformed", str(error)))
        data = joined(active.set)
        if not is_ascending(data):
            return Judged(reject("active_set_not_sorted", "The ids of the active set are not in ascending order."))
        hash = active_set_hash(active.set)
        if message.expected not in (None, hash):
            return Judged(reject("wrong_hash", f"The active set is {hash.hex()}, asked for was another."))
        if view.has(ACTIVE_SETS, hash):
            return Judged(ACCEPT)
        active = self._placed(active, data, view)
        positions = np.flatnonzero(self._atxs.epoch(active.epoch).find_all(data) < 0)
        if len(positions) > self._parameters.missing_atxs:
            return Judged(
                ignore(
                    "too_many_missing_atxs",
                    f"{len(positions)} ATXs of the active set are not known, at most {self._parameters.missing_atxs} "
                    "are asked for.",
                )
            )
        if not len(positions):
            return self._take(hash, active, view)
        peers = () if message.peer is None else (message.peer,)
        missing = dict.fromkeys(AtxId(data[at * ID_SIZE :][:ID_SIZE]) for at in positions.tolist())
        return Needs(demands=[Fetch(Hint.ATX, id, peers) for id in missing], memo=SetStage(hash, active))

    def proceed(self, stage: SetStage, found: Found, view: View) -> Judged:
        """The ATXs that were asked for are here, or are not."""
        for result in found.results:
            if not (isinstance(result, Fetched) and result.verdict.is_accepted):
                return Judged(ignore("unavailable", "An ATX of the active set is not to be had."))
        return self._take(stage.hash, self._placed(stage.active, joined(stage.active.set), view), view)

    def _placed(self, active: EpochActiveSet, data: bytes, view: View) -> EpochActiveSet:
        """A set under the epoch in which its ATXs count, where all of them are known.

        The hash does not cover the epoch: a peer that names another one would make the set worthless for all ballots.
        """
        atx = view.get(ATXS, active.set[0]) if active.set else None
        if atx is None or atx.publish_epoch + 1 == active.epoch:
            return active
        epoch = EpochId(atx.publish_epoch + 1)
        return active if self._atxs.weight_of(epoch, data) is None else EpochActiveSet(epoch, active.set)

    def _take(self, hash: Hash32, active: EpochActiveSet, view: View) -> Judged:
        rows = Rows(view)
        put_active_set(rows, hash, active)
        return Judged(ACCEPT, rows)


def is_ascending(ids: bytes) -> bool:
    """Whether ids of 32 bytes, one after another, ascend; equal neighbours pass, as on the network."""
    words = words_of(ids)
    left, right = words[:-1], words[1:]
    undecided = np.ones(len(left), bool)
    for word in range(ID_WORDS):
        if bool((undecided & (left[:, word] > right[:, word])).any()):
            return False
        undecided &= left[:, word] == right[:, word]
    return True
