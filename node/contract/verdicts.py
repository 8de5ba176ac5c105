"""What becomes of a message, as gossip needs to know it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Judgement(Enum):
    """The three answers."""

    ACCEPT = "accept"
    """It goes on to other peers."""
    IGNORE = "ignore"
    """It goes no further; the sender is not to blame."""
    REJECT = "reject"
    """It goes no further, and the sender is to blame."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer with its reason."""

    judgement: Judgement
    reason: str = ""
    """Why it does not go on: a short fixed word, such as `no_session`, which is also how it is counted."""
    detail: str = ""
    """A sentence for people, where there is more to say."""

    @property
    def is_accepted(self) -> bool:
        """Whether the message goes on."""
        return self.judgement is Judgement.ACCEPT


ACCEPT = Verdict(Judgement.ACCEPT)


def ignore(reason: str, detail: str = "") -> Verdict:
    """The message goes no further, and nobody is to blame."""
    return Verdict(Judgement.IGNORE, reason, detail)


def reject(reason: str, detail: str = "") -> Verdict:
    """The message goes no further, and whoever sent it is to blame."""
    return Verdict(Judgement.REJECT, reason, detail)
