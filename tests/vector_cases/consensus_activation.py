"""Vectors of the machine of activations: consensus/activation_v1.json and consensus/activation_v2.json.

The machine is driven as the engine drives it, together with the machine that keeps proofs. The world answers as the
recorded one did: a proof of space is valid unless its nonce is 1000 (index 7 is wrong) or 1001, a VRF nonce unless it
is 13; what is fetched is there unless the step says otherwise, or nobody has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from node.activation import tables
from node.activation.columns import AtxColumns, AtxRow
from node.activation.contradictions import Contradiction
from node.activation.machine import ActivationMachine
from node.activation.parameters import ActivationParameters
from node.activation.tables import ATXS, MARRIAGES, POETS, POSTS, PoetFacts, StoredAtx, StoredPost, put_atx
from node.contract.checks import NetworkChecker
from node.contract.demands import Demand, Failed, Fetch, Fetched, PostVerdict, Result, VerifyPost, VerifyVrfNonce
from node.contract.effects import Effect, Emit, Publish, ReportMalfeasance
from node.contract.instants import Instant
from node.contract.messages import Message, Origin, PeerId
from node.contract.verdicts import ACCEPT
from node.malfeasance.machine import MalfeasanceMachine
from node.malfeasance.tables import PROOFS
from node.malfeasance.tables import TABLES as MALFEASANCE_TABLES
from node.malfeasance.verdicts import double_marriage_offender
from node.store.memory import MemoryBackend
from node.store.store import Store
from node.store.table import Schema
from node.store.view import Rows, View
from protocol.crypto import signing
from protocol.numbers.durations import SECOND
from protocol.numbers.layers import NetworkTime
from protocol.types.fetch import Hint
from protocol.types.ids import EMPTY_ATX_ID, Address, AtxId, EpochId, NodeId, PoetProofRef
from protocol.types.malfeasance import ProofDoubleMarry
from tests.vector_cases.consensus_support import Keys, SilentKey, judged
from tests.vector_cases.harness import Case, Context, NotUnderstood, unknown_sections, vectors

UNHEX = bytes.fromhex
LAYER = 30 * SECOND
GENESIS = 1_700_000_000 * SECOND
WRONG_INDEX, WRONG_POST, WRONG_NONCE = 1000, 1001, 13
INDEX = 7
PEER = PeerId(b"peer")
PANICS = ("post_missing", "post_metadata_missing")
"""What this node says where the recorded one stopped."""


class _World:
    """Both machines on one store, and who is told."""

    def __init__(self, setup: Any, own: Sequence[NodeId]) -> None:
        self._poets = {
            UNHEX(one["ref"]): PoetFacts(int(one["leaf_count"]), UNHEX(one["statement"])) for one in setup["poets"]
        }
        self.genesis_id = UNHEX(setup["genesis_id"])
        parameters = ActivationParameters(
            golden_atx=AtxId(UNHEX(setup["golden_atx"])),
            tick_size=setup["tick_size"],
            labels_per_unit=setup["labels_per_unit"],
            min_num_units=setup["min_num_units"],
            max_num_units=setup["max_num_units"],
            k2=setup["k2"],
            k3=setup["k3"],
            versions={int(epoch): version for epoch, version in setup["atx_versions"].items()},
        )
        self.parameters = parameters
        self.time = NetworkTime(GENESIS, LAYER, setup["layers_per_epoch"])
        self.columns = AtxColumns()
        keys = Keys([SilentKey(identity) for identity in own])
        self.machine = ActivationMachine(
            parameters,
            self.time,
            keys,
            self.columns,
            self,
            lambda identity, challenge: (0,),
            lambda: True,
            lambda view: EpochId(0),
        )
        self.keeper = MalfeasanceMachine(keys, tables, self, lambda: True)
        self.store = Store(Schema("activation", 1, (*tables.TABLES, *MALFEASANCE_TABLES)), MemoryBackend())
        self._checker = NetworkChecker(self.genesis_id)
        self.calls: list[dict[str, Any]] = []
        self.step: Any = None

    # ---- followers ----

    def on_atx(self, epoch: EpochId, atx: AtxRow, *, is_new: bool) -> None:
        self.calls.append({"call": "beacon_on_atx"})
        if is_new:
            heights = {"base_height": str(atx.base_height), "height": str(atx.height)}
            told = {"call": "tortoise_on_atx", "target_epoch": epoch, "weight": str(atx.weight), **heights}
            self.calls.append(told)

    def on_malicious(self, node: NodeId) -> None:
        self.columns.mark_malicious(node)
        self.calls.append({"call": "tortoise_on_malfeasance", "node_id": node.hex()})

    # ---- a step ----

    def judge(self, step: Any, machine: ActivationMachine | MalfeasanceMachine) -> tuple[str, str | None]:
        """Verdict and reason of a message."""
        self.step, self.calls = step, []
        now = Instant(self.time.start_ns(step["current_layer"]))
        origin = Origin.FETCHED if step["op"] == "synced" else Origin.OWN if step["from_self"] else Origin.GOSSIP
        expected = UNHEX(step["requested_hash"]) if step.get("requested_hash") else None
        message = Message(machine.topics[0], UNHEX(step["bytes"]), origin, now, PEER, expected)
        found = judged(machine, message, self.store, now, self._checker, self._answer)
        self._follow(found.rows, found.effects, now)
        return found.verdict.judgement.value, found.verdict.reason or None

    def _follow(self, rows: Rows | None, effects: Sequence[Effect], now: Instant) -> None:
        if rows is not None:
            self.store.write(rows)
        for effect in effects:
            if isinstance(effect, ReportMalfeasance):
                kept = self.keeper.convict(effect.identity, effect.proof, self.store.view(), now)
                self._follow(kept.rows, kept.effects, now)
            elif isinstance(effect, Publish):
                self.calls.append({"call": "publish", "topic": effect.topic, "bytes": effect.data.hex()})
            elif isinstance(effect, Emit) and isinstance(effect.event, Contradiction):
                self.calls.append(self._published(effect.event))

    def _published(self, found: Contradiction) -> dict[str, Any]:
        call: dict[str, Any] = {"call": "publish_v2_malfeasance", "node_id": found.identity.hex()}
        if found.proof:
            offender = double_marriage_offender(
                ProofDoubleMarry.codec.decode(found.proof),
                lambda domain, key, data, signature: signing.verify(domain, key, data, signature, self.genesis_id),
            )
            told = {"kind": found.kind.value, "proof": found.proof.hex(), "valid": True}
            call |= {**told, "valid_node_id": offender.hex()}
        return call

    def _answer(self, demand: Demand) -> Result:
        if isinstance(demand, VerifyVrfNonce):
            self.calls.append(
                {
                    "call": "verify_vrf_nonce",
                    "commitment_atx": demand.commitment_atx.hex(),
                    "labels_per_unit": str(demand.labels_per_unit),
                    "node_id": demand.node_id.hex(),
                    "nonce": str(demand.nonce),
                    "num_units": demand.num_units,
                }
            )
            return demand.nonce != WRONG_NONCE
        if isinstance(demand, VerifyPost):
            return self._verify(demand)
        assert isinstance(demand, Fetch) and demand.peers == (PEER,)
        return self._fetch(demand)

    def _verify(self, demand: VerifyPost) -> PostVerdict:
        self.calls.append(
            {
                "call": "verify_post",
                "challenge": demand.metadata.challenge.hex(),
                "commitment_atx": demand.commitment_atx.hex(),
                "labels_per_unit": str(demand.metadata.labels_per_unit),
                "node_id": demand.node_id.hex(),
                "nonce": demand.post.nonce,
                "num_units": demand.num_units,
            }
        )
        is_initial = demand.metadata.challenge == bytes(32)
        everything = is_initial or self.parameters.is_verifying_fully
        assert demand.positions == (None if everything else (0,)), f"{demand.positions}"
        if demand.post.nonce == WRONG_INDEX:
            return PostVerdict(False, INDEX, "wrong index")
        return PostVerdict(demand.post.nonce != WRONG_POST)

    def _fetch(self, demand: Fetch) -> Result:
        if demand.hint == Hint.ATX:
            self.calls.append({"call": "fetch_atxs", "id": demand.id.hex()})
            return Failed("timeout") if self.step["fetch_atxs_fails"] else Fetched(ACCEPT)
        self.calls.append({"call": "fetch_poet", "ref": demand.id.hex()})
        if self.step["fetch_poet_fails"]:
            return Failed("timeout")
        if demand.id in self._poets:
            rows = Rows(self.store.view())
            rows.put(POETS, PoetProofRef(demand.id), self._poets[demand.id])
            self.store.write(rows)
        return Fetched(ACCEPT)

    def forget(self, atxs: Sequence[AtxId]) -> list[tuple[AtxId, StoredAtx]]:
        """Let go of all PoET proofs, and of activations that are to be missed: those that were there."""
        view = self.store.view()
        rows = Rows(view)
        for ref in list(view.keys(POETS)):
            rows.delete(POETS, ref)
        known = []
        for id in atxs:
            atx = view.get(ATXS, id)
            if atx is not None:
                known.append((id, atx))
                rows.delete(ATXS, id)
        self.store.write(rows)
        return known

    def bring_back(self, known: Sequence[tuple[AtxId, StoredAtx]]) -> None:
        rows = Rows(self.store.view())
        for id, atx in known:
            rows.put(ATXS, id, atx)
        self.store.write(rows)


@vectors("consensus/activation_v1.json", "consensus/activation_v2.json", variants=False)
def activations(document: Any, context: Context) -> Iterator[Any]:
    yield from unknown_sections(document, ("worlds",))
    for world in document["worlds"]:
        # the world goes on from step to step, so each is a case that needs those before it
        own = [NodeId(UNHEX(_smesher(step))) for step in world["steps"] if _is_own(step)]
        state = _World(world["setup"], own)
        for position, step in enumerate(world["steps"]):
            name = f"{world['name']} {position} {step.get('name', step['op'])}"
            yield Case(name, partial(_step, state, step))


def _is_own(step: Any) -> bool:
    """The own identity is told by the name of the step alone: it is the one of which a proof is not made."""
    return bool(step.get("name") == "initial_own")


def _smesher(step: Any) -> str:
    return str(step["stored"]["smesher"])


def _step(world: _World, step: Any) -> None:
    if step["op"] == "checkpointed":
        _restore(world, step)
        return
    if step["op"] not in ("gossip", "synced"):
        raise NotUnderstood(f"a step {step['op']!r}")
    wanted = [call["ids_sorted"] for call in step["calls"] or () if call["call"] == "fetch_atxs"]
    missed = [AtxId(UNHEX(id)) for ids in wanted for id in ids]
    known = world.forget(missed if step["fetch_atxs_fails"] else ())
    before = world.columns.touches
    verdict, reason = world.judge(step, world.machine)
    world.bring_back(known)
    if step.get("panic"):
        assert verdict == "reject" and reason in PANICS, f"{verdict} {reason}"
        assert world.columns.touches == before, "the state was changed"
        assert world.store.view().get(ATXS, AtxId(UNHEX(step["id"]))) is None, "the ATX was stored"
        return
    assert (verdict, reason) == (step["verdict"], step["error"]), f"{verdict} {reason}"
    _check_calls(world, step)
    _check_rows(world, step)


def _restore(world: _World, step: Any) -> None:
    """A row of a checkpoint. The recorded node gives it no weight, and the product when it starts again."""
    stored = step["stored"]
    smesher, id = NodeId(UNHEX(step["smesher"])), AtxId(UNHEX(step["id"]))
    epoch, units, ticks = EpochId(step["publish_epoch"]), step["units"], int(step["tick_count"])
    atx = StoredAtx(
        smesher,
        epoch,
        step["sequence"],
        Address(UNHEX(stored["coinbase"])),
        units,
        AtxId(UNHEX(step["commitment_atx"])),
        int(step["vrf_nonce"]),
        int(step["base_tick_height"]),
        ticks,
        units * ticks,
        received=0,
        validity=0,
        version=1,
    )
    rows = Rows(world.store.view())
    put_atx(rows, id, atx, None)
    rows.put(POSTS, (id, smesher), StoredPost(EMPTY_ATX_ID, 0, units, epoch))
    world.store.write(rows)
    found = _shown(world.store.view(), id)
    assert found is not None and {**found, "weight": "0"} == stored, f"{found}"


def _check_calls(world: _World, step: Any) -> None:
    expected = step["calls"] or []
    found = world.calls
    for name in ("verify_vrf_nonce", "verify_post", "publish", "publish_v2_malfeasance", "tortoise_on_atx"):
        ours = [call for call in found if call["call"] == name]
        theirs = [_plain(call) for call in expected if call["call"] == name]
        if name == "verify_vrf_nonce" and step["error"] == "vrf_nonce_invalid":
            # the recorded node asks before it looks at the labels of a unit
            bound = world.parameters.labels_per_unit
            theirs = [call for call in theirs if int(call["labels_per_unit"]) >= bound]
        assert ours == theirs, f"{name}: {ours}, expected {theirs}"
    ours_beacon = sum(call["call"] == "beacon_on_atx" for call in found)
    assert ours_beacon == sum(call["call"] == "beacon_on_atx" for call in expected), f"{ours_beacon} times"
    fetched = {call["ref"] for call in found if call["call"] == "fetch_poet"}
    assert fetched == {call["ref"] for call in expected if call["call"] == "fetch_poet"}, f"{fetched}"
    ids = {call["id"] for call in found if call["call"] == "fetch_atxs"}
    known = {id for call in expected if call["call"] == "fetch_atxs" for id in call["ids_sorted"]}
    assert ids <= known, f"{ids}, expected some of {known}"
    if step["error"] in ("not_found", "atxs_unavailable"):
        assert bool(ids) is bool(known), f"{ids}, expected some of {known}"


def _plain(call: Any) -> dict[str, Any]:
    """A recorded call as it is compared."""
    if call["call"] == "tortoise_on_atx":
        return {**call, "target_epoch": int(call["target_epoch"])}
    return dict(call)


def _check_rows(world: _World, step: Any) -> None:
    view = world.store.view()
    stored = _shown(view, AtxId(UNHEX(step["id"]))) if step["id"] else None
    assert stored == step["stored"], f"{stored}, expected {step['stored']}"
    proofs = [{"node_id": node.hex(), "proof": row.proof.hex()} for node, row in view.scan(PROOFS)]
    assert proofs == (step["malfeasance_v1_after"] or []), f"{proofs}"
    marked = {node.hex() for node in world.columns.malicious()}
    expected = set(step.get("malicious_in_memory_after") or ())
    # with the recorded node, one that is convicted without an ATX is marked by its own message of the proof
    assert expected <= marked <= expected | {proof["node_id"] for proof in proofs}, f"{marked}, expected {expected}"
    if "marriages_after" in step:
        rows = sorted(((row.order, node, row) for node, row in view.scan(MARRIAGES)), key=lambda one: one[0])
        found = [
            {
                "index": row.index,
                "marriage_atx": row.atx.hex(),
                "node_id": node.hex(),
                "set": row.set,
                "target": row.target.hex(),
            }
            for _, node, row in rows
        ]
        assert found == (step["marriages_after"] or []), f"{found}"


def _shown(view: View, id: AtxId) -> dict[str, Any] | None:
    """A stored activation in the form of the vectors."""
    atx = view.get(ATXS, id)
    if atx is None:
        return None
    posts = []
    for (of, node), post in view.scan(POSTS):
        if of == id:
            previous = None if post.previous == EMPTY_ATX_ID else post.previous.hex()
            part = {"node_id": node.hex(), "prev_atx": previous, "prev_index": post.previous_index}
            posts.append({**part, "units": post.units})
    return {
        "base_tick_height": str(atx.base_height),
        "coinbase": atx.coinbase.hex(),
        "commitment_atx": atx.commitment_atx and atx.commitment_atx.hex(),
        "effective_num_units": atx.units,
        "marriage_atx": atx.marriage_atx and atx.marriage_atx.hex(),
        "posts": posts,
        "publish_epoch": atx.publish_epoch,
        "sequence": atx.sequence,
        "smesher": atx.smesher.hex(),
        "tick_count": str(atx.ticks),
        "tick_height": str(atx.height),
        "validity": atx.validity,
        "vrf_nonce": str(atx.vrf_nonce),
        "weight": str(atx.weight),
    }
