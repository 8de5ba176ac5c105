"""Vectors of the bootstrap fallback: consensus/bootstrap.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from node.bootstrap.document import VERSION, address, read, required_epochs
from node.bootstrap.errors import DocumentRefused
from protocol.numbers.durations import SECOND
from protocol.numbers.layers import NetworkTime
from protocol.types.ids import NO_BEACON, EpochId
from tests.vector_cases.harness import Case, Context, unknown_sections, vectors


@vectors("consensus/bootstrap.json", variants=False)
def bootstrap(document: Any, context: Context) -> Iterator[Any]:
    yield from unknown_sections(document, ("documents", "required_epochs", "uris", "version"))
    yield Case("version", lambda: _same(VERSION, document["version"]))
    for row in document["documents"]:
        yield Case(row["name"], lambda row=row: _document(row, document["version"]))
    for position, row in enumerate(document["required_epochs"]):
        yield Case(f"required_epochs[{position}]", lambda row=row: _required(row))
    yield Case("uris", lambda: _uris(document["uris"]))


def _same(found: object, expected: object) -> None:
    assert found == expected, f"{found}, expected {expected}"


def _document(row: Any, version: str) -> None:
    try:
        found = read(row["document"].encode(), version)
    except DocumentRefused as error:
        _same(error.reason, row["error"])
        return
    _same(None, row["error"])
    beacon = NO_BEACON if found.beacon is None else found.beacon
    ids = [id.hex() for id in found.active_set]
    _same((found.epoch, beacon.hex(), ids), (row["epoch"], row["beacon"], row["active_set"] or []))


def _required(row: Any) -> None:
    time = NetworkTime(0, SECOND, row["layers_per_epoch"], row["effective_genesis"])
    _same(list(required_epochs(time, EpochId(row["current_epoch"]))), row["epochs"])


def _uris(uris: list[str]) -> None:
    """The form of an address. The endings are those that the recorder gave; a network's are in `Part`."""
    (base, _, rest) = uris[0].partition("/epoch-")
    epoch = EpochId(int(rest.split("-")[0]))
    _same([address(base, epoch, ending) for ending in ("beacon", "activeset", "bootstrap")], uris)
