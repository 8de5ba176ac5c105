"""Vectors of blocks: consensus/block_metadata.json, block_generator.json, block_synced.json.

The recorded calls of the generator are asserted as what its machine does: the pair of register and certify is the row
of hare's output, which the certificates watch. What was made to fail there and cannot fail here alone (adding a block,
registering, certifying: rows, written with the unit or not at all) is asserted as if it had not failed; where adding
failed, which leaves the recorded program with a layer executed and no block, a scenario is followed no further.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from node.blocks.errors import BlockRefused
from node.blocks.machine import BlockMachine, BlockMade, BlockNotMade
from node.blocks.metadata import AgreedProposal, BlockMetadata, metadata
from node.blocks.parameters import BlockParameters
from node.blocks.patrol import LayerPatrol
from node.blocks.tables import AGREED
from node.certificates.tables import HARE_OUTPUTS
from node.contract.demands import Failed, Fetch, Fetched
from node.contract.effects import Ask, Emit
from node.contract.inputs import Answer, Change
from node.contract.instants import Instant
from node.contract.messages import Message, Origin
from node.contract.steps import Found, Judged, Needs, Step, Ticket
from node.contract.verdicts import ACCEPT
from node.ledger.errors import LayerRefused
from node.ledger.tables import LAST_APPLIED, RESULTS
from node.mempool.handler import BLOCK_TRANSACTIONS
from node.mempool.tables import TRANSACTIONS, StoredTransaction
from node.mesh.processed import Processed
from node.mesh.tables import BALLOTS, BLOCKS, MESH_HASHES
from node.store.keys import ONLY
from node.store.view import Rows, View
from protocol.numbers.durations import SECOND
from protocol.numbers.layers import NetworkTime
from protocol.types.ballots import Ballot, EpochData, InnerBallot, Votes, VotingEligibility
from protocol.types.blocks import AnyReward, InnerBlock
from protocol.types.fetch import Hint
from protocol.types.ids import (
    EMPTY_ADDRESS,
    EMPTY_BALLOT_ID,
    EMPTY_BLOCK_ID,
    Address,
    AtxId,
    BallotId,
    Beacon,
    BlockId,
    EdSignature,
    EpochId,
    Hash32,
    LayerId,
    NodeId,
    ProposalId,
    TransactionId,
    VrfSignature,
)
from protocol.types.proposals import InnerProposal, Proposal
from protocol.types.transactions import LayerLimits, TransactionResult, TxHeader
from tests.support.node_stores import Kept
from tests.vector_cases.harness import Case, Context, NotUnderstood, unknown_sections, vectors

NO_HASH = Hash32(bytes(32))
NODE = NodeId(bytes(32))
LAYER = 300 * SECOND


@dataclass(frozen=True, slots=True)
class _Atx:
    weight: int
    base_tick_height: int


@dataclass(frozen=True, slots=True)
class _Applied:
    rows: Rows


class _Atxs:
    def __init__(self, rows: Sequence[Any]) -> None:
        self._atxs = {
            bytes.fromhex(row["id"]): _Atx(int(row["weight"]), int(row["base_height"]))
            for row in rows
            if row.get("loaded", True)
        }

    def atx(self, layer: LayerId, id: AtxId) -> _Atx | None:
        return self._atxs.get(id)


def _ballot(layer: int, atx: str, slots: int | None, eligibilities: int = 0, ref: str | None = None) -> Ballot:
    data = None if slots is None else EpochData(NO_HASH, Beacon(bytes(4)), slots)
    ref_ballot = EMPTY_BALLOT_ID if ref is None else BallotId(bytes.fromhex(ref))
    inner = InnerBallot(LayerId(layer), AtxId(bytes.fromhex(atx)), NO_HASH, ref_ballot, data)
    proofs = tuple(VotingEligibility(j, VrfSignature(bytes(80))) for j in range(eligibilities))
    return Ballot(inner, EdSignature(bytes(64)), NODE, Votes(EMPTY_BALLOT_ID), proofs)


def _ids(texts: Sequence[str] | None) -> tuple[TransactionId, ...]:
    return tuple(TransactionId(bytes.fromhex(text)) for text in texts or ())


def _header(row: Any) -> TxHeader:
    return TxHeader(
        principal=Address(bytes.fromhex(row["principal"])),
        template=EMPTY_ADDRESS,
        method=16,
        nonce=int(row["nonce"]),
        layer_limits=LayerLimits(),
        max_gas=int(row["max_gas"]),
        gas_price=int(row["gas_price"]),
        max_spend=int(row["max_spend"]),
    )


# ---- metadata ----


@vectors("consensus/block_metadata.json", variants=False)
def block_metadata(document: Any, context: Context) -> Iterator[Any]:
    yield from unknown_sections(document, ("cases", "layers_per_epoch"))
    for case in document["cases"]:
        yield Case(case["name"], lambda case=case: _metadata(case))


def _metadata(case: Any) -> None:
    kept = Kept()
    kept.unit(lambda rows: _put_database(rows, case))
    parameters = BlockParameters(int(case["block_gas_limit"]), case["opt_filter_threshold"])
    proposals = [_agreed(case, row) for row in case["proposals"]]
    made: BlockMetadata | str
    with kept.view() as view:
        try:
            made = metadata(view, parameters, _Atxs(case["atxs"]), LayerId(case["layer"]), proposals)
        except BlockRefused as error:
            made = error.reason
    qualifying = _qualifying(case)
    if len(qualifying) > 1 and case["error"] in (
        None,
        "bad_mesh_hash",
    ):  # the recorded program takes any of them, ours the one with most eligibilities
        is_ours = max(qualifying, key=lambda hash: qualifying[hash]) == case["own_mesh_hash_previous_layer"]
        assert made.is_optimistic if isinstance(made, BlockMetadata) else made == "bad_mesh_hash", made
        assert isinstance(made, BlockMetadata) is is_ours, f"{made}, most eligibilities on our mesh: {is_ours}"
        return
    assert not case.get("order_dependent"), "the recorded answer depends on an order that is not known to this check"
    if case["error"] is not None:
        assert made == case["error"], f"{made}, expected {case['error']}"
        return
    assert isinstance(made, BlockMetadata), made
    assert made.is_optimistic == case["optimistic"], "optimistic"
    assert made.tick_height == int(case["tick_height"]), "tick height"
    rewards = [
        {"atx": one.atx_id.hex(), "denom": str(one.weight.denom), "num": str(one.weight.num)} for one in made.rewards
    ]
    assert rewards == (case["rewards"] or []), rewards
    assert [id.hex() for id in made.tx_ids] == (case["tx_ids"] or []), "transactions"
    block = made.block()
    assert InnerBlock.codec.encode(block).hex() == case["block_bytes"]
    assert block.id().hex() == case["block_id_if_all_txs_kept"]


def _qualifying(case: Any) -> dict[str, int]:
    """The mesh hashes that enough eligibilities share, with how many do."""
    shares: dict[str, int] = {}
    for row in case["proposals"]:
        shares[row["mesh_hash"]] = shares.get(row["mesh_hash"], 0) + row["eligibility_proofs"]
    enough = case["opt_filter_threshold"] * sum(shares.values())
    return {hash: share for hash, share in shares.items() if hash != "00" * 32 and share * 100 >= enough}


def _put_database(rows: Rows, case: Any) -> None:
    for row in case["transactions"] or ():
        if not row["stored"]:
            continue
        id = TransactionId(bytes.fromhex(row["id"]))
        rows.put(TRANSACTIONS, id, StoredTransaction(id, _header(row) if row["has_header"] else None, 0))
        if row["applied_layer"]:
            result = TransactionResult(0, "", 0, 0, EMPTY_BLOCK_ID, LayerId(row["applied_layer"]), ())
            rows.put(RESULTS, id, result)
    for row in case["ref_ballots"] or ():
        if row["stored"]:
            id = BallotId(bytes.fromhex(row["id"]))
            rows.put(BALLOTS, id, _ballot(case["layer"], "00" * 32, row.get("eligibility_count")))
    own = case["own_mesh_hash_previous_layer"]
    if own is not None:
        rows.put(MESH_HASHES, LayerId(case["layer"] - 1), Hash32(bytes.fromhex(own)))


def _agreed(case: Any, row: Any) -> AgreedProposal:
    ballot = _ballot(
        case["layer"], row["atx"], row.get("eligibility_count"), row["eligibility_proofs"], row.get("ref_ballot")
    )
    inner = InnerProposal(ballot, _ids(row["tx_ids"]), Hash32(bytes.fromhex(row["mesh_hash"])))
    return AgreedProposal.of(ProposalId(bytes.fromhex(row["id"])), Proposal(inner, EdSignature(bytes(64))))


# ---- from sync ----


@vectors("consensus/block_synced.json", variants=False)
def block_synced(document: Any, context: Context) -> Iterator[Any]:
    yield from unknown_sections(document, ("cases", "effective_genesis", "layers_per_epoch"))
    for case in document["cases"]:
        yield Case(case["name"], lambda case=case: _synced(document, case))


class _Mesh:
    """Records what it is told."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.fails = False
        """Whether a layer cannot be processed."""

    def start(self, rows: Rows) -> None:
        pass

    def add_block(self, rows: Rows, block: InnerBlock) -> None:
        self.calls.append(("add_block_with_txs", block.layer, block.id().hex()))

    def process_hare_output(self, rows: Rows, layer: LayerId, block: BlockId) -> Processed:
        assert rows.get(HARE_OUTPUTS, layer) == block, "the certificates do not know yet"
        self.calls.append(("process_layer_per_hare_output", layer, block.hex()))
        return Processed(refused=LayerRefused("It was made to fail.", "failed")) if self.fails else Processed()


