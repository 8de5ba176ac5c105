"""A small network: a chain made from nothing, nodes that have it or get it, all of their machines but hare and beacon.

Stand-ins are whoever judges ballots, and tortoise, which holds a block for valid that a ballot supports, or that a
certificate names, and a layer for verified once it counts a later one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from node.activation import tables as activation
from node.activation.columns import AtxColumns, AtxRow
from node.activation.machine import ActivationMachine
from node.activation.parameters import ActivationParameters
from node.activation.poets import PoetMachine
from node.activation.tables import ATXS
from node.beacon.machine import BEACONS
from node.blocks.machine import BlockMachine
from node.blocks.parameters import BlockParameters
from node.blocks.patrol import LayerPatrol
from node.certificates.machine import CertificateMachine
from node.certificates.parameters import CertificateParameters
from node.certificates.tables import CERTIFICATES, StoredCertificate, hare_output
from node.contract.checks import NetworkChecker, SignatureCheck
from node.contract.demands import Fetch
from node.contract.effects import Emit
from node.contract.inputs import Tick
from node.contract.instants import Instant
from node.contract.machine import Machine
from node.contract.messages import Message, PeerId
from node.contract.steps import Found, Judged, Needs, Step, Ticket
from node.contract.verdicts import ACCEPT, ignore, reject
from node.eligibility.active_set import ActiveSet, Member
from node.fetch.blobs import Blobs, stored
from node.fetch.client import Fetching
from node.fetch.parameters import FetchParameters, ServerParameters
from node.fetch.peers import PeerScores
from node.fetch.server import FetchServer
from node.ledger import tables as ledger
from node.ledger.parameters import VmParameters
from node.ledger.vm import Vm
from node.malfeasance.machine import MalfeasanceMachine
from node.mempool.handler import TxHandler
from node.mempool.pool import Mempool
from node.mesh.executor import Executor
from node.mesh.mesh import GENESIS_MESH_HASH, Mesh, MeshParameters
from node.mesh.tables import BALLOTS, BLOCKS, MESH_HASHES
from node.sim.chance import Chance
from node.store.memory import MemoryBackend
from node.store.store import Backend
from node.store.view import Rows, StoreView, View
from node.sync.machine import SyncMachine
from node.sync.parameters import AtxSyncParameters, MalfeasanceSyncParameters, SyncParameters
from node.tortoise.results import BlockResult, LayerResult
from protocol.codec.declare import CodecError
from protocol.crypto.hashing import hash32
from protocol.crypto.signing import Domain
from protocol.numbers.durations import MILLISECOND, SECOND
from protocol.types.ballots import Ballot, Vote
from protocol.types.fetch import Hint
from protocol.types.ids import (
    EMPTY_BLOCK_ID,
    Address,
    AtxId,
    BlockId,
    EpochId,
    Hash32,
    LayerId,
    NodeId,
    as_hash32,
)
from tests.node.activation.forge import GOLDEN, LABELS, TICK
from tests.node.contract.world import GENESIS_ID, Key, at
from tests.node.fetch.network import Host, Network
from tests.support.node_stores import stores_over
from tests.vector_cases.consensus_support import KeyRing

from .chain import BEACON, COMMITTEE, EPOCH, FIRST, HDIST, KEYS, TIME, Chain

# ---- stand-ins ----


class Tortoise:
    """What follows from ballots and certificates."""

    def __init__(self) -> None:
        self.touches = 0
        self.last = LayerId(0)
        self.known: dict[BlockId, Vote] = {}
        self.supported: dict[LayerId, BlockId] = {}
        self.hare: dict[LayerId, BlockId] = {}
        self.told: list[tuple[LayerId, BlockId]] = []
        self.applied = LayerId(FIRST - 1)
        self.columns: AtxColumns | None = None

    def rebuild(self, view: View) -> None:
        """As it was after everything that is stored."""
        for _, one in view.scan(BALLOTS):
            self.count(one)
        for id, block in view.scan(BLOCKS):
            self.known[id] = Vote(id, block.layer, block.tick_height)
        for layer, _ in view.keys(CERTIFICATES):
            output = hare_output(view, layer)
            if output is not None:
                self.hare[layer] = output
        self.applied = LayerId(max([FIRST - 1, *view.keys(ledger.LAYERS)]))

    def count(self, one: Ballot) -> None:
        """A ballot was stored."""
        self.touches += 1
        for vote in one.votes.support:
            if self.supported.get(vote.layer) != vote.id:
                self.supported[vote.layer] = vote.id
                self.applied = min(self.applied, LayerId(vote.layer - 1))

    def on_block(self, vote: Vote) -> None:
        self.touches += 1
        self.known[vote.id] = vote

    def on_hare_output(self, layer: LayerId, block: BlockId) -> None:
        self.touches += 1
        self.hare[layer] = block
        self.told.append((layer, block))

    def on_malfeasance(self, node: NodeId) -> None:
        self.touches += 1

    def on_applied(self, layer: LayerId, opinion: Hash32) -> bool:
        self.applied = layer
        return True

    def missing_active_set(self, epoch: EpochId, ids: Sequence[AtxId]) -> Sequence[AtxId]:
        assert self.columns is not None
        return self.columns.missing(epoch, ids)

    def tally(self, last: LayerId) -> None:
        self.last = max(self.last, last)

    def updates(self) -> Sequence[LayerResult]:
        opinion, found = bytes(GENESIS_MESH_HASH), []
        for layer in map(LayerId, range(FIRST, self.last + 1)):
            id = self.supported.get(layer, self.hare.get(layer, EMPTY_BLOCK_ID))
            opinion = hash32(opinion + id)
            if layer <= self.applied:
                continue
            is_old = layer < self.last
            vote = self.known.get(id, Vote(id, layer, 0))
            block = BlockResult(vote, is_old, False, self.hare.get(layer) == id, id in self.known, False)
            found.append(LayerResult(layer, is_old, Hash32(opinion), () if id == EMPTY_BLOCK_ID else (block,)))
        return found


class Ballots(Machine):
    """Judges ballots: their id, their signature, and that their activation is here or can be had."""

    name, hints = "ballots", (Hint.BALLOT,)

    def __init__(self, mesh: Mesh, tortoise: Tortoise) -> None:
        self._mesh = mesh
        self._tortoise = tortoise

    def start(self, view: View, now: Instant) -> Step:
        self._tortoise.rebuild(view)
        return Step()

    def admit(self, message: Message, view: View, now: Instant) -> Judged | Needs:
        try:
            decoded = Ballot.codec.decode(message.data)
        except CodecError as error:
            return Judged(reject("malformed", str(error)))
        if message.expected not in (None, as_hash32(decoded.id())):
            return Judged(reject("wrong_hash"))
        check = SignatureCheck(Domain.BALLOT, decoded.smesher_id, decoded.signed_bytes(), decoded.signature)
        return Needs(signatures=(check,), memo=(decoded, False))

    def proceed(self, ticket: Ticket, found: Found, view: View, now: Instant) -> Judged | Needs:
        decoded, has_asked = ticket.memo  # type: ignore[misc]
        if not found.all_hold:
            return Judged(reject("bad_signature"))
        if not view.has(ATXS, decoded.inner.atx_id):
            if has_asked:
                return Judged(ignore("atx_unavailable"))
            peers = () if ticket.message.peer is None else (ticket.message.peer,)
            return Needs(demands=(Fetch(Hint.ATX, decoded.inner.atx_id, peers),), memo=(decoded, True))
        rows = Rows(view)
        self._mesh.add_ballot(rows, decoded, is_malicious=True)
        self._tortoise.count(decoded)
        return Judged(ACCEPT, rows)


class Atxs:
    """Activations by the epoch in which they count, and the committee."""

    def __init__(self, columns: AtxColumns) -> None:
        self._columns = columns

    def of(self, id: AtxId, layer: LayerId) -> Rewarded | None:
        row = self._columns.get(TIME.epoch_of(layer), id)
        return None if row is None else Rewarded(row.node, row.coinbase, row.weight, row.base_height)

    def atx(self, layer: LayerId, id: AtxId) -> Rewarded | None:
        return self.of(id, layer)

    def missing_active_set(self, epoch: EpochId, ids: Sequence[AtxId]) -> Sequence[AtxId]:
        return self._columns.missing(epoch, ids)

    def active_set(self, view: View, layer: LayerId) -> ActiveSet:
        return ActiveSet({key.identity: Member(AtxId(key.identity), 100) for key in KEYS}, 100 * len(KEYS))


@dataclass(frozen=True, slots=True)
class Rewarded:
    """Whom an activation belongs to."""

    smesher_id: NodeId
    coinbase: Address
    weight: int
    base_tick_height: int


class Followers:
    """Tells nobody."""

    def __init__(self, columns: AtxColumns) -> None:
        self._columns = columns

    def on_atx(self, epoch: EpochId, atx: AtxRow, *, is_new: bool) -> None:
        pass

    def on_malicious(self, node: NodeId) -> None:
        self._columns.mark_malicious(node)


class NoProposals:
    """There are none."""

    def proposal(self, view: View, layer: LayerId, id: bytes) -> None:
        return None


# ---- nodes ----

QUICK = SyncParameters(
    hare_delay_layers=2,
    certificate_distance=HDIST,
    interval=5 * SECOND,
    gossip_duration=10 * SECOND,
    max_stale=60 * SECOND,
    tally_fraction=0,
    atxs=AtxSyncParameters(batch=5, at_once=3, retry_pause=100 * MILLISECOND),
    malfeasance=MalfeasanceSyncParameters(min_peers=1),
)
SOURCE = replace(QUICK, interval=SECOND, is_standalone=True)


class Node:
    """All machines over stores that outlive them."""

    def __init__(
        self,
        network: Network,
        name: PeerId,
        parameters: SyncParameters = QUICK,
        backends: tuple[Backend, Backend] | None = None,
        own: Sequence[Key] = (),
        fetch: FetchParameters | None = None,
    ) -> None:
        self.network, self.name = network, name
        self.backends = backends or (MemoryBackend(), MemoryBackend())
        stores = stores_over(self.backends)
        if backends is None:
            rows = Rows(stores.view())
            for epoch in range(2, 20):
                rows.put(BEACONS, EpochId(epoch), BEACON)
            stores.write(rows)
        self.keys = KeyRing(*own)
        columns, pool, tortoise = AtxColumns(), Mempool(), Tortoise()
        self.columns, self.tortoise, self.patrol = columns, tortoise, LayerPatrol()
        tortoise.columns = columns
        atxs, followers = Atxs(columns), Followers(columns)
        vm = Vm(VmParameters(GENESIS_ID, "sm", TIME.effective_genesis))
        executor = Executor(vm, pool, atxs.of)
        self.mesh = Mesh(MeshParameters(TIME.effective_genesis), tortoise, executor, pool)
        nothing = Blobs(lambda view, id: False, lambda view, id: None)
        sources = {**stored(), Hint.ACTIVE_SET: nothing, Hint.PROPOSAL: nothing}
        network.starts += 1
        random = Chance(network.starts)
        self.scores = PeerScores(lambda: network.peers(name), random)
        self.sync = SyncMachine(parameters, TIME, self.scores, random, self.mesh, tortoise, self.patrol)
        self.fetching = Fetching(fetch or FetchParameters(), self.scores, sources)
        self.server = FetchServer(ServerParameters(share_of_peer=1), sources)
        status = self.sync.status
        activations = ActivationMachine(
            ActivationParameters(GOLDEN, TICK, LABELS, 2, 1000, 37, 1),
            TIME,
            self.keys,
            columns,
            followers,
            lambda identity, challenge: (3,),
            lambda: status.is_atx_synced,
            lambda view: EpochId(0),
        )
        machines: list[Machine] = [
            activations,
            PoetMachine(),
            MalfeasanceMachine(self.keys, activation, followers, lambda: status.is_synced),
            TxHandler(vm, pool, lambda: status.listens),
            Ballots(self.mesh, tortoise),
            BlockMachine(BlockParameters(0, 70), TIME, NoProposals(), atxs, atxs, self.mesh, executor, self.patrol),
            CertificateMachine(
                CertificateParameters(COMMITTEE, COMMITTEE // 2 + 1, 2, 4),
                TIME,
                atxs,
                tortoise,
                self.keys,
                NetworkChecker(GENESIS_ID),
                status.may_sign,
            ),
            self.fetching,
            self.server,
            self.sync,
        ]
        self.host = Host(network, name, stores, machines, derived=[columns, tortoise, pool, self.mesh, self.patrol])

    @classmethod
    def with_chain(cls, network: Network, name: PeerId, chain: Chain) -> Node:
        """One that has it all, and its state."""
        node = cls(network, name, SOURCE)
        for message in chain.messages(network.now):
            node.host.turn(message)
            network.run_for(10 * MILLISECOND)
        rows = Rows(node.view())
        for layer, one in chain.certificates.items():
            rows.put(CERTIFICATES, (LayerId(layer), one.block_id), StoredCertificate(one, True))
            node.tortoise.on_hare_output(LayerId(layer), one.block_id)
        node.host.stores.write(rows)
        network.run_for(5 * SECOND)
        return node

    def restarted(self, parameters: SyncParameters = QUICK) -> Node:
        """Another process on the same stores."""
        self.host.stop()
        return Node(self.network, self.name, parameters, self.backends, self.keys.keys)

    def view(self) -> StoreView:
        return self.host.stores.view()

    def tick(self, layer: int) -> None:
        """A layer begins, when its time has come."""
        self.network.run(max(self.network.now, at(layer)))
        self.host.tick(Tick(LayerId(layer), at(layer)))

    def events(self, kind: type) -> list[object]:
        """Of one kind."""
        return [one.event for one in self.host.of(Emit) if isinstance(one.event, kind)]

    def in_state(self, layer: int) -> BlockId | None:
        """The block that a layer has in the state."""
        row = self.view().get(ledger.LAYERS, LayerId(layer))
        return None if row is None else row.block

    def hash_of(self, layer: int) -> Hash32 | None:
        """Its hash of the mesh."""
        return self.view().get(MESH_HASHES, LayerId(layer))

    def has_all_of(self, chain: Chain) -> bool:
        """Whether all objects are here, and the state is theirs."""
        view = self.view()
        return (
            all(view.has(ATXS, one.id) for one in chain.atxs if one.atx.publish_epoch < chain.current // EPOCH)
            and all(view.has(BALLOTS, one.id()) for one in chain.ballots)
            # that of the last layer is known by its certificate alone, as long as that counts
            and all(view.has(BLOCKS, one.id()) for layer, one in chain.blocks.items() if layer < chain.current - 1)
            and all(self.in_state(layer) == chain.block_of(layer) for layer in range(FIRST, chain.current - 1))
        )
