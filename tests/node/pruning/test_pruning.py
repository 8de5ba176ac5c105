"""What is let go, what stays, and that it is done in small steps."""

from __future__ import annotations

from collections.abc import Iterator

from node.certificates.tables import CERTIFICATES, StoredCertificate
from node.contract.effects import Emit, SetTimer
from node.contract.inputs import Timer
from node.contract.instants import Instant
from node.mempool.tables import HELD, IN_BLOCK, IN_PROPOSAL
from node.pruning.machine import PAUSE, STEP, Pruned, PruningMachine
from node.schema import STATE
from node.store.store import Store
from node.store.view import ALL, Rows
from protocol.numbers.durations import SECOND
from protocol.numbers.layers import NetworkTime
from protocol.types.certificates import Certificate
from protocol.types.ids import BlockId, LayerId, ProposalId, TransactionId

TIME = NetworkTime(0, SECOND, 4)
HDIST, INTERVAL = 10, 60 * SECOND


def layer_store(layers: int, a_layer: int = 1) -> Store:
    """A store with a certificate and a transaction in a block and a proposal, so many of each layer."""
    store = Store.in_memory(STATE)
    rows = Rows(store.view())
    for number in range(layers * a_layer):
        layer, id = LayerId(number // a_layer), number.to_bytes(20, "big")
        rows.put(CERTIFICATES, (layer, BlockId(id)), StoredCertificate(Certificate(BlockId(id), ()), True))
        rows.put(HELD, (TransactionId(bytes(12) + id), IN_PROPOSAL, layer, ProposalId(id)), None)
        rows.put(HELD, (TransactionId(bytes(12) + id), IN_BLOCK, layer, BlockId(id)), None)
    store.write(rows)
    return store


def steps(store: Store, layer: int) -> Iterator[Pruned | None]:
    """A round at a layer: what each step tells of; written as an engine would."""
    now = Instant(TIME.start_ns(layer))
    machine = PruningMachine(TIME, HDIST, INTERVAL)
    (first,) = machine.start(store.view(), now).effects
    assert first == SetTimer("round", now)
    timer: object = "round"
    while True:
        step = machine.timer(Timer(timer, now), store.view(), now)
        if step.rows is not None:
            store.write(step.rows)
        timers = [effect for effect in step.effects if isinstance(effect, SetTimer)]
        told = [effect.event for effect in step.effects if isinstance(effect, Emit)]
        yield told[0] if told else None  # type: ignore[misc]
        (next_timer,) = timers
        if next_timer.key == "round":
            assert next_timer.due == now + INTERVAL
            return
        assert next_timer.due == now + PAUSE
        timer, now = next_timer.key, next_timer.due


def certificates(store: Store) -> list[int]:
    """Layers with a certificate."""
    return [layer for (layer, _), row in store.view().scan(CERTIFICATES, ALL) if row.certificate is not None]


def in_proposals(store: Store) -> list[int]:
    return [layer for _, holder, layer, _ in store.view().keys(HELD, ALL) if holder == IN_PROPOSAL]


def test_what_is_older_than_hare_decides_on_is_let_go_and_its_rows_stay() -> None:
    store = layer_store(20)
    assert list(steps(store, 15))[-1] == Pruned(LayerId(5), 5, 5)
    assert certificates(store) == list(range(5, 20))
    assert in_proposals(store) == list(range(5, 20))
    assert len(list(store.view().keys(CERTIFICATES))) == 20
    assert sum(holder == IN_BLOCK for _, holder, _, _ in store.view().keys(HELD)) == 20


def test_nothing_is_let_go_before_hdist_layers_have_passed() -> None:
    """The reference's arithmetic wraps there, and takes everything."""
    store = layer_store(12)
    for layer in (0, HDIST - 1, HDIST):
        assert list(steps(store, layer)) == [None]
    assert len(certificates(store)) == len(in_proposals(store)) == 12


def test_a_step_looks_at_few_rows() -> None:
    store = layer_store(10, a_layer=STEP // 4)  # 2.5 steps of certificates, and 5 of transactions
    told = list(steps(store, 30))
    assert len(told) == 3 + 5
    assert told[-1] == Pruned(LayerId(20), STEP // 4 * 10, STEP // 4 * 10)
    assert told[:-1] == [None] * 7


def test_a_round_with_nothing_to_do_tells_nothing() -> None:
    assert list(steps(Store.in_memory(STATE), 100)) == [None, None]
