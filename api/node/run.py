"""`smesher node` from what was prepared to its end. Exit codes: 0 told to stop, else that of the error that ended it.

A standalone network has a PoET in its process, which starts after clients are let in.
"""

from __future__ import annotations

import asyncio
from logging import getLogger
from typing import TYPE_CHECKING, Any

from api.edge.collecting import started
from api.edge.errors import EnvironmentFault
from api.edge.listen import stop_signal
from api.edge.loop import run_loop
from node.assembly.parameters import NodeParameters
from node.contract.ports import Clock
from node.p2p.memory import MemoryNetwork
from node.p2p.port import Host
from prover.errors import EnvironmentFault as ProofFault

from .composition import Composition, Parts
from .serving import Services
from .start import Prepared

if TYPE_CHECKING:
    from api.services.poet.app import App as PoetApp

log = getLogger("node")


def run(prepared: Prepared) -> int:
    """Until SIGINT or SIGTERM. Raises Failure, StoreFault, Contradiction: what kept it from starting, or ended it."""
    return run_loop(lambda: serve(prepared))


async def serve(prepared: Prepared) -> int:
    """As `run`, in a loop that there is."""
    stopping = stop_signal()
    node = Composition(prepared, Parts(lambda clock, parameters: _host(prepared, clock, parameters), Services))
    await node.start()
    started()
    poet: PoetApp | None = None
    try:
        if prepared.config.main.standalone:
            poet = await _poet_of(prepared)
        ends: list[asyncio.Future[Any]] = [stopping, node.ended]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping")
    finally:
        await asyncio.gather(node.stop(), _stopped(poet))
    error = node.ended.result() if node.ended.done() else None
    if error is not None:
        raise error
    return 0


def _host(prepared: Prepared, clock: Clock, parameters: NodeParameters) -> Host:
    """A standalone network has nobody else in it. Raises UsageError, EnvironmentFault."""
    if prepared.config.main.standalone:
        return MemoryNetwork(clock).host(prepared.peer.text)
    from . import peers  # sockets, of which a standalone network has no need

    return peers.host_of("node", prepared.config, parameters, prepared.peer, prepared.data.peer)


async def _stopped(poet: PoetApp | None) -> None:
    from . import embedded_poet

    if poet is not None:
        await embedded_poet.stop(poet)


async def _poet_of(prepared: Prepared) -> PoetApp:
    """The PoET of a standalone network. Raises UsageError, ProofError, Failure: its address, folder or port."""
    from api.services.poet.app import App  # nothing that a client of the node has to wait for

    from . import embedded_poet

    poet = App(embedded_poet.config_of(prepared.config, prepared.data.poet))
    try:
        await poet.start()
    except ProofFault as error:
        why = str(error).replace("--restlisten", "main.poet-servers")
        raise EnvironmentFault(f"The PoET of this standalone network: {why}") from None
    return poet
