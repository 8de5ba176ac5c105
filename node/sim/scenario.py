"""What is to happen in a run, as a value: how many nodes, for how long, and what goes wrong.

Times are layers from the genesis, so 16.5 is half a layer after layer 16 began; nodes are numbers from 0. What names a
node or a layer that a smaller run does not have is left out, so a scenario can be cut down and stays one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from node.errors import NodeError

from .roles import ROLES


class BadScenario(NodeError):
    """A scenario that cannot be run; the message names the field."""


# ---- what goes wrong ----


@dataclass(frozen=True, slots=True)
class Partition:
    """The nodes fall into parts that cannot reach each other."""

    begin: float
    end: float
    shares: tuple[float, ...] = (0.5, 0.5)
    """How much of the nodes each part has, in the order of their numbers; the last one has the rest."""


@dataclass(frozen=True, slots=True)
class Eclipse:
    """One node reaches some peers only."""

    begin: float
    end: float
    node: int
    peers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class BadLines:
    """Messages are lost, doubled, or held back, each with a probability."""

    begin: float
    end: float
    loss: float = 0.0
    doubled: float = 0.0
    held: float = 0.0
    hold_s: float = 5.0
    """How long at most, seconds."""
    nodes: tuple[int, ...] | None = None
    """Lines to and from these; None: all."""


@dataclass(frozen=True, slots=True)
class Skew:
    """The clock of a node is wrong."""

    node: int
    offset_s: float = 0.0
    """Seconds by which it is ahead; below 0: behind."""
    drift_ppm: int = 0
    """Millionths by which it is too fast."""


@dataclass(frozen=True, slots=True)
class CrashOf:
    """A node goes down, and comes back."""

    at: float
    node: int
    how: Literal["kill", "power"] = "kill"
    downtime_s: float = 30.0
    write: int = 0
    """0: between two turns; else in so many-th write from then on."""


@dataclass(frozen=True, slots=True)
class Cheat:
    """A node is dishonest from the beginning."""

    node: int
    role: str
    """A name in `roles.ROLES`."""


Event = Partition | Eclipse | BadLines | Skew | CrashOf | Cheat

KINDS: Mapping[str, type[Any]] = {
    "partition": Partition,
    "eclipse": Eclipse,
    "bad-lines": BadLines,
    "skew": Skew,
    "crash": CrashOf,
    "cheat": Cheat,
}
"""By their names in files."""


# ---- the whole ----


@dataclass(frozen=True, slots=True)
class Scenario:
    """A run, but for its seed."""

    name: str = "unnamed"
    nodes: int = 8
    layers: int = 40
    """The run is over when this layer begins."""
    layers_per_epoch: int = 8
    mode: Literal["shared", "full"] = "shared"
    """shared: signatures are judged once for all nodes, for scale; full: by each node for itself."""
    degree: int = 0
    """Neighbours over which gossip is relayed; 0: whoever publishes reaches everybody."""
    transactions: int = 2
    """Coin transfers that are sent in each layer."""
    events: tuple[Event, ...] = field(default=())

    def check(self) -> Scenario:
        """Itself. Raises BadScenario."""
        _at_least("nodes", self.nodes, 1)
        _at_least("layers", self.layers, 1)
        _at_least("layers_per_epoch", self.layers_per_epoch, 3)
        _at_least("degree", self.degree, 0)
        _at_least("transactions", self.transactions, 0)
        if self.mode not in ("shared", "full"):
            raise BadScenario(f"mode is {self.mode!r}, expected shared or full.")
        for number, event in enumerate(self.events):
            _check_event(f"events[{number}]", event)
        return self

    def with_size(self, nodes: int, layers: int) -> Scenario:
        """The same with another number of nodes and layers, without the events that then have no place."""
        smaller = replace(self, nodes=nodes, layers=layers)
        return replace(smaller, events=tuple(event for event in self.events if smaller.has_place_for(event)))

    def has_place_for(self, event: Event) -> bool:
        """Whether an event can happen in this run."""
        if getattr(event, "node", 0) >= self.nodes:
            return False
        return float(getattr(event, "begin", getattr(event, "at", 0))) < self.layers

    @property
    def cheats(self) -> Mapping[int, str]:
        """The roles of the dishonest nodes."""
        return {event.node: event.role for event in self.events if isinstance(event, Cheat)}


def _at_least(name: str, found: int, least: int) -> None:
    if found < least:
        raise BadScenario(f"{name} is {found}, expected at least {least}.")


def _check_event(where: str, event: Event) -> None:
    if isinstance(event, Cheat) and event.role not in ROLES:
        raise BadScenario(f"{where}.role is {event.role!r}, expected one of {', '.join(ROLES)}.")
    if isinstance(event, Partition | Eclipse | BadLines) and not 0 <= event.begin < event.end:
        raise BadScenario(f"{where} is from {event.begin} to {event.end}, expected a later end, in layers.")
    if isinstance(event, BadLines):
        for name in ("loss", "doubled", "held"):
            if not 0 <= getattr(event, name) <= 1:
                raise BadScenario(f"{where}.{name} is {getattr(event, name)}, expected a probability, 0 to 1.")
    if isinstance(event, Partition) and (min(event.shares, default=0) <= 0 or sum(event.shares) > 1.001):
        raise BadScenario(f"{where}.shares are {event.shares}, expected parts above 0 that come to 1.")
    if isinstance(event, CrashOf) and event.how not in ("kill", "power"):
        raise BadScenario(f"{where}.how is {event.how!r}, expected kill or power.")


# ---- from files ----


def from_mapping(document: Mapping[str, Any]) -> Scenario:
    """A scenario from a document of names and values, as a TOML file has it. Raises BadScenario."""
    found = dict(document)
    events = found.pop("events", [])
    if not isinstance(events, list):
        raise BadScenario(f"events is {events!r}, expected a list of tables, each with a kind.")
    made = tuple(_event(f"events[{number}]", one) for number, one in enumerate(events))
    scenario: Scenario = _filled(Scenario, "the scenario", found)
    return replace(scenario, events=made).check()


def _event(where: str, document: Any) -> Event:
    rest = dict(document) if isinstance(document, Mapping) else {}
    kind = rest.pop("kind", None)
    if kind not in KINDS:
        raise BadScenario(f"{where}.kind is {kind!r}, expected one of {', '.join(KINDS)}.")
    made: Event = _filled(KINDS[kind], where, rest)
    return made


def _filled(kind: type[Any], where: str, document: Mapping[str, Any]) -> Any:
    names = {one.name for one in fields(kind)} - {"events"}
    hints = get_type_hints(kind)
    values = {}
    for name, value in document.items():
        if name not in names:
            raise BadScenario(f"{where} has no field {name!r}, expected some of {', '.join(sorted(names))}.")
        values[name] = _value(f"{where}.{name}", hints[name], value)
    try:
        return kind(**values)
    except TypeError as error:
        raise BadScenario(f"{where} is not complete: {error}.") from error


def _value(where: str, hint: Any, value: Any) -> Any:
    origin = get_origin(hint)
    if origin is UnionType:
        (inner,) = [one for one in get_args(hint) if one is not type(None)]
        return _value(where, inner, value)
    if origin is tuple:
        if not isinstance(value, list):
            raise BadScenario(f"{where} is {value!r}, expected a list.")
        return tuple(_value(where, get_args(hint)[0], one) for one in value)
    if origin is Literal:
        return value
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise BadScenario(f"{where} is {value!r}, expected a value of the kind {hint.__name__}.")
    return value
