"""Addresses as clients write them. Specified in protocol 10-api, sections 1.7 and 9."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from api.edge.rpc import Failed, Status
from protocol.types.address import AddressError, from_text, to_text
from protocol.types.ids import Address

KEPT = 1 << 14
"""Texts that are kept, about 200 bytes each: a page shows the same accounts again and again."""


class Addresses:
    """The addresses of one network."""

    text: Callable[[bytes], str]
    """The text of 24 bytes."""

    def __init__(self, hrp: str) -> None:
        self._hrp = hrp
        self.text = lru_cache(KEPT)(lambda address: to_text(address, hrp))

    def parse(self, text: str, status: Status = Status.INVALID_ARGUMENT) -> Address:
        """The address in a text; status: of the call where it is none. Raises Failed."""
        try:
            return from_text(text, self._hrp)
        except AddressError as error:
            raise Failed(status, str(error)) from None


@lru_cache(maxsize=8)
def addresses_of(hrp: str) -> Addresses:
    """Those of a network, one for all services: what is kept is kept once."""
    return Addresses(hrp)
