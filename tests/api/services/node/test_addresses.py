"""Texts of addresses are kept once for all services of a network."""

from __future__ import annotations

import pytest

from api.edge.rpc import Failed, Status
from api.services.node.addresses import KEPT, Addresses, addresses_of
from protocol.types.address import to_text
from protocol.types.ids import Address

ADDRESS = Address(bytes(4) + bytes(range(20)))


def test_services_of_one_network_share_what_is_kept() -> None:
    addresses, other = addresses_of("stest"), addresses_of("sm")
    assert addresses_of("stest") is addresses and addresses is not other
    assert addresses.text(ADDRESS) == to_text(ADDRESS, "stest") and other.text(ADDRESS) == to_text(ADDRESS, "sm")
    assert addresses.text.cache_info().maxsize == KEPT  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", [Status.INVALID_ARGUMENT, Status.UNKNOWN])
def test_a_text_that_is_no_address_ends_the_call(status: Status) -> None:
    addresses = Addresses("stest")
    assert addresses.parse(addresses.text(ADDRESS).upper()) == ADDRESS
    with pytest.raises(Failed) as error:
        addresses.parse(to_text(ADDRESS, "sm"), status)
    assert error.value.status is status and "another network" in error.value.message
