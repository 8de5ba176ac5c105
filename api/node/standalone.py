"""What a network of one node has beside it in its process: a PoET, and the space of its identities.

Both begin after clients are let in: labels and RandomX take seconds the first time. Protocol 09b-node-storage-libp2p,
section 6.3.
"""

from __future__ import annotations

import asyncio
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING

from api.edge.errors import exit_code, sentence
from protocol.types.ids import AtxId
from prover.post.proof.randomx_cache import RandomXCache

from . import embedded_poet, local_space
from .identities import OwnIdentity
from .local_space import LocalSpaces, Space
from .ports.calls import Answered
from .start import Prepared

if TYPE_CHECKING:
    from api.services.poet.app import App
    from kernels import randomx

log = getLogger("post")


def light_randomx() -> local_space.Memory:
    """RandomX as small networks need it, made at the first proof and given back when it is idle."""

    def light(full: bool) -> randomx.Memory:
        from kernels import randomx
        from protocol.post.proof import RANDOMX_KEY

        return randomx.Memory(RANDOMX_KEY)

    return RandomXCache(light)


class Standalone:
    """Both. `start`, then `stop`, in one loop."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        self._memory = light_randomx()
        self._spaces: LocalSpaces | None = None
        self._poet: App | None = None
        self._making: asyncio.Task[None] | None = None

    def spaces(self, answered: Answered) -> LocalSpaces:
        """As `Parts.spaces` says: each is there once it was made."""
        self._spaces = LocalSpaces(self._prepared.config, self._memory, answered)
        return self._spaces

    async def start(self) -> None:
        """Raises Failure, ProofError where the PoET cannot be: its port is taken, or its folder is no good."""
        from api.services.poet.app import App

        self._making = asyncio.create_task(asyncio.to_thread(self._make))
        self._poet = App(embedded_poet.config_of(self._prepared.config, self._prepared.data.poet))
        await self._poet.start()

    async def stop(self) -> None:
        """A second time does nothing."""
        if self._spaces is not None:
            self._spaces.close()
        poet, self._poet = self._poet, None
        if poet is not None:
            await poet.stop()
        self._memory.close()

    def _make(self) -> None:
        config = self._prepared.config
        if not config.smeshing.start or self._spaces is None:
            return
        for own in self._prepared.identities.all:
            space = Space(self._folder_of(own), config.smeshing.opts.numunits)
            golden = AtxId(self._prepared.genesis.golden_atx)
            try:
                found = local_space.make(config, own.node_id, golden, space)
            except Exception as error:  # the node goes on without it, and its owner is told
                if exit_code(error) is None:
                    raise
                log.error("%s has no space, so it does not smesh: %s", own.name, sentence(error))
                continue
            log.info("%s holds %d units in %s", own.name, found.num_units, space.folder)
            self._spaces.add(own.node_id, space)

    def _folder_of(self, own: OwnIdentity) -> Path:
        """The configured folder, and below it one of each identity where there are several."""
        folder = Path(self._prepared.config.smeshing.opts.datadir).expanduser()
        return folder if len(self._prepared.identities.all) == 1 else folder / own.node_id.hex()
