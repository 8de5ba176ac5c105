"""What a checkpoint holds, from rows: the newest activations of each smesher, marriages, accounts at a layer.

Smeshers with a proof of malfeasance are left out, their marriages are not. The layer chooses the accounts alone: the
activations are always the newest ones. Protocol 09b-node-storage-libp2p, section 3.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from node.activation.tables import ATXS, BY_ORDER, BY_SMESHER, MARRIAGES, POSTS, StoredAtx, commitment_of
from node.checkpoint.files import Checkpoint, CheckpointAtx, CheckpointMarriage
from node.checkpoint.ledger import snapshot
from node.malfeasance.tables import PROOFS
from node.store.errors import WHAT_TO_DO, StoreDamaged
from node.store.view import Span, View
from protocol.types.ids import EMPTY_ATX_ID, AtxId, LayerId, NodeId


def checkpoint(view: View, layer: LayerId, newest: int) -> Checkpoint:
    """A checkpoint of a layer, with so many activations of each smesher. Raises StoreFault."""
    marriages = _marriages(view)
    atxs = [_entry(view, id, atx) for id, atx in _newest(view, newest)]
    for married in dict.fromkeys(one.atx for marriage in marriages.values() for one in marriage):
        atxs.append(replace(_entry(view, married, _stored(view, married)), marriage_atx=None))
    return snapshot(view, layer, atxs, marriages)


def _newest(view: View, most: int) -> Iterator[tuple[AtxId, StoredAtx]]:
    """Smeshers ascending; of each the last epoch first, in an epoch what came first."""
    for smesher, entries in groupby(view.find(BY_SMESHER), key=lambda entry: entry[0][0]):
        published = [(epoch, id) for (_, epoch), id in entries]
        if view.has(PROOFS, NodeId(smesher)):
            continue
        epochs = sorted({epoch for epoch, _ in published}, reverse=True)[:most]
        found = [(id, _stored(view, id)) for epoch, id in published if epoch >= epochs[-1]]
        found.sort(key=lambda one: (-one[1].publish_epoch, one[1].received, one[0]))
        yield from found[:most]


def _entry(view: View, id: AtxId, atx: StoredAtx) -> CheckpointAtx:
    return CheckpointAtx(
        id=id,
        epoch=atx.publish_epoch,
        commitment_atx=commitment_of(view, atx.smesher) or EMPTY_ATX_ID,
        marriage_atx=atx.marriage_atx,
        vrf_nonce=atx.vrf_nonce,
        base_tick_height=atx.base_height,
        tick_count=atx.ticks,
        smesher_id=atx.smesher,
        sequence=atx.sequence,
        coinbase=atx.coinbase,
        num_units=atx.units,
        units={identity: post.units for (_, identity), post in view.scan(POSTS, Span(within=(id,)))},
    )


def _marriages(view: View) -> Mapping[int, Sequence[CheckpointMarriage]]:
    """By their numbers, in the order in which JSON has them: that of their texts."""
    found: dict[int, list[CheckpointMarriage]] = {}
    for _, identity in view.find(BY_ORDER):
        row = view.get(MARRIAGES, identity)
        if row is not None:
            one = CheckpointMarriage(row.atx, row.index, row.target, identity, row.signature)
            found.setdefault(row.set, []).append(one)
    return {set: found[set] for set in sorted(found, key=str)}


def _stored(view: View, id: AtxId) -> StoredAtx:
    found = view.get(ATXS, id)
    if found is None:
        raise StoreDamaged(f"Activation {id.hex()} is listed, but it is not stored. {WHAT_TO_DO}")
    return found
