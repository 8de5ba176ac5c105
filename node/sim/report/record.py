"""The recorder: numbers of every layer, from what honest machines tell of and what the network carried."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from node.contract.effects import Emit
from node.engine.edges import Input, Outputs
from node.hare.events import HareAgreed, HareEnded
from node.ledger.tables import LAYERS
from node.mesh.tables import VALIDITY
from node.proposals.machine import ProposalTaken
from node.sim.disk import Crash
from node.sim.node import SimNode
from node.sim.watch import Watcher
from node.sim.world import World
from protocol.types.ids import EMPTY_BLOCK_ID, LayerId


@dataclass(slots=True)
class LayerRecord:
    """One layer."""

    layer: int
    proposers: set[int] = field(default_factory=set)
    """Nodes with a proposal of their own."""
    agreed: Counter[int] = field(default_factory=Counter)
    """At how many nodes hare agreed on so many proposals."""
    iterations: int = 0
    """In which iteration the last one agreed; 0: nobody did."""
    without: int = 0
    """Nodes at which hare's iterations were used up."""
    verified: tuple[int, int, int] = (0, 0, 0)
    """When the next layer began: the lowest, middle and highest frontier of the honest nodes that were up."""
    up: int = 0
    messages: Counter[str] = field(default_factory=Counter)
    """Deliveries by topic or protocol."""
    bytes: Counter[str] = field(default_factory=Counter)
    crashes: int = 0
    events: Counter[str] = field(default_factory=Counter)
    """What machines of honest nodes told of, by name."""
    root: str = ""
    """Of the state behind it, at most nodes that hold it to be verified; filled in at the end."""
    roots: int = 0
    """How many different ones there are."""
    block: str = ""
    transactions: int = 0
    valid: str = ""
    """At how many nodes the block is held to be valid."""
    margin: float | None = None
    """As `Built.margin`, at the middle node, when the layer after the next one began."""


class Recorder(Watcher):
    """Records a world."""

    def __init__(self) -> None:
        self.layers: list[LayerRecord] = [LayerRecord(0)]
        self._world: World | None = None
        self._messages: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()

    def watch(self, world: World) -> None:
        """The world, when it is there."""
        self._world = world

    @property
    def now(self) -> LayerRecord:
        """The layer that runs."""
        return self.layers[-1]

    def of(self, layer: int) -> LayerRecord:
        """A layer; the one that runs for one that has not begun."""
        return self.layers[min(layer, len(self.layers) - 1)]

    def turned(self, node: SimNode, inputs: Sequence[Input], outputs: Outputs) -> None:
        """As Watcher says."""
        if not node.is_honest:
            return
        for output in outputs:
            if isinstance(output, Emit):
                self._event(node, output.event)

    def _event(self, node: SimNode, event: object) -> None:
        self.now.events[type(event).__name__] += 1
        match event:
            case ProposalTaken(layer=layer, is_own=True):
                self.of(layer).proposers.add(node.number)
            case HareAgreed(layer, proposals, iteration):
                record = self.of(layer)
                record.agreed[len(proposals)] += 1
                record.iterations = max(record.iterations, iteration)
            case HareEnded(layer, is_agreed=False):
                self.of(layer).without += 1

    def crashed(self, node: SimNode, kind: Crash) -> None:
        """As Watcher says."""
        self.now.crashes += 1

    def layer_began(self, layer: LayerId) -> None:
        """As Watcher says."""
        self._close()
        self.layers.append(LayerRecord(int(layer)))

    def _close(self) -> None:
        world, record = self._world, self.now
        assert world is not None, "it watches a world"
        nodes = sorted((node for node in world.honest if node.is_up), key=lambda node: node.verified)
        record.up = len(nodes)
        if nodes:
            middle = nodes[len(nodes) // 2]
            record.verified = nodes[0].verified, middle.verified, nodes[-1].verified
            if record.layer and middle.built is not None:
                self.layers[-2].margin = middle.built.margin(LayerId(record.layer - 1))
        record.messages = world.network.messages - self._messages
        record.bytes = world.network.bytes - self._bytes
        self._messages, self._bytes = world.network.messages.copy(), world.network.bytes.copy()

    def finish(self) -> list[LayerRecord]:
        """All layers, with what became of each in the end."""
        world = self._world
        assert world is not None, "it watches a world"
        self._close()
        up = [node for node in world.honest if node.is_up]
        for record in self.layers:
            self._fill(record, up)
        return self.layers

    def _fill(self, record: LayerRecord, up: Sequence[SimNode]) -> None:
        layer = LayerId(record.layer)
        found: Counter[tuple[bytes, bytes, int]] = Counter()
        valid = 0
        for node in up:
            row = node.read(lambda view: view.get(LAYERS, layer))
            if row is None or node.verified < layer:
                continue
            found[row.state_hash, row.block, len(row.transactions)] += 1
            valid += bool(node.read(lambda view, block=row.block: view.get(VALIDITY, block)))  # type: ignore[misc]
        if not found:
            return
        (root, block, transactions), _ = found.most_common(1)[0]
        record.root, record.roots = root.hex()[:10], len({one[0] for one in found})
        record.block = "" if block == EMPTY_BLOCK_ID else block.hex()[:8]
        record.transactions = transactions
        record.valid = f"{valid} of {len(up)}" if record.block else ""
