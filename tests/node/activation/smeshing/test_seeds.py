"""Smeshing while everything around it fails at random: it never contradicts itself, and recovers when it can."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest

from node.activation.smeshing.space import last_of
from node.activation.tables import POSTS
from node.contract.demands import Demand, Failed, PostVerdict, Result, VerifyPost, VerifyVrfNonce
from node.contract.instants import Instant
from node.contract.owed import OWED
from node.malfeasance.tables import malicious
from node.sim.chance import Chance
from node.store.view import Span
from protocol.numbers.durations import SECOND
from protocol.types.ids import EMPTY_ATX_ID, EpochId

from .rig import Key, Rig, end_of
from .stand_ins import PARAMETERS, TIMELINE, A, B, C
from .test_merging import FIRST, MARRIAGE

STORM, CALM = EpochId(7), EpochId(10)
"""Epochs at whose end all is well again, and at whose end everything has to be made up for."""


def storm(rig: Rig, dice: random.Random) -> None:
    """Something breaks, or is mended."""
    poet = dice.choice(list(rig.poets.values()))
    prover = rig.provers[dice.choice([A, B, C]).identity]
    match dice.randrange(10):
        case 0:
            poet.is_up = not poet.is_up
        case 1:
            poet.has_proofs = not poet.has_proofs
        case 2:
            poet.forgets = not poet.forgets
        case 3:
            prover.is_connected = not prover.is_connected
        case 4:
            prover.takes = dice.choice([0, 60, 700, 2500]) * SECOND
        case 5:
            prover.failures.append(Failed("error"))
        case 6:
            rig.sends = not rig.sends
            rig.begin()
        case 7:
            rig.is_synced = not rig.is_synced
        case 8:
            prover.units = dice.choice([10, 20])
        case _:
            rig.now = Instant(rig.now + dice.randrange(400) * SECOND)
            rig.begin()


def verdicts(dice: random.Random) -> dict[type[Demand], object]:
    def post(demand: Demand) -> Result | None:
        assert isinstance(demand, VerifyPost)
        roll = dice.random()
        if roll < 0.05:
            return Failed("stopped")
        return PostVerdict(False, None, "bad luck") if roll < 0.1 and demand.is_urgent else None

    def nonce(demand: Demand) -> Result | None:
        assert isinstance(demand, VerifyVrfNonce)
        return dice.random() < 0.5 if demand.num_units > 20 else None

    return {VerifyPost: post, VerifyVrfNonce: nonce}


def calm(rig: Rig) -> None:
    for poet in rig.poets.values():
        poet.is_up, poet.has_proofs, poet.forgets = True, True, False
    for prover in rig.provers.values():
        prover.is_connected, prover.takes = True, 60 * SECOND
        prover.failures.clear()
    rig.results.clear()
    rig.is_synced = rig.sends = True
    rig.begin()


def check(rig: Rig, key: Key) -> None:
    """Every activation follows the one before, and nothing is left."""
    view = rig.stores.view()
    posts = sorted(
        (post.publish_epoch, id, post.previous)
        for (id, identity), post in view.scan(POSTS, Span())
        if identity == key.identity
    )
    assert len({epoch for epoch, _, _ in posts}) == len(posts)
    assert posts[0][2] == EMPTY_ATX_ID
    assert all(previous == before[1] for before, (_, _, previous) in pairwise(posts))
    assert last_of(view, key.identity) == posts[-1][1]
    assert {epoch for epoch, _, _ in posts} == set(rig.signed(key))
    assert posts[-1][0] == CALM, f"the last one is of epoch {posts[-1][0]}"


@pytest.mark.parametrize("seed", range(12))
def test_whatever_fails_nothing_is_contradicted_and_all_of_it_is_made_up_for(seed: int) -> None:
    dice = random.Random(seed)
    is_merging = bool(seed % 2)
    versions = {1: 2} if is_merging else {6: 2}
    rig = Rig(A, B, C, parameters=replace(PARAMETERS, is_merging=is_merging), versions=versions)
    rig.dice = Chance(seed)
    if is_merging:
        rig.receive(*FIRST.values(), MARRIAGE)
    rig.results = verdicts(dice)  # type: ignore[assignment]
    end = TIMELINE.publication_end(STORM)
    while rig.now < end:
        rig.run_until(Instant(min(rig.now + dice.randrange(600) * SECOND, end)))
        storm(rig, dice)
    calm(rig)
    rig.run_until(end_of(CALM))
    for key in (A, B, C):
        check(rig, key)
    view = rig.stores.view()
    assert malicious(view) == [] and rig.stopped == {}
    assert list(view.keys(OWED)) == []
    signed = {data for key in (A, B, C) for data in rig.signed(key).values()}
    assert set(rig.sent) | {one.data for one in (*FIRST.values(), MARRIAGE)} >= signed
