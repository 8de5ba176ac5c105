"""Whether the node is synced: which gossip it takes, and whether it may sign.

| state | becomes | when |
|---|---|---|
| not synced | gossip | a run succeeded, and data and state are those of the layer before the current one |
| gossip | synced | the same holds after it has listened for `gossip_duration`; each run that fails begins that anew |
| gossip, synced | not synced | so many layers behind at the beginning of a run, or at the end of one that failed |
| any | synced | the current layer is not after the effective genesis |

Beside it, and one way: whether the activations of the past are here. Nothing is signed for what began before the node
was synced (`may_sign`): whoever has not heard a layer from its beginning could contradict himself, or others.
Protocol 09a, section 5.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from node.contract.instants import Instant, after
from node.sync.parameters import SyncParameters
from protocol.numbers.layers import NetworkTime
from protocol.types.ids import LayerId


class SyncState(Enum):
    """How far a node is."""

    NOT_SYNCED = "not synced"
    GOSSIP = "gossip"
    """Up to date, and listening."""
    SYNCED = "synced"


@dataclass(frozen=True, slots=True)
class SyncStateChanged:
    """An event."""

    before: SyncState
    after: SyncState
    current: LayerId
    last: LayerId
    """The last layer that was synced."""


class SyncStatus:
    """The state of one node, in memory alone: a node that starts is not synced."""

    def __init__(self, parameters: SyncParameters, time: NetworkTime) -> None:
        self._parameters = parameters
        self._time = time
        self.state = SyncState.NOT_SYNCED
        self.is_atx_synced = False
        """Whether the activations of the past are here."""
        self.synced_since: Instant | None = None
        self._target = Instant(0)
        """When the node has listened long enough."""

    @property
    def listens(self) -> bool:
        """Whether gossip is taken that is not about activations."""
        return self.state is not SyncState.NOT_SYNCED

    @property
    def is_synced(self) -> bool:
        """Whether the node takes part."""
        return self.state is SyncState.SYNCED

    def may_sign(self, begin: Instant) -> bool:
        """Whether an own identity may sign for a layer, a session or a run that began at an instant."""
        return self.synced_since is not None and begin >= self.synced_since

    def before_run(self, current: LayerId, last: LayerId, now: Instant) -> SyncStateChanged | None:
        """A run begins; what has changed."""
        if current <= self._time.effective_genesis:
            if self._time.epoch_of(current) == 0:
                self.is_atx_synced = True
            return self._become(SyncState.SYNCED, current, last, now)
        if self._is_too_far_behind(current, last):
            return self._become(SyncState.NOT_SYNCED, current, last, now)
        return None

    def after_run(
        self, current: LayerId, last: LayerId, now: Instant, *, has_succeeded: bool, is_state_synced: bool
    ) -> SyncStateChanged | None:
        """A run has ended; what has changed. is_state_synced: whether the state is that of the layer before."""
        is_done = has_succeeded and is_state_synced and self.is_data_synced(current, last)
        match self.state:
            case SyncState.SYNCED:
                if not has_succeeded and self._is_too_far_behind(current, last):
                    return self._become(SyncState.NOT_SYNCED, current, last, now)
            case SyncState.GOSSIP:
                if not is_done:
                    self._target = after(now, self._parameters.gossip_duration)
                elif now >= self._target:
                    return self._become(SyncState.SYNCED, current, last, now)
            case SyncState.NOT_SYNCED:
                if is_done:
                    self._target = after(now, self._parameters.gossip_duration)
                    return self._become(SyncState.GOSSIP, current, last, now)
        return None

    def is_data_synced(self, current: LayerId, last: LayerId) -> bool:
        """Whether all layers before the current one are here."""
        return current <= 1 or last >= current - 1

    def _is_too_far_behind(self, current: LayerId, last: LayerId) -> bool:
        return current - last >= self._parameters.out_of_sync_layers and current > last

    def _become(self, state: SyncState, current: LayerId, last: LayerId, now: Instant) -> SyncStateChanged | None:
        before, self.state = self.state, state
        if before is state:
            return None
        self.synced_since = now if state is SyncState.SYNCED else None
        return SyncStateChanged(before, state, current, last)
