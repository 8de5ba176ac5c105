"""From a checkpoint to the rows of a new state, and what own identities take along from the old one.

What others need of an activation in a checkpoint is in it: it has a row and no bytes. Own ones that it lacks, and what
they stand on, come from the old state as they are: they were judged when they came into it. Protocol
09b-node-storage-libp2p, section 3.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from node.activation import rules_v1, rules_v2
from node.activation.smeshing.tables import CHALLENGES
from node.activation.tables import (
    ATXS,
    BLOBS,
    MARRIAGES,
    POET_BLOBS,
    POETS,
    POSTS,
    POSTS_BY_EPOCH,
    StoredAtx,
    StoredMarriage,
    StoredPost,
    Validity,
    put_atx,
)
from node.checkpoint import ledger
from node.checkpoint.files import Checkpoint, CheckpointAtx
from node.store.view import Rows, Span, View
from protocol.numbers.u64 import MASK
from protocol.types.activation import ActivationTxV1
from protocol.types.activation_v2 import ActivationTxV2
from protocol.types.ids import EMPTY_ATX_ID, AtxId, LayerId, NodeId, PoetProofRef


def restore(rows: Rows, checkpoint: Checkpoint, layer: LayerId) -> LayerId:
    """Put a checkpoint into an empty state, so that `layer` is the next one; the new effective genesis.

    Raises CheckpointError (layer; not_empty), with nothing put; StoreFault.
    """
    genesis = ledger.restore(rows, checkpoint, layer)
    for atx in checkpoint.atxs:
        put_atx(rows, atx.id, _stored(atx), None)
        for identity, units in atx.units.items():
            rows.put(POSTS, (atx.id, identity), StoredPost(EMPTY_ATX_ID, 0, units, atx.epoch))
    order = 0
    for number, members in checkpoint.marriages.items():
        for one in members:
            order += 1
            row = StoredMarriage(number, order, one.atx, one.index, one.married_to, one.signature)
            rows.put(MARRIAGES, one.signer, row)
    return genesis


def _stored(atx: CheckpointAtx) -> StoredAtx:
    return StoredAtx(
        smesher=atx.smesher_id,
        publish_epoch=atx.epoch,
        sequence=atx.sequence,
        coinbase=atx.coinbase,
        units=atx.num_units,
        commitment_atx=None if atx.commitment_atx == EMPTY_ATX_ID else atx.commitment_atx,
        vrf_nonce=atx.vrf_nonce,
        base_height=atx.base_tick_height,
        ticks=atx.tick_count,
        weight=atx.num_units * atx.tick_count & MASK,
        received=0,
        validity=Validity.UNKNOWN,
        # of merged activations the file says it; of others nothing depends on it
        version=2 if atx.marriage_atx is not None or len(atx.units) > 1 else 1,
        marriage_atx=atx.marriage_atx,
    )


# -- what own identities take along --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kept:
    """What was taken along."""

    atxs: tuple[AtxId, ...]
    without: tuple[NodeId, ...]
    """Identities whose chain cannot be taken: something that it stands on has no bytes in the old state either."""


class _Missing(Exception):
    """Something that an activation stands on has no bytes."""


def keep_own(rows: Rows, before: View, identities: Sequence[NodeId], golden: AtxId) -> Kept:
    """Take the newest activations of own identities, and those under way stand on, from an old state.

    rows: of the new one, with the checkpoint; before: the old state together with the own store. Raises StoreFault.
    """
    known = {golden, EMPTY_ATX_ID}
    kept: list[AtxId] = []
    without: list[NodeId] = []
    for identity in identities:
        needed: dict[AtxId, bytes] = {}
        try:
            for id in _ends(before, identity):
                _gather(rows, before, id, known, needed)
        except _Missing:
            without.append(identity)
            continue
        for id, data in needed.items():
            _copy(rows, before, id, data)
        kept += needed
    return Kept(tuple(kept), tuple(without))


def _ends(before: View, identity: NodeId) -> Iterator[AtxId]:
    """What has to be there for an identity to go on."""
    newest = next(iter(before.find(POSTS_BY_EPOCH, Span(within=(identity,), reverse=True))), None)
    if newest is not None:
        yield newest[1][0]
    challenge = before.get(CHALLENGES, identity)
    if challenge is not None:
        yield challenge.positioning_atx
        if challenge.commitment_atx is not None:
            yield challenge.commitment_atx


def _gather(rows: Rows, before: View, end: AtxId, known: set[AtxId], needed: dict[AtxId, bytes]) -> None:
    """An activation and all that it stands on and the new state lacks. Raises _Missing."""
    waiting = [end]
    while waiting:
        id = waiting.pop()
        if id in known or id in needed or rows.has(ATXS, id):
            continue
        data, stored = before.get(BLOBS, id), before.get(ATXS, id)
        if data is None or stored is None:
            raise _Missing
        needed[id] = data
        waiting += _stands_on(data, stored.version)[1]


def _stands_on(data: bytes, version: int) -> tuple[Iterable[bytes], Iterable[AtxId]]:
    """The proofs of PoETs, and the activations."""
    if version == 1:
        poet, ids = rules_v1.dependencies(ActivationTxV1.codec.decode(data))
        return [poet], ids
    return rules_v2.dependencies(ActivationTxV2.codec.decode(data))


def _copy(rows: Rows, before: View, id: AtxId, data: bytes) -> None:
    stored = before.get(ATXS, id)
    assert stored is not None, "it was gathered"
    put_atx(rows, id, stored, data)
    for key, post in before.scan(POSTS, Span(within=(id,))):
        rows.put(POSTS, key, post)
    for ref in map(PoetProofRef, _stands_on(data, stored.version)[0]):
        facts, blob = before.get(POETS, ref), before.get(POET_BLOBS, ref)
        if facts is not None and blob is not None:
            rows.put(POETS, ref, facts)
            rows.put(POET_BLOBS, ref, blob)
