"""From a ledger to a checkpoint, and from a checkpoint to a ledger.

The accounts become those of the layer before the one that is restored. ATXs and marriages are handed on: who keeps
them puts them into the rows of the same unit. Protocol 03b-config-and-genesis, section 7; 09b-node-storage-libp2p,
section 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from node.checkpoint.files import Checkpoint, CheckpointAtx, CheckpointError, CheckpointMarriage
from node.checkpoint.tables import RESTORED
from node.ledger import state, tables
from node.store.keys import ONLY
from node.store.view import Rows, View
from protocol.numbers.layers import MAX_LAYER
from protocol.types.ids import LayerId


def snapshot(
    view: View,
    layer: LayerId,
    atxs: Sequence[CheckpointAtx],
    marriages: Mapping[int, Sequence[CheckpointMarriage]],
) -> Checkpoint:
    """A checkpoint of the ledger as it was at a layer, addresses ascending, with ATXs and marriages as they are given.

    Raises StoreFault.
    """
    accounts = tuple(replace(account, layer=layer) for account in state.accounts(view, layer))
    return Checkpoint(layer, accounts, tuple(atxs), {number: tuple(one) for number, one in marriages.items()})


def restore(rows: Rows, checkpoint: Checkpoint, layer: LayerId) -> LayerId:
    """Put a checkpoint's accounts into an empty ledger, so that `layer` is the next one; the new effective genesis.

    Raises CheckpointError (layer; not_empty), with nothing put; StoreFault.
    """
    if not 0 < layer <= MAX_LAYER:
        raise CheckpointError(f"Layer {layer} cannot be restored, expected 1 to {MAX_LAYER}.", "layer")
    if state.last_applied(rows) is not None or rows.first(tables.ACCOUNTS) is not None:
        raise CheckpointError(
            "The ledger is not empty. A checkpoint is restored into a new store; move the old one away.", "not_empty"
        )
    genesis = LayerId(layer - 1)
    state.put_accounts(rows, (replace(account, layer=genesis) for account in checkpoint.accounts))
    rows.put(tables.LAST_APPLIED, ONLY, genesis)
    rows.put(RESTORED, ONLY, layer)
    return genesis


def effective_genesis(view: View) -> LayerId | None:
    """Where a checkpoint that was restored has moved the effective genesis; None where none was."""
    restored = view.get(RESTORED, ONLY)
    return None if restored is None else LayerId(restored - 1)
