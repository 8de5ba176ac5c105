"""Vectors of proposals: consensus/proposal_handler.json, ballot_eligibility.json and active_set_generator.json.

Tortoise, mesh and mempool are stand-ins that note what they are told; what a message waits for is answered as the
vectors say. Recorded calls differ from ours in three ways. Whom to ask for what goes with each demand, so there is no
registering of hashes. What is stored is not asked for: an active set only where the vectors say that it is not there.
A unit stores all at once: the ballot of a proposal behind the wait for its transactions, and its votes are unfolded
anew after each wait.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from node.activation.columns import AtxColumns, AtxRow
from node.contract.checks import NetworkChecker
from node.contract.demands import Demand, Failed, Fetch, Fetched, Result
from node.contract.effects import ReportMalfeasance
from node.contract.instants import Instant
from node.contract.messages import Message, Origin, PeerId
from node.contract.steps import Found, Needs
from node.contract.verdicts import ACCEPT, ignore, reject
from node.eligibility.slots import MinimalWeight
from node.ledger.tables import LAYERS, AppliedLayer
from node.malfeasance.tables import PROOFS, StoredProof
from node.mempool.tables import TRANSACTIONS, StoredTransaction
from node.mesh.tables import BALLOTS, BLOCKS
from node.proposals.errors import BallotIgnored, BallotRejected, NoActiveSet
from node.proposals.judge import BallotJudge, Stage, Wait
from node.proposals.machine import TOPIC, ProposalMachine
from node.proposals.own_sets import grade, graded, make_active_set
from node.proposals.parameters import ProposalParameters, StoreBounds
from node.proposals.store import KnownProposal, ProposalStore
from node.proposals.tables import ACTIVE_SETS, put_active_set
from node.store.view import Rows, View
from node.tortoise.ballots import BallotFacts, Decoded, TortoiseBallot
from node.tortoise.errors import BallotRefused
from node.tortoise.state import BallotInfo, Reference
from protocol.numbers import fixed
from protocol.numbers.durations import SECOND
from protocol.numbers.layers import NetworkTime
from protocol.types.activation import EpochActiveSet, active_set_hash
from protocol.types.ballots import Ballot, BallotMetadata, EpochData, InnerBallot, Votes
from protocol.types.blocks import AnyReward, InnerBlock, RatNum
from protocol.types.fetch import Hint
from protocol.types.ids import (
    EMPTY_BALLOT_ID,
    EMPTY_BLOCK_ID,
    Address,
    AtxId,
    BallotId,
    Beacon,
    EdSignature,
    EpochId,
    Hash32,
    LayerId,
    NodeId,
    ProposalId,
    TransactionId,
)
from protocol.types.malfeasance import BallotProof, BallotProofMsg, MalfeasanceProof
from protocol.types.proposals import Proposal
from tests.support.node_stores import Kept
from tests.vector_cases.consensus_support import Keys, judged
from tests.vector_cases.harness import Case, Context, NotUnderstood, unknown_sections, vectors

UNHEX = bytes.fromhex
LAYER = 300 * SECOND
GENESIS = 1_700_000_000 * SECOND
PEER = PeerId(b"peer")
UNKNOWN_ATX = AtxId(b"\xee" * 32)


class _World:
    """The smesher of the vectors and another one, on a store."""

    def __init__(self, setup: Any, document: Any) -> None:
        self.setup = setup
        self.time = NetworkTime(GENESIS, LAYER, setup["layers_per_epoch"])
        assert self.time.effective_genesis == setup["effective_genesis"]
        self.parameters = ProposalParameters(
            golden_atx=AtxId(UNHEX(document.get("golden_atx", "aa" * 32))),
            layer_size=setup["layer_size"],
            hdist=document.get("hdist", 4),
            max_exceptions=document.get("max_exceptions", 3),
            minimal_weights=[
                MinimalWeight(EpochId(one["epoch"]), one["weight"]) for one in setup["min_active_set_weight"]
            ],
        )
        self.atxs = AtxColumns()
        for epoch in setup["atx_target_epochs"]:
            for prefix in ("", "other_"):
                row = AtxRow(
                    AtxId(UNHEX(setup[f"{prefix}atx"])),
                    NodeId(UNHEX(setup[f"{prefix}node_id"])),
                    Address(bytes(24)),
                    setup[f"{prefix}weight"],
                    0,
                    0,
                    setup[f"{prefix}vrf_nonce"],
                )
                self.atxs.add(EpochId(epoch), row)
        self.checker = NetworkChecker(UNHEX(setup["genesis_id"]))
        self.kept = Kept()

    def at(self, layer: int) -> Instant:
        return Instant(self.time.start_ns(layer))


class _Tortoise:
    """Knows what it is given, and unfolds every ballot unless it is told to fail."""

    def __init__(self, known: dict[BallotId, BallotFacts], fails: bool = False) -> None:
        self.known = known
        self.fails = fails
        self.calls: list[str] = []

    def ballot(self, id: BallotId) -> BallotFacts | None:
        return self.known.get(id)

    def decode(self, ballot: TortoiseBallot) -> Decoded:
        if "decode_ballot" not in self.calls:
            self.calls.append("decode_ballot")
        if self.fails:
            raise BallotRefused("It was made to fail.", "unknown_base")
        reference = Reference(ballot.smesher, ballot.atx_id, 1, Beacon(bytes(4)), 0, 0)
        return Decoded(BallotInfo(ballot.id, ballot.layer, reference, None, 0, False), LayerId(0))  # type: ignore[arg-type]

    def store(self, decoded: Decoded) -> None:
        self.calls.append("store_ballot")


class _Mesh:
    """Mesh and mempool."""

    def __init__(self, processed: int, proof: MalfeasanceProof | None) -> None:
        self.processed = LayerId(processed)
        self.proof = proof
        self.calls: list[str] = []

    def add_ballot(self, rows: Rows, ballot: Ballot, *, is_malicious: bool) -> MalfeasanceProof | None:
        assert not ballot.active_set, "the relic is not stored"
        self.calls.append("add_ballot")
        rows.put(BALLOTS, ballot.id(), ballot)
        return self.proof

    def link_proposal(self, rows: Rows, layer: LayerId, proposal: ProposalId, ids: Sequence[TransactionId]) -> None:
        self.calls.append("add_txs_from_proposal")


@vectors("consensus/proposal_handler.json", variants=False)
def proposal_handler(document: Any, context: Context) -> Iterator[Any]:
    known = ("active_sets", "golden_atx", "hdist", "max_exceptions", "proposals", "setup", "synced_ballots")
    yield from unknown_sections(document, known)
    for section in ("proposals", "synced_ballots", "active_sets"):
        for row in document[section]:
            yield Case(f"{section}/{row['name']}", lambda s=section, row=row: _handled(document, s, row))


KNOWN_ENVIRONMENT = {
    "active_set_epoch", "active_set_has_unknown_atx", "active_set_unknown", "ballot_known_to_tortoise",
    "current_layer", "failing_fetches", "malfeasance_proof_from_mesh", "processed_layer", "proposal_known",
    "stored_ref_ballot", "stored_ref_ballot_has_epoch_data", "tortoise_decode_fails", "tortoise_store_says_exists",
}  # fmt: skip


class _Node:
    """The machine in the environment of one case. That tortoise is told of a ballot between two of its steps, as
    `tortoise_store_says_exists` has it, cannot happen within a unit: the ballot counts there."""

    def __init__(self, document: Any, environment: Any, failing: Sequence[str]) -> None:
        if unknown := set(environment) - KNOWN_ENVIRONMENT:
            raise NotUnderstood(f"environment: {sorted(unknown)}")
        setup = document["setup"]
        self.world = _World(setup, document)
        self.environment, self.failing = environment, failing
        self.calls: list[str] = []
        self.tortoise = _Tortoise({}, environment.get("tortoise_decode_fails", False))
        proof = _proof(setup) if environment.get("malfeasance_proof_from_mesh") else None
        self.mesh = _Mesh(environment["processed_layer"], proof)
        self.mesh.calls = self.calls
        self.store = ProposalStore(StoreBounds(layers=1000))
        self.machine = ProposalMachine(
            self.world.parameters,
            self.world.time,
            Keys([]),
            self.world.atxs,
            self.tortoise,
            self.mesh,
            self.mesh,
            self.store,
            lambda: True,
        )
        self.now = self.world.at(environment["current_layer"])
        self.world.kept.unit(self._put)

    def _put(self, rows: Rows) -> None:
        setup, environment = self.world.setup, self.environment
        if not environment.get("active_set_unknown") and "get_active_set" not in self.failing:
            ids = [AtxId(UNHEX(setup["atx"])), AtxId(UNHEX(setup["other_atx"]))]
            if environment.get("active_set_has_unknown_atx"):
                ids.append(UNKNOWN_ATX)
            epoch = EpochId(environment.get("active_set_epoch", setup["epoch"]))
            put_active_set(rows, Hash32(UNHEX(setup["active_set_hash"])), EpochActiveSet(epoch, sorted(ids)))
        if "stored_ref_ballot" in environment:
            self._refer(rows, BallotId(UNHEX(environment["stored_ref_ballot"])))

    def _refer(self, rows: Rows, id: BallotId) -> None:
        setup = self.world.setup
        layer, beacon = self.world.time.first_layer(setup["epoch"]), Beacon(UNHEX(setup["beacon"]))
        atx, smesher = AtxId(UNHEX(setup["atx"])), NodeId(UNHEX(setup["node_id"]))
        data = EpochData(Hash32(UNHEX(setup["active_set_hash"])), beacon, setup["slots"])
        has_data = self.environment["stored_ref_ballot_has_epoch_data"]
        inner = InnerBallot(layer, atx, Hash32(bytes(32)), EMPTY_BALLOT_ID, data if has_data else None)
        rows.put(BALLOTS, id, Ballot(inner, EdSignature(bytes(64)), smesher, Votes(EMPTY_BALLOT_ID), ()))
        self.tortoise.known[id] = BallotFacts(id, layer, atx, smesher, beacon, setup["slots"])

    def answer(self, demand: Demand) -> Result:
        """As the environment says; what is fetched well is there, if the machine looks it up in rows."""
        assert isinstance(demand, Fetch) and demand.peers == (PEER,)
        name = {
            Hint.ACTIVE_SET: "get_active_set",
            Hint.BALLOT: "get_ballots",
            Hint.ATX: "get_atxs",
            Hint.TX: "get_proposal_txs",
        }[Hint(demand.hint)]
        self.calls.append(name)
        if any(one.split(":")[0] == name for one in self.failing):
            return Failed("not_found")
        if demand.hint == Hint.TX:
            row = StoredTransaction(b"", None, 0)
            self.world.kept.unit(lambda rows: rows.put(TRANSACTIONS, TransactionId(demand.id), row))
        return Fetched(ACCEPT)

    def judge(self, message: Message) -> tuple[str, str | None]:
        found = judged(self.machine, message, self.world.kept.store, self.now, self.world.checker, self.answer)
        if found.rows is not None:
            self.world.kept.write(found.rows)
        self.calls += ["publish:mp1" for effect in found.effects if isinstance(effect, ReportMalfeasance)]
        return found.verdict.judgement.value, found.verdict.reason or None

    def counted_calls(self) -> list[str]:
        """Demands of one kind together, with their number where the vectors have it."""
        counted: list[str] = []
        for call in dict.fromkeys(self.calls):
            has_number = call in ("get_ballots", "get_atxs")
            counted.append(f"{call}:{self.calls.count(call)}" if has_number else call)
        return [*counted, *self.tortoise.calls]


def _proof(setup: Any) -> MalfeasanceProof:
    smesher = NodeId(UNHEX(setup["node_id"]))
    messages = [
        BallotProofMsg(BallotMetadata(LayerId(1), Hash32(bytes((number,)) * 32)), smesher, EdSignature(bytes(64)))
        for number in (1, 2)
    ]
    return MalfeasanceProof(LayerId(1), BallotProof((messages[0], messages[1])))


def _expected_calls(row: Any, is_set_stored: bool) -> list[str]:
    left_out = {"get_atxs:0"} | ({"get_active_set"} if is_set_stored else set())
    calls = [
        call for call in row["calls"] or () if not call.startswith("register_peer_hashes") and call not in left_out
    ]
    if "get_proposal_txs" in calls and "add_ballot" in calls:
        calls.remove("add_ballot")
        calls.insert(calls.index("get_proposal_txs") + 1, "add_ballot")
    return calls


def _handled(document: Any, section: str, row: Any) -> None:
    setup = document["setup"]
    data = UNHEX(row["bytes"])
    environment = row.get("environment") or {"current_layer": 59, "processed_layer": 49}
    failing = list(environment.get("failing_fetches") or ()) + (["get_atxs"] if row.get("atx_fetch_fails") else [])
    if section == "active_sets":
        environment = {**environment, "active_set_unknown": True}  # else it is known whatever it is
    node = _Node(document, environment, failing)
    match section:
        case "proposals":
            message = Message(TOPIC, data, Origin.GOSSIP, node.now, PEER)
        case "synced_ballots":
            message = Message(Hint.BALLOT, data, Origin.FETCHED, node.now, PEER, UNHEX(row["requested_hash"]))
        case _:
            message = Message(Hint.ACTIVE_SET, data, Origin.FETCHED, node.now, PEER, UNHEX(row["requested_hash"]))
    _prepare(node, section, row, data)
    found = node.judge(message)
    assert found == (row["verdict"], row["error"]), f"{found}, expected {row['verdict']} {row['error']}"
    is_set_stored = not environment.get("active_set_unknown") and "get_active_set" not in failing
    expected = _expected_calls(row, is_set_stored)
    assert node.counted_calls() == expected, f"{node.counted_calls()}, expected {expected}"
    with node.world.kept.view() as view:
        if section == "active_sets":
            is_stored = view.has(ACTIVE_SETS, Hash32(UNHEX(row["requested_hash"])))
            assert is_stored is (row["verdict"] == "accept")
        elif section == "proposals" and row["error"] not in ("malformed", "bad_ballot_signature"):
            proposal = Proposal.codec.decode(data)
            assert proposal.id().hex() == row["proposal_id"] and proposal.inner.ballot.id().hex() == row["ballot_id"]
            kept = node.store.get(proposal.inner.ballot.inner.layer, proposal.id())
            assert (kept is not None) is ("add_txs_from_proposal" in expected or row["error"] == "known_proposal")
            if row["verdict"] == "accept":
                assert kept is not None and kept.beacon.hex() == setup["beacon"]


def _prepare(node: _Node, section: str, row: Any, data: bytes) -> None:
    """What the environment says of the message itself."""
    if section == "active_sets" or row["error"] == "malformed":
        return
    proposal = Proposal.codec.decode(data) if section == "proposals" else None
    ballot = proposal.inner.ballot if proposal is not None else Ballot.codec.decode(data)
    if node.environment.get("ballot_known_to_tortoise"):
        inner = ballot.inner
        facts = BallotFacts(ballot.id(), inner.layer, inner.atx_id, ballot.smesher_id, Beacon(bytes(4)), 1)
        node.tortoise.known[ballot.id()] = facts
    if node.environment.get("proposal_known"):
        assert proposal is not None
        beacon = Beacon(UNHEX(node.world.setup["beacon"]))
        node.store.add(KnownProposal(proposal.id(), ballot.id(), proposal, beacon, False, len(data)))


# ---- slots that ballots claim ----


@vectors("consensus/ballot_eligibility.json", variants=False)
def ballot_eligibility(document: Any, context: Context) -> Iterator[Any]:
    yield from unknown_sections(document, ("worlds",))
    for position, world in enumerate(document["worlds"]):
        for row in world["cases"]:
            yield Case(f"worlds[{position}]/{row['name']}", lambda w=world, row=row: _entitled(w["setup"], row))


def _entitled(setup: Any, row: Any) -> None:
    world = _World(setup, {})
    ballot = Ballot.codec.decode(UNHEX(row["ballot"]))
    known = {}
    if (of := row["ref_ballot"]) is not None:
        id = ballot.inner.ref_ballot
        atx, smesher = AtxId(UNHEX(of["atx"])), NodeId(UNHEX(of["smesher"]))
        beacon = Beacon(UNHEX(of["beacon"]))
        known[id] = BallotFacts(id, LayerId(of["layer"]), atx, smesher, beacon, of["eligibility_count"])
    judge = BallotJudge(world.parameters, world.time, world.atxs, _Tortoise(known))
    stage = Stage(ballot, ballot.id(), None, Wait.SIGNATURES)
    current = world.time.epoch_of(row["current_layer"])
    reported = None
    try:
        found = judge.entitled(stage, row["active_set_weight"], current)
        while isinstance(found, Needs):
            assert isinstance(found.memo, Stage)
            stage = found.memo.found(Found(vrf_proofs=world.checker.vrf_proofs(found.vrf_proofs)))
            found = judge.entitled(stage, row["active_set_weight"], current)
        verdict = ACCEPT
        weight = fixed.ratio(found[1].weight, found[0].slots)
        fraction = f"{weight & ((1 << fixed.FRACTION_BITS) - 1):014x}".rstrip("0") or "0"
        reported = [found[0].beacon.hex(), world.time.epoch_of(ballot.inner.layer), weight >> 56, fraction]
    except BallotIgnored as error:
        verdict = ignore(error.reason)
    except BallotRejected as error:
        verdict = reject(error.reason)
    answer = verdict.judgement.value, verdict.reason or None
    assert answer == (row["verdict"], row["error"]), f"{answer}, expected {row['verdict']} {row['error']}"
    assert reported == _reported(row), f"{reported}, expected {_reported(row)}"


def _reported(row: Any) -> list[Any] | None:
    if row["reported_beacon"] is None:
        return None
    (one,) = row["reported_beacon"]
    whole, fraction = one["weight_per_eligibility"].removeprefix("+").removesuffix("/56").split("'")
    return [one["beacon"], one["epoch"], int(whole), fraction.rstrip("0") or "0"]


# ---- own active sets ----


@vectors("consensus/active_set_generator.json", variants=False)
def active_set_generator(document: Any, context: Context) -> Iterator[Any]:
    yield from unknown_sections(document, ("grades", "scenarios"))
    for position, row in enumerate(document["grades"]):
        yield Case(f"grades[{position}]", lambda row=row: _grade(row))
    for row in document["scenarios"]:
        yield Case(row["name"], lambda row=row: _generated(row))


def _grade(row: Any) -> None:
    names = ("atx_received_ns", "malfeasance_received_ns", "epoch_start_ns")
    received, proof, start = (int(row[name]) for name in names)
    found = grade(received, proof, start, row["network_delay_ns"]).value
    assert found == row["grade"], f"{found}, expected {row['grade']}"
    epoch, id, node = EpochId(2), AtxId(bytes(32)), NodeId(bytes(32))
    atxs = AtxColumns()
    atxs.add(epoch, AtxRow(id, node, Address(bytes(24)), 1, 0, 0, 0, received))
    good = graded(atxs.epoch(epoch), [node] if 0 < proof < start else [], start, row["network_delay_ns"])
    assert list(good.ids) == ([id] if row["grade"] == "good" else []), "the set that is made goes by the same rule"


class _Columns(AtxColumns):
    """Some of the ATXs are stored, but not in memory, which here is one."""

    def __init__(self) -> None:
        super().__init__()
        self.not_in_memory: set[AtxId] = set()

    def weight_of(self, epoch: EpochId, ids: bytes | bytearray | memoryview) -> int | None:
        listed = {AtxId(bytes(ids[at : at + 32])) for at in range(0, len(ids), 32)}
        return None if listed & self.not_in_memory else super().weight_of(epoch, ids)


def _generated(row: Any) -> None:
    epoch, length = EpochId(row["target_epoch"]), row["layers_per_epoch"]
    start = int(row["epoch_start_ns"])
    time = NetworkTime(start - epoch * length * LAYER, LAYER, length)
    atxs, kept = _Columns(), Kept()
    for one in row["atxs_of_previous_epoch"] or ():
        id, node = AtxId(UNHEX(one["id"])), NodeId(UNHEX(one["smesher"]))
        weight = one["effective_num_units"] * one["tick_count"]
        atxs.add(epoch, AtxRow(id, node, Address(bytes(24)), weight, 0, 0, 0, int(one["received_ns"])))
        if not one["in_memory"]:
            atxs.not_in_memory.add(id)
        if proof := int(one["malfeasance_received_ns"]):
            kept.unit(lambda rows, node=node, proof=proof: rows.put(PROOFS, node, StoredProof(b"", proof)))
    kept.unit(lambda rows: _put_chain(rows, row, epoch))
    published = {one["epoch"]: [AtxId(UNHEX(id)) for id in one["ids"]] for one in row["fallback"] or ()}

    def fallback(view: View, wanted: EpochId) -> Sequence[AtxId] | None:
        return published.get(wanted)

    made = None
    for call in row["calls_in_order_same_instance"]:
        current, error = LayerId(call["current_layer"]), None
        if made is None:  # else it is remembered
            try:
                with kept.view() as view:
                    made = make_active_set(
                        view, time, atxs, fallback, epoch, current, row["network_delay_ns"], row["good_atx_percent"]
                    )
            except NoActiveSet as found:
                error = found.reason
        assert error == call["error"], f"layer {current}: {error}, expected {call['error']}"
        if made is not None:
            assert [id.hex() for id in made.active.set] == call["ids"] and made.active.epoch == epoch
            assert (made.own.hash.hex(), made.own.weight) == (call["hash"], call["weight"])


def _put_chain(rows: Rows, row: Any, epoch: EpochId) -> None:
    """Blocks that were applied, and first ballots with their active sets."""
    for one in row["applied_blocks"] or ():
        rewards = tuple(AnyReward(AtxId(UNHEX(id)), RatNum(1, 1)) for id in one["reward_atxs"])
        block = InnerBlock(LayerId(one["layer"]), 0, rewards, ())
        rows.put(BLOCKS, block.id(), block)
        rows.put(LAYERS, block.layer, AppliedLayer(Hash32(bytes(32)), block.id(), (), ()))
        before = LayerId(one["layer"] - 1)  # an empty layer before it is passed over
        rows.put(LAYERS, before, AppliedLayer(Hash32(bytes(32)), EMPTY_BLOCK_ID, (), ()))
    for one in row["first_ballots"] or ():
        ids = [AtxId(UNHEX(id)) for id in one["active_set"] or ()]
        hash = active_set_hash(ids)
        put_active_set(rows, hash, EpochActiveSet(epoch, ids))
        data = EpochData(hash, Beacon(b"\1" * 4), 1)
        inner = InnerBallot(LayerId(one["layer"]), AtxId(UNHEX(one["atx"])), Hash32(bytes(32)), EMPTY_BALLOT_ID, data)
        smesher = NodeId(UNHEX(one["atx"]))
        ballot = Ballot(inner, EdSignature(bytes(64)), smesher, Votes(EMPTY_BALLOT_ID), ())
        rows.put(BALLOTS, ballot.id(), ballot)
