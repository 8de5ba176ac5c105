"""Restarts between any two units of whole nodes: nothing decided is forgotten, nothing is signed twice.

A longer version: `make soak-faults SOAK="--only restarts"`.
"""

from __future__ import annotations

import pytest

from node.activation.machine import TOPIC as ATXS
from node.beacon.memory import FIRST_VOTES, FOLLOWING_VOTES
from node.certificates.machine import TOPIC as CERTIFY
from node.proposals.machine import TOPIC as PROPOSALS
from node.sim.forging import HARE3, HARE4

from .restarting import Hare, as_the_twin, restarted, said_by

EACH = 20
"""Restarts of each node in a run; three nodes are stopped, two of which sign."""
LAYERS = 28
LEAST = 45
"""Of the restarts of a run; some moments fall into the time in which a node is down. Over the nine runs, 400."""

IN_ALL = (0, 1)
"""Seeds with which no moment keeps a node from any kind of message."""


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("hare", ["3", "4", "3 to 4"])
def test_a_node_that_is_stopped_at_any_moment_contradicts_itself_nowhere(hare: Hare, seed: int) -> None:
    made = restarted(seed, hare, LAYERS, EACH)
    outcome = made.run.finish()
    assert outcome.violations == ()
    assert made.forgotten.restarts >= LEAST
    as_the_twin(made.run)
    of_hare = {"3": {HARE3}, "4": {HARE4}, "3 to 4": {HARE3, HARE4}}[hare]
    # between its restarts it takes part in everything; with other seeds it is down in every second round of a beacon
    signed = said_by(made, 2) | said_by(made, 3)
    everything = {ATXS, PROPOSALS, CERTIFY, FIRST_VOTES, FOLLOWING_VOTES, *of_hare}
    assert signed == everything or (seed not in IN_ALL and {ATXS, PROPOSALS} < signed < everything)
