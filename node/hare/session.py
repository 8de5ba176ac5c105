"""The session of one layer: its protocol, who of us takes part, and what is remembered of messages.

| session | when | then |
|---|---|---|
| begins | the layer begins, the node is synced, the epoch has its beacon | proofs for the preround are asked for |
| knows nobody as active | its active set cannot be told | it listens, counts nothing, and asks again in each round |
| waits | an own identity has seats in the preround | the preround is executed at its time, with our proposals |
| | none has | the preround is executed at once |
| in a round | its time comes | it is executed; who has seats speaks; proofs for the next one are asked for |
| ends | the hardlock after its result has been notified of; or that of the last iteration | it is forgotten |

Protocol 05-consensus, section 5.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from node.contract.instants import Instant, after
from node.contract.ports import Signer
from node.hare.exchange import ByShortId, FullLists, by_short_id
from node.hare.gossip import Equivocation, HareInput
from node.hare.parameters import FIRST, HareBounds, HareParameters
from node.hare.proposals import LayerProposal
from node.hare.protocol import HareProtocol, Said
from node.hare.seats import Committee
from node.hare.versions import Version
from protocol.numbers.layers import NetworkTime
from protocol.types.hare import HareEligibility, HareRound, IterRound
from protocol.types.ids import Hash32, LayerId, NodeId

BEFORE_FIRST = IterRound(0xFF, HareRound.COMMIT)
"""The commit round that the first iteration takes for the one before."""


@dataclass(slots=True)
class Session:
    """One session. Mutable."""

    version: Version
    layer: LayerId
    begin: Instant
    """Of the layer."""
    committee: Committee
    signers: Sequence[Signer]
    """Own identities as they were when it began: one that is added later joins the next layer."""
    protocol: HareProtocol
    awaited: set[NodeId] = field(default_factory=set)
    """Whose proof for the next round has been asked for."""
    eligible: dict[NodeId, HareEligibility] = field(default_factory=dict)
    """Who of us has seats in the next round, as far as proofs are there."""
    said: Said | None = None
    """What members say in the round that was executed last: for those whose proofs are late."""
    is_agreed: bool = False
    uncounted: int = 0
    """Of the messages, those for rounds in which nothing is counted."""
    own: dict[tuple[IterRound, NodeId], Hash32] = field(default_factory=dict)
    """What identities of ours have said."""
    _proposals: tuple[LayerProposal, ...] = field(default=(), init=False)
    _by_short_id: ByShortId = field(default_factory=dict, init=False)

    def by_short_id(self, proposals: Sequence[LayerProposal]) -> ByShortId:
        """All proposals of the layer, gone through anew only where there are others than before.

        It is asked for before the signature of a message is checked.
        """
        known = tuple(proposals)
        if known != self._proposals:
            self._proposals, self._by_short_id = known, by_short_id(known)
        return self._by_short_id

    @property
    def parameters(self) -> HareParameters:
        """Of its version."""
        return self.version.parameters

    @property
    def messages(self) -> int:
        """Messages in memory: one for each member and round."""
        return self.protocol.messages

    def due(self, at: IterRound) -> Instant:
        """When a round is executed."""
        return after(self.begin, self.parameters.round_start(at))

    def is_counted(self, at: IterRound) -> bool:
        """Whether messages of a round can decide anything but the coin. Members of the committee send no others."""
        if at.round in (HareRound.PROPOSE, HareRound.COMMIT, HareRound.NOTIFY):
            return at.iter < self.parameters.iterations_limit or at == BEFORE_FIRST
        return at == FIRST

    def receive(self, message: HareInput) -> Equivocation | None:
        """Take a message that has been judged and is not known: what it proves together with an earlier one.

        Lists that nobody counts are not kept.
        """
        is_counted = self.is_counted(message.at)
        if not is_counted or message.reference is not None:
            message = replace(message, proposals=())
        _, equivocation = self.protocol.on_input(message)
        if equivocation is None:
            self.uncounted += not is_counted
        return equivocation


@dataclass(slots=True)
class Memory:
    """Everything that hare remembers. Mutable."""

    versions: tuple[Version, ...]
    time: NetworkTime
    bounds: HareBounds
    first: LayerId
    """The first layer that may have a session: it began after this node did, and has had none."""
    lists: FullLists
    sessions: dict[LayerId, Session] = field(default_factory=dict)

    def version_of(self, topic: str) -> Version:
        """The version that has a topic."""
        return next(version for version in self.versions if version.parameters.topic == topic)

    def session(self, version: Version, layer: LayerId) -> Session | None:
        """The session of a layer, if it runs in this version."""
        session = self.sessions.get(layer)
        return session if session is not None and session.version is version else None
