"""Full verification of an activation: every label of its proofs of space, and of all that it builds on.

| an activation | then |
|---|---|
| golden, restored from a checkpoint, known to be valid, of an own identity, or received long enough ago | holds |
| known to be invalid | does not hold |
| not here | nothing is known, and nothing is noted |
| any other | its proofs are verified, then its previous ones, its positioning one, the commitment of a first one |

What was verified is noted, so that it is done once; so is what does not hold, never what could not be checked.
Protocol 04-activation-beacon-eligibility, section 6; each proof is checked for whose it is and over the units declared,
where the reference takes the publisher and the effective ones, with which merged and growing activations fail.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import Enum, auto

from node.activation.parameters import ActivationParameters
from node.activation.tables import ATXS, BLOBS, StoredAtx, Validity
from node.contract.demands import PostVerdict, Result, VerifyPost
from node.contract.instants import Instant
from node.store.view import Rows, View
from protocol.types.ids import AtxId, NodeId

from .space import builds_on, proofs_in, read_atx


@dataclass(frozen=True, slots=True)
class Trust:
    """What is taken as valid."""

    parameters: ActivationParameters
    before: Instant
    """Activations received earlier."""
    own: Collection[NodeId]
    """Activations of these identities."""


class Finding(Enum):
    """What is known of an activation."""

    HOLDS = auto()
    FAILS = auto()
    UNKNOWN = auto()
    """It, or what it builds on, is not here, or could not be checked."""


@dataclass(slots=True)
class _Frame:
    """An activation that is being verified."""

    id: AtxId
    checks: list[VerifyPost]
    """Those still to be made, the next one last."""
    builds_on: list[AtxId]
    """What is still to be looked at, the next one last."""


class ChainCheck:
    """Verification of one activation. Mutable; may be begun anew at any time."""

    def __init__(self, id: AtxId, trust: Trust) -> None:
        self.id = id
        self._trust = trust
        self._frames: list[_Frame] = []
        self._held: set[AtxId] = set()
        self._is_begun = False

    def advance(self, rows: Rows) -> VerifyPost | Finding:
        """The next check to be made, or what was found."""
        if not self._is_begun:
            self._is_begun = True
            found = self._enter(rows, self.id)
            if found is not None:
                return found
        while self._frames:
            frame = self._frames[-1]
            if frame.checks:
                return frame.checks[-1]
            if frame.builds_on:
                found = self._enter(rows, frame.builds_on.pop())
                if found is Finding.FAILS:
                    return self._fail(rows)
                if found is Finding.UNKNOWN:
                    return found
                continue
            self._note(rows, frame.id, Validity.VALID)
            self._held.add(frame.id)
            self._frames.pop()
        return Finding.HOLDS

    def answered(self, rows: Rows, result: Result) -> Finding | None:
        """The check that was asked for is made; None: go on with `advance`."""
        if not isinstance(result, PostVerdict):
            return Finding.UNKNOWN
        if not result.is_valid:
            return self._fail(rows)
        self._frames[-1].checks.pop()
        return None

    def _enter(self, rows: Rows, id: AtxId) -> Finding | None:
        """What is known of an activation without checks; None: it has to be verified first."""
        if id == self._trust.parameters.golden_atx or id in self._held:
            return Finding.HOLDS
        stored = rows.get(ATXS, id)
        if stored is None:
            return Finding.UNKNOWN
        if stored.validity == Validity.INVALID:
            return Finding.FAILS
        if self._is_trusted(rows, id, stored):
            return Finding.HOLDS
        atx = read_atx(rows, id)
        checks = None if atx is None else proofs_in(atx, id, rows, self._trust.parameters.labels_per_unit)
        if atx is None or checks is None:
            return Finding.UNKNOWN
        self._frames.append(_Frame(id, list(reversed(checks)), list(reversed(builds_on(atx)))))
        return None

    def _is_trusted(self, view: View, id: AtxId, stored: StoredAtx) -> bool:
        is_restored = stored.received == 0 and not view.has(BLOBS, id)
        return (
            is_restored
            or stored.validity == Validity.VALID
            or stored.received < self._trust.before
            or stored.smesher in self._trust.own
        )

    def _fail(self, rows: Rows) -> Finding:
        for frame in self._frames:
            self._note(rows, frame.id, Validity.INVALID)
        self._frames.clear()
        return Finding.FAILS

    @staticmethod
    def _note(rows: Rows, id: AtxId, validity: Validity) -> None:
        stored = rows.get(ATXS, id)
        if stored is not None:
            rows.put(ATXS, id, replace(stored, validity=validity))
