"""Which transactions are taken, by the way they come."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.contract.checks import NetworkChecker
from node.contract.instants import Instant
from node.contract.messages import Message, Origin, PeerId
from node.contract.steps import Found, Judged, Needs, Ticket
from node.contract.verdicts import Judgement
from node.engine.edges import Judge
from node.engine.engine import Engine
from node.engine.errors import EngineStopped
from node.ledger.tables import ACCOUNTS
from node.mempool import transactions
from node.mempool.handler import BLOCK_TRANSACTIONS, PROPOSAL_TRANSACTIONS, TOPIC, TxHandler
from node.mempool.pool import Mempool
from node.schema import OWN
from node.store.errors import StoreDamaged
from node.store.own import OwnStore
from node.store.stores import Stores
from protocol.types.ids import TransactionId
from protocol.types.transactions import RawTx
from tests.support import vm_world as world
from tests.support.vm_world import FIRST

W1, W2 = world.wallet(1), world.wallet(2)
M = world.multisig((1, 2, 3), (0, 1))
GOOD = W1.spend(W2.address, 5, 3)
UNSIGNED = GOOD[:-1] + b"\0"
FREE = W1.spend(W2.address, 5, 3, 0)
POOR = W1.spend(W2.address, 10**9, 3)
OLD = W1.spend(W2.address, 5, 2)
UNSPAWNED = W2.spend(W1.address, 5, 0)
NONSENSE = b"\xff" * 100
HUGE = bytes(5000)
TORN = M.spend(W2.address, 5, 0)[:-1]
NOBODY = TransactionId(bytes(32))
NOW = Instant(7)


def id_of(raw: bytes) -> TransactionId:
    return RawTx.of(raw).id


class Node:
    """The handler with its store and a checker of signatures."""

    def __init__(self) -> None:
        self.machine = world.machine([W1.spawned(10**9, 3), M.spawned(10**9)])
        self.kept = self.machine.kept
        self.pool = Mempool()
        self.is_synced = True
        self.handler = TxHandler(self.machine.vm, self.pool, lambda: self.is_synced)
        self.checker = NetworkChecker(world.GENESIS_ID)

    def admit(self, message: Message) -> Judged | Needs:
        return self.kept.read(lambda view: self.handler.admit(message, view, NOW))

    def proceed(self, message: Message, needs: Needs) -> Judged | Needs:
        ticket = Ticket(1, message, needs.memo, Instant(NOW + 60))
        found = Found(self.checker.signatures(needs.signatures))
        return self.kept.read(lambda view: self.handler.proceed(ticket, found, view, NOW))

    def judge(self, message: Message) -> Judged:
        """All steps; what the last one puts is written."""
        step = self.admit(message)
        while isinstance(step, Needs):
            step = self.proceed(message, step)
        if step.rows is not None:
            self.kept.write(step.rows)
        assert not step.effects
        return step

    def is_stored(self, raw: bytes, *, with_header: bool = False) -> bool:
        return self.kept.read(lambda view: transactions.has(view, id_of(raw), with_header=with_header))


def gossip(raw: bytes, origin: Origin = Origin.GOSSIP) -> Message:
    return Message(TOPIC, raw, origin, NOW)


def fetched(raw: bytes, expected: TransactionId, channel: str = PROPOSAL_TRANSACTIONS) -> Message:
    return Message(channel, raw, Origin.FETCHED, NOW, expected=expected)


REFUSED = [
    (UNSIGNED, "not_signed"),
    (TORN, "not_signed"),
    (FREE, "no_fee"),
    (W1.spend(W2.address, 5, 3, 1 << 63), "no_fee"),
    (POOR, "insufficient_balance"),
    (OLD, "bad_nonce"),
    (UNSPAWNED, "not_spawned"),
    (NONSENSE, "malformed"),
    (HUGE, "tx_limit"),
]


@pytest.mark.parametrize("origin", [Origin.GOSSIP, Origin.OWN, Origin.RESTORED])
@pytest.mark.parametrize(("raw", "reason"), REFUSED)
def test_what_is_not_taken_is_not_relayed_and_nobody_is_to_blame(raw: bytes, reason: str, origin: Origin) -> None:
    node = Node()
    before = node.kept.everything()
    judged = node.judge(gossip(raw, origin))
    assert (judged.verdict.judgement, judged.verdict.reason) == (Judgement.IGNORE, reason)
    assert judged.verdict.detail
    assert node.kept.everything() == before and not node.pool.waiting()


@pytest.mark.parametrize("origin", [Origin.GOSSIP, Origin.OWN, Origin.RESTORED])
def test_a_good_transaction_is_taken_and_relayed(origin: Origin) -> None:
    node = Node()
    assert node.judge(gossip(GOOD, origin)).verdict.is_accepted
    (waiting,) = node.pool.waiting()[W1.address]
    assert (waiting.id, waiting.raw, waiting.received) == (id_of(GOOD), GOOD, NOW)
    assert node.is_stored(GOOD, with_header=True)
    again = node.judge(gossip(GOOD, origin)).verdict
    assert again.reason == ("duplicate" if origin is Origin.GOSSIP else "")


def test_a_node_that_is_not_synced_judges_no_gossip() -> None:
    node = Node()
    node.is_synced = False
    assert node.judge(gossip(GOOD)).verdict.reason == "not_synced"
    assert not node.is_stored(GOOD)
    assert node.judge(gossip(GOOD, Origin.OWN)).verdict.is_accepted


def test_signatures_are_asked_for_and_not_checked_here() -> None:
    node = Node()
    for raw, count in ((GOOD, 1), (UNSIGNED, 1), (M.spend(W2.address, 5, 0), 2)):
        needs = node.admit(gossip(raw))
        assert isinstance(needs, Needs) and len(needs.signatures) == count
    assert not node.pool.waiting() and not node.is_stored(GOOD), "nothing changes while a message waits"


def test_a_principal_with_other_keys_by_then_is_looked_at_again() -> None:
    """A ledger may say another thing of the principal than it did when the signatures were asked for."""
    node = Node()
    message = gossip(GOOD)
    needs = node.admit(message)
    assert isinstance(needs, Needs)
    before, other = W1.spawned(10**9, 3), world.wallet(9)
    changed = replace(before, state=other.state)
    node.kept.unit(lambda rows: rows.put(ACCOUNTS, W1.address, changed))
    again = node.proceed(message, needs)
    assert isinstance(again, Needs) and again.signatures[0].public_key == other.state
    judged = node.proceed(message, again)
    assert isinstance(judged, Judged) and judged.verdict.reason == "not_signed"
    assert not node.is_stored(GOOD) and not node.pool.waiting()


def test_what_a_layer_has_made_worthless_while_it_waited_is_not_taken() -> None:
    node = Node()
    message = gossip(GOOD)
    needs = node.admit(message)
    assert isinstance(needs, Needs)
    node.machine.apply(FIRST, world.transactions([W1.spend(W2.address, 5, 3), W1.spend(W2.address, 5, 9)]))
    judged = node.proceed(message, needs)
    assert isinstance(judged, Judged) and judged.verdict.reason == "bad_nonce"


def test_the_same_transaction_twice_in_a_turn_is_taken_once() -> None:
    node = Node()
    first, second = gossip(GOOD), gossip(GOOD)
    waiting = [(message, node.admit(message)) for message in (first, second)]
    verdicts = []
    for message, needs in waiting:
        assert isinstance(needs, Needs)
        judged = node.proceed(message, needs)
        assert isinstance(judged, Judged)
        if judged.rows is not None:
            node.kept.write(judged.rows)
        verdicts.append(judged.verdict.reason)
    assert verdicts == ["", "duplicate"]


def test_a_peer_that_answers_with_another_transaction_is_to_blame() -> None:
    node = Node()
    for raw in (GOOD, UNSIGNED):
        verdict = node.judge(fetched(raw, NOBODY)).verdict
        assert verdict.judgement is Judgement.REJECT and "incorrect hash" in verdict.detail
    assert node.judge(fetched(NONSENSE, NOBODY)).verdict.judgement is Judgement.IGNORE
    assert not node.is_stored(GOOD)
    assert node.judge(fetched(GOOD, id_of(GOOD))).verdict.is_accepted
    assert node.is_stored(GOOD)
    assert node.judge(fetched(GOOD, id_of(GOOD))).verdict.is_accepted, "what is known is no fault of who sends it"


def test_a_blocks_transactions_are_stored_whatever_they_are() -> None:
    node = Node()
    for raw, has_header in (
        (GOOD, True),
        (UNSIGNED, False),
        (UNSPAWNED, False),
        (NONSENSE, False),
        (HUGE, False),
        (TORN, False),
        (POOR, True),
        (FREE, True),
    ):
        assert node.judge(fetched(raw, id_of(raw), BLOCK_TRANSACTIONS)).verdict.is_accepted
        assert node.is_stored(raw) and node.is_stored(raw, with_header=True) == has_header
    assert not node.pool.waiting()
    rejected = node.judge(fetched(GOOD, NOBODY, BLOCK_TRANSACTIONS)).verdict
    assert rejected.judgement is Judgement.REJECT
    assert node.judge(fetched(UNSIGNED, id_of(UNSIGNED), BLOCK_TRANSACTIONS)).rows is None, "known by now"


def test_a_start_fills_the_pool() -> None:
    node = Node()
    node.judge(gossip(GOOD))
    restarted = Mempool()
    handler = TxHandler(node.machine.vm, restarted, lambda: True)
    node.kept.read(lambda view: handler.start(view, NOW))
    assert restarted.waiting() == node.pool.waiting()


# ---- in the engine ----


def engine_of(node: Node) -> Engine:
    stores = Stores(node.kept.store, OwnStore.in_memory(OWN))
    engine = Engine([node.handler], stores, node.checker, derived=[node.pool])
    engine.start(NOW)
    return engine


def verdicts(engine: Engine, *raws: bytes) -> list[str]:
    """All in one turn."""
    outputs = engine.turn([Message(TOPIC, raw, Origin.GOSSIP, NOW, PeerId(b"peer")) for raw in raws], NOW)
    found = {output.message.data: output.verdict.reason for output in outputs if isinstance(output, Judge)}
    return [found[raw] for raw in raws]


def test_a_turn_of_many_transactions_is_checked_in_one_batch_and_written_in_one() -> None:
    node = Node()
    engine = engine_of(node)
    before = node.kept.store.writes
    row = [W1.spend(W2.address, 5, nonce) for nonce in range(3, 9)]
    assert verdicts(engine, *row, UNSIGNED, NONSENSE, M.spend(W2.address, 1, 0)) == [""] * 6 + [
        "not_signed",
        "malformed",
        "",
    ]
    assert node.kept.store.writes == before + 1
    assert [one.raw for one in node.pool.waiting()[W1.address]] == row
    restarted = Mempool()
    node.kept.read(restarted.start)
    assert restarted.waiting() == node.pool.waiting()


def test_what_an_earlier_message_of_the_turn_spends_is_not_there_for_a_later_one() -> None:
    node = Node()
    engine = engine_of(node)
    assert verdicts(engine, W1.spend(W2.address, 9 * 10**8, 3), W1.spend(W2.address, 9 * 10**8, 4)) == [
        "",
        "insufficient_balance",
    ]


def test_a_damaged_account_stops_the_node_and_is_no_fault_of_the_transaction() -> None:
    node = Node()
    engine = engine_of(node)
    node.kept.backend.write([(ACCOUNTS.prefix + W1.address, b"short")], sync=False)
    with pytest.raises(EngineStopped) as caught:
        verdicts(engine, GOOD)
    assert isinstance(caught.value.__cause__, StoreDamaged)
    assert not node.pool.waiting()
