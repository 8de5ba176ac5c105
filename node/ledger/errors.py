"""What the virtual machine refuses: transactions that cannot be parsed, calls that fail, layers that cannot be applied.

The texts of Failure are part of the network's interfaces: they stand in results. Protocol 07-vm-and-transactions,
sections 2.1 and 4.2.
"""

from __future__ import annotations

from node.errors import NodeError

TX_LIMIT = "tx_limit"
MALFORMED = "malformed"
NOT_SPAWNED = "not_spawned"
INVALID_ARGS = "invalid_args"
INTERNAL = "internal"


class ParseError(NodeError):
    """Bytes that are no transaction of their principal as it stands now.

    reason: tx_limit, malformed, not_spawned, invalid_args (a spawn that the template refuses), internal (the stored
    state of the principal cannot be read).
    """


class Failure(NodeError):
    """A call that fails: the fee is kept, nothing else happens. The message is the network's own."""


class LayerRefused(NodeError):
    """A layer that cannot be applied; nothing was changed.

    reason: before_genesis, no_weight, duplicate_row, overflow, not_in_order, missing_transaction, missing_atx, internal
    (a transaction needs an account whose stored state cannot be read).
    """
