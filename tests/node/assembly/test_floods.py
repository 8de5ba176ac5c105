"""One peer floods a node, or names what nobody has: what is kept is bounded, asked for, and let go."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from node.activation.machine import TOPIC as ATXS
from node.activation.tables import BLOBS
from node.beacon.coin import BUFFER
from node.beacon.memory import COINS
from node.contract.bounds import Bounds
from node.contract.demands import Failed, Request
from node.contract.instants import Instant
from node.contract.messages import Message, Origin, PeerId
from node.engine.edges import Call, Judge, Outputs, Returned
from node.sim.keys import SimKey
from node.sim.node import SimNode
from protocol.codec.declare import CodecError
from protocol.crypto.signing import Domain
from protocol.numbers.durations import SECOND
from protocol.types.activation import ActivationTxV1
from protocol.types.beacon import WeakCoinMessage
from protocol.types.ids import AtxId, EpochId, RoundId, VrfSignature

from .restarting import EPOCH, OBSERVER, Restarted, assembled, restarted

FLOODER = PeerId(b"node-0000")
LAYER = 3 * EPOCH
"""A run of the beacon begins."""
MESSAGES = 10_500


def made_until(layer: int) -> tuple[Restarted, SimNode]:
    """A network up to a second into a layer, and the node that only looks on."""
    made = restarted(6, "4", layer + 1, each=0)
    made.run.world.start()
    made.run.world.run_until(layer)
    made.run.world.timeline.run_until(Instant(made.run.world.now + SECOND))
    assert made.run.violations == []
    return made, made.run.world.nodes[OBSERVER]


def template(node: SimNode) -> ActivationTxV1:
    """An activation of somebody that is not the first one."""
    found = []
    for _, data in node.read(lambda view: list(view.scan(BLOBS))):
        try:
            atx = ActivationTxV1.codec.decode(data)
        except CodecError:
            continue
        if not atx.is_initial:
            found.append(atx)
    return found[-1]


def orphan(of: ActivationTxV1, number: int, genesis_id: bytes) -> bytes:
    """An activation, validly signed by somebody unknown, that stands on ones that nobody has."""
    key = SimKey(99, number, genesis_id)
    unknown = AtxId(number.to_bytes(32, "big"))
    challenge = replace(of.inner.challenge, prev_atx=unknown, positioning_atx=unknown)
    atx = replace(of, inner=replace(of.inner, challenge=challenge), smesher_id=key.identity)
    return ActivationTxV1.codec.encode(replace(atx, signature=key.sign(Domain.ATX, atx.signed_bytes())))


def test_what_one_peer_can_make_a_node_keep_is_bounded() -> None:
    made, node = made_until(LAYER)
    world, whole, now = made.run.world, assembled(node), node.local()
    engine, bounds, of = whole.engine, Bounds(), template(node)
    orphans = [orphan(of, number, world.setting.genesis_id) for number in range(1, bounds.waiting_by_peer + 501)]
    epoch = EpochId(world.time.epoch_of(world.time.layer_at(now)))
    coins = [
        WeakCoinMessage.codec.encode(
            WeakCoinMessage(epoch, RoundId(1), number, of.smesher_id, VrfSignature(number.to_bytes(80, "big")))
        )
        for number in range(MESSAGES)
    ]
    verdicts: Counter[str] = Counter()
    for topic, flood in ((ATXS, orphans), (COINS, coins)):
        outputs = engine.turn([Message(topic, data, Origin.GOSSIP, now, FLOODER) for data in flood], now)
        verdicts.update(one.verdict.reason for one in outputs if isinstance(one, Judge))
    assert engine.waiting <= bounds.waiting_by_peer
    assert verdicts["too_many_waiting_of_peer"] >= 500
    assert whole.beacon is not None and len(whole.beacon._memory.coin.kept) == BUFFER
    assert engine.open_calls <= 2 * bounds.waiting_by_peer + 100
    # and when their time is over nothing is left of them
    engine.turn([], Instant(now + 2 * bounds.wait))
    assert engine.waiting == 0


def test_what_is_missing_is_asked_of_one_peer_after_another_then_dropped_and_counted() -> None:
    made, node = made_until(LAYER)
    world, whole = made.run.world, assembled(node)
    engine, now = whole.engine, node.local()
    data = orphan(template(node), 1, world.setting.genesis_id)
    message = Message(ATXS, data, Origin.GOSSIP, now, FLOODER)
    asked: list[PeerId] = []
    verdicts = []
    wanted = (1).to_bytes(32, "big")

    def take(outputs: Outputs) -> list[Call]:
        verdicts.extend(one.verdict for one in outputs if isinstance(one, Judge) and one.message is message)
        calls = [one for one in outputs if isinstance(one, Call) and isinstance(one.demand, Request)]
        return [one for one in calls if wanted in one.demand.data]  # type: ignore[union-attr]

    calls = take(engine.turn([message], now))
    # a second message that needs the same does not ask again
    assert take(engine.turn([Message(ATXS, data, Origin.GOSSIP, now, PeerId(b"node-0001"))], now)) == []
    for _ in range(100):
        if not calls:
            due = engine.next_due()
            if verdicts or due is None or due > now + 2 * Bounds().wait:
                break
            now = Instant(max(now, due))
            calls = take(engine.turn([], now))
            continue
        assert len(calls) == 1, "one peer at a time"
        (call,) = calls
        asked.append(call.demand.peer)  # type: ignore[union-attr]
        now = Instant(now + 10)
        calls = take(engine.turn([Returned(call.call, Failed("timeout"), now)], now))
    assert len(set(asked)) >= 3
    (verdict,) = verdicts
    assert not verdict.is_accepted
    assert engine.counts[ATXS, verdict.judgement.value, verdict.reason] >= 1
    assert engine.waiting == 0
