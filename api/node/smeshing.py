"""How a node smeshes: itself, for the one identity of a supervised node, or through PoST services that connect to it.

The mode is configured (`identities.Mode`), not guessed. Specified in protocol 10-api, section 3.8.
"""

from __future__ import annotations

from collections.abc import Sequence

from api.services.node.smeshing import Provider, Setup, SetupOptions, SmeshingRefused
from protocol.types.ids import Address, NodeId

from .ports.keys import Smeshers
from .providers import providers
from .supervisor import CLOSE_S, Coinbase

NOT_STARTED = "not started"


class Remote:
    """The smeshing of a node whose proofs are made elsewhere. Also `api.services.node.smeshing.Smeshing`."""

    is_supervised = False

    def __init__(self, smeshers: Smeshers, coinbase: Coinbase) -> None:
        """Everyone smeshes as soon as there is a coinbase."""
        self._smeshers, self._coinbase = smeshers, coinbase
        self.is_smeshing = coinbase.is_set
        self._apply()

    def identities(self) -> Sequence[tuple[NodeId, str]]:
        """As Smeshing says: all of this node."""
        return self._smeshers.all_named()

    def coinbase(self) -> Address:
        """As Smeshing says."""
        return self._coinbase()

    def set_coinbase(self, coinbase: Address) -> None:
        """As Smeshing says."""
        self._coinbase.set(coinbase)

    def setup(self) -> Setup:
        """As Smeshing says: there is none here."""
        return Setup()

    async def start(self, coinbase: Address, options: SetupOptions) -> None:
        """As Smeshing says."""
        raise SmeshingRefused("the PoST services of this node are started where its data is")

    async def stop(self, *, delete_files: bool) -> None:
        """As Smeshing says: no more activations are made. The data is not here, and stays."""
        if not self.is_smeshing:
            raise SmeshingRefused(NOT_STARTED)
        self.is_smeshing = False
        self._apply()

    async def providers(self, *, benchmark: bool) -> Sequence[Provider]:
        """As Smeshing says."""
        return await providers(benchmark=benchmark)

    async def begin(self) -> None:
        """Nothing is to be started."""

    async def close(self, within_s: float = CLOSE_S) -> None:
        """Nothing runs."""

    def _apply(self) -> None:
        if self.is_smeshing:
            self._smeshers.everyone()
        else:
            self._smeshers.only([])
