"""`smesher node` from what was prepared to its end. Exit codes: 0 told to stop, else that of the error that ended it.

A standalone network has its PoET and its PoST data in the same process, made and started after clients are let in.
"""

from __future__ import annotations

import asyncio
from logging import getLogger
from typing import TYPE_CHECKING, Any

from api.edge.listen import stop_signal
from api.edge.loop import run_loop
from node.p2p.memory import MemoryNetwork

from .composition import Composition, Parts
from .serving import Services
from .start import Prepared

if TYPE_CHECKING:
    from .standalone import Standalone

log = getLogger("node")


def run(prepared: Prepared) -> int:
    """Until SIGINT or SIGTERM. Raises Failure, StoreFault, Contradiction: what kept it from starting, or ended it."""
    return run_loop(lambda: serve(prepared))


async def serve(prepared: Prepared) -> int:
    """As `run`, in a loop that there is."""
    stopping = stop_signal()
    standalone = _beside(prepared) if prepared.config.main.standalone else None
    parts = Parts(
        host=lambda clock: MemoryNetwork(clock).host(prepared.peer.id),
        serving=Services,
        spaces=None if standalone is None else standalone.spaces,
    )
    node = Composition(prepared, parts)
    await node.start()
    try:
        if standalone is None:
            log.warning("this release reaches no peers yet: the node knows what its data directory holds, and no more")
        else:
            await standalone.start()
        ends: list[asyncio.Future[Any]] = [stopping, node.ended]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping")
    finally:
        await node.stop()
        if standalone is not None:
            await standalone.stop()
    error = node.ended.result() if node.ended.done() else None
    if error is not None:
        raise error
    return 0


def _beside(prepared: Prepared) -> Standalone:
    from .standalone import Standalone  # kernels and provers, which other nodes have elsewhere

    return Standalone(prepared)
