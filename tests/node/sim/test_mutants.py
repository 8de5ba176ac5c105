"""Rules of the machines changed on purpose: the invariants see from outside what the change does to a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from node.activation import contradictions
from node.engine import engine
from node.hare.protocol import HareProtocol
from node.ledger import rewards
from node.ledger.context import Context
from node.mempool import selection
from node.mesh.mesh import Mesh
from node.sim.invariants.base import Invariant
from node.sim.invariants.blocks import AgreedIsApplied
from node.sim.invariants.ledger import SupplyConserved
from node.sim.invariants.malfeasance import DoubleSignsCaught
from node.sim.invariants.signing import NobodyHonestMarked
from node.sim.scenario import Cheat, Scenario
from node.sim.simulate import simulate
from protocol.types.ballots import Ballot, BallotMetadata
from protocol.types.malfeasance import BallotProof, BallotProofMsg, MalfeasanceProof

EPOCH = 4
FIRST = 2 * EPOCH
QUIET = Scenario("mutant", nodes=4, layers=FIRST + 4, layers_per_epoch=EPOCH, transactions=4)

Patch = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Mutant:
    """A rule changed, and who sees it."""

    change: Patch
    caught_by: type[Invariant]
    scenario: Scenario = QUIET


def _cheating(role: str) -> Scenario:
    return replace(QUIET, layers=FIRST + 3, degree=4, events=(Cheat(1, role),))


def _second_ballots_are_not_reported(patch: pytest.MonkeyPatch) -> None:
    add = Mesh.add_ballot

    def silent(self: Mesh, rows: Any, ballot: Ballot, *, is_malicious: bool) -> None:
        add(self, rows, ballot, is_malicious=is_malicious)

    patch.setattr(Mesh, "add_ballot", silent)


def _every_ballot_is_reported(patch: pytest.MonkeyPatch) -> None:
    add = Mesh.add_ballot

    def loud(self: Mesh, rows: Any, ballot: Ballot, *, is_malicious: bool) -> MalfeasanceProof:
        add(self, rows, ballot, is_malicious=is_malicious)
        metadata = BallotMetadata(ballot.inner.layer, ballot.inner.hash())
        said = BallotProofMsg(metadata, ballot.smesher_id, ballot.signature)
        return MalfeasanceProof(ballot.inner.layer, BallotProof((said, said)))

    patch.setattr(Mesh, "add_ballot", loud)


def _second_activations_are_not_looked_for(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(contradictions, "find_v1", lambda *given, **more: None)


def _equivocation_in_hare_is_not_reported(patch: pytest.MonkeyPatch) -> None:
    take = HareProtocol.on_input
    patch.setattr(HareProtocol, "on_input", lambda self, message: (take(self, message)[0], None))


def _fees_are_paid_out_twice(patch: pytest.MonkeyPatch) -> None:
    distribute = rewards.distribute

    def twice(layer: Any, paid: Any, subsidy: int, fees: int) -> Any:
        return distribute(layer, paid, subsidy, 2 * fees)

    patch.setattr(rewards, "distribute", twice)


def _receivers_get_a_smidge_more(patch: pytest.MonkeyPatch) -> None:
    transfer = Context.transfer

    def more(self: Context, destination: Any, amount: int) -> None:
        transfer(self, destination, amount)
        account = self._cache.account(destination)
        account.balance += 1

    patch.setattr(Context, "transfer", more)


def _own_messages_are_not_noted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine, "sign_once", lambda rows, slot, signed: signed)


def _blocks_are_in_order_of_reception(patch: pytest.MonkeyPatch) -> None:
    def by_reception(transactions: Sequence[Any], seed: bytes) -> list[Any]:
        return sorted(transactions, key=lambda one: (one.nonce, one.received))

    patch.setattr(selection, "shuffled", by_reception)


MUTANTS = {
    "second ballots are not reported": Mutant(
        _second_ballots_are_not_reported, DoubleSignsCaught, _cheating("conflicting-ballots")
    ),
    "second activations are not looked for": Mutant(
        _second_activations_are_not_looked_for, DoubleSignsCaught, _cheating("double-atx")
    ),
    "equivocation in hare is not reported": Mutant(
        _equivocation_in_hare_is_not_reported, DoubleSignsCaught, _cheating("equivocator")
    ),
    "every ballot is reported": Mutant(_every_ballot_is_reported, NobodyHonestMarked),
    "fees are paid out twice": Mutant(_fees_are_paid_out_twice, SupplyConserved),
    "receivers get a smidge more": Mutant(_receivers_get_a_smidge_more, SupplyConserved),
    "own messages are not noted": Mutant(_own_messages_are_not_noted, NobodyHonestMarked),
    "blocks are in order of reception": Mutant(
        _blocks_are_in_order_of_reception, AgreedIsApplied, replace(QUIET, layers=FIRST + 9)
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_changed_rule_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant = MUTANTS[name]
    mutant.change(monkeypatch)
    found = {violation.invariant for violation in simulate(mutant.scenario, 2).violations}
    assert mutant.caught_by.name in found


def test_without_a_change_nothing_is() -> None:
    """The longest one; what cheats do without a change is in `test_whole`."""
    assert simulate(MUTANTS["blocks are in order of reception"].scenario, 2).violations == ()
