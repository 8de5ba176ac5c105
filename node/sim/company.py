"""Who is together with whom: which nodes must agree, because they could hear each other all the time."""

from __future__ import annotations

from node.beacon.machine import BEACONS
from node.contract.instants import Instant
from protocol.types.ids import EpochId

from .disk import Crash
from .seen import Seen
from .watch import Watcher
from .world import World


class Company(Watcher):
    """Groups of honest nodes that were up and could reach each other over the last layers. Liars and gossip that goes
    directly over lines that lose messages break company, too: what was lost there is never said again."""

    def __init__(self) -> None:
        self._world: World | None = None
        self._disturbed: dict[int, Instant] = {}
        """When a node was last down, or had just come back."""

    def watch(self, world: World) -> None:
        """The world, when it is there."""
        self._world = world

    @property
    def _watched(self) -> World:
        assert self._world is not None, "it watches a world"
        return self._world

    def crashed(self, node: Seen, kind: Crash) -> None:
        """As Watcher says."""
        self._disturbed[node.number] = node.timeline.now()

    def started(self, node: Seen, outputs: object) -> None:
        """As Watcher says."""
        if node.lives > 1:
            self._disturbed[node.number] = node.timeline.now()

    def is_whole(self, layers: int) -> bool:
        """Whether no node was cut off from others for so many layers until now."""
        world = self._watched
        return len(world.links.together(self._begin(layers), world.now)) == 1

    def _begin(self, layers: int) -> Instant:
        world = self._watched
        return Instant(max(world.time.genesis_ns, world.now - layers * world.time.layer_duration_ns))

    def groups(self, layers: int) -> list[list[Seen]]:
        """The honest nodes that were together for so many layers until now, the largest group first."""
        world = self._watched
        now, begin = world.now, self._begin(layers)
        lost: set[int] = set()
        if not world.setting.degree:
            for bad in world.links.losses(begin, now):
                lost |= set(range(len(world.nodes)) if bad.nodes is None else bad.nodes)
        found: list[list[Seen]] = []
        for group in world.links.together(begin, now):
            nodes: list[Seen] = [
                world.nodes[number]
                for number in sorted(group - lost)
                if world.nodes[number].is_honest
                and world.nodes[number].is_up
                and self._disturbed.get(number, Instant(0)) < begin
            ]
            if nodes:
                found.append(nodes)
        return sorted(found, key=len, reverse=True)

    def agreeing(self, layers: int) -> list[list[Seen]]:
        """The same, apart from each other where they had different beacons in that time, or different first committees.

        They may: who was apart in the two epochs before an epoch brings activations late, and then a beacon is not the
        same for all. Each holds ballots with another beacon to count for nothing until long after. And the committee of
        the first epoch with proposals is made of the ballots that came in time; that of later ones is in a block.
        """
        found = [part for group in self.groups(layers) for part in self._by_views(group, layers)]
        return sorted(found, key=len, reverse=True)

    def _by_views(self, group: list[Seen], layers: int) -> list[list[Seen]]:
        time, now = self._watched.time, self._watched.now
        epochs = range(time.epoch_of(time.layer_at(self._begin(layers))), time.epoch_of(time.layer_at(now)) + 1)
        first = EpochId(time.epoch_of(time.effective_genesis) + 1)
        parts: dict[object, list[Seen]] = {}
        for node in group:
            beacons = node.read(lambda view: tuple(view.get(BEACONS, EpochId(epoch)) for epoch in epochs))
            committee = node.committee(first) if first in epochs else None
            parts.setdefault((beacons, committee), []).append(node)
        return list(parts.values())

    def has_majority(self, nodes: list[Seen], weights: dict[int, int]) -> bool:
        """Whether these have more than two thirds of all weight."""
        return 3 * sum(weights[node.number] for node in nodes) > 2 * sum(weights.values())
