"""Coin transfers: wallets of the genesis that pay each other, some in every layer."""

from __future__ import annotations

from collections.abc import Sequence

from node.contract.effects import Effect, Publish
from node.contract.inputs import Tick
from node.contract.instants import Instant
from node.contract.machine import Machine
from node.contract.steps import NOTHING, Step
from node.mempool.handler import TOPIC
from node.mempool.pool import Mempool
from node.store.view import View
from protocol.codec.declare import c8
from protocol.crypto.signing import NO_DOMAIN
from protocol.numbers.layers import NetworkTime
from protocol.types.ids import Address, NodeId
from protocol.types.templates import (
    METHOD_SPAWN,
    METHOD_SPEND,
    VERSION,
    WALLET,
    Payload,
    SpendArguments,
    WalletSpawnArguments,
    principal_address,
)

from ..keys import SimKey

GAS_PRICE = 1
AMOUNT = 1000
"""Smidge of a transfer."""
LEAST_BALANCE = 1_000_000
"""Smidge below which a wallet sends nothing more."""


class Wallet:
    """An account with one key."""

    def __init__(self, key: SimKey) -> None:
        self._key = key
        self._arguments = WalletSpawnArguments(NodeId(key.identity))
        self.address = principal_address(WALLET, self._arguments)

    def spawn(self) -> bytes:
        """The transaction that makes it an account, with nonce 0."""
        arguments = WalletSpawnArguments.codec.encode(self._arguments)
        return self._signed(METHOD_SPAWN, WALLET + Payload.codec.encode(Payload(0, GAS_PRICE)) + arguments)

    def spend(self, to: Address, amount: int, nonce: int) -> bytes:
        """A transfer."""
        arguments = SpendArguments.codec.encode(SpendArguments(to, amount))
        return self._signed(METHOD_SPEND, Payload.codec.encode(Payload(nonce, GAS_PRICE)) + arguments)

    def _signed(self, method: int, rest: bytes) -> bytes:
        unsigned = c8.encode(VERSION) + self.address + c8.encode(method) + rest
        return unsigned + self._key.sign(NO_DOMAIN, unsigned)


class Transfers(Machine):
    """Sends the transfers of some wallets: each spawns itself, then pays the next one, as its nonce has come."""

    name = "transfers"
    ticks = True

    def __init__(
        self, wallets: Sequence[Wallet], everybody: Sequence[Address], pool: Mempool, time: NetworkTime
    ) -> None:
        """wallets: those of this node, each of which sends one transaction in a layer; everybody: who is paid."""
        self._wallets, self._everybody, self._pool, self._time = wallets, everybody, pool, time

    def tick(self, tick: Tick, view: View, now: Instant) -> Step:
        """As Machine says."""
        if tick.layer <= self._time.effective_genesis or not self._wallets:
            return NOTHING
        effects: list[Effect] = []
        for number, wallet in enumerate(self._wallets):
            nonce, balance = self._pool.projection(view, wallet.address)
            if balance < LEAST_BALANCE:
                continue
            to = self._everybody[(tick.layer + number) % len(self._everybody)]
            effects.append(Publish(TOPIC, wallet.spawn() if nonce == 0 else wallet.spend(to, AMOUNT, nonce)))
        return Step(effects=effects)
