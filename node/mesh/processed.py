"""What came of processing a layer. Protocol 05-consensus, section 10.2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from node.ledger.errors import LayerRefused
from node.store.view import Rows
from protocol.types.ids import BlockId


@dataclass(frozen=True, slots=True)
class Processed:
    """What can be applied is applied; this is what stood in the way of more."""

    missing: tuple[BlockId, ...] = ()
    """Blocks that count and are not here: to be got from peers, and the layer to be processed again."""
    refused: LayerRefused | None = None
    """Why a layer could not be applied; the ones before it were."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing stood in the way."""
        return not self.missing and self.refused is None


class AppliedRows(Protocol):
    """What applying a layer gave."""

    @property
    def rows(self) -> Rows:
        """Over the view that was given."""
