"""The layers that were synced, processed one after another: certificates and opinions first, then votes and state.

| of a layer | then |
|---|---|
| hare is in charge of it, and it is not old | it and all after it are left alone |
| certificates still count for it | opinions are asked for |
| votes are to be counted | the mesh processes it |
| blocks that count are not here | got once, and the layer is processed again; the next run goes on |

Protocol 09a, section 5.5, and 05-consensus, section 10.4.
"""

from __future__ import annotations

from typing import Protocol

from node.contract.demands import Fetch
from node.contract.instants import after
from node.contract.messages import PeerId
from node.mesh.processed import Processed
from node.store.view import Rows
from node.sync.fork import ForkFinder
from node.sync.opinions import LatestLayer, OpinionSync
from node.sync.parameters import SyncParameters
from node.sync.procedures import Answers, Pause, Procedure, Turn
from node.sync.states import SyncStatus
from node.sync.tables import last_layer
from protocol.numbers.layers import NetworkTime
from protocol.types.fetch import Hint
from protocol.types.ids import LayerId, as_hash32


class Mesh(LatestLayer, Protocol):
    """What it asks of the mesh, too."""

    @property
    def processed(self) -> LayerId:
        """The last layer before which all are processed."""

    @property
    def in_state(self) -> LayerId:
        """The last layer that is in the state."""

    def process_layer(self, rows: Rows, layer: LayerId) -> Processed:
        """Count votes up to a layer, and bring the state in step."""

    def pass_over(self, rows: Rows, layer: LayerId) -> None:
        """A layer is here whose votes are counted with those of a later one."""


class Patrol(Protocol):
    """Which layers are hare's."""

    def is_in_charge(self, layer: LayerId) -> bool:
        """Whether a layer is."""


class Processing:
    """Of one node."""

    def __init__(
        self,
        parameters: SyncParameters,
        time: NetworkTime,
        status: SyncStatus,
        mesh: Mesh,
        patrol: Patrol,
        opinions: OpinionSync,
        forks: ForkFinder,
    ) -> None:
        self._parameters = parameters
        self._time = time
        self._status = status
        self._mesh = mesh
        self._patrol = patrol
        self._opinions = opinions
        self._forks = forks
        self._tally_every = max(1, int(time.layers_per_epoch * parameters.tally_fraction))
        self._is_complete = True

    def is_state_synced(self, current: LayerId) -> bool:
        """Whether the state is that of the layer before the current one."""
        if current <= self._time.effective_genesis:
            return True
        return self._mesh.processed >= current - 1 and self._is_complete

    def run(self, turn: Turn) -> Procedure[None]:
        """Process what was synced."""
        genesis = self._time.effective_genesis
        if self._status.is_atx_synced and self._time.layer_at(turn.now) > genesis:
            last = last_layer(turn.rows, genesis)
            layer = min(self._mesh.in_state, self._mesh.processed, last)
            layer = LayerId(layer + 1) if layer == genesis else layer
            followed: set[PeerId] = set()
            while layer <= last and not self._is_hares(turn, layer):
                yield from self._layer(turn, layer, last, followed)
                layer = LayerId(layer + 1)
        self._forks.forget_stale(turn.now)

    def _is_hares(self, turn: Turn, layer: LayerId) -> bool:
        age = self._time.layer_at(turn.now) - layer
        return self._patrol.is_in_charge(layer) and age < self._parameters.hare_delay_layers

    def _layer(self, turn: Turn, layer: LayerId, last: LayerId, followed: set[PeerId]) -> Procedure[None]:
        if layer + self._parameters.certificate_distance > self._time.layer_at(turn.now):
            opinions = yield from self._opinions.ask(turn, layer)
            if self._status.is_synced and self._parameters.has_mesh_agreement:
                yield from self._opinions.agree(turn, layer, opinions, followed)
        if layer % self._tally_every and layer != last and self._is_complete:
            # else all would count as unprocessed that come after it, and the node never as synced
            self._mesh.pass_over(turn.rows, layer)
            return
        processed = self._mesh.process_layer(turn.rows, layer)
        if processed.missing:
            wanted = processed.missing[: self._parameters.max_missing_blocks]
            demands = [Fetch(Hint.BLOCK, as_hash32(block)) for block in wanted]
            yield Answers(demands, self._parameters.objects_at_once)
            processed = self._mesh.process_layer(turn.rows, layer)
        self._is_complete = processed.is_complete
        # counting many layers takes long: whatever else has come meanwhile is handled between them
        yield Pause(after(turn.now, self._parameters.step_pause))
