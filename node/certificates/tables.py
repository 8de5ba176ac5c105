"""What is known of hare's output, layer by layer: what hare came to here, and certificates of others.

| row of a block | means |
|---|---|
| without certificate, valid | hare came to it here, and nothing speaks against it |
| with certificate, valid | certified |
| not valid | another block of the layer is certified, or was known before |

Protocol 05-consensus, section 9.
"""

from __future__ import annotations

from node.store.keys import LAYER, compound, fixed
from node.store.table import Table
from node.store.view import Rows, Span, View
from protocol.codec.declare import Record, codec_of, record
from protocol.types.certificates import Certificate
from protocol.types.ids import EMPTY_BLOCK_ID, BlockId, LayerId


@record
class StoredCertificate(Record):
    """What is known of one block of a layer."""

    certificate: Certificate | None
    is_valid: bool


CERTIFICATES: Table[tuple[LayerId, BlockId], StoredCertificate] = Table(
    b"ct", "certificates", compound(LAYER, fixed(20)), StoredCertificate.codec
)
"""By layer and block; the block is zeros where the layer has none."""
HARE_OUTPUTS: Table[LayerId, BlockId] = Table(b"ho", "hare outputs", LAYER, codec_of(BlockId))
"""The block that hare came to here, zeros for none: what this node certifies."""

TABLES = (CERTIFICATES, HARE_OUTPUTS)


def of_layer(view: View, layer: LayerId) -> list[tuple[BlockId, StoredCertificate]]:
    """All rows of a layer: the longest certificate first, those without one last, then by block."""
    rows = [(block, row) for (_, block), row in view.scan(CERTIFICATES, Span(within=(layer,)))]
    return sorted(rows, key=lambda entry: 0 if entry[1].certificate is None else -len(entry[1].certificate.signatures))


def hare_output(view: View, layer: LayerId) -> BlockId | None:
    """The one valid block of a layer; zeros where it is empty, or where there are several; None: nothing is known."""
    valid = [block for block, row in of_layer(view, layer) if row.is_valid]
    if not valid:
        return None
    return valid[0] if len(valid) == 1 else EMPTY_BLOCK_ID


def put_hare_output(rows: Rows, layer: LayerId, block: BlockId, is_valid: bool) -> None:
    """A block that hare came to, without certificate. A row that is there stays."""
    if not rows.has(CERTIFICATES, (layer, block)):
        rows.put(CERTIFICATES, (layer, block), StoredCertificate(None, is_valid))
