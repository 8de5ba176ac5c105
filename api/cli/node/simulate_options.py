"""The options of `smesher simulate` that say how large a run is, and what is judged how."""

from __future__ import annotations

FIELDS = {
    "nodes": "nodes",
    "layers": "layers",
    "epoch": "layers_per_epoch",
    "transactions": "transactions",
    "degree": "degree",
    "mode": "mode",
}
"""What options are called in a scenario."""
