"""Nodes that drivers turn make a chain together, over the network of one process."""

from __future__ import annotations

import pytest

from node.ledger import state
from node.ledger.tables import LAYERS, RESULTS, REWARDS
from node.mempool import transactions
from node.store.view import ALL, View
from protocol.types.ids import LayerId
from protocol.types.transactions import RawTx

from .company import EPOCH, Company

FIRST = 2 * EPOCH
"""The first layer with proposals."""


@pytest.fixture(scope="module")
def company() -> Company:
    """Four nodes at the end of their fourth epoch; a client of the first one has sent the spawn of the first wallet."""
    found = Company()
    found.start()
    found.run_to(FIRST + 1)
    verdict = found.members[0].driver.submit(found.wallets[0].spawn())
    found.settle()
    assert verdict.result(0).is_accepted
    found.run_to(4 * EPOCH)
    return found


def views(company: Company) -> list[View]:
    return [member.node.stores.view() for member in company.members]


def test_all_apply_the_same_layers_with_blocks(company: Company) -> None:
    last = LayerId(4 * EPOCH - 2)
    roots = [[view.get(LAYERS, LayerId(layer)) for layer in range(FIRST, last + 1)] for view in views(company)]
    assert all(found == roots[0] for found in roots)
    assert None not in roots[0]
    assert all(state.last_applied(view) >= last for view in views(company))  # type: ignore[operator]


def test_everybody_is_rewarded(company: Company) -> None:
    paid = {identity for (_, identity), _ in views(company)[1].scan(REWARDS, ALL)}
    assert paid == {signer.identity for member in company.members for signer in member.keys.signers()}


def test_a_clients_transaction_is_applied_by_all(company: Company) -> None:
    sent = RawTx.of(company.wallets[0].spawn()).id
    for view in views(company):
        assert transactions.has(view, sent, with_header=True)
        assert view.has(RESULTS, sent)


def test_every_layer_is_ticked_at_its_start(company: Company) -> None:
    assert [member.driver.measures.latest_ns for member in company.members] == [0] * 4


def test_nobody_holds_anything_against_anybody(company: Company) -> None:
    assert [member.host.penalties for member in company.members] == [{}] * 4


def test_facts_are_those_of_the_node(company: Company) -> None:
    for member in company.members:
        facts, mesh = member.driver.facts, member.node.rooms.mesh
        assert facts.is_synced
        assert facts.is_atx_synced
        assert (facts.latest, facts.applied, facts.processed) == (mesh.latest, mesh.in_state, mesh.processed)
        assert facts.verified == member.node.rooms.tortoise.verified >= FIRST
