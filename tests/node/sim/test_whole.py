"""Whole nodes: layers are made, applied and verified; what must hold of them is seen where it does not."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from node.ledger.tables import ACCOUNTS, LAYERS, RESULTS, REWARDS
from node.malfeasance.tables import is_malicious
from node.proposals.machine import TOPIC
from node.sim.invariants.agreement import FrontierMoves, OneStateRoot
from node.sim.invariants.ledger import SupplyConserved
from node.sim.report.page import page
from node.sim.report.record import Recorder
from node.sim.scenario import BadLines, Cheat, CrashOf, Eclipse, Event, Partition, Scenario, Skew
from node.sim.simulate import begin, simulate
from node.sim.world import World
from node.store.view import Rows
from protocol.types.ids import EMPTY_BLOCK_ID, LayerId

from .small import at_layer

EPOCH = 4
QUIET = Scenario("quiet", nodes=5, layers=5 * EPOCH, layers_per_epoch=EPOCH, transactions=2)
FIRST = 2 * EPOCH
"""The first layer with proposals."""


def test_layers_are_made_applied_and_verified_everywhere_with_coins_that_move() -> None:
    recorder = Recorder()
    run = begin(QUIET, 1, recorder)
    outcome = run.finish()
    assert outcome.violations == ()
    layers = recorder.finish()
    # in the very first layer nobody knows yet who is active
    for layer in layers[FIRST + 1 : QUIET.layers - 3]:
        assert layer.proposers and layer.iterations and layer.roots == 1 and layer.block, layer
        assert layer.margin is not None and layer.valid == "5 of 5"
    assert max(layer.margin or 0 for layer in layers) > 1
    assert sum(layer.transactions for layer in layers) > 10
    for node in run.world.nodes:
        assert node.verified >= QUIET.layers - 3
        assert node.read(lambda view: len(list(view.keys(REWARDS)))) > 20
        assert node.read(lambda view: len(list(view.keys(RESULTS)))) > 10
        assert not node.events["MachineFailed"] and node.lives == 1
    text = page(outcome, layers)
    assert "All invariants held." in text and text.count('role="img" aria-label="by layer: ') == 6
    dashes = set(re.findall('<polyline [^>]*stroke-dasharray="([^"]*)"', text))
    assert len(dashes) == 4  # lines are told apart without colours, too
    assert len(re.findall("<tr><td>", text)) == QUIET.layers
    assert "http" not in text and "src=" not in text  # nothing to be fetched
    assert str(layers[FIRST + 2].block) in text


EVENTS: dict[str, tuple[Event, ...]] = {
    "partition": (Partition(FIRST + 3.0, FIRST + 4.5, (0.4, 0.6)),),
    "eclipse": (Eclipse(FIRST + 2.0, FIRST + 4.0, 1),),
    "loss": (BadLines(0.0, 1e6, loss=0.03, doubled=0.05, held=0.1, hold_s=2.0),),
    "skew": (Skew(0, 3.0), Skew(1, -3.0), Skew(2, 0.0, 100)),
    "crashes": (CrashOf(FIRST + 1.05, 0, "kill", 20.0, write=2), CrashOf(FIRST + 2.3, 1, "power", 400.0)),
    "spam and lies": (Cheat(1, "spammer"), Eclipse(FIRST + 2.0, FIRST + 3.0, 3)),
}


@pytest.mark.parametrize("name", EVENTS)
def test_what_must_hold_does_whatever_goes_wrong(name: str) -> None:
    degree = 6 if name == "loss" else 0
    outcome = simulate(replace(QUIET, name=name, layers=4 * EPOCH, degree=degree, events=EVENTS[name]), 2)
    assert outcome.violations == ()
    assert outcome.layer == 4 * EPOCH


@pytest.mark.parametrize(
    ("role", "degree"), [("double-atx", 0), ("conflicting-ballots", 0), ("equivocator", 0), ("equivocator", 4)]
)
def test_who_signs_twice_is_convicted_by_all(role: str, degree: int) -> None:
    run = begin(replace(QUIET, layers=FIRST + 3, degree=degree, events=(Cheat(1, role),)), 2)
    assert run.finish().violations == ()
    (identity,) = run.world.nodes[1].identities
    assert all(node.read(lambda view: is_malicious(view, identity)) for node in run.world.honest)


def test_who_was_down_for_an_epoch_catches_up_with_the_state_of_the_others() -> None:
    away = CrashOf(FIRST + 1.2, 2, "power", 4 * 300.0)
    run = begin(replace(QUIET, events=(away,)), 3)
    assert run.finish().violations == ()
    node, other = run.world.nodes[2], run.world.nodes[0]
    assert node.lives == 2 and node.verified >= QUIET.layers - 4
    for layer in range(FIRST, node.verified + 1):
        rows = [one.read(lambda view, layer=layer: view.get(LAYERS, LayerId(layer))) for one in (node, other)]  # type: ignore[misc]
        assert rows[0] == rows[1] is not None


def test_full_and_shared_are_the_same_run() -> None:
    shared, full = (simulate(replace(QUIET, layers=FIRST + 3, mode=mode), 4).digest for mode in ("shared", "full"))  # type: ignore[arg-type]
    assert shared == full


def fingerprint(seed: int) -> str:
    """Of a run with some of everything."""
    events = (CrashOf(FIRST + 1.1, 0, "power", 20.0, write=1), Cheat(1, "spammer"), EVENTS["loss"][0])
    return simulate(replace(QUIET, layers=FIRST + 4, degree=4, events=events), seed).digest


def test_a_seed_is_a_run_whatever_the_process() -> None:
    program = "from tests.node.sim.test_whole import fingerprint; print(fingerprint(5))"
    child = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONHASHSEED": "1", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout == fingerprint(5) + "\n"


# ---- invariants that need a ledger ----


def violated(scenario: Scenario, layer: int, act: Callable[[World], None]) -> set[str]:
    """The invariants that a run violates in which somebody meddles when a layer begins."""
    run = begin(scenario, 1, on_layer=at_layer(layer, act))
    return {one.invariant for one in run.finish().violations}


SHORT = replace(QUIET, nodes=4, layers=FIRST + 6)


def test_one_state_root_sees_another_one() -> None:
    def change(world: World) -> None:
        stores = world.nodes[1].stores
        assert stores is not None
        rows = Rows(stores.view())
        row = rows.get(LAYERS, LayerId(FIRST + 2))
        assert row is not None and row.block != EMPTY_BLOCK_ID
        rows.put(LAYERS, LayerId(FIRST + 2), replace(row, state_hash=type(row.state_hash)(b"\1" * 32)))
        stores.write(rows)

    assert violated(SHORT, FIRST + 4, change) == {OneStateRoot.name}


def test_the_supply_is_conserved_sees_a_coin_more() -> None:
    def give(world: World) -> None:
        for node in world.nodes:
            assert node.stores is not None
            rows = Rows(node.stores.view())
            address, account = next(iter(rows.scan(ACCOUNTS)))
            rows.put(ACCOUNTS, address, replace(account, balance=account.balance + 1))
            node.stores.write(rows)

    assert violated(SHORT, FIRST + 4, give) == {SupplyConserved.name}


def test_the_frontier_moves_sees_a_network_that_stands_still() -> None:
    """Nobody crashes and no line is cut, and yet from a layer on no proposal arrives and no peer answers."""
    scenario = replace(QUIET, nodes=3, layers=FIRST + 4 * EPOCH)

    def silence(world: World) -> None:
        publish = world.network.publish

        def others(source: int, topic: str, *rest: Any) -> None:
            if topic != TOPIC:
                publish(source, topic, *rest)

        world.network.publish = others  # type: ignore[method-assign]
        world.network.request = lambda *asked: None  # type: ignore[method-assign]

    assert violated(scenario, FIRST + 3, silence) == {FrontierMoves.name}
