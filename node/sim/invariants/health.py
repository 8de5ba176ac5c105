"""No node stops by itself, and no machine fails on a message."""

from __future__ import annotations

from collections.abc import Sequence

from node.contract.effects import Emit
from node.engine.edges import Input, Outputs
from node.engine.errors import MachineFailed
from node.sim.seen import Seen

from .base import Invariant


class NobodyStops(Invariant):
    """Whatever others send, and wherever a crash was, the engine of a node goes on."""

    name = "nobody stops"

    def stopped(self, node: Seen, error: BaseException) -> None:
        """As Watcher says."""
        cause = error.__cause__
        trace, last = None if cause is None else cause.__traceback__, ""
        while trace is not None:
            last = f" ({trace.tb_frame.f_code.co_filename.rsplit('/', 2)[-1]}, line {trace.tb_lineno})"
            trace = trace.tb_next
        self.violated(f"{error} {type(cause).__name__}{last}", node)

    def turned(self, node: Seen, inputs: Sequence[Input], outputs: Outputs) -> None:
        """As Watcher says."""
        for output in outputs:
            if isinstance(output, Emit) and isinstance(output.event, MachineFailed):
                failed = output.event
                self.violated(f"{failed.machine} failed on a message on {failed.channel}: {failed.error[-500:]}", node)