class _ActiveSets:
    """So many of the ATXs that are asked for are not known."""

    def __init__(self, unknown: int) -> None:
        self.unknown = unknown

    def missing_active_set(self, epoch: EpochId, ids: Sequence[AtxId]) -> Sequence[AtxId]:
        return ids[: self.unknown]


class _NoProposals:
    def proposal(self, view: View, layer: LayerId, id: ProposalId) -> Proposal | None:
        return None


class _NoExecutor:
    def apply_optimistically(
        self, view: View, layer: LayerId, tick_height: int, rewards: Sequence[AnyReward], ids: Sequence[TransactionId]
    ) -> tuple[InnerBlock, _Applied]:
        raise AssertionError("a block of a peer is not executed when it comes")


def _synced(document: Any, case: Any) -> None:
    mesh, active_sets = _Mesh(), _ActiveSets(case["unknown_atxs"])
    genesis = document["effective_genesis"]
    time = NetworkTime(0, LAYER, document["layers_per_epoch"])
    assert time.effective_genesis == genesis
    machine = BlockMachine(
        BlockParameters(0, 70), time, _NoProposals(), _Atxs(()), active_sets, mesh, _NoExecutor(), LayerPatrol()
    )
    kept = Kept()
    data = bytes.fromhex(case["bytes"])
    if case["verdict"] == "accept" and not case["calls"]:  # it is known: nothing is asked and nothing added
        block = InnerBlock.codec.decode(data)
        kept.unit(lambda rows: rows.put(BLOCKS, block.id(), block))
    message = Message(Hint.BLOCK, data, Origin.FETCHED, Instant(0), expected=bytes.fromhex(case["requested_hash"]))
    with kept.view() as view:
        step = machine.admit(message, view, Instant(0))
    calls: list[str] = []
    while isinstance(step, Needs):
        kind = step.demands[0].hint if isinstance(step.demands[0], Fetch) else ""
        assert all(isinstance(one, Fetch) and one.hint == kind for one in step.demands)
        calls.append({Hint.ATX: "get_atxs", BLOCK_TRANSACTIONS: "get_block_txs"}[kind])
        fails = case["atx_fetch_fails"] if kind == Hint.ATX else case["tx_fetch_fails"]
        if not fails:
            if kind == Hint.ATX:
                active_sets.unknown = 0
            else:
                wanted = [TransactionId(one.id) for one in step.demands if isinstance(one, Fetch)]
                kept.unit(lambda rows, wanted=wanted: _put_raw(rows, wanted))
        answer = Failed("not_found") if fails else Fetched(ACCEPT)
        found = Found(results=[answer] * len(step.demands))
        with kept.view() as view:
            step = machine.proceed(Ticket(0, message, step.memo, Instant(0)), found, view, Instant(0))
    assert isinstance(step, Judged)
    calls += [call[0] for call in mesh.calls]
    recorded = [one for one in case["calls"] or () if one in ("get_atxs", "get_block_txs", "add_block_with_txs")]
    assert calls == recorded, f"{calls}, expected {recorded}"
    verdict = step.verdict.judgement.value
    # rows are written with the unit or the node stops: a block cannot fail to be saved alone
    expected = "accept" if case["save_fails"] else case["verdict"].replace("error", "ignore")
    assert verdict == expected, f"{verdict} {step.verdict.reason}, expected {expected}"


