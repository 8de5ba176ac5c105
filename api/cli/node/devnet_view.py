"""What `smesher devnet` shows: each node's API, how far it is, its state and rewards; for machines, events."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from api.cli.output import Output
from node.ledger.tables import LAYERS, REWARDS
from node.store.view import Span
from protocol.types.ids import EMPTY_BLOCK_ID, LayerId

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from api.node.composition import Composition
    from api.node.devnet import Devnet


@dataclass(slots=True)
class Row:
    """One node."""

    number: int
    node: Composition
    counted: int = 0
    """The newest layer whose blocks and rewards are counted. What is reverted later stays counted."""
    blocks: int = 0
    rewards: int = 0
    smidge: int = 0
    state: str = ""

    def look(self) -> None:
        """How far it is now."""
        applied = self.node.backend.facts.applied
        with self.node.backend.view() as view:
            span = Span(start=LayerId(self.counted + 1), last=applied)
            for layer, row in view.scan(LAYERS, span):
                self.blocks += row.block != EMPTY_BLOCK_ID
                self.state = row.state_hash.hex()
                self.counted = layer
            if applied >= span.start:
                for _, reward in view.scan(REWARDS, Span(start=(span.start,), last=(applied,))):
                    self.rewards += 1
                    self.smidge += reward.total_reward

    def fields(self) -> dict[str, object]:
        """For machines."""
        facts = self.node.backend.facts
        return {
            "node": self.number,
            "applied": facts.applied,
            "verified": facts.verified,
            "synced": facts.is_synced,
            "state": self.state,
            "blocks": self.blocks,
            "rewards": self.rewards,
            "smidge": self.smidge,
        }


class View:
    """Shows a network; `layer` is called in the middle of each layer."""

    def __init__(self, devnet: Devnet, output: Output) -> None:
        self._devnet, self._output = devnet, output
        self._rows = [Row(number, node) for number, node in enumerate(devnet.nodes)]
        self._live: Live | None = None
        """None: not on a terminal, or with --json."""

    def __enter__(self) -> View:
        for row in self._rows:
            addresses = dict(row.node.addresses)
            self._output.event("node", node=row.number, id=row.node.host.id, folder=str(row.node.folder), **addresses)
            shown = "  ".join(f"{name} {address}" for name, address in addresses.items())
            self._output.say(f"[bold]node {row.number}[/]  {shown}")
        if not self._output.json and self._output.errors.is_terminal:
            from rich.live import Live

            self._live = Live(console=self._output.errors, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def layer(self, layer: int) -> None:
        """A layer is half over."""
        for row in self._rows:
            row.look()
        self._output.event("layer", layer=layer, nodes=[row.fields() for row in self._rows])
        if self._live is not None:
            self._live.update(self._table(layer), refresh=True)
        elif not self._output.json:
            states = {row.state[:8] for row in self._rows}
            first = self._rows[0]
            self._output.say(
                f"layer {layer:3}  applied {min(row.node.backend.facts.applied for row in self._rows)}  blocks "
                f"{first.blocks}  rewards {first.rewards}  state {', '.join(sorted(states)) or '-'}"
            )

    def _table(self, layer: int) -> RenderableType:
        from rich.table import Table

        time = self._devnet.nodes[0].parameters.time
        table = Table(title=f"layer {layer}, epoch {time.epoch_of(layer)}", title_justify="left", box=None)
        for name in ("node", "API", "synced", "applied", "verified", "blocks", "rewards", "state"):
            table.add_column(name, justify="left" if name in ("API", "state") else "right")
        for row in self._rows:
            facts = row.node.backend.facts
            table.add_row(
                str(row.number),
                next(iter(row.node.addresses.values()), ""),
                "yes" if facts.is_synced else "no",
                str(facts.applied),
                str(facts.verified),
                str(row.blocks),
                str(row.rewards),
                row.state[:16],
            )
        return table
