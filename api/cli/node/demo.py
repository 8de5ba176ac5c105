"""`make demo`, its last part: a chain on this machine, from PoST data to a payment that all nodes have applied.

A devnet is started; once it makes blocks, a wallet with coins of the genesis comes into being and pays another one, by
the API that every client has. Repeatable and without input; nothing stays behind.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc.aio

from api.cli.output import Output
from api.edge.loop import run_loop
from api.node.devnet import HRP, Devnet, Plan
from api.node.serving import Services
from api.wallet import derivation, transactions
from api.wallet.accounts import wallet_account
from api.wallet.secret import Secret
from node.ledger.tables import REWARDS
from node.store.view import ALL
from protocol.pb.spacemesh.v1 import global_state_types_pb2, tx_types_pb2
from protocol.types import address
from protocol.types.ids import Address

COINS = 1_000_000_000_000
AMOUNT = 5_000_000_000
"""Smidge: five coins."""
WAIT_S = 110.0
"""For everything: after that the demo has failed."""
LOOK_S = 0.5


class Client:
    """Of the public API of a node."""

    def __init__(self, target: str) -> None:
        self._channel = grpc.aio.insecure_channel(target)

    async def submit(self, raw: bytes) -> bytes:
        """Gives a transaction to the node; its id."""
        found = await self._call(
            "TransactionService/SubmitTransaction",
            tx_types_pb2.SubmitTransactionRequest(transaction=raw),
            tx_types_pb2.SubmitTransactionResponse,
        )
        return bytes(found.txstate.id.id)

    async def is_processed(self, id: bytes) -> bool:
        """Whether it was executed in a layer that the node has applied."""
        found = await self._call(
            "TransactionService/TransactionsState",
            tx_types_pb2.TransactionsStateRequest(transaction_id=[{"id": id}]),
            tx_types_pb2.TransactionsStateResponse,
        )
        processed = tx_types_pb2.TransactionState.TRANSACTION_STATE_PROCESSED
        return [one.state for one in found.transactions_state] == [processed]

    async def balance(self, account: Address) -> int:
        """Of an account, in smidge."""
        text = address.to_text(account, HRP)
        found = await self._call(
            "GlobalStateService/Account",
            global_state_types_pb2.AccountRequest(account_id={"address": text}),
            global_state_types_pb2.AccountResponse,
        )
        return int(found.account_wrapper.state_current.balance.value)

    async def close(self) -> None:
        """Ends it."""
        await self._channel.close()

    async def _call(self, method: str, request: Any, answer: Any) -> Any:
        call = self._channel.unary_unary(
            f"/spacemesh.v1.{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        return await call(request, timeout=10)


class Demo:
    """One run."""

    def __init__(self, folder: Path, output: Output) -> None:
        self._output = output
        self._began = time.monotonic()
        public, self._secret = derivation.key_pair(Secret(secrets.token_bytes(32)))
        self._account = wallet_account(public)
        accounts = {address.to_text(self._account.address, HRP): COINS}
        self._devnet = Devnet(Plan(folder, accounts=accounts), Services)

    async def run(self) -> None:
        """From nothing to a confirmed payment."""
        devnet = self._devnet
        self.say("1. Four nodes, each with PoST data of its own, a PoET, and coins of the genesis for one wallet")
        await devnet.start()
        client: Client | None = None
        try:
            for number, node in enumerate(devnet.nodes):
                self.say(f"   node {number}: gRPC {node.addresses['public']}, JSON http://{node.addresses['json']}")
            client = Client(devnet.nodes[0].addresses["public"])
            self.say("2. The PoET works, the nodes prove their space and publish their activations")
            await self._until("blocks and rewards", self._are_rewarded)
            paid, smidge = self._rewards()
            self.say(f"   {paid} rewards, {smidge / 1e9:.3f} coins, to {len(devnet.nodes)} nodes")
            self.say("3. A wallet comes into being, and pays another one")
            await self._pay(client)
        finally:
            if client is not None:
                await client.close()
            await devnet.stop()

    async def _pay(self, client: Client) -> None:
        genesis_id = self._devnet.nodes[0].parameters.genesis_id
        payee = address.generate(secrets.token_bytes(20))
        spawn = transactions.spawn(self._account, self._account, transactions.payload(0, 1), genesis_id)
        spend = transactions.spend(self._account, payee, AMOUNT, transactions.payload(1, 1), genesis_id)
        for what, unsigned in (("the wallet's first transaction", spawn), ("the payment", spend)):
            id = await client.submit(transactions.Partial(unsigned).sign(self._secret).raw())
            self.say(f"   sent {what}, {id.hex()[:16]}")

            async def is_done(id: bytes = id) -> bool:
                return await client.is_processed(id)

            await self._until(f"{what} in a block", is_done)
        for node in self._devnet.nodes:
            other = Client(node.addresses["public"])

            async def has_it(other: Client = other) -> bool:
                return await other.balance(payee) == AMOUNT

            await self._until("the payment on every node", has_it)
            await other.close()
        self.say(f"   all nodes know that {address.to_text(payee, HRP)} has {AMOUNT / 1e9:.0f} coins")

    async def _are_rewarded(self) -> bool:
        paid, _ = self._rewards()
        return paid >= len(self._devnet.nodes)

    def _rewards(self) -> tuple[int, int]:
        with self._devnet.nodes[0].backend.view() as view:
            found = [reward.total_reward for _, reward in view.scan(REWARDS, ALL)]
        return len(found), sum(found)

    async def _until(self, what: str, is_so: Callable[[], Awaitable[bool]]) -> None:
        while not await is_so():
            if time.monotonic() - self._began > WAIT_S:
                raise SystemExit(f"After {WAIT_S:.0f} s there is still no sign of {what}.")
            await asyncio.sleep(LOOK_S)

    def say(self, text: str) -> None:
        """A line, with the seconds since the beginning."""
        self._output.say(f"[dim]{time.monotonic() - self._began:5.1f} s[/]  {text}")
        sys.stdout.flush()


def demo() -> None:
    """The demo."""
    output = Output(json=False)
    output.say("\n[bold]4. A chain on this machine[/]")
    with tempfile.TemporaryDirectory(prefix="smesher-demo-") as folder:
        run_loop(lambda: Demo(Path(folder).resolve(), output).run())
    output.say(
        "\nThe same again, and for as long as you like:\n"
        "  smesher devnet                        four nodes\n"
        "  smesher node --preset standalone      one node that keeps its chain"
    )


if __name__ == "__main__":
    demo()
