"""A node of a network of one, to be killed: layers of a second, real stores, engine thread and driver, virtual proofs.

`python -m tests.support.killed_node FOLDER GENESIS_NS SEED` runs until it is told to stop, and says on standard output,
a JSON object a line, everything that somebody could hold against it later: transactions that it acknowledged, messages
that it signed and sent, state roots of layers that it applied. Clients in threads of their own send all the time.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from api.edge.listen import stop_signal
from api.edge.loop import run_loop
from api.node.data_directory import DataDirectory
from api.node.engine_thread import EngineThread
from api.node.site import open_stores
from node.assembly.node import Node, assemble
from node.assembly.parameters import NodeParameters, parameters_of
from node.assembly.rooms import Surroundings as Given
from node.contract.checks import NetworkChecker
from node.contract.demands import Demand, Failed, Registered
from node.contract.instants import Instant
from node.ledger.tables import LAYERS
from node.p2p.memory import MemoryHost, MemoryNetwork
from node.pruning.machine import PruningMachine
from node.runtime.chance import DrawnRandom
from node.runtime.clock import WallClock
from node.runtime.driver import Driver
from node.runtime.errors import Refused
from node.runtime.facts import Facts
from node.runtime.ports import Ports
from node.sim import ports as virtual
from node.sim.invariants.signing import SIGNED_TOPICS
from node.sim.keys import SimKey, SimKeys
from node.sim.proving import SharedProver
from node.sim.virtual.space import VirtualSpace
from node.sim.virtual.time import VirtualPoet
from node.sim.virtual.transfers import Wallet
from node.store.stores import Stores
from node.store.view import Rows
from protocol.numbers.durations import MILLISECOND, SECOND
from protocol.numbers.time import Time
from protocol.params.config import consensus
from protocol.params.config.networks import STANDALONE
from protocol.params.config.node import Config
from protocol.types import address
from protocol.types.ids import Address, AtxId, NodeId
from protocol.types.transactions import RawTx

EPOCH = 4
"""Layers of a second."""
POET = "poet"
WALLETS = 3
K2 = 10


def config_of(genesis_ns: int, seed: int) -> Config:
    """The network's settings."""
    hrp = STANDALONE.main.network_hrp
    accounts = {address.to_text(one.address, hrp): 10**15 for one in wallets_of(seed, b"")}
    return replace(
        STANDALONE,
        main=replace(
            STANDALONE.main,
            layer_duration_ns=SECOND,
            layers_per_epoch=EPOCH,
            layer_average_size=5,
            atx_grade_delay_ns=50 * MILLISECOND,
            block_gas_limit=100_107_000,
            poet_servers=(replace(STANDALONE.main.poet_servers[0], address=POET),),
        ),
        genesis=replace(STANDALONE.genesis, time=Time.of(genesis_ns), accounts=accounts),
        tortoise=replace(STANDALONE.tortoise, hdist=4, zdist=2),
        hare3=replace(
            STANDALONE.hare3,
            committee=50,
            iterations_limit=2,
            preround_delay_ns=100 * MILLISECOND,
            round_duration_ns=40 * MILLISECOND,
        ),
        beacon=consensus.Beacon(
            rounds_number=3,
            grace_period_duration_ns=100 * MILLISECOND,
            proposal_duration_ns=200 * MILLISECOND,
            first_voting_round_duration_ns=300 * MILLISECOND,
            voting_round_duration_ns=200 * MILLISECOND,
            weak_coin_round_duration_ns=200 * MILLISECOND,
            sync_weight_units=10,
        ),
        poet=replace(
            STANDALONE.poet,
            phase_shift_ns=3 * SECOND,
            cycle_gap_ns=2500 * MILLISECOND,
            grace_period_ns=200 * MILLISECOND,
            positioning_atx_selection_timeout_ns=50 * MILLISECOND,
            retry_delay_ns=100 * MILLISECOND,
        ),
        post=replace(STANDALONE.post, labels_per_unit=128, k2=K2, k3=K2, min_numunits=1, max_numunits=1000),
        syncer=replace(STANDALONE.syncer, interval_ns=500 * MILLISECOND, gossipduration_ns=100 * MILLISECOND),
    )


def wallets_of(seed: int, genesis_id: bytes) -> list[Wallet]:
    """Those that have coins from the beginning."""
    return [Wallet(SimKey(seed, 1000 + number, genesis_id)) for number in range(WALLETS)]


def say(**fields: object) -> None:
    """A line, whole or not at all."""
    os.write(1, json.dumps(fields).encode() + b"\n")


class KeptPoet(VirtualPoet):
    """A PoET that is not killed with the node: its members are in a file."""

    def __init__(self, path: Path, first_start: Instant, period: int, duration: int) -> None:
        super().__init__(POET, first_start, period, duration, 1000)
        self._path = path
        for line in path.read_text().splitlines() if path.exists() else ():
            identity, challenge, now = line.split()
            super().register(bytes.fromhex(identity), bytes.fromhex(challenge), Instant(1 << 62), Instant(int(now)))

    def register(self, identity: bytes, challenge: bytes, deadline: Instant, now: Instant) -> Registered | Failed:
        """As VirtualPoet says; on disk before it is answered."""
        found = super().register(identity, challenge, deadline, now)
        if isinstance(found, Registered):
            with self._path.open("a") as file:
                file.write(f"{identity.hex()} {challenge.hex()} {now}\n")
        return found


