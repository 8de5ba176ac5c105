"""What interfaces and the log are told of hare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.types.hare import IterRound
from protocol.types.ids import LayerId, ProposalId


@dataclass(frozen=True, slots=True)
class HareBegan:
    """A session began. identities: own ones that take part if they have seats."""

    layer: LayerId
    identities: int


@dataclass(frozen=True, slots=True)
class HareSkipped:
    """There is no session in a layer. reason: not_synced, beacon_missing, over."""

    layer: LayerId
    reason: str


@dataclass(frozen=True, slots=True)
class HareAgreed:
    """A session came to a result, which may be no proposals at all."""

    layer: LayerId
    proposals: Sequence[ProposalId]
    iteration: int
    """In whose first round it was known, from 1."""


@dataclass(frozen=True, slots=True)
class HareEnded:
    """A session is over. is_agreed: False where its iterations were used up."""

    layer: LayerId
    is_agreed: bool
    messages: int
    """That counted."""


@dataclass(frozen=True, slots=True)
class HareUnsaid:
    """Own identities have seats in a round and say nothing. reason: too_many_proposals, proposal_missing."""

    layer: LayerId
    at: IterRound
    reason: str
