"""Parameters of certificates. Protocol 05-consensus, sections 1 and 9."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CertificateParameters:
    """What all nodes of a network have in common, and how much is remembered."""

    committee: int
    """Seats, expected, not exact; the same in all layers, whatever becomes of hare's."""
    threshold: int
    """Seats that make a certificate: more than half of the committee."""
    layer_buffer: int
    """Messages are taken from so many layers ahead, and one more behind."""
    layers_to_keep: int
    """Layers behind the current one in which messages are remembered."""
    blocks_by_smesher: int = 16
    """Blocks of one layer for which messages of one smesher are remembered. An honest one certifies one."""
