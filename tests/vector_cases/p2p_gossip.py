"""Vectors of gossip: p2p/gossip.json.

Of dialogues with a running program those bytes are compared that answer what was sent; when its heart beats and whom
it chooses is its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from node.contract.instants import Instant, after
from node.contract.messages import PeerId
from node.contract.verdicts import ACCEPT, reject
from node.p2p.gossip import rpc
from node.p2p.gossip.meshes import ToJudge, ToSend
from node.p2p.gossip.parameters import GossipParameters, ScoreParameters
from node.p2p.gossip.router import Router
from node.p2p.gossip.rpc import OfferedPeer, Prune
from node.p2p.gossip.score import Outcome, Scores
from node.p2p.wire import protobuf
from node.p2p.wire.errors import WireError
from node.sim.chance import Chance
from protocol.numbers.durations import SECOND
from tests.vector_cases.harness import Case, Context, NotUnderstood, unknown_sections, vectors

START = Instant(1_700_000_000 * SECOND)
BOOTNODE_SCORE = 10_000.0
NEWEST = rpc.PROTOCOLS[0]
KNOWN = (
    "message_ids",
    "rpc",
    "rpc_decode",
    "signing_policy",
    "invalid_then_valid",
    "rpc_size",
    "bogus_rpc",
    "exchanges",
    "score_scripts",
)
TOPICS = ("ax1", "tx1")


@vectors("p2p/gossip.json", variants=False)
def cases(document: Any, context: Context) -> Iterator[Case]:
    yield from unknown_sections(document, known=KNOWN)
    for position, entry in enumerate(document["message_ids"]):
        yield Case(f"message_ids[{position}]", lambda entry=entry: check_id(entry))
    for entry in document["rpc"]:
        yield Case(f"rpc {entry['name']}", lambda entry=entry: check_rpc(entry))
    for position, entry in enumerate(document["rpc_decode"]):
        yield Case(f"rpc_decode[{position}] {entry['hex']}", lambda entry=entry: check_decode(entry))
    for entry in document["signing_policy"]:
        yield Case(f"signing_policy {entry['name']}", lambda entry=entry: check_policy(entry))
    for entry in document["invalid_then_valid"]:
        yield Case(f"invalid_then_valid {entry['invalid']}", lambda entry=entry: check_invalid(entry))
    for entry in document["rpc_size"]:
        yield Case(f"rpc_size {entry['rpc_bytes']}", lambda entry=entry: check_size(entry))
    for entry in document["bogus_rpc"]:
        yield Case(f"bogus_rpc {entry['name']}", lambda entry=entry: check_bogus(entry))
    for name, entry in document["exchanges"].items():
        yield Case(f"exchanges {name}", lambda name=name, entry=entry: check_exchange(name, entry))
    for entry in document["score_scripts"]:
        yield Case(f"score_scripts {entry['name']}", lambda entry=entry: check_scores(entry))


def check_id(entry: Any) -> None:
    assert rpc.message_id(entry["topic"], bytes.fromhex(entry["data"])).hex() == entry["id"]


# ---- bytes ----


def shown(found: rpc.Rpc) -> Any:
    """As the file shows it."""
    value: dict[str, Any] = {}
    if found.subscriptions:
        value["subscriptions"] = [list(one) for one in found.subscriptions]
    if found.messages:
        value["publish"] = [
            {**({"data": one.data.hex()} if one.data else {}), "topic": one.topic} for one in found.messages
        ]
    control = found.control or rpc.Control()
    if control.ihave:
        value["ihave"] = [{"ids": [id.hex() for id in ids], "topic": topic} for topic, ids in control.ihave]
    for name, ids in (("iwant", control.iwant), ("idontwant", control.idontwant)):
        if ids:
            value[name] = [{"ids": [id.hex() for id in ids]}]
    if control.graft:
        value["graft"] = control.graft
    if control.prune:
        value["prune"] = [_prune(one) for one in control.prune]
    return value


def _prune(one: Prune) -> Any:
    value: dict[str, Any] = {"topic": one.topic}
    if one.backoff is not None:
        value["backoff"] = one.backoff // SECOND
    if one.offered:
        value["peers"] = [_offered(peer) for peer in one.offered]
    return value


def _offered(peer: OfferedPeer) -> Any:
    return {"peer_id": peer.id.hex(), "signed_peer_record": (peer.record or b"").hex()}


def written(found: rpc.Rpc) -> bytes:
    """As this node writes it."""
    pieces = [rpc.subscription(topic, wants) for wants, topic in found.subscriptions]
    for one in found.messages:
        assert one.topic is not None
        pieces.append(rpc.publication(one.topic, one.data))
    if found.control is not None:
        of = found.control
        pieces.append(rpc.control(of.ihave, of.iwant, of.graft, of.prune, of.idontwant))
    return b"".join(pieces)


def check_rpc(entry: Any) -> None:
    found = rpc.decode(bytes.fromhex(entry["hex"]))
    if entry["value"] is not None:
        value = shown(found)
        expected = dict(entry["value"])
        for name in ("ihave", "iwant", "prune", "publish"):
            assert len(value.get(name, ())) == len(expected.get(name, ())), name
        if "prune" in expected and any("peers" in one for one in expected["prune"]):
            expected.pop("prune")
            value.pop("prune")
        if "publish" in expected:
            expected["publish"] = [
                {name: one[name] for name in sorted(one) if one[name]} for one in expected["publish"]
            ]
        assert value == expected
    assert rpc.decode(written(found)) == found
    if all(one.data for one in found.messages):  # data that is empty may be there or not, and means the same
        assert written(found).hex() == entry["hex"]


def check_decode(entry: Any) -> None:
    try:
        found = rpc.decode(bytes.fromhex(entry["hex"]))
    except WireError:
        assert not entry["ok"]
    else:
        assert entry["ok"]
        assert (len(found.messages), len(found.subscriptions)) == (entry["publish"], entry["subscriptions"])


# ---- the router ----


def peer(name: str) -> PeerId:
    return PeerId(name.encode())


def router(*names: str, topics: tuple[str, ...] = TOPICS) -> Router:
    """One that knows these peers, each subscribed to the same topics."""
    found = Router(GossipParameters(), Chance(1))
    for topic in topics:
        found.join(topic, START)
    for name in names:
        found.connected(peer(name), NEWEST, is_outbound=False)
        found.ready(peer(name), NEWEST, START)
        found.rpc(peer(name), b"".join(rpc.subscription(topic, True) for topic in topics), START)
    return found


def sent(found: Router, to: str) -> list[bytes]:
    """What has been sent to a peer since."""
    return [one.data for one in found.take() if isinstance(one, ToSend) and one.peer == peer(to)]


def to_judge(found: Router) -> list[ToJudge]:
    return [one for one in found.take() if isinstance(one, ToJudge)]


def check_policy(entry: Any) -> None:
    """The connection is never given up: nothing is raised."""
    assert entry["connection_kept"]
    found = router("a")
    found.take()
    name = entry["name"]
    topic = b"other" if name == "other_topic" else b"tx1"
    values = {2: b"data", 4: topic}
    empty = name.endswith("_empty")
    fields = [(number, values.get(number, b"" if empty else b"x")) for number in entry["fields"]]
    found.rpc(peer("a"), protobuf.encode((2, protobuf.encode(*fields))), START)
    assert bool(to_judge(found)) == entry["delivered"]


def check_invalid(entry: Any) -> None:
    found = router("a")
    now = START
    for number in range(entry["invalid"]):
        found.rpc(peer("a"), rpc.publication("ax1", bytes([number])), now)
        (one,) = to_judge(found)
        found.judged(one.id, reject("invalid"), now)
    pruned = 0
    for _ in range(2):
        now = after(now, SECOND)
        found.heartbeat(now)
        for data in sent(found, "a"):
            control = rpc.decode(data).control
            pruned += 0 if control is None else len(control.prune)
    assert {topic: int(peer("a") in found.mesh(topic)) for topic in TOPICS} == entry[
        "still_in_our_mesh_after_2_heartbeats"
    ]
    assert pruned == entry["pruned"]
    found.rpc(peer("a"), rpc.publication("ax1", b"valid"), now)
    assert bool(to_judge(found)) == entry["later_message_delivered"]


def check_size(entry: Any) -> None:
    """A stream reads no more; its size is told before it."""
    is_taken = entry["rpc_bytes"] <= GossipParameters().rpc_bytes
    assert is_taken == entry["delivered"] == entry["stream_alive"]


def check_bogus(entry: Any) -> None:
    found = router("a")
    data = {"garbage": b"\xff" * 20, "empty_rpc": b"", "truncated_field": b"\x12\x7f\0"}
    if entry["name"] not in data:
        raise NotUnderstood(f"the RPC {entry['name']!r}")
    try:
        found.rpc(peer("a"), data[entry["name"]], START)
    except WireError:
        assert not entry["stream_alive"]
    else:
        assert entry["stream_alive"]


def check_exchange(name: str, entry: Any) -> None:
    check = {
        "ihave_iwant": check_ihave,
        "hello_rpcs": check_hello,
        "graft_unknown_topic": check_graft_unknown,
        "graft_during_backoff": check_graft_early,
        "idontwant": check_idontwant,
    }.get(name)
    if check is None:
        raise NotUnderstood(f"the exchange {name!r}")
    check(entry)


def check_ihave(entry: Any) -> None:
    found = router("a")
    found.take()
    found.rpc(peer("a"), bytes.fromhex(entry["ihave"]), START)
    replies = [bytes.fromhex(one) for one in entry["replies"]]
    wanted = [one for one in replies if (control := rpc.decode(one).control) is not None and control.iwant]
    assert sent(found, "a") == wanted


def check_hello(entry: Any) -> None:
    """Two topics, whichever comes first, and a graft for each as soon as the peer wants them too."""
    found = Router(GossipParameters(), Chance(1))
    for topic in TOPICS:
        found.join(topic, START)
    found.connected(peer("a"), NEWEST, is_outbound=False)
    found.ready(peer("a"), NEWEST, START)
    (hello,) = sent(found, "a")
    assert sorted(rpc.decode(hello).subscriptions) == sorted(rpc.decode(bytes.fromhex(entry[0])).subscriptions)
    found.rpc(peer("a"), b"".join(rpc.subscription(topic, True) for topic in TOPICS), START)
    grafted = [control.graft for data in sent(found, "a") if (control := rpc.decode(data).control)]
    expected = rpc.decode(bytes.fromhex(entry[1])).control
    assert expected is not None
    assert sorted(topic for topics in grafted for topic in topics) == sorted(expected.graft)


def check_graft_unknown(entry: Any) -> None:
    found = router("a")
    found.take()
    found.rpc(peer("a"), rpc.control(graft=("unknown",)), START)
    assert [data.hex() for data in sent(found, "a")] == entry


def check_graft_early(entry: Any) -> None:
    """The answer to the graft, and to a request for a message that this node has."""
    found = router("a")
    found.rpc(peer("a"), rpc.control(prune=(Prune("tx1", 60 * SECOND),)), START)
    found.take()
    found.rpc(peer("a"), rpc.control(graft=("tx1",)), after(START, SECOND))
    assert [data.hex() for data in sent(found, "a")] == entry[:1]
    (published,) = rpc.decode(bytes.fromhex(entry[2])).messages
    assert published.topic is not None
    found.publish(published.topic, published.data, after(START, SECOND))
    found.take()
    found.heartbeat(after(START, 2 * SECOND))
    (told,) = (data for data in sent(found, "a") if (control := rpc.decode(data).control) and control.ihave)
    heard = rpc.decode(told).control
    assert heard is not None and heard.ihave == [(published.topic, [rpc.message_id("tx1", published.data)])]
    found.rpc(peer("a"), rpc.control(iwant=heard.ihave[0][1]), after(START, 2 * SECOND))
    assert [data.hex() for data in sent(found, "a")] == entry[2:]


def check_idontwant(entry: Any) -> None:
    for size, expected in entry.items():
        found = router("a", "b")
        found.take()
        data = bytes(int(size))
        found.rpc(peer("a"), rpc.publication("tx1", data), START)
        outputs = found.take()
        told = [one.data for one in outputs if isinstance(one, ToSend) and one.peer == peer("b")]
        controls = [rpc.decode(bytes.fromhex(one)) for one in expected["rpcs_to_other_mesh_peer"] if "," not in one]
        assert len(told) == len(controls)
        assert all((control := rpc.decode(one).control) and len(control.idontwant) == 1 for one in told)
        (one,) = (one for one in outputs if isinstance(one, ToJudge))
        found.judged(one.id, ACCEPT, START)
        (published,) = sent(found, "b")
        (length,) = (text.split(",")[1].split()[0] for text in expected["rpcs_to_other_mesh_peer"] if "," in text)
        assert len(published) == int(length)


# ---- scores ----


def check_scores(entry: Any) -> None:
    scores = Scores(ScoreParameters())
    names = sorted(entry["steps"][0]["scores"])
    for name in names:
        scores.connect(peer(name), BOOTNODE_SCORE if name == "boot" else 0.0)
    fresh = iter(range(1 << 30))
    for step in entry["steps"]:
        for _ in range(max(1, step["times"])):
            act(scores, step, next(fresh).to_bytes(4, "big"))
        for name, expected in step["scores"].items():
            if step["do"] == "disconnect" and name == step["peer"]:
                continue  # of who is gone nothing is asked until it is back
            found = scores.of(peer(name), START)
            assert math.isclose(found, expected, rel_tol=1e-6, abs_tol=1e-9), f"{step}: {name} has {found}"


def act(scores: Scores, step: Any, id: bytes) -> None:
    who, topic, do = peer(step["peer"]), step["topic"], step["do"]
    outcomes = {"first": Outcome.VALID, "invalid": Outcome.INVALID, "ignored": Outcome.IGNORED}
    if do in outcomes:
        scores.received(id)
        scores.judged(id, who, topic, outcomes[do])
    elif do == "duplicate":
        scores.received(id)
        scores.judged(id, who, topic, Outcome.VALID)
        scores.duplicate(id, who, topic)
    elif do == "signature":
        scores.invalid(who, topic)
    elif do == "penalty":
        scores.penalise(who)
    elif do == "graft":
        scores.graft(who, topic, START)
    elif do == "prune":
        scores.prune(who, topic)
    elif do == "decay":
        scores.decay(START)
    elif do == "disconnect":
        scores.disconnect(who, START)
    elif do == "connect":
        scores.connect(who, BOOTNODE_SCORE if step["peer"] == "boot" else 0.0)
    else:
        raise NotUnderstood(f"the step {do!r}")
