"""What identities have in the making comes to ours and back; what they have signed is noted in the own store."""

from __future__ import annotations

from typing import Any

import pytest

from node.activation.smeshing.tables import CHALLENGES, INITIAL_POSTS, MEMBERSHIPS, NIPOSTS
from node.activation.tables import BLOBS, POETS, POSTS, StoredPost
from node.certificates.tables import CERTIFICATES
from node.mesh.tables import BALLOTS
from node.migration import records
from node.migration.errors import MigrationError
from node.migration.local import LocalTaker, local_records
from node.migration.signed import put_signed
from node.migration.take import take_all
from node.proposals.tables import ACTIVE_SETS, OWN_ACTIVE_SETS
from node.store.own import SIGNED, Kind
from node.store.stores import Stores
from node.store.view import Rows
from protocol.types.ballots import Ballot
from protocol.types.certificates import CertifyMessage
from protocol.types.ids import EpochId, Hash32, NodeId
from protocol.types.poet import MembershipProof
from tests.support.imported_chain import ImportedChain, imported_chain

A, B = b"\1" * 32, b"\2" * 32
MEMBERSHIP = MembershipProof.codec.encode(MembershipProof((Hash32(b"\3" * 32),), 1))


@pytest.fixture
def chain() -> ImportedChain:
    """63 layers, without anything in the making."""
    return imported_chain()


def a_set_of(chain: ImportedChain) -> list[records.LocalRecord]:
    """One record of every kind, as an identity in the middle of an epoch has them."""
    view = chain.stores.view()
    ref = next(iter(view.keys(POETS)))
    hash, active = next(view.scan(ACTIVE_SETS))
    ids = bytes([4 * len(active.set)]) + b"".join(active.set)
    return [
        records.InitialPost(A, 3, b"indices", 4, 5, b"\5" * 32, 6, bytes(32)),
        records.Challenge(A, 7, 2, bytes(32), b"\6" * 32, b"\5" * 32, 3, b"indices", 4, ref, MEMBERSHIP),
        records.Challenge(B, 7, 3, b"\7" * 32, b"\6" * 32, None, None, None, None, None, None),
        records.Nipost(A, 8, b"more", 9, 5, 6, MEMBERSHIP, ref, 128),
        records.PoetRegistration(A, b"\7" * 32, "http://a.example", "12", 1_795_403_309),
        records.PoetRegistration(A, b"\7" * 32, "http://b.example", "13", 1_795_403_310),
        records.PoetCertificate(A, b"\x08" * 32, b"certificate", b"signature"),
        records.PreparedActiveSet(0, 7, hash, 1234, ids),
        records.AtxSyncRequest(6, 1_795_403_300, 4, 3),
        records.MalfeasanceSync(1_795_403_301),
    ]


def taken(chain: ImportedChain, given: list[Any]) -> Stores:
    assert list(take_all(chain.stores, LocalTaker(chain.parameters.activation), given))
    return chain.stores


def test_records_come_back(chain: ImportedChain) -> None:
    given = a_set_of(chain)
    assert list(local_records(taken(chain, given).view())) == given


def test_what_is_taken_has_to_be_verified_again(chain: ImportedChain) -> None:
    view = taken(chain, a_set_of(chain)).view()
    initial, nipost = view.get(INITIAL_POSTS, NodeId(A)), view.get(NIPOSTS, NodeId(A))
    assert initial is not None and nipost is not None
    assert not initial.is_verified and not nipost.is_verified
    assert initial.labels_per_unit == chain.parameters.activation.labels_per_unit == 128
    assert nipost.commitment_atx == b"\5" * 32
    membership, challenge = view.get(MEMBERSHIPS, NodeId(A)), view.get(CHALLENGES, NodeId(B))
    assert membership is not None and challenge is not None
    facts = view.get(POETS, membership.ref)
    assert facts is not None and membership.leaf_count == facts.leaf_count
    assert challenge.version == 2 and not challenge.is_initial


def test_an_active_set_of_hare_and_a_proof_over_another_challenge_are_left_out(chain: ImportedChain) -> None:
    initial, *_ = a_set_of(chain)
    prepared = next(one for one in a_set_of(chain) if isinstance(one, records.PreparedActiveSet))
    assert isinstance(initial, records.InitialPost)
    view = taken(chain, [initial._replace(challenge=b"\1" * 32), prepared._replace(kind=1)]).view()
    assert view.first(INITIAL_POSTS) is None and not view.has(OWN_ACTIVE_SETS, EpochId(7))


def test_what_nothing_can_be_made_of_is_left_out_of_the_databases(chain: ImportedChain) -> None:
    rows = Rows(taken(chain, a_set_of(chain)).view())
    rows.delete(CHALLENGES, NodeId(A))
    left = list(local_records(rows))
    assert not any(isinstance(one, records.Nipost) for one in left)
    assert sum(isinstance(one, records.Challenge) for one in left) == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"poet_proof_ref": b"\x09" * 32},
            f"column poet_proof_ref of row {A.hex()} is {'09' * 32}, which is not in poets",
        ),
        ({"poet_proof_membership": b"x"}, "nipost: column poet_proof_membership of row .* cannot be read"),
        ({"id": b"\x0a" * 32}, "nipost: identity 0a.* no row says to what its space is bound"),
    ],
)
def test_what_contradicts_itself_is_refused(chain: ImportedChain, change: dict[str, Any], expected: str) -> None:
    given = [one._replace(**change) if isinstance(one, records.Nipost) else one for one in a_set_of(chain)]
    with pytest.raises(MigrationError, match=expected):
        taken(chain, given)


def test_what_own_identities_have_signed_is_noted(chain: ImportedChain) -> None:
    own = [NodeId(bytes.fromhex(row["smesher"])) for row in chain.document["atxs"]][:1]
    rows = Rows(chain.stores.view())
    count = put_signed(rows, own)
    chain.stores.write(rows)
    view = chain.stores.view()
    noted = dict(view.scan(SIGNED))
    assert count == len(noted) > 0 and {slot.identity for slot in noted} == set(own)
    atxs = {row["publish_epoch"]: row for row in chain.document["atxs"] if row["smesher"] == own[0].hex()}
    assert {slot.number: data.hex() for slot, data in noted.items() if slot.kind is Kind.ATX} == {
        epoch: row["encoded"] for epoch, row in atxs.items()
    }
    ballots = [ballot for _, ballot in view.scan(BALLOTS) if ballot.smesher_id == own[0]]
    assert {data for slot, data in noted.items() if slot.kind is Kind.BALLOT} == {
        Ballot.codec.encode(ballot) for ballot in ballots
    }
    words = {
        CertifyMessage.codec.encode(message)
        for _, row in view.scan(CERTIFICATES)
        for message in (row.certificate.signatures if row.certificate else ())
        if message.smesher_id == own[0]
    }
    assert {data for slot, data in noted.items() if slot.kind is Kind.CERTIFY} == words and words
    again = Rows(view)
    assert put_signed(again, own) == 0 and again.is_empty


def test_a_merged_activation_is_signed_by_all_of_its_identities(chain: ImportedChain) -> None:
    rows = Rows(chain.stores.view())
    id, data = next(rows.scan(BLOBS))
    rows.put(POSTS, (id, NodeId(B)), StoredPost(id, 0, 1, EpochId(3)))
    assert put_signed(rows, [NodeId(B)]) == 1
    assert [(slot.kind, slot.number, noted) for slot, noted in rows.scan(SIGNED)] == [(Kind.ATX, 3, data)]
