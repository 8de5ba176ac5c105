"""Records of `local.sql` put into our rows, and made of them: what identities have in the making, and what was asked.

| record | is |
|---|---|
| InitialPost | an initial proof, to be verified before it is used; its unit has the network's labels |
| Challenge, Nipost | a challenge, a membership, a proof of space; the leaves of a round come from its proof |
| PreparedActiveSet | what own ballots count as active (kind 0); what hare counts (kind 1) is made anew |
| ids that are still to be asked for | nothing: peers are asked for the lists again |

An initial proof over another challenge than zeros is left out: it is made anew. Specified in protocol
09b-node-storage-libp2p, section 5.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from node.activation.parameters import ActivationParameters
from node.activation.rules import ZERO_CHALLENGE
from node.activation.smeshing import tables as smeshing
from node.activation.tables import POETS, commitment_of
from node.proposals.tables import ACTIVE_SETS, OWN_ACTIVE_SETS, OwnActiveSet, put_active_set
from node.store.keys import ONLY
from node.store.view import Rows, View
from node.sync.tables import EPOCHS, MALFEASANCE_SYNCED, EpochDownload
from protocol.codec.declare import codec_of, vector
from protocol.numbers.durations import SECOND
from protocol.types.activation import MAX_ACTIVE_SET, EpochActiveSet, PostV1, version_of
from protocol.types.ids import AtxId, EpochId, Hash32, NodeId, PoetProofRef
from protocol.types.poet import MembershipProof

from . import records
from .errors import MigrationError
from .reading import put_each, read

FOR_BALLOTS = 0
"""The kind of a prepared active set."""
_IDS = vector(codec_of(AtxId), MAX_ACTIVE_SET)


class LocalTaker:
    """Puts records of `local.sql`, in the order of `records.LOCAL`, over rows that hold those of the state."""

    def __init__(self, parameters: ActivationParameters) -> None:
        """parameters: of the network."""
        self._parameters = parameters
        self._putters: dict[type[Any], Callable[[Rows, Any], None]] = {
            records.InitialPost: self._initial,
            records.Challenge: self._challenge,
            records.Nipost: self._nipost,
            records.PoetRegistration: self._registration,
            records.PoetCertificate: self._certificate,
            records.PreparedActiveSet: self._active_set,
            records.AtxSyncRequest: self._request,
            records.MalfeasanceSync: self._malfeasance,
        }

    def take(self, rows: Rows, given: Iterable[Any]) -> None:
        """Put records. Raises MigrationError, StoreFault."""
        put_each(self._putters, rows, given)

    def finish(self, rows: Rows) -> None:
        """Nothing is left to be put."""

    def _initial(self, rows: Rows, record: records.InitialPost) -> None:
        if record.challenge != ZERO_CHALLENGE:
            return
        row = smeshing.InitialPost(
            PostV1(record.post_nonce, record.post_indices, record.post_pow),
            record.num_units,
            AtxId(record.commit_atx),
            self._parameters.labels_per_unit,
            record.vrf_nonce,
            False,
        )
        rows.put(smeshing.INITIAL_POSTS, NodeId(record.id), row)

    def _challenge(self, rows: Rows, record: records.Challenge) -> None:
        initial = None
        if record.post_nonce is not None and record.post_indices is not None and record.post_pow is not None:
            initial = PostV1(record.post_nonce, record.post_indices, record.post_pow)
        row = smeshing.Challenge(
            EpochId(record.epoch),
            version_of(record.epoch, self._parameters.versions),
            record.sequence,
            AtxId(record.prev_atx),
            AtxId(record.pos_atx),
            None if record.commit_atx is None else AtxId(record.commit_atx),
            initial,
        )
        rows.put(smeshing.CHALLENGES, NodeId(record.id), row)
        if record.poet_proof_ref is not None and record.poet_proof_membership is not None:
            self._membership(rows, "challenge", record.id, record.poet_proof_ref, record.poet_proof_membership)

    def _nipost(self, rows: Rows, record: records.Nipost) -> None:
        identity = NodeId(record.id)
        challenge, initial = rows.get(smeshing.CHALLENGES, identity), rows.get(smeshing.INITIAL_POSTS, identity)
        commitment = challenge.commitment_atx if challenge is not None else None
        commitment = commitment or commitment_of(rows, identity) or (initial.commitment_atx if initial else None)
        if commitment is None:
            raise MigrationError(
                f"nipost: identity {identity.hex()} has a proof of space, but no row says to what its space is bound.",
                "inconsistent",
            )
        row = smeshing.Nipost(
            PostV1(record.post_nonce, record.post_indices, record.post_pow),
            record.num_units,
            record.labels_per_unit,
            commitment,
            record.vrf_nonce,
            False,
        )
        rows.put(smeshing.NIPOSTS, identity, row)
        self._membership(rows, "nipost", identity, record.poet_proof_ref, record.poet_proof_membership)

    def _membership(self, rows: Rows, table: str, identity: bytes, ref: bytes, data: bytes) -> None:
        proof = read(table, "poet_proof_membership", identity, MembershipProof.codec.decode, data)
        facts = rows.get(POETS, PoetProofRef(ref))
        if facts is None:
            raise MigrationError(
                f"{table}: column poet_proof_ref of row {identity.hex()} is {ref.hex()}, which is not in poets.",
                "inconsistent",
            )
        row = smeshing.Membership(PoetProofRef(ref), facts.leaf_count, proof.nodes, proof.leaf_index)
        rows.put(smeshing.MEMBERSHIPS, NodeId(identity), row)

    def _registration(self, rows: Rows, record: records.PoetRegistration) -> None:
        row = smeshing.Registration(Hash32(record.hash), record.round_id, record.round_end * SECOND)
        rows.put(smeshing.REGISTRATIONS, (NodeId(record.id), record.address), row)

    def _certificate(self, rows: Rows, record: records.PoetCertificate) -> None:
        row = smeshing.StoredCertificate(record.certificate, record.signature)
        rows.put(smeshing.CERTIFICATES, (NodeId(record.node_id), record.certifier_id), row)

    def _active_set(self, rows: Rows, record: records.PreparedActiveSet) -> None:
        if record.kind != FOR_BALLOTS:
            return
        epoch, hash = EpochId(record.epoch), Hash32(record.id)
        ids = read("prepared_activeset", "data", hash, _IDS.decode, record.data)
        put_active_set(rows, hash, EpochActiveSet(epoch, ids))
        rows.put(OWN_ACTIVE_SETS, epoch, OwnActiveSet(hash, record.weight))

    def _request(self, rows: Rows, record: records.AtxSyncRequest) -> None:
        row = EpochDownload(record.timestamp * SECOND, record.total or 0, record.downloaded or 0)
        rows.put(EPOCHS, EpochId(record.epoch), row)

    def _malfeasance(self, rows: Rows, record: records.MalfeasanceSync) -> None:
        rows.put(MALFEASANCE_SYNCED, ONLY, record.timestamp * SECOND)


def local_records(view: View) -> Iterator[records.LocalRecord]:
    """What `local.sql` has of our rows, in the order of `records.LOCAL`. Raises StoreFault.

    A proof of space, or a membership, without its challenge is left out, as nothing can be made of it.
    """
    for identity, initial in view.scan(smeshing.INITIAL_POSTS):
        post = initial.post
        yield records.InitialPost(
            identity,
            post.nonce,
            post.indices,
            post.pow,
            initial.num_units,
            initial.commitment_atx,
            initial.vrf_nonce,
            ZERO_CHALLENGE,
        )
    for identity, challenge in view.scan(smeshing.CHALLENGES):
        yield _challenge_record(view, identity, challenge)
    for identity, nipost in view.scan(smeshing.NIPOSTS):
        membership = view.get(smeshing.MEMBERSHIPS, identity)
        nonce = nipost.vrf_nonce
        if nonce is None:
            initial_post = view.get(smeshing.INITIAL_POSTS, identity)
            nonce = None if initial_post is None else initial_post.vrf_nonce
        if membership is None or nonce is None or not view.has(smeshing.CHALLENGES, identity):
            continue
        yield records.Nipost(
            identity,
            nipost.post.nonce,
            nipost.post.indices,
            nipost.post.pow,
            nipost.num_units,
            nonce,
            MembershipProof.codec.encode(membership.proof),
            membership.ref,
            nipost.labels_per_unit,
        )
    for (identity, server), row in view.scan(smeshing.REGISTRATIONS):
        yield records.PoetRegistration(identity, row.challenge, server, row.round_id, row.round_end // SECOND)
    for (identity, certifier), certificate in view.scan(smeshing.CERTIFICATES):
        yield records.PoetCertificate(identity, certifier, certificate.certificate, certificate.signature)
    for epoch, own in view.scan(OWN_ACTIVE_SETS):
        active = view.get(ACTIVE_SETS, own.hash)
        if active is not None:
            yield records.PreparedActiveSet(FOR_BALLOTS, epoch, own.hash, own.weight, _IDS.encode(active.set))
    for epoch, download in view.scan(EPOCHS):
        yield records.AtxSyncRequest(epoch, download.asked // SECOND, download.total, download.downloaded)
    synced = view.get(MALFEASANCE_SYNCED, ONLY)
    if synced is not None:
        yield records.MalfeasanceSync(synced // SECOND)


def _challenge_record(view: View, identity: NodeId, challenge: smeshing.Challenge) -> records.Challenge:
    initial, membership = challenge.initial_post, view.get(smeshing.MEMBERSHIPS, identity)
    return records.Challenge(
        identity,
        challenge.publish_epoch,
        challenge.sequence,
        challenge.prev_atx,
        challenge.positioning_atx,
        challenge.commitment_atx,
        None if initial is None else initial.nonce,
        None if initial is None else initial.indices,
        None if initial is None else initial.pow,
        None if membership is None else membership.ref,
        None if membership is None else MembershipProof.codec.encode(membership.proof),
    )
