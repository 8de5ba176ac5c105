"""How a ledger begins: the accounts of the genesis, and the beacon that a network may say from the beginning.

Layers up to the effective genesis hold nothing; the mesh puts the row of the last of them. Protocol
03b-config-and-genesis, section 1.
"""

from __future__ import annotations

from node.beacon.machine import BEACONS
from node.contract.instants import Instant
from node.contract.machine import Machine
from node.contract.steps import Step
from node.ledger.vm import Vm
from node.store.view import Rows, View

from .parameters import NodeParameters


class GenesisMachine(Machine):
    """Puts what is not there yet, at start, before all others start."""

    name = "genesis"

    def __init__(self, parameters: NodeParameters, vm: Vm) -> None:
        self._parameters = parameters
        self._vm = vm

    def start(self, view: View, now: Instant) -> Step:
        """As Machine says."""
        of, rows = self._parameters, Rows(view)
        if of.time.checkpoint_genesis is None:  # else the ledger began with the accounts of the checkpoint
            self._vm.apply_genesis(rows, of.accounts)
        if of.first_beacon is not None and not rows.has(BEACONS, of.first_epoch):
            rows.put(BEACONS, of.first_epoch, of.first_beacon)
        return Step(rows)
