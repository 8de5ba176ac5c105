"""Layers that are hare's."""

from __future__ import annotations

from node.blocks.patrol import LayerPatrol
from protocol.types.ids import LayerId


def test_a_layer_is_hares_until_it_is_done_or_long_ago() -> None:
    patrol = LayerPatrol()
    for layer in (10, 11):
        patrol.set_in_charge(LayerId(layer))
    patrol.complete(LayerId(11))
    assert patrol.is_in_charge(LayerId(10)) and not patrol.is_in_charge(LayerId(11))
    for layer in range(12, 110):
        patrol.set_in_charge(LayerId(layer))
    assert patrol.is_in_charge(LayerId(10))
    patrol.set_in_charge(LayerId(110))
    assert not patrol.is_in_charge(LayerId(10)) and patrol.is_in_charge(LayerId(12))
    patrol.set_in_charge(LayerId(1000))  # hare was away for long
    assert not any(patrol.is_in_charge(LayerId(layer)) for layer in range(1000))
