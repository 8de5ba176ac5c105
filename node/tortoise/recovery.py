"""A tortoise from what is stored: the layers of the window, or all since genesis, in the order in which they came.

Blocks keep what was decided about them and ballots the opinion that they signed, so nothing below the window is needed.
Protocol 06-tortoise, section 13.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from node.tortoise.ballots import TortoiseBallot
from node.tortoise.errors import TortoiseError
from node.tortoise.parameters import TortoiseParameters
from node.tortoise.state import NO_OPINION, AtxData, AtxInfo
from node.tortoise.tortoise import Tortoise
from protocol.types.ballots import Vote
from protocol.types.ids import Beacon, BlockId, EpochId, Hash32, LayerId, NodeId


class Stored(Protocol):
    """What recovery reads."""

    def last_ballot_layer(self) -> LayerId:
        """The newest layer with a ballot; 0: there is none."""

    def last_applied(self) -> LayerId:
        """The newest layer that the ledger has; 0: none."""

    def last_valid(self) -> LayerId | None:
        """The newest layer with a valid block."""

    def last_atx_epoch(self) -> EpochId:
        """The newest epoch in which an ATX was published."""

    def opinion(self, layer: LayerId) -> Hash32 | None:
        """Our opinion of a layer when its result was taken; None where it was not."""

    def atxs(self, epoch: EpochId) -> Iterable[AtxInfo]:
        """The ATXs that are active in an epoch."""

    def beacon(self, epoch: EpochId) -> Beacon | None:
        """The beacon of an epoch."""

    def malicious(self) -> Iterable[NodeId]:
        """All identities that are marked."""

    def blocks(self, layer: LayerId) -> Sequence[tuple[Vote, bool]]:
        """The blocks of a layer, and whether each was decided to be valid."""

    def hare_output(self, layer: LayerId) -> BlockId | None:
        """Hare's output; None where it is not known any more."""

    def ballots(self, layer: LayerId) -> Sequence[TortoiseBallot]:
        """The ballots of a layer, those of malicious identities left out."""

    def coin(self, layer: LayerId) -> bool | None:
        """The weak coin of a layer."""


def recover(parameters: TortoiseParameters, atxs: AtxData, stored: Stored, current: LayerId) -> Tortoise:
    """The tortoise as it would be had it seen all that is stored. current: the layer of the clock."""
    tortoise = Tortoise(parameters, atxs)
    start = _begin(tortoise, stored)
    for identity in stored.malicious():
        tortoise.on_malfeasance(identity)
    length = parameters.layers_per_epoch
    if parameters.effective_genesis != 2 * length - 1:  # after a checkpoint, the first epoch has ATXs of before
        _recover_epoch(tortoise, stored, EpochId((parameters.effective_genesis + 1) // length))
    valid = stored.last_valid()
    if valid is not None:
        tortoise.update_verified(valid)
    last = stored.last_ballot_layer()
    tortoise.update_last(last)
    for number in range(start, last + 1):
        _recover_layer(tortoise, stored, LayerId(number))
    for epoch in range(last // length + 1, stored.last_atx_epoch() + 2):
        _recover_epoch(tortoise, stored, EpochId(epoch))
    last = min(last, current)
    if last < start:
        return tortoise
    tortoise.tally(last)
    for number in range(valid or 0, start - 1, -1):
        opinion = stored.opinion(LayerId(number))
        if opinion is not None and opinion != NO_OPINION and tortoise.on_applied(LayerId(number), opinion):
            break
    return tortoise


def first_layer(parameters: TortoiseParameters, stored: Stored) -> LayerId | None:
    """The first layer to be read, the first of an epoch, so that the ballots that others refer to are among them.

    None: all are read, from the genesis on.
    """
    applied = stored.last_applied()
    window = parameters.window(applied)
    if applied <= window:
        return None
    first = LayerId((applied - window) // parameters.layers_per_epoch * parameters.layers_per_epoch)
    if first <= parameters.effective_genesis + 1:
        return None
    is_known = stored.opinion(LayerId(first - 1)) is not None and stored.opinion(first) is not None
    return first if is_known else None


def _begin(tortoise: Tortoise, stored: Stored) -> LayerId:
    first = first_layer(tortoise.parameters, stored)
    if first is None:
        return LayerId(tortoise.parameters.effective_genesis + 1)
    previous, opinion = stored.opinion(LayerId(first - 1)), stored.opinion(first)
    assert previous is not None and opinion is not None, "it begins where both are known"
    tortoise.recover_from(first, opinion, previous)
    return first


def _recover_epoch(tortoise: Tortoise, stored: Stored, epoch: EpochId) -> None:
    for atx in stored.atxs(epoch):
        tortoise.on_atx(epoch, atx.node, atx.weight)
    beacon = stored.beacon(epoch)
    if beacon is not None:
        tortoise.on_beacon(epoch, beacon)


def _recover_layer(tortoise: Tortoise, stored: Stored, layer: LayerId) -> None:
    if layer % tortoise.parameters.layers_per_epoch == 0:
        _recover_epoch(tortoise, stored, EpochId(layer // tortoise.parameters.layers_per_epoch))
    hare = stored.hare_output(layer) if tortoise.is_within_hdist(layer) else None
    tortoise.on_recovered_blocks(layer, stored.blocks(layer), hare)
    ballots = stored.ballots(layer)
    # first those that others of the same layer may refer to
    for ballot in sorted(ballots, key=lambda one: one.epoch_data is None):
        try:
            tortoise.on_recovered_ballot(ballot)
        except TortoiseError:
            continue  # it was stored before what it stands on was lost; it cannot count
    coin = stored.coin(layer)
    if coin is not None:
        tortoise.on_weak_coin(layer, coin)
