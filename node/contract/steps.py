"""What a machine returns: rows and effects, and on a message a verdict, or what is needed before there can be one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.store.view import Rows

from .checks import SignatureCheck, VrfCheck
from .demands import Demand, Result
from .effects import Effect
from .instants import Instant
from .messages import Message
from .quick import quick
from .verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Step:
    """What follows from an input: rows, written at once or not at all, then effects."""

    rows: Rows | None = None
    """Made over the view that the machine was given."""
    effects: Sequence[Effect] = ()


NOTHING = Step()


@dataclass(frozen=True, slots=True)
class Judged:
    """The step that ends a message. An ignored message may leave rows and effects behind, too."""

    verdict: Verdict
    rows: Rows | None = None
    effects: Sequence[Effect] = ()


@quick
class Needs:
    """What a message waits for: checks, or demands, never both, so that no forger makes us ask.

    Nothing is written while it waits.
    """

    signatures: Sequence[SignatureCheck] = ()
    vrf_proofs: Sequence[VrfCheck] = ()
    demands: Sequence[Demand] = ()
    memo: object = None
    """What the machine wants to find in the ticket: the message decoded, the stage reached. Immutable."""

    def __post_init__(self) -> None:
        if bool(self.signatures or self.vrf_proofs) is bool(self.demands):
            raise ValueError("a step needs either checks or demands")


@quick(eq=False)
class Ticket:
    """A message that waits for what its machine said it needs."""

    id: int
    message: Message
    memo: object
    expires: Instant
    """Then the message is ignored. Counted from its reception."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was needed, each list in the order of the Needs."""

    signatures: Sequence[bool] = ()
    vrf_proofs: Sequence[bool] = ()
    results: Sequence[Result] = ()
    """Of the demands."""

    @property
    def all_hold(self) -> bool:
        """Whether every signature and proof is valid."""
        return all(self.signatures) and all(self.vrf_proofs)
