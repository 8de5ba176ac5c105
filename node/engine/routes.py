"""Which machine is told of what, by what each says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from node.contract.demands import Demand, PeerRequest
from node.contract.machine import Machine
from node.contract.messages import Message, Origin
from node.contract.owed import NAME_BYTES
from node.store.table import Table

NEEDED = (
    ("topics", "admit"),
    ("hints", "admit"),
    ("ticks", "tick"),
    ("watches", "changed"),
    ("serves", "serve"),
    ("protocols", "serve"),
    ("keeps_proofs", "convict"),
)
"""What a machine says of itself, and the method that it then must have written."""


class Routes:
    """The machines of a node.

    Raises ValueError where two claim the same, a name is not one, or a machine asks for what it does not take.
    """

    def __init__(self, machines: Sequence[Machine]) -> None:
        self.machines = tuple(machines)
        self.tickers = [machine for machine in machines if machine.ticks]
        keepers = [machine for machine in machines if machine.keeps_proofs]
        if len(keepers) > 1:
            raise ValueError(f"{keepers[0].name} and {keepers[1].name} both keep proofs of malfeasance")
        self.keeper = keepers[0] if keepers else None
        self._by_name: dict[str, Machine] = {}
        self._by_topic: dict[str, Machine] = {}
        self._by_hint: dict[str, Machine] = {}
        self._by_demand: dict[type[Demand], Machine] = {}
        self._by_protocol: dict[str, Machine] = {}
        self._watchers: dict[Table[Any, Any], list[Machine]] = {}
        for machine in machines:
            if not 0 < len(machine.name.encode("ascii")) <= NAME_BYTES:
                raise ValueError(f"the name {machine.name!r} does not have 1 to {NAME_BYTES} characters")
            _check_methods(machine)
            for places, names in (
                (self._by_name, (machine.name,)),
                (self._by_topic, machine.topics),
                (self._by_hint, machine.hints),
                (self._by_demand, machine.serves),
                (self._by_protocol, machine.protocols),
            ):
                self._claim(places, names, machine)
            for table in machine.watches:
                self._watchers.setdefault(table, []).append(machine)

    def judge_of(self, message: Message) -> Machine | None:
        """Who judges a message: by topic what is gossip or our own, by hint what was fetched or restored."""
        is_gossip = message.origin in (Origin.GOSSIP, Origin.OWN)
        return (self._by_topic if is_gossip else self._by_hint).get(message.channel)

    def server_of(self, demand: Demand) -> Machine | None:
        """Who serves a demand; None: the world does."""
        if isinstance(demand, PeerRequest):
            return self._by_protocol.get(demand.protocol)
        return self._by_demand.get(type(demand))

    def watchers(self, table: Table[Any, Any]) -> Sequence[Machine]:
        """Who is told of changes of a table."""
        return self._watchers.get(table, ())

    @staticmethod
    def _claim(places: dict[Any, Machine], names: Sequence[Any], machine: Machine) -> None:
        for name in names:
            if name in places:
                raise ValueError(f"{places[name].name} and {machine.name} both claim {name!r}")
            places[name] = machine


def _check_methods(machine: Machine) -> None:
    """Found when the node is put together, not when the first message comes."""
    for asks_for, method in NEEDED:
        if getattr(machine, asks_for) and getattr(type(machine), method) is getattr(Machine, method):
            raise ValueError(f"{machine.name} has {asks_for} but no method {method}")
