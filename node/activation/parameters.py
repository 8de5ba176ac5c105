"""What a network demands of activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from protocol.types.ids import AtxId


@dataclass(frozen=True, slots=True)
class ActivationParameters:
    """Of one network. Protocol 04-activation-beacon-eligibility, section 1.1."""

    golden_atx: AtxId
    """Stands for an activation where none fits."""
    tick_size: int
    """Leaves of a PoET proof in a tick."""
    labels_per_unit: int
    min_num_units: int
    max_num_units: int
    k2: int
    """Labels in a proof of space."""
    k3: int
    """Labels of one that are checked."""
    versions: Mapping[int, int] = field(default_factory=dict)
    """From publish epochs to versions; version 1 before the first."""

    @property
    def is_verifying_fully(self) -> bool:
        """Whether every label of a proof is checked on reception."""
        return self.k3 >= self.k2