def _put_raw(rows: Rows, ids: Sequence[TransactionId]) -> None:
    for id in ids:
        rows.put(TRANSACTIONS, id, StoredTransaction(id, None, 0))


# ---- the generator ----


@vectors("consensus/block_generator.json", variants=False)
def block_generator(document: Any, context: Context) -> Iterator[Any]:
    yield from unknown_sections(document, ("scenarios", "note_execute"))
    for scenario in document["scenarios"]:
        yield Case(scenario["name"], lambda scenario=scenario: _Generator(scenario).run())


class _Stored:
    """Proposals by layer and id."""

    def __init__(self) -> None:
        self.rows: dict[tuple[LayerId, ProposalId], Proposal] = {}
        self.is_there = True

    def proposal(self, view: View, layer: LayerId, id: ProposalId) -> Proposal | None:
        return self.rows.get((layer, id)) if self.is_there else None


class _Executor:
    """Drops the first of several transactions."""

    def __init__(self, calls: list[Any]) -> None:
        self.calls = calls
        self.fails = False

    def apply_optimistically(
        self, view: View, layer: LayerId, tick_height: int, rewards: Sequence[AnyReward], ids: Sequence[TransactionId]
    ) -> tuple[InnerBlock, _Applied]:
        self.calls.append(("execute_optimistic", layer, str(tick_height), [id.hex() for id in ids]))
        if self.fails:
            raise LayerRefused("It was made to fail.", "failed")
        rows = Rows(view)
        rows.put(LAST_APPLIED, ONLY, layer)
        block = InnerBlock(layer, tick_height, tuple(rewards), tuple(ids[1:] if len(ids) > 1 else ids))
        return block, _Applied(rows)


