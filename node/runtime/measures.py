"""Figures of the turns of a node, for who looks on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Measures:
    """Written in the thread of the turns, read from any."""

    turns: int = 0
    seconds: float = 0.0
    """Of all turns together."""
    longest_s: float = 0.0
    """Of one turn."""
    late_ns: int = 0
    """By how much the last layer was ticked late."""
    latest_ns: int = 0
    """The most of all layers."""
    syncs: int = 0
    """Turns that were synced because clients waited for it."""
    lives: int = 0
    """How often an engine was begun."""
