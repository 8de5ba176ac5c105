"""The beacon as ballots report it, for an epoch whose beacon this node was not there to agree on.

Protocol 04b, section 1.8.
"""

from __future__ import annotations

from node.activation.columns import AtxColumns
from node.beacon.machine import BEACONS
from node.beacon.reports import Reports
from node.mesh.tables import BALLOTS, BALLOTS_BY_SMESHER
from node.proposals.oracle import layers_of
from node.store.view import Rows, Span
from protocol.numbers import fixed
from protocol.numbers.layers import NetworkTime
from protocol.types.ballots import Ballot
from protocol.types.ids import BallotId, Beacon, EpochId


class ReportedBeacons:
    """The ballots of the epochs whose beacon is not known. Mutable."""

    def __init__(self, sync_weight_units: int, epochs_kept: int) -> None:
        self._sync_weight_units = sync_weight_units
        self._epochs_kept = epochs_kept
        self._epochs: dict[EpochId, Reports] = {}

    def start(self, rows: Rows, time: NetworkTime, atxs: AtxColumns) -> None:
        """Count the stored ballots of the newest epoch that has some, if its beacon is not known."""
        newest = next(rows.find(BALLOTS_BY_SMESHER, Span(reverse=True)), None)
        if newest is None:
            return
        epoch = time.epoch_of(newest[0][0])
        if rows.has(BEACONS, epoch):
            return
        first, last = layers_of(time, epoch)
        for id, ballot in list(rows.find_rows(BALLOTS_BY_SMESHER, Span(start=(first,), last=(last,)))):
            referred = rows.get(BALLOTS, ballot.inner.ref_ballot)
            data = ballot.inner.epoch_data or (None if referred is None else referred.inner.epoch_data)
            atx = atxs.get(epoch, ballot.inner.atx_id)
            if data is not None and atx is not None and data.eligibility_count:
                self.report(rows, epoch, id, ballot, data.beacon, atx.weight, data.eligibility_count)

    def report(
        self, rows: Rows, epoch: EpochId, id: BallotId, ballot: Ballot, beacon: Beacon, weight: int, slots: int
    ) -> None:
        """A valid ballot reports a beacon, which is put when enough of them have. weight: of its ATX; slots: of its
        smesher in the epoch."""
        if rows.has(BEACONS, epoch):
            self._epochs.pop(epoch, None)
            return
        reports = self._epochs.setdefault(epoch, Reports(self._sync_weight_units))
        if len(self._epochs) > self._epochs_kept:
            del self._epochs[min(self._epochs)]
        reports.add(id, beacon, fixed.ratio(weight, slots), len(ballot.eligibility_proofs))
        found = reports.beacon()
        if found is not None:
            rows.put(BEACONS, epoch, found)
