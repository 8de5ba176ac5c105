"""What is to happen in a run, as a value: how many nodes, for how long, and what goes wrong.

Times are layers from the genesis, so 16.5 is half a layer after layer 16 began; nodes are numbers from 0. What names a
node or a layer that a smaller run does not have is left out, so a scenario can be cut down and stays one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
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

LIMITS: Mapping[str, tuple[int, int]] = {
    "nodes": (1, 10_000),
    "layers": (1, 100_000),
    "layers_per_epoch": (3, 100_000),
    "degree": (0, 1_000),
    "transactions": (0, 10_000),
}
"""The least and the most of each number of a scenario."""
LONGEST_NAME = 100
"""Characters."""

LATEST = 10**6
"""In layers: a moment that no run reaches."""
_EVENT_LIMITS: Mapping[str, tuple[int, int]] = {
    "begin": (0, LATEST),
    "end": (0, LATEST),
    "at": (0, LATEST),
    "hold_s": (0, 86_400),
    "offset_s": (-86_400, 86_400),
    "drift_ppm": (-100_000, 100_000),
    "downtime_s": (0, 10**9),
    "write": (0, 10**6),
}
_KIND_NAMES = {int: "a whole number", float: "a number", str: "a text"}


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
    """shared: messages are decoded and signatures judged once for all nodes, for scale; full: by each for itself."""
    degree: int = 0
    """Neighbours over which gossip is relayed; 0: whoever publishes reaches everybody."""
    transactions: int = 2
    """Coin transfers that are sent in each layer."""
    events: tuple[Event, ...] = field(default=())

    def check(self) -> Scenario:
        """Itself. Raises BadScenario."""
        if not is_name(self.name):
            raise BadScenario(f"name is {self.name!r:.200}, expected 1 to {LONGEST_NAME} printable characters.")
        for name, (least, most) in LIMITS.items():
            found = getattr(self, name)
            if not least <= found <= most:
                raise BadScenario(f"{name} is {found}, expected {least} to {most}.")
        if self.mode not in ("shared", "full"):
            raise BadScenario(f"mode is {self.mode!r:.200}, expected shared or full.")
        for number, event in enumerate(self.events):
            _check_event(f"events[{number}]", event)
        cheats = [event.node for event in self.events if isinstance(event, Cheat)]
        clocks = [event.node for event in self.events if isinstance(event, Skew)]
        for what, nodes in (("a role", cheats), ("a clock", clocks)):
            for node, times in Counter(nodes).items():
                if times > 1:
                    raise BadScenario(f"events give node {node} {what} {times} times, expected once.")
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


def is_name(text: str) -> bool:
    """Whether a scenario may be called so: it is shown on terminals, in pages and in tests."""
    return 0 < len(text) <= LONGEST_NAME and text.isprintable()


def _check_event(where: str, event: Event) -> None:
    for name, (least, most) in _EVENT_LIMITS.items():
        if not least <= (found := getattr(event, name, 0)) <= most:
            raise BadScenario(f"{where}.{name} is {found}, expected {least} to {most}.")
    for node in _named(event):
        if node < 0:
            raise BadScenario(f"{where} names node {node}, expected 0 or more.")
    if isinstance(event, Cheat) and event.role not in ROLES:
        raise BadScenario(f"{where}.role is {event.role!r:.100}, expected one of {', '.join(ROLES)}.")
    if isinstance(event, Partition | Eclipse | BadLines) and not event.begin < event.end:
        raise BadScenario(f"{where} is from {event.begin} to {event.end}, expected a later end, in layers.")
    if isinstance(event, BadLines):
        for name in ("loss", "doubled", "held"):
            if not 0 <= getattr(event, name) <= 1:
                raise BadScenario(f"{where}.{name} is {getattr(event, name)}, expected a probability, 0 to 1.")
    if isinstance(event, Partition) and not (
        event.shares and all(share > 0 for share in event.shares) and sum(event.shares) <= 1.001
    ):
        raise BadScenario(f"{where}.shares are {event.shares!s:.200}, expected parts above 0 that come to 1.")
    if isinstance(event, CrashOf) and event.how not in ("kill", "power"):
        raise BadScenario(f"{where}.how is {event.how!r:.200}, expected kill or power.")


def _named(event: Event) -> tuple[int, ...]:
    """The nodes that an event names."""
    node = getattr(event, "node", None)
    others = getattr(event, "peers", None) or getattr(event, "nodes", None) or ()
    return (*(() if node is None else (node,)), *others)


# ---- from files ----


def from_mapping(document: Mapping[str, Any]) -> Scenario:
    """A scenario from a document of names and values, as a TOML file has it. Raises BadScenario."""
    found = dict(document)
    events = found.pop("events", [])
    if not isinstance(events, list):
        raise BadScenario(f"events is {events!r:.200}, expected a list of tables, each with a kind.")
    made = tuple(_event(f"events[{number}]", one) for number, one in enumerate(events))
    scenario: Scenario = _filled(Scenario, "", found)
    whole = replace(scenario, events=made).check()
    for number, event in enumerate(made):
        _check_place(f"events[{number}]", event, whole)
    return whole


def _check_place(where: str, event: Event, scenario: Scenario) -> None:
    """What a smaller run leaves out is a slip in a file that says how large the run is. Raises BadScenario."""
    for node in _named(event):
        if node >= scenario.nodes:
            raise BadScenario(
                f"{where} names node {node}, expected 0 to {scenario.nodes - 1}: there are so many nodes."
            )
    if not scenario.has_place_for(event):
        raise BadScenario(f"{where} begins when the run is over, expected a layer before {scenario.layers}.")


def _event(where: str, document: Any) -> Event:
    rest = dict(document) if isinstance(document, Mapping) else {}
    kind = rest.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise BadScenario(f"{where}.kind is {kind!r:.200}, expected one of {', '.join(KINDS)}.")
    made: Event = _filled(KINDS[kind], where, rest)
    return made


def _filled(kind: type[Any], where: str, document: Mapping[str, Any]) -> Any:
    known = [one for one in fields(kind) if one.name != "events"]
    names = sorted(one.name for one in known)
    hints = get_type_hints(kind)
    values = {}
    for name, value in document.items():
        if name not in names:
            raise BadScenario(
                f"{where or 'the scenario'} has no field {name!r:.100}, expected some of {', '.join(names)}."
            )
        values[name] = _value(f"{where}.{name}".removeprefix("."), hints[name], value)
    if missing := [one.name for one in known if one.default is MISSING and one.name not in values]:
        raise BadScenario(f"{where} is not complete, expected {' and '.join(map(repr, missing))}, too.")
    return kind(**values)


def _value(where: str, hint: Any, value: Any) -> Any:
    origin = get_origin(hint)
    if origin is UnionType:
        (inner,) = [one for one in get_args(hint) if one is not type(None)]
        return _value(where, inner, value)
    if origin is tuple:
        if not isinstance(value, list):
            raise BadScenario(f"{where} is {value!r:.200}, expected a list.")
        return tuple(_value(where, get_args(hint)[0], one) for one in value)
    if origin is Literal:
        return value
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise BadScenario(f"{where} is {value!r:.200}, expected {_KIND_NAMES[hint]}.")
    return value