class _Generator:
    """One machine on a store of its own, and what it is told."""

    def __init__(self, scenario: Any) -> None:
        self.scenario = scenario
        self.kept = Kept()
        self.mesh, self.proposals, self.patrol = _Mesh(), _Stored(), LayerPatrol()
        self.executor = _Executor(self.mesh.calls)
        atxs = {
            row["atx"]: {"id": row["atx"], "weight": row["weight"], "base_height": row["base_height"]}
            for step in scenario["steps"]
            for row in step.get("proposals") or ()
        }
        self.machine = BlockMachine(
            BlockParameters(gas_limit=0, optimistic_threshold=70),
            NetworkTime(0, LAYER, 3),
            self.proposals,
            _Atxs(list(atxs.values())),
            _ActiveSets(0),
            self.mesh,
            self.executor,
            self.patrol,
        )
        self.kept.unit(self._begin)
        self.events: list[object] = []

    def _begin(self, rows: Rows) -> None:
        rows.put(LAST_APPLIED, ONLY, LayerId(self.scenario["last_applied_before"]))
        for row in self.scenario["mesh_hashes"]:
            rows.put(MESH_HASHES, LayerId(row["layer"]), Hash32(bytes.fromhex(row["mesh_hash"])))

    def run(self) -> None:
        for position, step in enumerate(self.scenario["steps"]):
            where = f"step {position} ({step['input']} {step['layer']} {step.get('injected_failure')})"
            self.mesh.calls.clear()
            self.events.clear()
            layer = LayerId(step["layer"])
            failure = step.get("injected_failure")
            self.mesh.fails = failure == "process_layer_per_hare_output"
            self.executor.fails = failure == "execute_optimistic"
            self.proposals.is_there = failure != "get_proposals"
            match step["input"]:
                case "hare_output":
                    self._agree(layer, step)
                case "layer_applied_elsewhere_then_poll":
                    self.kept.unit(lambda rows, layer=layer: rows.put(LAST_APPLIED, ONLY, layer))
                    with self.kept.view() as view:
                        change = Change(LAST_APPLIED, (ONLY,))
                        self._follow(self.machine.changed(change, view, Instant(0)), has_proposals=True)
                case _:
                    raise NotUnderstood(f"{where}: unknown")
            if any(call["call"] == "add_block_with_txs" and call.get("fails") for call in step["calls"] or ()):
                recorded = _recorded(step)
                assert self.mesh.calls[: len(recorded)] == recorded, f"{where}: {self.mesh.calls}"
                assert self.mesh.calls[len(recorded)][:2] == ("process_layer_per_hare_output", layer), where
                return
            self._check(step, where)

    def _agree(self, layer: LayerId, step: Any) -> None:
        self.patrol.set_in_charge(layer)
        ids = []
        for row in step["proposals"] or ():
            proposal = self._proposal(layer, row)
            id = ProposalId(bytes.fromhex(row["id"]))
            self.proposals.rows[layer, id] = proposal
            ids.append(id)
        self.kept.unit(lambda rows: rows.put(AGREED, layer, ids))
        with self.kept.view() as view:
            step_ = self.machine.changed(Change(AGREED, (layer,)), view, Instant(0))
        self._follow(step_, self.proposals.is_there)

    def _proposal(self, layer: LayerId, row: Any) -> Proposal:
        ids = _ids(row["tx_ids_distinct_accounts"])
        self.kept.unit(lambda rows: _put_distinct(rows, ids))
        ballot = _ballot(layer, row["atx"], row["eligibility_count"], row["eligibility_proofs"])
        inner = InnerProposal(ballot, ids, Hash32(bytes.fromhex(row["mesh_hash"])))
        return Proposal(inner, EdSignature(bytes(64)))

    def _follow(self, step: Step, has_proposals: bool) -> None:
        if step.rows is not None:
            self.kept.write(step.rows)
        for effect in step.effects:
            if isinstance(effect, Emit):
                self.events.append(effect.event)
            elif isinstance(effect, Ask):
                assert isinstance(effect.demand, Fetch) and effect.demand.hint == Hint.PROPOSAL
                assert not has_proposals
                answer = Answer(effect.tag, effect.demand, Failed("not_found"), Instant(0))
                with self.kept.view() as view:
                    self._follow(self.machine.answer(answer, view, Instant(0)), has_proposals)

    def _check(self, step: Any, where: str) -> None:
        expected = _recorded(step)
        assert self.mesh.calls == expected, f"{where}: {self.mesh.calls}, expected {expected}"
        made = {event.layer: event.block.hex() for event in self.events if isinstance(event, BlockMade)}
        registered = {
            call["layer"]: call["block"] for call in step["calls"] or () if call["call"] == "register_for_cert"
        }
        assert made == registered, f"{where}: {made}, expected {registered}"
        certified = {
            call["layer"]: call["block"] for call in step["calls"] or () if call["call"] == "certify_if_eligible"
        }
        assert made == certified, f"{where}: certified {certified}"
        refused = [event for event in self.events if isinstance(event, BlockNotMade)]
        if step.get("error_class") == "bad_mesh_hash":
            assert [event.reason for event in refused] == ["bad_mesh_hash"], f"{where}: {refused}"
        completed = {call["layer"] for call in step["calls"] or () if call["call"] == "complete_hare"}
        ours = made.keys() | {event.layer for event in refused}
        # the recorder may look before the layer that was executed last is completed
        assert completed <= ours, f"{where}: {ours}, expected {completed}"
        assert not any(self.patrol.is_in_charge(LayerId(layer)) for layer in ours), where
        assert list(self.machine.queued) == (step["queued_layers_after"] or []), f"{where}: {self.machine.queued}"
        with self.kept.view() as view:
            last = view.get(LAST_APPLIED, ONLY)
        assert last == step["last_applied_after"], f"{where}: {last}, expected {step['last_applied_after']}"


def _block_call(call: Any) -> Any:
    return call["call"], call["layer"], call["block"]


def _execute_call(call: Any) -> Any:
    return call["call"], call["layer"], call["tick_height"], call["tx_ids"] or []


_CALLS = {
    "add_block_with_txs": _block_call,
    "execute_optimistic": _execute_call,
    "process_layer_per_hare_output": _block_call,
}


def _recorded(step: Any) -> list[Any]:
    """The recorded calls of those that ours makes, too."""
    return [_CALLS[call["call"]](call) for call in step["calls"] or () if call["call"] in _CALLS]


def _put_distinct(rows: Rows, ids: Sequence[TransactionId]) -> None:
    """Each transaction of an account of its own."""
    for id in ids:
        row = {"principal": id.hex()[:48], "nonce": 0, "max_gas": 1, "gas_price": 1, "max_spend": 1}
        rows.put(TRANSACTIONS, id, StoredTransaction(id, _header(row), 0))
