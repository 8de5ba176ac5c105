"""Amounts of coins: 1 SMH is 10^9 smidge. Text in, whole smidge out, and both units for people.

Protocol 11-user-tools, section 1 (units), and 07-vm-and-transactions, section 5 (total issuance).
"""

from __future__ import annotations

import re

from api.edge.errors import UsageError
from api.edge.text import typed
from protocol.numbers.issuance import SMESH, TOTAL_ISSUANCE

_AMOUNT = re.compile(r"(-?)([0-9]+)(?:\.([0-9]*))?\s*(smh|smidge)?", re.IGNORECASE)


class AmountError(UsageError):
    """A text that is no amount of coins."""


def parse(text: str) -> int:
    """Whole smidge of `1.5SMH`, `1500000000smidge` or `1500000000`. Raises AmountError."""
    stripped = typed(text).replace("_", "")
    match = _AMOUNT.fullmatch(stripped)
    if match is None:
        raise AmountError(f"{text[:40]!r} is no amount: expected a number such as 1.5SMH or 1500000000smidge.")
    sign, whole, fraction, unit = match[1], match[2], match[3], (match[4] or "smidge").lower()
    if sign:
        raise AmountError(f"{text[:40]!r} is negative, expected an amount of 0 or more.")
    if len(whole) > 30:
        raise AmountError(f"{text[:40]!r} is above the supply, {shown(TOTAL_ISSUANCE)}.")
    if unit == "smidge":
        if fraction is not None:
            raise AmountError(f"{text[:40]!r} has decimals, but smidge are whole: write 1.5SMH for one and a half SMH.")
        smidge = int(whole)
    else:
        decimals = (fraction or "").rstrip("0")
        if len(decimals) > 9:
            raise AmountError(f"{text[:40]!r} has {len(decimals)} decimals, expected at most 9: 1 SMH is 10^9 smidge.")
        smidge = int(whole) * SMESH + int(decimals.ljust(9, "0") or "0")
    if smidge > TOTAL_ISSUANCE:
        raise AmountError(f"{text[:40]!r} is above the supply, {shown(TOTAL_ISSUANCE)}.")
    return smidge


def has_unit(text: str) -> bool:
    """Whether an amount says in which unit it is."""
    return typed(text)[-1:].isalpha()


def smh(smidge: int) -> str:
    """An amount in SMH without needless zeros: `1.5 SMH`."""
    whole, rest = divmod(smidge, SMESH)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".") + " SMH"


def shown(smidge: int) -> str:
    """An amount in both units: `1.5 SMH (1500000000 smidge)`."""
    return f"{smh(smidge)} ({smidge} smidge)"
