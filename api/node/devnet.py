"""A network of several nodes and a PoET in one process: `smesher devnet`.

Layers of two seconds, eight an epoch. The nodes reach each other in memory; everything else is as in the world: stores
on disk, PoST data with real proofs, a PoET that hashes and is registered at by HTTP, an API of each node on ports of
its own. What nobody publishes there, the first beacon, follows from the genesis.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from logging import getLogger
from pathlib import Path
from types import MappingProxyType

from api.edge.listen import Address, bind, port_of
from api.edge.threads import processors
from api.services.poet.app import App as PoetApp
from node.assembly.parameters import NodeParameters
from node.contract.ports import Clock
from node.p2p.memory import MemoryHost, MemoryNetwork
from node.runtime.clock import WallClock
from node.runtime.workers import Workers
from protocol.numbers.durations import MILLISECOND, SECOND
from protocol.numbers.time import Time
from protocol.params.config import consensus
from protocol.params.config.networks import FASTNET
from protocol.params.config.node import Config
from protocol.params.config.services import PoetServer
from protocol.types import address
from protocol.types.ids import BEACON_SIZE, AtxId, Beacon, NodeId

from . import embedded_poet, local_space
from .composition import Composition, Handles, Parts, Serving
from .local_space import LocalSpaces, SharedTools, Space, light_randomx
from .ports.calls import Answered
from .start import Prepared, prepared

log = getLogger("devnet")

HRP = "stest"
LAYER_NS, EPOCH_LAYERS = 2 * SECOND, 8
START_DELAY_S = 4
"""From the moment when everything is compiled to the genesis."""
PHASE_SHIFT_NS, CYCLE_GAP_NS = 14 * SECOND, 14 * SECOND
"""Of an epoch of 16: a round takes the last two seconds of each. A longer one would only take more processor time."""
UNITS = (2, 3, 2, 4)
"""Space units of each node, in turns."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to run."""

    folder: Path
    nodes: int = 4
    accounts: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Those that have coins at the genesis, beside none: address to smidge."""
    public_ports: Sequence[int] = ()
    """Of the nodes, in their order; 0, and where none is named: any that is free."""


def config_of(genesis: Time, poet: str, plan: Plan, number: int) -> Config:
    """The settings of one node."""
    folder = plan.folder / f"node-{number}"
    public = plan.public_ports[number] if number < len(plan.public_ports) else 0
    return replace(
        FASTNET,
        main=replace(
            FASTNET.main,
            data_folder=str(folder),
            filelock=str(folder / "LOCK"),
            layer_duration_ns=LAYER_NS,
            layers_per_epoch=EPOCH_LAYERS,
            layer_average_size=10,
            tick_size=500,
            network_hrp=HRP,
            poet_servers=(PoetServer(poet),),
            atx_grade_delay_ns=200 * MILLISECOND,
            regossip_atx_interval_ns=0,
        ),
        genesis=replace(FASTNET.genesis, time=genesis, extra_data="devnet", accounts=plan.accounts),
        hare3=replace(
            FASTNET.hare3,
            committee=50,
            leaders=5,
            iterations_limit=2,
            preround_delay_ns=400 * MILLISECOND,
            round_duration_ns=200 * MILLISECOND,
        ),
        beacon=consensus.Beacon(
            rounds_number=3,
            grace_period_duration_ns=SECOND,
            proposal_duration_ns=SECOND,
            first_voting_round_duration_ns=2 * SECOND,
            voting_round_duration_ns=SECOND,
            weak_coin_round_duration_ns=SECOND,
            sync_weight_units=10,
        ),
        poet=replace(
            FASTNET.poet,
            phase_shift_ns=PHASE_SHIFT_NS,
            cycle_gap_ns=CYCLE_GAP_NS,
            grace_period_ns=SECOND,
            positioning_atx_selection_timeout_ns=500 * MILLISECOND,
            request_timeout_ns=4 * SECOND,
            retry_delay_ns=200 * MILLISECOND,
            info_cache_ttl_ns=SECOND,
            pow_params_cache_ttl_ns=SECOND,
        ),
        smeshing=replace(FASTNET.smeshing, start=True, coinbase=coinbase_of(number)),
        syncer=replace(FASTNET.syncer, interval_ns=SECOND, gossipduration_ns=SECOND),
        bootstrap=replace(FASTNET.bootstrap, url=""),
        api=replace(
            FASTNET.api,
            grpc_public_listener=f"127.0.0.1:{public}",
            grpc_private_listener="127.0.0.1:0",
            grpc_json_listener="127.0.0.1:0",
        ),
    )


class Devnet:
    """All of it. `start`, then `stop`, in one loop."""

    def __init__(self, plan: Plan, serving: Callable[[Handles], Serving]) -> None:
        self.plan = plan
        self._serving = serving
        self._held = ExitStack()
        """The locks of the data directories."""
        self.clock = WallClock()
        self.network = MemoryNetwork(self.clock)
        self.nodes: list[Composition] = []
        self._poet: PoetApp | None = None
        self._memory = light_randomx()
        self._made: list[LocalSpaces] = []
        self._pool = Workers("proofs", max(1, processors() - 1), 10_000)

    async def start(self) -> None:
        """PoST data of all nodes, the PoET, then the nodes; the genesis is a few seconds after. Raises Failure."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        await asyncio.to_thread(self._warm_up)
        port = _free_port()
        began = Time.of((self.clock.now() // SECOND + START_DELAY_S) * SECOND)
        poet = f"http://127.0.0.1:{port}"
        configs = [config_of(began, poet, self.plan, number) for number in range(self.plan.nodes)]
        found = [self._held.enter_context(prepared(one, now_ns=self.clock.now())) for one in configs]
        for number, one in enumerate(found):
            await asyncio.to_thread(self._make_spaces, one, UNITS[number % len(UNITS)])
        self._poet = PoetApp(embedded_poet.config_of(configs[0], self.plan.folder / "poet"))
        await self._poet.start()
        first_beacon = Beacon(found[0].genesis.genesis_id[:BEACON_SIZE])
        for number, one in enumerate(found):
            parts = Parts(
                host=partial(self._host, one),
                serving=self._serving,
                clock=self.clock,
                first_beacon=first_beacon,
                pool=self._pool,
                make_tools=partial(SharedTools, self._memory),
                name=f"node-{number}",
            )
            parts = replace(parts, spaces=partial(self._spaces, one, UNITS[number % len(UNITS)]))
            node = Composition(one, parts)
            self.nodes.append(node)
            await node.start()

    async def stop(self) -> None:
        """Nodes, PoET, locks."""
        poet, self._poet = self._poet, None
        ending = [] if poet is None else [embedded_poet.stop(poet)]
        await asyncio.gather(*(node.stop() for node in self.nodes), *ending)
        await asyncio.gather(*(asyncio.to_thread(one.close) for one in self._made))
        self._pool.close()
        self._memory.close()
        self._held.close()

    async def ended(self) -> Exception | None:
        """Until a node comes to its end by itself; by which error."""
        done, _ = await asyncio.wait([node.ended for node in self.nodes], return_when=asyncio.FIRST_COMPLETED)
        return next(iter(done)).result()

    def _host(self, one: Prepared, clock: Clock, parameters: NodeParameters) -> MemoryHost:
        return self.network.host(one.peer.text)

    def _warm_up(self) -> None:
        """What takes seconds, once for a machine or for this process, before the genesis is fixed."""
        from kernels.labels import cpu
        from kernels.scan import aes
        from node.eligibility import committee
        from prover.measure import poet

        cpu.compile_kernels()
        aes.compile_kernels()
        committee.prepare()
        poet.measure(0.0)  # makes and verifies a small proof, so that all that is compiled is there
        with self._memory.lend(False):
            pass

    def _make_spaces(self, one: Prepared, units: int) -> None:
        golden = AtxId(one.genesis.golden_atx)
        for identity, space in _spaces_of(one, units).items():
            local_space.make(one.config, identity, golden, space)

    def _spaces(self, one: Prepared, units: int, answered: Answered) -> LocalSpaces:
        found = LocalSpaces(one.config, self._memory, answered)
        self._made.append(found)
        for identity, space in _spaces_of(one, units).items():
            found.add(identity, space)
        return found


def _spaces_of(one: Prepared, units: int) -> dict[NodeId, Space]:
    return {own.node_id: Space(one.data.path / "post" / own.node_id.hex()[:16], units) for own in one.identities.all}


def coinbase_of(number: int) -> str:
    """Where the rewards of a node go."""
    return address.to_text(address.generate(bytes([number + 1]) * 20), HRP)


def _free_port() -> int:
    listener = bind(Address("127.0.0.1", 0), "the PoET's listener")
    port = port_of(listener)
    listener.close()
    return port
