"""A checkpoint put into a new state says the same as the old one, and own identities take along what it lacks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.activation.tables import ATXS, BLOBS, BY_SMESHER, COLUMNS, MARRIAGES, POET_BLOBS, POETS, POSTS
from node.assembly.restoring import keep_own, restore
from node.checkpoint.files import Checkpoint, CheckpointError, CheckpointMarriage, parse, write
from node.checkpoint.ledger import effective_genesis
from node.ledger import state
from node.queries.checkpoint import checkpoint
from node.schema import STATE
from node.store.store import Store
from node.store.view import Rows, Span, View
from protocol.types.ids import AtxId, EdSignature, LayerId, NodeId
from tests.support.imported_chain import ImportedChain, imported_chain

AT, NEXT = LayerId(60), LayerId(64)


@pytest.fixture(scope="module")
def chain() -> ImportedChain:
    """A real network's state, with activations and their proofs."""
    return imported_chain()


@pytest.fixture
def old(chain: ImportedChain) -> View:
    return chain.stores.view()


def restored(found: Checkpoint, layer: LayerId = NEXT) -> tuple[Store, Rows]:
    store = Store.in_memory(STATE)
    rows = Rows(store.view())
    restore(rows, found, layer)
    return store, rows


def identities(view: View) -> list[NodeId]:
    return list(dict.fromkeys(NodeId(smesher) for (smesher, _), _ in view.find(BY_SMESHER)))


def golden(chain: ImportedChain) -> AtxId:
    return AtxId(chain.config.genesis.identity.golden_atx)


def test_the_new_state_makes_the_same_checkpoint(old: View) -> None:
    first = checkpoint(old, AT, 4)
    assert first.atxs and first.accounts
    store, rows = restored(parse(write(first, 4)))
    store.write(rows)
    view = store.view()
    again = checkpoint(view, LayerId(NEXT - 1), 4)
    assert again.accounts == tuple(replace(account, layer=LayerId(NEXT - 1)) for account in first.accounts)
    assert sorted(again.atxs, key=lambda atx: atx.id) == sorted(first.atxs, key=lambda atx: atx.id)
    assert effective_genesis(view) == NEXT - 1 == state.last_applied(view)


def test_what_consensus_needs_of_an_activation_is_what_it_was(old: View) -> None:
    _, rows = restored(checkpoint(old, AT, 4))
    found = dict(rows.scan(COLUMNS))
    assert found
    for key, row in found.items():
        before = old.get(COLUMNS, key)
        assert before is not None and row == replace(before, received=0)


def test_marriages_keep_their_sets_and_order(old: View) -> None:
    ids = [AtxId(bytes([number]) * 32) for number in range(4)]
    names = [NodeId(bytes([number]) * 32) for number in range(10, 14)]
    marriages = {
        7: tuple(CheckpointMarriage(ids[0], at, names[0], names[at], EdSignature(bytes([at]) * 64)) for at in (0, 1)),
        3: tuple(CheckpointMarriage(ids[1], at, names[2], names[2 + at], EdSignature(bytes(64))) for at in (0, 1)),
    }
    _, rows = restored(replace(checkpoint(old, AT, 1), atxs=(), marriages=marriages))
    found = dict(rows.scan(MARRIAGES))
    assert [found[name].set for name in names] == [7, 7, 3, 3]
    assert [found[name].index for name in names] == [0, 1, 0, 1]
    assert found[names[0]].order < found[names[1]].order and found[names[2]].order < found[names[3]].order
    assert found[names[1]].target == names[0] and found[names[1]].signature == bytes([1]) * 64


def test_a_state_that_is_not_empty_is_not_written_over(chain: ImportedChain, old: View) -> None:
    with pytest.raises(CheckpointError, match="not empty"):
        restore(Rows(old), checkpoint(old, AT, 1), NEXT)
    with pytest.raises(CheckpointError, match="expected 1 to"):
        restored(checkpoint(old, AT, 1), LayerId(0))


def test_own_identities_take_along_what_the_checkpoint_lacks(chain: ImportedChain, old: View) -> None:
    found = checkpoint(old, AT, 1)
    _, rows = restored(replace(found, atxs=()))
    own = identities(old)[0]
    kept = keep_own(rows, old, [own], golden(chain))
    mine = [id for _, id in old.find(BY_SMESHER, Span(within=(own,)))]
    assert kept.without == () and set(mine) <= set(kept.atxs)
    for id in kept.atxs:
        assert rows.get(ATXS, id) == old.get(ATXS, id) and rows.get(BLOBS, id) == old.get(BLOBS, id)
        span = Span(within=(id,))
        assert list(rows.scan(POSTS, span)) == list(old.scan(POSTS, span)) != []
    proofs = dict(rows.scan(POETS))
    assert proofs and all(rows.get(POET_BLOBS, ref) == old.get(POET_BLOBS, ref) for ref in proofs)


def test_only_what_the_checkpoint_lacks_is_taken(chain: ImportedChain, old: View) -> None:
    found = checkpoint(old, AT, 1)
    everyone = identities(old)
    _, rows = restored(found)
    assert keep_own(rows, old, everyone, golden(chain)).atxs == ()
    newest = {atx.smesher_id: atx for atx in found.atxs}[everyone[0]]
    _, rows = restored(replace(found, atxs=tuple(atx for atx in found.atxs if atx != newest)))
    kept = keep_own(rows, old, everyone, golden(chain))
    assert newest.id in kept.atxs and not set(kept.atxs) & {atx.id for atx in found.atxs if atx != newest}


def test_a_chain_that_stands_on_nothing_any_more_is_told(chain: ImportedChain, old: View) -> None:
    own = identities(old)[0]
    first = min((epoch, id) for (_, epoch), id in old.find(BY_SMESHER, Span(within=(own,))))[1]
    before = Rows(old)
    before.delete(BLOBS, first)
    _, rows = restored(replace(checkpoint(old, AT, 1), atxs=()))
    kept = keep_own(rows, before, [own, NodeId(bytes(32))], golden(chain))
    assert kept.without == (own,) and kept.atxs == () and rows.first(ATXS) is None
