"""What own identities have signed, as far as rows tell, into the own store: so that it is not signed a second time.

| kind | found in |
|---|---|
| activations | the rows of activations, also where another identity of a marriage published them |
| ballots | the rows of ballots, with which nothing is proposed in their layers again |
| words for a certificate | stored certificates |
| messages of hare and of the beacon, words that came too late for a certificate | no rows |

For the last line there is only time: nothing is signed for a layer, a session of hare or a run of the beacon that began
before this node was synced and listening. Specified in protocol 09b-node-storage-libp2p, section 5.
"""

from __future__ import annotations

from collections.abc import Iterable

from node.activation.tables import BLOBS, BY_SMESHER, POSTS_BY_EPOCH
from node.certificates.tables import CERTIFICATES
from node.mesh.tables import BALLOTS, BALLOTS_BY_ATX
from node.store.own import SIGNED, Kind, Slot
from node.store.view import BACKWARDS, Rows, Span
from protocol.types.ballots import Ballot
from protocol.types.certificates import CertifyMessage
from protocol.types.ids import NodeId

CERTIFIED_LAYERS = 1000
"""So many of the newest layers are looked through: nobody certifies older ones any more."""


def put_signed(rows: Rows, identities: Iterable[NodeId]) -> int:
    """Note what these identities have signed; how many messages that is. What is noted stays. Raises StoreFault."""
    own = frozenset(identities)
    before = sum(1 for _ in rows.keys(SIGNED))
    for identity in sorted(own):
        within = Span(within=(identity,))
        for (_, epoch), (id, _) in rows.find(POSTS_BY_EPOCH, within):
            _note(rows, Slot(identity, Kind.ATX, epoch), rows.get(BLOBS, id))
        for (_, epoch), id in rows.find(BY_SMESHER, within):
            _note(rows, Slot(identity, Kind.ATX, epoch), rows.get(BLOBS, id))
            for (_, layer), ballot_id in rows.find(BALLOTS_BY_ATX, Span(within=(id,))):
                ballot = rows.get(BALLOTS, ballot_id)
                _note(rows, Slot(identity, Kind.BALLOT, layer), None if ballot is None else Ballot.codec.encode(ballot))
    newest = rows.first(CERTIFICATES, BACKWARDS)
    first = 0 if newest is None else max(0, newest[0][0] - CERTIFIED_LAYERS)
    for (layer, _), row in rows.scan(CERTIFICATES, Span(start=(first,))):
        for message in () if row.certificate is None else row.certificate.signatures:
            if message.smesher_id in own:
                _note(rows, Slot(message.smesher_id, Kind.CERTIFY, layer), CertifyMessage.codec.encode(message))
    return sum(1 for _ in rows.keys(SIGNED)) - before


def _note(rows: Rows, slot: Slot, data: bytes | None) -> None:
    if data is not None and not rows.has(SIGNED, slot):
        rows.put(SIGNED, slot, data)
