"""What a valid certificate does to the rows of its layer. Protocol 05-consensus, section 9."""

from __future__ import annotations

from collections.abc import Callable

from node.certificates.tables import CERTIFICATES, StoredCertificate, of_layer
from node.store.view import Rows
from protocol.types.certificates import Certificate
from protocol.types.ids import LayerId


def adopt(rows: Rows, layer: LayerId, certificate: Certificate, still_valid: Callable[[Certificate], bool]) -> bool:
    """Put a certificate. What hare came to without one gives way to it, as do certificates that are no longer valid.

    Returns whether it is the only valid one of its layer: else nobody knows which block hare came to.
    """
    is_only = True
    for block, row in of_layer(rows, layer):
        if block == certificate.block_id:
            continue
        is_valid = row.certificate is not None and still_valid(row.certificate)
        is_only = is_only and not is_valid
        if is_valid != row.is_valid:
            rows.put(CERTIFICATES, (layer, block), StoredCertificate(row.certificate, is_valid))
    rows.put(CERTIFICATES, (layer, certificate.block_id), StoredCertificate(certificate, True))
    return is_only
