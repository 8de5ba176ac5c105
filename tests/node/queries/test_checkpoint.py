"""What a checkpoint holds: the newest activations of each smesher, without convicted ones, and all marriages."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

import pytest

from node.activation.tables import MARRIAGES, POSTS, StoredAtx, StoredMarriage, StoredPost, put_atx
from node.checkpoint import files
from node.checkpoint.files import Checkpoint
from node.ledger.tables import ACCOUNTS, EARLIER
from node.malfeasance.tables import MARKS, PROOFS, Mark, StoredProof
from node.queries.checkpoint import checkpoint
from node.store.view import Rows
from protocol.types.ids import EMPTY_ATX_ID, Address, AtxId, EdSignature, EpochId, LayerId, NodeId
from protocol.types.transactions import Account
from tests.support.node_stores import Kept

FIRST, SECOND, THIRD = (NodeId(bytes([number] * 32)) for number in (1, 2, 3))
COINBASE = Address(bytes(23) + b"\7")


def atx_id(smesher: NodeId, epoch: int, number: int = 0) -> AtxId:
    return AtxId(smesher[:1] + bytes([epoch, number]) + bytes(29))


def put(rows: Rows, smesher: NodeId, epoch: int, number: int = 0, received: int = 1) -> AtxId:
    """An activation with a nonce, heights and units that tell it from others."""
    id = atx_id(smesher, epoch, number)
    commitment = AtxId(b"\xcc" * 32) if epoch == 1 else None
    atx = StoredAtx(
        smesher, EpochId(epoch), 0, COINBASE, epoch, commitment, 100 + epoch, 10 * epoch, 10, epoch, received, 0, 1
    )
    put_atx(rows, id, atx, None)
    rows.put(POSTS, (id, smesher), StoredPost(EMPTY_ATX_ID, 0, epoch, EpochId(epoch)))
    return id


def made(kept: Kept, newest: int, layer: int = 9) -> Checkpoint:
    found = kept.read(lambda view: checkpoint(view, LayerId(layer), newest))
    assert files.parse(files.write(found, newest)) == found, "it is read back as it was written"
    return found


@pytest.mark.parametrize(("newest", "epochs"), [(1, [4]), (2, [4, 3]), (9, [4, 3, 2, 1])])
def test_the_newest_activations_of_each_smesher(newest: int, epochs: list[int]) -> None:
    kept = Kept()
    for smesher in (SECOND, FIRST):
        for epoch in (2, 4, 1, 3):
            kept.unit(lambda rows, smesher=smesher, epoch=epoch: put(rows, smesher, epoch))
    found = made(kept, newest).atxs
    assert [(one.smesher_id, one.epoch) for one in found] == [
        (who, epoch) for who in (FIRST, SECOND) for epoch in epochs
    ]
    assert {one.commitment_atx for one in found} == {b"\xcc" * 32}, "the first one says it for all"
    top = found[0]
    assert (top.vrf_nonce, top.base_tick_height, top.tick_count, top.num_units) == (104, 40, 10, 4)
    assert dict(top.units) == {FIRST: 4} and top.coinbase == COINBASE


def test_of_one_epoch_what_came_first_stands_first() -> None:
    kept = Kept()
    for number, received in ((0, 30), (1, 10), (2, 20)):
        kept.unit(lambda rows, number=number, received=received: put(rows, FIRST, 5, number, received))
    assert [one.id[2] for one in made(kept, 2).atxs] == [1, 2]


def test_convicted_smeshers_are_left_out_marked_ones_are_not() -> None:
    kept = Kept()
    for smesher in (FIRST, SECOND, THIRD):
        kept.unit(lambda rows, smesher=smesher: put(rows, smesher, 1))
    kept.unit(lambda rows: rows.put(PROOFS, FIRST, StoredProof(b"x", 1)))
    kept.unit(lambda rows: rows.put(MARKS, SECOND, Mark(1)))
    assert [one.smesher_id for one in made(kept, 4).atxs] == [SECOND, THIRD]


def test_marriages_stay_and_their_activations_are_added() -> None:
    kept = Kept()
    ids = {smesher: kept.unit(lambda rows, smesher=smesher: put(rows, smesher, 1)) for smesher in (FIRST, SECOND)}
    kept.unit(lambda rows: rows.put(PROOFS, FIRST, StoredProof(b"x", 1)))
    married = ids[FIRST]
    for order, (smesher, set) in enumerate(((SECOND, 10), (FIRST, 10), (THIRD, 9))):
        row = StoredMarriage(set, order, married, order, FIRST, EdSignature(bytes(64)))
        kept.unit(lambda rows, smesher=smesher, row=row: rows.put(MARRIAGES, smesher, row))

    def merged(rows: Rows) -> None:
        atx = StoredAtx(SECOND, EpochId(2), 0, COINBASE, 3, None, 1, 1, 1, 1, 1, 0, 2, marriage_atx=married)
        put_atx(rows, atx_id(SECOND, 2), atx, None)
        for smesher, units in ((FIRST, 1), (SECOND, 2)):
            rows.put(POSTS, (atx_id(SECOND, 2), smesher), StoredPost(EMPTY_ATX_ID, 0, units, EpochId(2)))

    kept.unit(merged)
    found = made(kept, 1)
    assert list(found.marriages) == [10, 9], "as JSON sorts them"
    assert [one.signer for one in found.marriages[10]] == [SECOND, FIRST]
    assert [(one.id, one.marriage_atx) for one in found.atxs] == [(atx_id(SECOND, 2), married), (married, None)]
    assert dict(found.atxs[0].units) == {FIRST: 1, SECOND: 2}


def test_the_units_of_an_activation_are_sorted_by_their_texts() -> None:
    first, second = NodeId(b"\xfb" + bytes(31)), NodeId(b"\x69" + bytes(31))  # "+w..." and "aQ..."
    kept = Kept()
    kept.unit(lambda rows: put(rows, FIRST, 1))
    for identity in (second, first):
        post = StoredPost(EMPTY_ATX_ID, 0, 5, EpochId(1))
        kept.unit(lambda rows, identity=identity, post=post: rows.put(POSTS, (atx_id(FIRST, 1), identity), post))
    data = files.write(made(kept, 1), 1)
    texts = [data.index(b64encode(identity), data.index(b'"units"')) for identity in (first, FIRST, second)]
    assert texts == sorted(texts) and b'"units":{"+w' in data


def test_accounts_are_those_of_the_layer() -> None:
    kept = Kept()
    newest = Account(LayerId(20), COINBASE, 2, 500)

    def accounts(rows: Rows) -> None:
        rows.put(ACCOUNTS, COINBASE, newest)
        rows.put(EARLIER, (COINBASE, LayerId(7)), replace(newest, layer=LayerId(7), balance=100))

    kept.unit(accounts)
    assert [(one.layer, one.balance) for one in made(kept, 4, layer=9).accounts] == [(9, 100)]
    assert [(one.layer, one.balance) for one in made(kept, 4, layer=99).accounts] == [(99, 500)]
    assert made(kept, 4, layer=3).accounts == ()


@pytest.mark.parametrize(
    ("layer", "said"), [(0, b'{\\"num_atxs\\":4}'), (7, b'{\\"snapshot_layer\\":7,\\"num_atxs\\":4}')]
)
def test_how_to_get_the_file_again_stands_in_it(layer: int, said: bytes) -> None:
    assert said in files.write(Checkpoint(LayerId(layer), (), (), {}), 4)
