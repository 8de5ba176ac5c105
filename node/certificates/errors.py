"""What a certificate is not adopted for."""

from __future__ import annotations

from node.errors import NodeError


class CertificateRefused(NodeError):
    """reason: certificate_below_threshold, multiple_valid_certificates."""
