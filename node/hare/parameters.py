"""Parameters of Hare: committees, rounds and when they are.

Protocol 05-consensus, sections 1, 3.1 and 5.6.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.numbers.durations import SECOND
from protocol.numbers.layers import MAX_LAYER
from protocol.types.hare import HareRound, IterRound
from protocol.types.ids import LayerId

NEVER = LayerId(MAX_LAYER)
"""The last layer there can be: as the one in which a version is disabled, it is not."""

MESSAGE_ROUNDS = (HareRound.PREROUND, HareRound.PROPOSE, HareRound.COMMIT, HareRound.NOTIFY)
"""Rounds in which something is sent."""

FIRST = IterRound(0, HareRound.PREROUND)


@dataclass(frozen=True, slots=True)
class CommitteeUpgrade:
    """From a layer on, the committee has another size."""

    layer: LayerId
    size: int
    """Seats."""


@dataclass(frozen=True, slots=True)
class HareParameters:
    """What all nodes of a network have in common. Durations are in nanoseconds."""

    is_enabled: bool
    enable_layer: LayerId
    disable_layer: LayerId
    """The first layer without it."""
    topic: str
    """Empty on the test network, by a mistake that stays."""
    committee: int
    """Seats of all rounds but propose; expected, not exact."""
    leaders: int
    """Seats of the propose round."""
    iterations_limit: int
    preround_delay: int
    """From the layer's start to the preround."""
    round_duration: int
    upgrade: CommitteeUpgrade | None = None

    def check(self, zdist: int, layer_duration: int) -> None:
        """Raises ValueError where a session would outlast the layers in which its result is waited for."""
        if not self.is_enabled:
            return
        if self.disable_layer <= self.enable_layer:
            raise ValueError(
                f"hare is enabled in layer {self.enable_layer} and disabled in layer {self.disable_layer}, expected a "
                "later one"
            )
        end = self.round_start(IterRound(self.iterations_limit, HareRound.HARDLOCK))
        if end > zdist * layer_duration:
            raise ValueError(
                f"hare takes up to {end / 1e9:g} s (preround delay {self.preround_delay / 1e9:g} s, "
                f"{self.iterations_limit} iterations with rounds of {self.round_duration / 1e9:g} s), expected at most "
                f"zdist layers, {zdist * layer_duration / 1e9:g} s"
            )

    def runs_in(self, layer: LayerId) -> bool:
        """Whether layers are agreed on in this version."""
        return self.is_enabled and self.enable_layer <= layer < self.disable_layer

    def committee_for(self, layer: LayerId) -> int:
        """Seats in a layer, for all rounds but propose."""
        if self.upgrade is not None and layer >= self.upgrade.layer:
            return self.upgrade.size
        return self.committee

    def seats(self, layer: LayerId, round: int) -> int:
        """Seats of a round of a layer."""
        return self.leaders if round == HareRound.PROPOSE else self.committee_for(layer)

    def threshold(self, layer: LayerId) -> int:
        """Seats that decide: more than half of the committee."""
        return self.committee_for(layer) // 2 + 1

    def round_start(self, at: IterRound) -> int:
        """Nanoseconds from the layer's start to a round's. All prerounds have the time of the first."""
        if at.round == HareRound.PREROUND:
            return self.preround_delay
        return self.preround_delay + (at.absolute() - 1) * self.round_duration


@dataclass(frozen=True, slots=True)
class HareBounds:
    """How much is kept, and how long is waited. What is beyond is ignored, and counted by its reason.

    Messages that count are bounded by the seats of the committee: one for each member and round.
    """

    uncounted: int = 2_000
    """Messages of one layer for rounds in which nothing is counted, which the network relays all the same."""
    lists: int = 4_000
    """Preround messages of version 4 whose full lists are kept for peers, which ask for them by the short ones."""
    list_ids: int = 500_000
    """Ids in all of these lists: twice what a committee of 50 can send in two layers."""
    uncounted_lists: int = 64
    """The same of messages that count for nothing, in a place of their own."""
    list_layers: int = 2
    """Layers whose lists are kept: the current one, and those before."""
    answers: int = 500
    """Lists that peers are given in a second: an answer has up to 41 KB, a request 32 bytes."""
    outputs: int = 1_000
    """Layers whose outputs stay in rows: far more than blocks wait for."""
    request_timeout: int = 5 * SECOND
    """Until a peer has answered with a full list; nanoseconds."""


def check_versions(*versions: HareParameters) -> None:
    """Raises ValueError where two versions run in one layer, in which a smesher would contradict itself, or share a
    topic."""
    enabled = [version for version in versions if version.is_enabled]
    for position, first in enumerate(enabled):
        for second in enabled[position + 1 :]:
            if first.topic == second.topic:
                raise ValueError(f"two versions of hare have the topic {first.topic!r}, expected one topic each")
            begin = max(first.enable_layer, second.enable_layer)
            if begin < min(first.disable_layer, second.disable_layer):
                raise ValueError(
                    f"the versions of hare with the topics {first.topic!r} and {second.topic!r} both run in layer "
                    f"{begin}, expected one to be disabled where the other is enabled"
                )


def delay(received: IterRound, since: IterRound) -> int:
    """Rounds that a message was late. received: the round that was about to be executed when it came."""
    late = received.absolute() - since.absolute()
    if late <= 0:
        return 0
    return late - 1 if since == FIRST else late  # round 1 of the first iteration is left out


def grade(received: IterRound, since: IterRound) -> int:
    """6 for a message in time, less for each round that it was late.

    The network counts in 8 bits: what is 7 rounds late has the grade 255. It is as good as in time.
    """
    return (6 - delay(received, since)) & 0xFF


def following(at: IterRound) -> IterRound:
    """The round after."""
    if at == FIRST:
        return IterRound(0, HareRound.SOFTLOCK)
    if at.round == HareRound.NOTIFY:
        return IterRound(at.iter + 1, HareRound.HARDLOCK)
    return IterRound(at.iter, at.round + 1)