class KilledPorts:
    """All ports but the network's, with nothing behind them; answered in a thread each."""

    def __init__(self, around: virtual.Surroundings, key: SimKey, keys: SimKeys, clock: WallClock) -> None:
        self._ports = virtual.Ports(around, keys, SharedProver([key]))
        self._clock = clock
        self.driver: Driver | None = None

    def answer(self, call: int, demand: Demand) -> None:
        """Any of them."""
        assert self.driver is not None, "it is set before anything is asked"
        _, result = self._ports.answer(demand, self._clock.now())
        timer = threading.Timer(0.002, self.driver.returned, (call, result))
        timer.daemon = True
        timer.start()

    prove_post = describe_post = prove_vrf = verify_post = verify_vrf_nonce = verify_poet = answer
    certify = register = proof = document = answer

    def give_up(self, call: int) -> None:
        """As Prover says."""


class TellingHost(MemoryHost):
    """A place in the network from which it is said what leaves."""

    def publish(self, call: int, topic: str, data: bytes) -> None:
        """As Network says."""
        if topic in SIGNED_TOPICS:
            say(sent=topic, digest=hashlib.sha256(data).hexdigest())
        super().publish(call, topic, data)


class Roots:
    """An onlooker that says what was applied."""

    def __init__(self) -> None:
        self.is_started = False

    def committed(self, rows: Rows, events: Sequence[object], facts: Facts) -> None:
        """As Onlooker says."""
        for layer, row in rows.changes(LAYERS):
            if row is not None:
                say(layer=layer, root=row.state_hash.hex(), block=row.block.hex())
        if not self.is_started:
            self.is_started = True
            say(started=facts.applied)


class Client(threading.Thread):
    """Pays others from one wallet as fast as it is answered, more or less."""

    def __init__(self, driver: Driver, wallets: Sequence[Wallet], number: int) -> None:
        super().__init__(daemon=True)
        self._driver, self._wallet = driver, wallets[number]
        self._payee = wallets[(number + 1) % len(wallets)].address
        self._dice = random.Random()

    def run(self) -> None:
        """Until the process ends."""
        while True:
            try:
                self._send()
            except Refused:
                pass
            time.sleep(self._dice.random() * 0.03)

    def _send(self) -> None:
        wallet = self._wallet
        nonce, _ = self._driver.ask(lambda rooms, view: rooms.mempool.projection(view, wallet.address)).result()
        raw = wallet.spawn() if nonce == 0 else wallet.spend(self._payee, 1 + self._dice.randrange(1000), nonce)
        verdict = self._driver.submit(raw).result()
        if verdict.is_accepted:
            say(acked=RawTx.of(raw).id.hex())


def run(folder: Path, genesis_ns: int, seed: int) -> int:
    """Until it is told to stop."""
    config = config_of(genesis_ns, seed)
    parameters = parameters_of(config)
    key = SimKey(seed, 1, parameters.genesis_id)
    keys, clock = SimKeys([key]), WallClock()
    epoch = EPOCH * SECOND
    start = Instant(genesis_ns + config.poet.phase_shift_ns)
    around = virtual.Surroundings(
        VirtualSpace(K2, parameters.activation.labels_per_unit),
        {key.identity: virtual.Holding(20, AtxId(parameters.activation.golden_atx))},
        {POET: KeptPoet(folder / "poet", start, epoch, epoch - config.poet.cycle_gap_ns)},
        proving_time=MILLISECOND,
    )
    ports = KilledPorts(around, key, keys, clock)
    host = TellingHost(MemoryNetwork(clock), MemoryNetwork(clock).host().peer)
    built = _Build(DataDirectory(folder), parameters, keys, host)
    driver = ports.driver = Driver(built, Ports(host, ports, ports, ports, keys), clock, [Roots()])
    return run_loop(partial(_serve, driver, clock, parameters, seed))


class _Build:
    """As `node.runtime.driver.Build`."""

    def __init__(self, data: DataDirectory, parameters: NodeParameters, keys: SimKeys, host: MemoryHost) -> None:
        self._data, self._parameters, self._keys, self._host = data, parameters, keys, host

    def __call__(self, stores: Stores | None) -> Node:
        of = self._parameters
        (identity,) = (signer.identity for signer in self._keys.signers())
        given = Given(
            stores=stores or open_stores(self._data),
            checker=NetworkChecker(of.genesis_id),
            keys=self._keys,
            seed=os.urandom(32),
            random=DrawnRandom(os.urandom(32)),
            peers=self._host.peers,
            coinbase=lambda: Address(bytes(4) + NodeId(identity)[:20]),
        )
        return assemble(of, given, lambda rooms: [PruningMachine(of.time, of.tortoise.hdist, SECOND)])


async def _serve(driver: Driver, clock: WallClock, parameters: NodeParameters, seed: int) -> int:
    stopping = stop_signal()
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Exception | None] = loop.create_future()

    def tell(error: Exception | None) -> None:
        loop.call_soon_threadsafe(ended.set_result, error)

    thread = EngineThread("engine", driver, clock, tell)
    thread.start()
    await asyncio.wrap_future(driver.ask(lambda rooms, view: None))
    wallets = wallets_of(seed, parameters.genesis_id)
    for number in range(WALLETS):
        Client(driver, wallets, number).start()
    ends: list[asyncio.Future[Any]] = [stopping, ended]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    thread.stop()
    await asyncio.to_thread(thread.join, 10.0)
    driver.close()
    error = ended.result() if ended.done() else None
    if error is not None:
        raise error
    return 0


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
