"""What the parameters say of a layer: its committee, its version, its topic; and how long outputs stay."""

from __future__ import annotations

import pytest

from node.blocks.tables import AGREED
from node.engine.edges import Send
from node.hare.parameters import CommitteeUpgrade, HareBounds, check_versions
from node.hare.tables import WEAK_COINS
from protocol.types.hare import HareRound
from protocol.types.ids import LayerId
from tests.node.hare.words import (
    BEACONS,
    COMMIT,
    END,
    FIRST,
    GENESIS_ID,
    IDS,
    ME,
    OTHER,
    PREROUND,
    TOPIC,
    TOPIC_4,
    A,
    alone,
    around,
    committee,
    decoded,
    node,
    pass_time,
    said,
    word,
)
from tests.support.hare_nodes import HareNode, disabled, parameters


def test_the_committee_changes_with_the_layer() -> None:
    upgrade = CommitteeUpgrade(LayerId(FIRST + 1), 50)
    one = node([ME], around([ME], [A], (FIRST, FIRST + 1)), upgrade=upgrade)
    counts = []
    for layer in (FIRST, FIRST + 1):
        before = len(said(one))
        one.tick(layer)
        pass_time(one, layer, 290)
        counts.append({message.body.iter_round.round: message.body.eligibility.count for message in said(one)[before:]})
    for round in (HareRound.PREROUND, HareRound.COMMIT, HareRound.NOTIFY):
        assert counts[0][round] > 300 and 20 < counts[1][round] < 100
    assert all(count[HareRound.PROPOSE] > 100 for count in counts), "leaders are as many as before"
    assert one.view().has(AGREED, LayerId(FIRST + 1))


def test_version_4_takes_over_from_version_3_at_its_layer() -> None:
    switch = LayerId(FIRST + 1)
    known = around([ME, OTHER], [A], (FIRST, FIRST + 1))
    one = HareNode(
        GENESIS_ID,
        [ME],
        known,
        BEACONS,
        hare3=committee(3, disable_layer=switch),
        hare4=committee(4, enable_layer=switch),
    )
    assert one.machine.topics == (TOPIC, TOPIC_4)
    topics = []
    for layer in (FIRST, FIRST + 1):
        one.tick(layer)
        before = len(one.of(Send))
        if layer == FIRST + 1:
            assert one.hear(TOPIC, word(OTHER, PREROUND, 2, A.id, layer=layer)).reason == "no_session"
        pass_time(one, layer, 290)
        topics.append({output.topic for output in one.of(Send)[before:]})
    assert topics == [{TOPIC}, {TOPIC_4}]
    first = decoded(next(output.data for output in one.of(Send) if output.topic == TOPIC_4), 4)
    assert first.body.value.proposals == () and first.body.layer == switch


def test_versions_that_meet_in_a_layer_or_on_a_topic_are_refused() -> None:
    check_versions(parameters(3, disable_layer=LayerId(50)), parameters(4, enable_layer=LayerId(50)))
    check_versions(parameters(3), disabled(4))
    with pytest.raises(ValueError, match="both run in layer 49"):
        check_versions(parameters(3, disable_layer=LayerId(50)), parameters(4, enable_layer=LayerId(49)))
    with pytest.raises(ValueError, match="have the topic '/x'"):
        check_versions(
            parameters(3, topic="/x", disable_layer=LayerId(9)), parameters(4, topic="/x", enable_layer=LayerId(9))
        )


def test_the_test_network_has_hare_on_the_empty_topic() -> None:
    one = alone(topic="")
    assert one.machine.topics == ("",)
    pass_time(one, FIRST, 26)
    assert [output.topic for output in one.of(Send)] == [""]
    assert one.hear("", word(ME, COMMIT, 1)).reason == "missing_reference"
    pass_time(one, FIRST, END)
    assert one.view().get(AGREED, LayerId(FIRST)) == IDS


def test_outputs_of_long_ago_leave_the_rows() -> None:
    layers = (FIRST, FIRST + 1, FIRST + 2)
    one = node([ME], around([ME], [A], layers), bounds=HareBounds(outputs=2))
    for layer in layers:
        one.tick(layer)
        pass_time(one, layer, 290)
    assert list(one.view().keys(AGREED)) == [FIRST + 1, FIRST + 2]
    assert list(one.view().keys(WEAK_COINS)) == list(layers)
