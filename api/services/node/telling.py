"""What clients are told of a turn: the rows that it has written, and what its machines tell of, as events of the bus.

An onlooker of the engine, in its thread. Everything follows from rows that are stored, so that each thing is told once,
whatever led to it: gossip, sync, or what this node made. For kinds of which nobody hears nothing is even looked at.

| told | when |
|---|---|
| a transaction, an activation, a proof of malfeasance | its row is new |
| a layer: opened | the mesh sees it first |
| approved | hare came to something in it, or a certificate of it is taken, whichever is first |
| applied | its row in the ledger is new, or another than before; accounts, rewards and results go before it |
| confirmed | it is applied, and tortoise has decided on it and on all before: the reference never tells of that |
| a proposal | an own one was made; a block was made of one |
| the status | what the node says of itself is another, a layer has begun, a peer has come or gone |

Specified in protocol 10-api, section 2; 09b, section 6.4.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from node.activation.tables import ATXS
from node.assembly.parameters import NodeParameters
from node.beacon.machine import BEACONS
from node.blocks.machine import BlockMade
from node.blocks.tables import AGREED
from node.certificates import tables as certificates
from node.contract.instants import Instant
from node.engine.errors import MachineFailed
from node.ledger.tables import LAYERS, RESULTS, REWARDS
from node.malfeasance.tables import PROOFS
from node.mempool.tables import TRANSACTIONS
from node.proposals.builder import ProposalMade
from node.proposals.store import ProposalStore
from node.runtime.facts import Facts
from node.store.view import Rows, StoreView
from protocol.pb.spacemesh.v1 import node_types_pb2
from protocol.types.ids import LayerId, ProposalId
from protocol.types.transactions import Reward

from .bus import Bus
from .events import (
    AccountChanged,
    AtxAdded,
    Event,
    LayerStatus,
    LayerUpdated,
    NodeErred,
    ProposalSeen,
    ProposalStatus,
    RewardPaid,
    SmesherConvicted,
    StatusChanged,
    TransactionAdded,
    TransactionDone,
    UserEvent,
)
from .user_events import UserEvents

MOST_LAYERS = 1000
"""Of one kind that are told of in one turn, the newest: beyond that a node is catching up."""


class Telling:
    """An `Onlooker`. Mutable: knows how far layers have been told of."""

    def __init__(
        self,
        bus: Bus,
        parameters: NodeParameters,
        now: Callable[[], Instant],
        proposals: Callable[[], ProposalStore | None],
        peers: Callable[[], object],
    ) -> None:
        """proposals: those of the node that runs; asked in the engine's thread. peers: who is connected, to be compared
        with who was.
        """
        self._bus, self._time, self._now, self._proposals = bus, parameters.time, now, proposals
        self._peers = peers
        self._users = UserEvents(parameters, now)
        self._facts: Facts | None = None
        """As of the turn before; None: there was none, and what came before is not told."""
        self._opened_to = self._confirmed_to = LayerId(0)
        """The newest layers that were told of. A node that begins anew on its stores decides on old layers again."""
        self._status_of: object = None
        """What it was that the status was last told of."""

    def committed(self, rows: Rows, events: Sequence[object], facts: Facts) -> None:
        """As Onlooker says."""
        if self._facts is None:
            self._opened_to, self._confirmed_to = facts.latest, _decided(facts)
        # what is undone will be told of again; layers of the genesis are not applied
        self._confirmed_to = max(min(self._confirmed_to, facts.applied), self._time.effective_genesis)
        told = [
            *self._transactions(rows),
            *self._activations(rows),
            *self._malfeasance(rows),
            *self._opened(facts),
            *self._approved(rows),
            *self._applied(rows),
            *self._confirmed(facts),
            *self._proposals_seen(rows, events),
            *self._user_events(rows, events),
            *self._status(facts),
        ]
        self._facts = facts
        self._opened_to = max(self._opened_to, facts.latest)
        self._confirmed_to = max(self._confirmed_to, _decided(facts))
        if told:
            self._bus.publish(told)

    # ---- what came in ----

    def _transactions(self, rows: Rows) -> Iterator[Event]:
        hears_accounts = self._bus.hears(AccountChanged)
        if not (hears_accounts or self._bus.hears(TransactionAdded)):
            return
        for id, stored in rows.put_rows(TRANSACTIONS):
            if stored.header is None:
                continue  # it came in a block, and means nothing yet
            before = rows.root.get(TRANSACTIONS, id)
            if before is None or before.header is None:
                yield TransactionAdded(id, stored.header.principal)
                if hears_accounts:
                    yield AccountChanged(stored.header.principal)

    def _activations(self, rows: Rows) -> Iterator[Event]:
        if self._bus.hears(AtxAdded):
            for id, _ in rows.put_rows(ATXS):
                if not rows.root.has(ATXS, id):
                    yield AtxAdded(id)

    def _malfeasance(self, rows: Rows) -> Iterator[Event]:
        if self._bus.hears(SmesherConvicted):
            for identity, stored in rows.put_rows(PROOFS):
                if not rows.root.has(PROOFS, identity):
                    yield SmesherConvicted(identity, stored.proof)

    # ---- layers ----

    def _opened(self, facts: Facts) -> Iterator[Event]:
        if self._bus.hears(LayerUpdated):
            yield from _updates(self._opened_to, facts.latest, LayerStatus.OPENED)

    def _approved(self, rows: Rows) -> Iterator[Event]:
        if not self._bus.hears(LayerUpdated):
            return
        found = {layer for layer, _ in rows.put_rows(AGREED)}
        found |= {layer for (layer, _), row in rows.put_rows(certificates.CERTIFICATES) if row.is_valid}
        for layer in sorted(found):
            if not _was_approved(rows.root, layer):
                yield LayerUpdated(layer, LayerStatus.APPROVED)

    def _applied(self, rows: Rows) -> Iterator[Event]:
        kinds = (AccountChanged, RewardPaid, TransactionDone, LayerUpdated)
        accounts, rewards, results, layers = (self._bus.hears(kind) for kind in kinds)
        if not (accounts or rewards or results or layers):
            return
        root = rows.root
        paid: defaultdict[LayerId, list[Reward]] = defaultdict(list)
        for key, reward in rows.put_rows(REWARDS) if rewards else ():
            if root.get(REWARDS, key) != reward:
                paid[key[0]].append(reward)
        for layer, applied in rows.put_rows(LAYERS):
            if root.get(LAYERS, layer) == applied:
                continue
            if accounts:
                yield from map(AccountChanged, applied.accounts)
            yield from map(RewardPaid, paid[layer])
            if results:
                for id in applied.transactions:
                    result = rows.get(RESULTS, id)
                    if result is not None and root.get(RESULTS, id) != result:
                        yield TransactionDone(id, result)
            if layers:
                yield LayerUpdated(layer, LayerStatus.APPLIED)

    def _confirmed(self, facts: Facts) -> Iterator[Event]:
        if self._bus.hears(LayerUpdated):
            yield from _updates(self._confirmed_to, _decided(facts), LayerStatus.CONFIRMED)

    # ---- proposals, owners, errors, status ----

    def _proposals_seen(self, rows: Rows, events: Sequence[object]) -> Iterator[Event]:
        if not self._bus.hears(ProposalSeen):
            return
        for event in events:
            match event:
                case ProposalMade(_, layer, id):
                    yield from self._seen(rows, layer, [id], ProposalStatus.CREATED)
                case BlockMade(layer, block) if any(block):
                    yield from self._seen(rows, layer, rows.get(AGREED, layer) or (), ProposalStatus.INCLUDED)

    def _seen(
        self, rows: Rows, layer: LayerId, ids: Sequence[ProposalId], status: ProposalStatus
    ) -> Iterator[ProposalSeen]:
        store = self._proposals()
        for id in ids:
            proposal = None if store is None else store.proposal(rows, layer, id)
            if proposal is not None:
                yield ProposalSeen(id, proposal, status)

    def _user_events(self, rows: Rows, events: Sequence[object]) -> Iterator[Event]:
        for epoch, beacon in rows.put_rows(BEACONS):
            if rows.root.get(BEACONS, epoch) != beacon:
                yield UserEvent(self._users.beacon(epoch, beacon))
        for event in events:
            for told in self._users.of(event, rows):
                yield UserEvent(told)
            if isinstance(event, MachineFailed):
                words = f"A message on {event.channel} was ignored: the {event.machine} machine failed on it."
                yield NodeErred(node_types_pb2.LOG_LEVEL_ERROR, words, event.error)

    def _status(self, facts: Facts) -> Iterator[Event]:
        if self._bus.hears(StatusChanged):
            before, self._status_of = self._status_of, (facts, self._time.layer_at(self._now()), self._peers())
            if before != self._status_of:
                yield StatusChanged()


def _updates(before: LayerId, after: LayerId, status: LayerStatus) -> Iterator[LayerUpdated]:
    for layer in range(max(before, after - MOST_LAYERS) + 1, after + 1):
        yield LayerUpdated(LayerId(layer), status)


def _decided(facts: Facts) -> LayerId:
    """Up to here layers are in the state, and will stay there."""
    return min(facts.applied, facts.verified)


def _was_approved(root: StoreView, layer: LayerId) -> bool:
    return root.has(AGREED, layer) or any(row.is_valid for _, row in certificates.of_layer(root, layer))
