"""Vectors of the tortoise: tortoise/scenarios, tortoise/simulation, and tortoise/known_defect up to the defect.

Every event is made anew and has to give what is recorded. Where the recorded program went wrong (`defect_from_event`),
ours goes on without the fault: from there on only what cannot be wrong is asserted, that no call fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from node.tortoise.trace import replay
from tests.vector_cases.harness import Case, Context, NotUnderstood, vectors

DOCUMENT = {"name", "kind", "params", "events"}
PARAMETERS = {
    "hdist",
    "zdist",
    "window",
    "max_exceptions",
    "bad_beacon_delay",
    "layer_size",
    "layers_per_epoch",
    "effective_genesis",
    "historical_windows",
}


@vectors("tortoise/scenarios/*.json", "tortoise/simulation/*.json", variants=False)
def traces(document: Any, context: Context) -> Iterator[Any]:
    _check_form(document, DOCUMENT)
    yield Case("trace", lambda: _replay(document, len(document["events"])))


@vectors("tortoise/known_defect/*.json", variants=False)
def known_defects(document: Any, context: Context) -> Iterator[Any]:
    _check_form(document, DOCUMENT | {"defect_from_event"} | set(document) & {"defect", "phantom"})
    yield Case("before the defect", lambda: _replay(document, document["defect_from_event"]))
    yield Case("beyond it", lambda: _goes_on(document))


def _check_form(document: Any, names: set[str]) -> None:
    if set(document) != names:
        raise NotUnderstood(f"a trace with {sorted(set(document) ^ names)}")
    if set(document["params"]) != PARAMETERS:
        raise NotUnderstood(f"parameters {sorted(set(document['params']) ^ PARAMETERS)}")


def _replay(document: Any, until: int) -> None:
    for position, recorded, found in replay(document["params"], document["events"][:until]):
        for name, value in recorded.items():
            assert found.get(name) == value, f"event {position} ({recorded['op']}): {_differences(name, value, found)}"


def _differences(name: str, recorded: Any, found: Any) -> str:
    mine = found.get(name)
    if name != "state":
        return f"{name} {mine}, expected {recorded}"
    for key, value in recorded.items():
        if key != "layers" and mine[key] != value:
            return f"{key} {mine[key]}, expected {value}"
    for own, their in zip(mine["layers"], recorded["layers"], strict=True):
        for key, value in their.items():
            if own[key] != value:
                return f"layer {their['layer']}: {key} {own[key]}, expected {value}"
    return "unequal"


def _goes_on(document: Any) -> None:
    """The layers that the recorded program confuses keep their number, and hare's output keeps its word."""
    for position, recorded, found in replay(document["params"], document["events"]):
        if recorded["op"] == "tally" and position >= document["defect_from_event"]:
            numbers = [layer["layer"] for layer in found["state"]["layers"]]
            assert numbers == list(range(numbers[0], found["state"]["processed"] + 1)), f"event {position}: {numbers}"
