"""A node killed at random moments under load: what it acknowledged is there, what it signed stands, its state goes on.

`make kills` kills it 200 times.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from api.edge.listen import Address, bind, port_of
from api.node.data_directory import DataDirectory
from api.node.site import open_stores
from node.ledger import state
from node.ledger.tables import LAYERS
from node.mempool.tables import TRANSACTIONS
from node.sim.keys import SimKey
from node.sim.virtual.transfers import Wallet
from node.store.own import SIGNED
from node.store.view import ALL
from protocol.params.config.networks import STANDALONE
from protocol.pb.spacemesh.v1 import mesh_types_pb2, tx_types_pb2
from protocol.types import address
from protocol.types.ids import EMPTY_BLOCK_ID
from protocol.types.transactions import RawTx

KILLS = int(os.environ.get("NODE_KILLS", "2"))
SEED = int(os.environ.get("NODE_KILLS_SEED", "11"))
REPOSITORY = Path(__file__).resolve().parents[3]
LONGEST_LIFE_S = 4.0
"""From its first commit to the kill."""
START_S = 60.0
ENDS_AFTER_S = 6.0
"""Of the last life, which is told to stop: so that layers are applied after the last kill."""


@dataclass
class Held:
    """What can be held against it."""

    acked: set[str] = field(default_factory=set)
    sent: dict[str, str] = field(default_factory=dict)
    """Digest of a message to its topic."""
    roots: dict[int, tuple[str, str]] = field(default_factory=dict)
    """State root and block of each layer, as it was said last."""
    contradictions: list[str] = field(default_factory=list)
    starts: int = 0

    def take(self, line: bytes) -> None:
        """A line; one that the kill cut off says nothing."""
        try:
            found: dict[str, Any] = json.loads(line)
        except ValueError:
            return
        if "acked" in found:
            self.acked.add(found["acked"])
        elif "sent" in found:
            self.sent[found["digest"]] = found["sent"]
        elif "layer" in found:
            self.applied(found["layer"], (found["root"], found["block"]))
        elif "started" in found:
            self.starts += 1

    def applied(self, layer: int, root: tuple[str, str]) -> None:
        """A layer again is the same one."""
        before = self.roots.setdefault(layer, root)
        if before != root:
            self.contradictions.append(f"layer {layer} was {before}, then {root}")


class Life:
    """One process of the node."""

    def __init__(self, folder: Path, genesis_ns: int, held: Held) -> None:
        self._held = held
        words = [sys.executable, "-m", "tests.support.killed_node", str(folder), str(genesis_ns), str(SEED)]
        self._errors = (folder / "errors.txt").open("ab")
        self._process = subprocess.Popen(
            words, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=self._errors, start_new_session=True
        )
        assert self._process.stdout is not None
        self._output = self._process.stdout
        self._rest = b""

    def listen(self, until: float, *, to_start: bool = False) -> None:
        """Take what it says until then, or until it has started."""
        starts = self._held.starts
        while (left := until - time.monotonic()) > 0:
            if to_start and self._held.starts > starts:
                return
            if not select.select([self._output], [], [], left)[0]:
                return
            data = os.read(self._output.fileno(), 1 << 16)
            assert data, f"it ended by itself with code {self._process.wait()}"
            self._take(data)
        assert not to_start, "it does not start"

    def end(self, number: int) -> int:
        """Send it a signal, and take all that it had said by then; its exit code."""
        self._process.send_signal(number)
        while data := self._output.read():
            self._take(data)
        self._output.close()
        self._errors.close()
        return self._process.wait()

    def _take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._held.take(line)


def lives_with_kills(folder: Path, kills: int, dice: random.Random) -> Held:
    """So many lives that end with a kill, and a last one that is told to stop."""
    held = Held()
    genesis_ns = (time.time_ns() // 10**9 + 4) * 10**9
    for _ in range(kills):
        life = Life(folder, genesis_ns, held)
        life.listen(time.monotonic() + START_S, to_start=dice.random() < 0.9)  # else it may be killed in its start
        life.listen(time.monotonic() + dice.random() * LONGEST_LIFE_S)
        assert life.end(signal.SIGKILL) == -signal.SIGKILL
    life = Life(folder, genesis_ns, held)
    life.listen(time.monotonic() + START_S, to_start=True)
    life.listen(time.monotonic() + ENDS_AFTER_S)
    assert life.end(signal.SIGTERM) == 0, (folder / "errors.txt").read_text()
    return held


@pytest.mark.slow
@pytest.mark.timeout(120 + 90 * KILLS)
def test_kills_at_random_moments_lose_nothing_and_sign_nothing_twice(tmp_path: Path) -> None:
    held = lives_with_kills(tmp_path, KILLS, random.Random(SEED))
    stores = open_stores(DataDirectory(tmp_path))
    with closing(stores.view()) as view:
        stored = {id.hex() for id in view.keys(TRANSACTIONS, ALL)}
        signed = {hashlib.sha256(message).hexdigest() for _, message in view.scan(SIGNED, ALL)}
        layers = dict(view.scan(LAYERS, ALL))
        last = state.last_applied(view)
    stores.close()
    assert held.acked, "no client was ever answered"
    assert held.acked <= stored, "an acknowledged transaction was lost"
    unknown = {topic for digest, topic in held.sent.items() if digest not in signed}
    assert not unknown, f"messages were sent on {unknown} that are not those which their slots hold"
    assert not held.contradictions
    for layer, row in layers.items():
        held.applied(layer, (row.state_hash.hex(), row.block.hex()))
    assert not held.contradictions
    blocks = sum(row.block != EMPTY_BLOCK_ID for row in layers.values())
    print(
        f"{KILLS} kills: {len(held.acked)} transactions acknowledged, {len(held.sent)} messages sent, layers up to "
        f"{last}, {blocks} with blocks"
    )


# ---- the whole program ----


def free_ports(count: int) -> list[int]:
    """Some that nobody uses now."""
    listeners = [bind(Address("127.0.0.1", 0), "a port") for _ in range(count)]
    found = [port_of(one) for one in listeners]
    for one in listeners:
        one.close()
    return found


class Program:
    """`smesher node --preset standalone` with its PoET and its PoST service, on ports of its own."""

    def __init__(self, folder: Path, ports: dict[str, int], accounts: str) -> None:
        self.ports = ports
        self._log = (folder / "log.txt").open("ab")
        words = [
            *("-m", "smesher", "node", "--preset", "standalone", "--data-folder", str(folder / "data")),
            *("--grpc-public-listener", f"127.0.0.1:{ports['public']}"),
            *("--grpc-private-listener", f"127.0.0.1:{ports['private']}"),
            *("--poet-servers", json.dumps([{"address": f"http://127.0.0.1:{ports['poet']}"}])),
            *("--accounts", accounts),
        ]
        self._process = subprocess.Popen(
            [sys.executable, *words], cwd=REPOSITORY, stdout=self._log, stderr=self._log, start_new_session=True
        )
        self.channel = grpc.insecure_channel(f"127.0.0.1:{ports['public']}")

    def call(self, method: str, request: Any, answer: Any) -> Any:
        """A call that waits for the node to be there. Raises grpc.RpcError."""
        call = self.channel.unary_unary(
            f"/spacemesh.v1.{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        return call(request, wait_for_ready=True, timeout=START_S)

    def submit(self, raw: bytes) -> bool:
        """Whether the node has acknowledged a transaction."""
        try:
            found = self.call(
                "TransactionService/SubmitTransaction",
                tx_types_pb2.SubmitTransactionRequest(transaction=raw),
                tx_types_pb2.SubmitTransactionResponse,
            )
        except grpc.RpcError:
            return False
        return bool(found.txstate.state == tx_types_pb2.TransactionState.TRANSACTION_STATE_MEMPOOL)

    def knows(self, ids: list[bytes]) -> list[bool]:
        """Of each transaction, whether the node has it."""
        found = self.call(
            "TransactionService/TransactionsState",
            tx_types_pb2.TransactionsStateRequest(transaction_id=[{"id": id} for id in ids]),
            tx_types_pb2.TransactionsStateResponse,
        )
        unknown = tx_types_pb2.TransactionState.TRANSACTION_STATE_UNSPECIFIED
        return [one.state != unknown for one in found.transactions_state]

    def end(self, number: int) -> int:
        """Send it a signal; its exit code. What it has started ends with it, or sees that it is gone."""
        self._process.send_signal(number)
        code = self._process.wait(START_S)
        self.channel.close()
        self._log.close()
        return code


@pytest.mark.slow
@pytest.mark.timeout(120 + 120 * KILLS)
def test_a_killed_program_serves_what_it_acknowledged_and_ends_with_0_when_told(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    signers = [SimKey(SEED, number, b"") for number in range(200)]
    hrp = STANDALONE.main.network_hrp
    accounts = ",".join(f"{address.to_text(Wallet(one).address, hrp)}={10**12}" for one in signers)
    ports = dict(zip(("public", "private", "poet"), free_ports(3), strict=True))
    acked: list[bytes] = []
    for life in range(KILLS + 1):
        program = Program(tmp_path, ports, accounts)
        try:
            info = program.call(
                "MeshService/GenesisID", mesh_types_pb2.GenesisIDRequest(), mesh_types_pb2.GenesisIDResponse
            )
            assert not acked or program.knows(acked) == [True] * len(acked), (tmp_path / "log.txt").read_text()
            until = time.monotonic() + dice.random() * LONGEST_LIFE_S
            while time.monotonic() < until and signers:
                number = 200 - len(signers)
                raw = Wallet(SimKey(SEED, number, info.genesis_id)).spawn()
                signers.pop()
                if program.submit(raw):
                    acked.append(bytes(RawTx.of(raw).id))
        finally:
            code = program.end(signal.SIGKILL if life < KILLS else signal.SIGTERM)
    assert code == 0
    assert acked
