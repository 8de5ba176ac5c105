"""The live view of a simulation: how far each node is, how hare fares, what goes wrong; for machines, events."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from api.cli.output import Output
from node.sim.report.page import bands_of
from node.sim.report.plots import short
from node.sim.report.record import LayerRecord, Recorder
from node.sim.running import Outcome
from node.sim.scenario import Scenario
from node.sim.world import World

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.live import Live

SHOWN_LAYERS = 8
SPARKS = " ▁▂▃▄▅▆▇█"
BAR = 40


class View:
    """Shows a run; `on_layer` is called at the beginning of each layer."""

    def __init__(self, scenario: Scenario, seed: int, recorder: Recorder, output: Output) -> None:
        self._scenario, self._seed, self._recorder, self._output = scenario, seed, recorder, output
        self.live: Live | None = None
        """None: not on a terminal, or with --json."""

    def __enter__(self) -> View:
        if not self._output.json and self._output.errors.is_terminal:
            from rich.live import Live

            self.live = Live(console=self._output.errors, refresh_per_second=4, transient=True)
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live is not None:
            self.live.stop()

    def on_layer(self, world: World) -> None:
        """A layer has begun."""
        ended = self._recorder.layers[-2]
        self._output.event(
            "layer",
            layer=ended.layer,
            proposers=sorted(ended.proposers),
            agreed={str(count): nodes for count, nodes in sorted(ended.agreed.items())},
            iterations=ended.iterations,
            verified=list(ended.verified),
            up=ended.up,
            messages=sum(ended.messages.values()),
            bytes=sum(ended.bytes.values()),
        )
        if self.live is not None:
            self.live.update(self._render(world))

    def _render(self, world: World) -> Group:
        from rich.console import Group
        from rich.text import Text

        scenario, layer = self._scenario, self._recorder.now.layer
        done = BAR * layer // scenario.layers
        head = Text.assemble(
            (f"{scenario.name}", "bold"),
            f"  {scenario.nodes} nodes, seed {self._seed}, layer {layer} of {scenario.layers}  ",
            ("━" * done, "green"),  # what a narrow terminal cuts off is the bar
            ("━" * (BAR - done), "dim"),
        )
        now = [band.label for band in bands_of(scenario) if band.begin <= layer <= band.end + 0.5]
        wrong = Text(f"now: {', '.join(now)}" if now else "now: nothing goes wrong", "yellow" if now else "dim")
        return Group(head, wrong, self._nodes(world), self._layers())

    def _nodes(self, world: World) -> RenderableType:
        """How far each node is behind the clock, as one letter each."""
        from rich.text import Text

        layer = self._recorder.now.layer
        text = Text("behind  ", "dim")
        for node in world.nodes:
            if not node.is_up:
                text.append("×", "red")
                continue
            lag = max(0, min(len(SPARKS) - 1, layer - node.verified - 1))
            text.append(SPARKS[lag] if lag else "·", "magenta" if not node.is_honest else "cyan" if lag < 6 else "red")
        text.append("   · up to date, × down, magenta: dishonest", "dim")
        return text

    def _layers(self) -> RenderableType:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("layer", "proposers", "hare", "iteration", "verified", "messages", "bytes"):
            table.add_column(name, justify="right")
        for one in self._recorder.layers[-1 - SHOWN_LAYERS : -1]:
            table.add_row(*_row(one))
        return table


def _row(one: LayerRecord) -> list[str]:
    agreed = ", ".join(f"{count}×{nodes}" for count, nodes in sorted(one.agreed.items()))
    low, _, high = one.verified
    return [
        str(one.layer),
        str(len(one.proposers) or ""),
        agreed or ("–" if one.events["HareBegan"] else ""),
        str(one.iterations or ""),
        str(high) if low == high else f"{low}–{high}",
        short(sum(one.messages.values())),
        short(sum(one.bytes.values())),
    ]


def tell(outcome: Outcome, output: Output) -> None:
    """What came of a run."""
    for violation in outcome.violations:
        output.event("violation", invariant=violation.invariant, node=violation.node, text=violation.sentence)
        output.say(f"[red]violated[/]  {violation}")
    output.event(
        "done",
        holds=outcome.holds,
        seed=outcome.seed,
        layer=outcome.layer,
        messages=outcome.messages,
        fingerprint=outcome.digest,
    )
    if outcome.holds:
        output.say(
            f"[bold green]held[/]  seed {outcome.seed}: every invariant, over {outcome.layer} layers and "
            f"{outcome.messages:,} messages (fingerprint {outcome.digest})"
        )
