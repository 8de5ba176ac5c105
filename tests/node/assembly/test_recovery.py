"""What a node makes of its rows when it starts is what it had when it stopped, counter by counter."""

from __future__ import annotations

from typing import Any

import pytest

from node.assembly.recovery import StoredVotes
from node.tortoise.recovery import recover
from node.tortoise.tortoise import Tortoise
from node.tortoise.trace import write_state
from protocol.types.ids import LayerId
from tests.support.recorded_chain import RecordedChain, Replay


@pytest.fixture(scope="module")
def replay(chain: RecordedChain) -> Replay:
    """A node that takes up a recorded chain, as far as a test has come."""
    return Replay(chain)


def counters(tortoise: Tortoise, hdist: int) -> dict[str, Any]:
    """Everything that counts. What hare came to is forgotten where it counts no more."""
    written = write_state(tortoise)
    for layer in written["layers"]:
        if layer["layer"] + hdist <= written["last"]:
            for block in layer["blocks"]:
                del block["hare"]
    epochs = {number: (epoch.weight, epoch.height, epoch.beacon) for number, epoch in tortoise.state.epochs.items()}
    ballots = {id: (one.weight, one.opinion, one.is_malicious) for id, one in tortoise.state.ballots.items()}
    return {**written, "epochs": epochs, "ballots": ballots}


# in the middle of an epoch; when the activations of the next one are here, and when it begins; at the end
@pytest.mark.parametrize("layer", [30, 47, 48, 63])
def test_a_tortoise_from_rows_is_the_one_that_had_counted(replay: Replay, layer: int) -> None:
    replay.run(LayerId(layer))
    rooms, parameters = replay.node.rooms, replay.chain.parameters
    current = parameters.time.layer_at(replay.now)
    recovered = recover(parameters.tortoise, rooms.atxs, StoredVotes(replay.view()), current)
    hdist = parameters.tortoise.hdist
    found, expected = counters(recovered, hdist), counters(rooms.tortoise.inner, hdist)
    for name in expected:
        assert found[name] == expected[name], name


def test_rows_of_a_store_without_anything_say_nothing(chain: RecordedChain) -> None:
    empty = StoredVotes(Replay(chain).view())
    assert (empty.last_ballot_layer(), empty.last_applied(), empty.last_atx_epoch()) == (0, 0, 0)
    assert empty.last_valid() is None and empty.hare_output(LayerId(20)) is None and empty.coin(LayerId(20)) is None
    assert list(empty.blocks(LayerId(20))) == list(empty.ballots(LayerId(20))) == list(empty.malicious()) == []
