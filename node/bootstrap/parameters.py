"""Parameters of the bootstrap fallback. Protocol 03b-config-and-genesis, section 6."""

from __future__ import annotations

from dataclasses import dataclass

from node.bootstrap.document import VERSION


@dataclass(frozen=True, slots=True)
class BootstrapParameters:
    """How documents are asked for."""

    interval: int
    """Nanoseconds until a document that did not come is asked for again."""
    version: str = VERSION
    """What a document must say of itself."""
