"""AccountService: accounts as they are, and as they will be behind what waits. Protocol 10-api, section 4."""

from __future__ import annotations

from typing import Any

from api.edge.rpc import Method
from api.services.node.addresses import Addresses, addresses_of
from api.services.node.backend import Backend
from node.queries import accounts
from node.queries.pages import Page
from node.store.view import View
from protocol.types.transactions import Account

from .far import read
from .package import Package
from .pages import page_of, values_of


def calls(backend: Backend, package: Package) -> dict[str, Method]:
    """The methods of the service."""
    addresses = addresses_of(backend.config.main.network_hrp)

    async def list_(request: Any) -> Any:
        wanted = [addresses.parse(text) for text in values_of(request, "addresses")]

        def found(view: View, page: Page) -> list[Any]:
            return [_shown(package, addresses, view, one) for one in accounts.page(view, wanted, page)]

        return package.AccountList(accounts=await read(backend, page_of(request), found))

    return {"List": list_}


def _shown(package: Package, addresses: Addresses, view: View, account: Account) -> Any:
    projected = accounts.projected(view, account.address)
    return package.Account(
        address=addresses.text(account.address),
        current=package.AccountState(counter=account.next_nonce, balance=account.balance, layer=account.layer),
        projected=package.AccountState(counter=projected.next_nonce, balance=projected.balance),
        template="" if account.template is None else addresses.text(account.template),
    )
