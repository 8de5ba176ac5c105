"""Vectors of what leads from a challenge to a NIPoST: consensus/nipost_builder.json.

One call of the recorded builder is what ours does at that moment, with every answer at once; a prover that went away is
asked again two seconds later. What ours does otherwise, by rule:

* Where the recorded process ends, because all registrations are at servers that are not configured, ours stops the
  identity, with a sentence that names them.
* Where every proof is here and none of them counts the challenge among the members, nothing can come any more: ours
  gives the challenge up, so that the next round is not missed; the recorded one asks again until the proof deadline.
* A server that did not register the challenge is asked again until the round starts; the recorded builder goes on with
  those that did. That is later than what is looked at here.
* A proof of space is verified before it counts; the recorded builder relies on its prover.

Of equally good proofs the recorded builder takes the one that comes first; ours that of the first server.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from node.activation.smeshing.events import PostState, ProofNotMade
from node.activation.smeshing.nipost import NipostBuilder
from node.activation.smeshing.parameters import SmeshingParameters
from node.activation.smeshing.rounds import Rounds, RoundTag
from node.activation.smeshing.tables import (
    MEMBERSHIPS,
    NIPOSTS,
    REGISTRATIONS,
    Challenge,
    Membership,
    Nipost,
    Registration,
)
from node.activation.smeshing.tables import TABLES as SMESHING
from node.activation.smeshing.times import Timeline
from node.activation.smeshing.work import Errands, State, Tag, Work
from node.activation.tables import TABLES as ACTIVATION
from node.contract.demands import (
    Demand,
    DescribePost,
    Failed,
    HeldSpace,
    PoetProofOf,
    PostVerdict,
    ProvenPost,
    ProvePost,
    RegisterAtPoet,
    Registered,
    Result,
    RoundProof,
    VerifyPoet,
    VerifyPost,
)
from node.contract.effects import Ask, Emit, SetTimer, StopTimer
from node.contract.instants import Instant
from node.store.own import SIGNED, OwnStore
from node.store.store import Store
from node.store.stores import Stores
from node.store.table import Schema
from node.store.view import Rows
from protocol.crypto.merkle import root_of
from protocol.numbers.durations import SECOND
from protocol.numbers.layers import NetworkTime
from protocol.types.activation import PostMetadataV1, PostV1
from protocol.types.ids import EMPTY_ATX_ID, AtxId, EpochId, Hash32, PoetProofRef
from protocol.types.poet import EMPTY_PROOF, PoetProof, PoetProofMessage
from tests.vector_cases.consensus_support import Key
from tests.vector_cases.harness import Case, Context, unknown_sections, vectors

UNHEX = bytes.fromhex
GENESIS = 1_700_000_000 * SECOND
LOOKED_AT = 10 * SECOND
"""From the call on."""
RETRY = 60 * SECOND
LABELS = 128
COMMITMENT = AtxId(b"\1" + bytes(31))
UNITS = 7
PARALLEL = ("submit", "poet_proof")
"""Calls that the recorded builder makes at once, in this order of phases."""


class _Lowest:
    """A Random: always the least."""

    def below(self, limit: int) -> int:
        return 0

    def shuffled(self, values: Any) -> list[Any]:
        return list(values)


class _Run:
    """One call."""

    def __init__(self, document: Any, case: Any) -> None:
        self.case = case
        time = NetworkTime(GENESIS, document["layer_duration_ns"], document["layers_per_epoch"])
        parameters = SmeshingParameters(
            servers=tuple(poet["address"] for poet in case["poets"]),
            phase_shift=document["phase_shift_ns"],
            cycle_gap=document["cycle_gap_ns"],
            grace_period=0,
            positioning_timeout=0,
            poet_retry=RETRY,
            post_valid_delay=0,
        )
        self.publish = EpochId(document["publish_epoch"])
        self.timeline = Timeline(time, parameters)
        self.signer = Key(case["key_seed"], UNHEX(case["genesis_id"]))
        self.identity = self.signer.identity
        self.begin = self.now = Instant(self.timeline.round_start(self.publish) + case["now_minus_poet_round_start_ns"])
        self.round_end = Instant(self.begin - document["cycle_gap_ns"])
        self.poets = {poet["address"]: poet for poet in case["poets"]}
        self.challenge = _challenge(self.publish, UNHEX(case["challenge"]), case["initial_challenge"])
        own = Schema("own", 1, (SIGNED, *SMESHING))
        self.stores = Stores(Store.in_memory(Schema("state", 1, ACTIVATION)), OwnStore.in_memory(own))
        self.errands, self.rounds = Errands(self.identity), Rounds(RETRY)
        self.builder = NipostBuilder(self.identity, self.timeline, LABELS, self.errands, self.rounds, _Lowest())
        self.calls: list[dict[str, Any]] = []
        self.failures = 0
        self.asked: list[Ask] = []
        self.timer: Instant | None = None
        self.closed = sum(call["call"] == "post_proof" for call in case["calls"] or ()) - 1
        """So many times the prover went away."""
        self._put_before()

    def _put_before(self) -> None:
        rows = Rows(self.stores.view())
        for server in self.case["registered_before"] or ():
            row = Registration(self.challenge.hash(), f"old-{server}", self.round_end)
            rows.put(REGISTRATIONS, (self.identity, server), row)
        if self.case["proof_ref_stored_before"]:
            is_done = self.case["nipost_stored_before"]
            ref = PoetProofRef(bytes(32) if is_done else b"\x09" + bytes(31))
            rows.put(MEMBERSHIPS, self.identity, Membership(ref, 1, (), 0 if is_done else 1))
        if self.case["nipost_stored_before"]:
            nipost = Nipost(PostV1(44, b"", 0), 3, 0, EMPTY_ATX_ID, 8, True)
            rows.put(NIPOSTS, self.identity, nipost)
        self.stores.write(rows)

    def state(self) -> State:
        """How it ends, as far as it is looked at."""
        state = self._unit(None)
        while state is State.WAITS:
            if self.asked:
                state = self._unit(self.asked.pop(0))
            elif self.timer is not None and self.timer <= self.begin + LOOKED_AT:
                self.now, self.timer = max(self.now, self.timer), None
                self.errands.woken()
                state = self._unit(None)
            else:
                break
        return state

    def _unit(self, answered: Ask | None) -> State:
        work = Work(Rows(self.stores.view()), self.now)
        state = State.WAITS
        if answered is not None:
            state = self._answer(work, answered)
        if state is State.WAITS:
            state = self.builder.advance(work, self.challenge, self.signer)
        self.errands.settle(work)
        self.stores.write(work.rows)
        for effect in work.effects:
            match effect:
                case Ask():
                    self.asked.append(effect)
                case SetTimer():
                    self.timer = effect.due
                case StopTimer():
                    self.timer = None
                case Emit(PostState(_, is_proving)):
                    self.calls.append({"call": "post_state", "state": int(is_proving)})
                case Emit(ProofNotMade()):
                    self.failures += 1
        return state

    def _answer(self, work: Work, ask: Ask) -> State:
        result = self._result(ask.demand)
        if isinstance(ask.tag, RoundTag):
            self.rounds.answered(work, ask.tag, ask.demand, result)
            return State.WAITS
        assert isinstance(ask.tag, Tag)
        assert self.errands.close(ask.tag)
        return self.builder.answered(work, self.challenge, ask.tag, result)

    def _result(self, demand: Demand) -> Result:
        match demand:
            case RegisterAtPoet():
                return self._register(demand)
            case PoetProofOf():
                return self._round(demand)
            case VerifyPoet():
                return True
            case DescribePost():
                self.calls.append({"call": "post_info"})
                return HeldSpace(COMMITMENT, UNITS)
            case VerifyPost():
                return self._verify(demand)
            case ProvePost():
                return self._prove(demand)
            case _:
                raise AssertionError(f"asked for {demand}")

    def _register(self, demand: RegisterAtPoet) -> Result:
        start = self.timeline.round_start(self.publish)
        self.calls.append(
            {
                "call": "submit",
                "challenge": demand.challenge.hex(),
                "deadline_minus_round_start_ns": demand.proof_deadline - start,
                "poet": demand.server,
                "prefix": self.case["genesis_id"] + "04",
                "signature": demand.signature.hex(),
            }
        )
        assert demand.deadline == start
        if self.poets[demand.server]["submit_fails"]:
            return Failed("refused")
        return Registered(f"r-{demand.server}", self.round_end)

    def _round(self, demand: PoetProofOf) -> Result:
        self.calls.append({"call": "poet_proof", "poet": demand.server, "round": demand.round_id})
        poet = self.poets[demand.server]
        if poet["proof_fails"]:
            return Failed("not_found")
        members = [UNHEX(member) for member in self.case["members_with_challenge_in_place_of_second"]]
        members[1] = bytes(32) if poet["members_lack_challenge"] else UNHEX(self.case["challenge"])
        proof = PoetProof(EMPTY_PROOF, poet["leaf_count"])
        assert proof.ref().hex() == poet["proof_ref"]
        return RoundProof(PoetProofMessage(proof, b"", b"", Hash32(root_of(members))), members)

    def _verify(self, demand: VerifyPost) -> PostVerdict:
        if demand.metadata.challenge != bytes(32):
            return PostVerdict(True)  # the new proof, which the recorded builder does not look at
        call = {"call": "verify_initial_post", "commitment_atx": demand.commitment_atx.hex()}
        self.calls.append({**call, "num_units": demand.num_units, "zero_challenge": True})
        assert demand.positions is None and demand.post == self.challenge.initial_post
        return PostVerdict(self.case["error"] != "invalid_initial_post")

    def _prove(self, demand: ProvePost) -> Result:
        self.calls.append({"call": "post_proof", "challenge": demand.challenge.hex()})
        if self.closed:
            self.closed -= 1
            return Failed("not_connected")
        if self.case["error"] == "other":
            return Failed("error")
        return ProvenPost(PostV1(3, b"", 0), PostMetadataV1(demand.challenge, LABELS), UNITS, COMMITMENT, 5)

    # ---- what is there then ----

    def result(self) -> dict[str, Any]:
        view = self.stores.view()
        nipost, membership = view.get(NIPOSTS, self.identity), view.get(MEMBERSHIPS, self.identity)
        assert nipost is not None and membership is not None
        return {
            "challenge": membership.ref.hex(),
            "labels_per_unit": nipost.labels_per_unit,
            "membership_leaf_index": membership.leaf_index,
            "membership_nodes": [node.hex() for node in membership.nodes] or None,
            "num_units": nipost.num_units,
            "post_nonce": nipost.post.nonce,
            "vrf_nonce": nipost.vrf_nonce,
        }

    def registrations(self) -> list[str]:
        return sorted(f"{server}:{row.round_id}" for (_, server), row in self.stores.view().scan(REGISTRATIONS))


def _challenge(publish: EpochId, hash: bytes, is_initial: bool) -> Challenge:
    """One of which only the hash is recorded."""
    kind = type("Given", (Challenge,), {"hash": lambda self: Hash32(hash)})
    post = PostV1(1, b"", 1) if is_initial else None
    found = kind(publish, 1, 0, EMPTY_ATX_ID, COMMITMENT, COMMITMENT if is_initial else None, post)
    assert isinstance(found, Challenge)
    return found


@vectors("consensus/nipost_builder.json", variants=False)
def nipost_builder(document: Any, context: Context) -> Iterator[Any]:
    known = ("cycle_gap_ns", "layer_duration_ns", "layers_per_epoch", "phase_shift_ns", "publish_epoch", "scenarios")
    yield from unknown_sections(document, known)
    for case in document["scenarios"]:
        yield Case(case["name"], lambda case=case: _check(document, case))


def _check(document: Any, case: Any) -> None:
    run = _Run(document, case)
    state = run.state()
    expected = _expected(case)
    error = None if state in (State.READY, State.MISMATCHED) else _error(state, run)
    assert error == expected, f"{state.name}, {error}, expected {expected}"
    assert (state is State.MISMATCHED) is case["fatal_exit"], state.name
    if state is State.MISMATCHED:
        sentence = run.builder.mismatch(Work(Rows(run.stores.view()), run.now))
        names = [*(case["registered_before"]), *run.poets]
        assert all(name in sentence for name in names), sentence
    assert run.registrations() == (case["registrations_after"] or [])
    view = run.stores.view()
    assert view.has(NIPOSTS, run.identity) is case["nipost_stored_after"]
    assert view.has(MEMBERSHIPS, run.identity) is case["proof_ref_stored_after"]
    calls, recorded = _in_phases(run.calls), case["calls"] or []
    if "result" in case:
        chosen = run.result()
        refs = {case["result"]["challenge"], *_equally_good(case)}
        assert chosen["challenge"] in refs
        if chosen["challenge"] == case["result"]["challenge"]:
            assert chosen == case["result"], f"{chosen}"
            assert calls == recorded, f"{calls}"
            return
    assert [call["call"] for call in calls] == [call["call"] for call in recorded], f"{calls}"
    assert "result" in case or calls == recorded, f"{calls}"


def _expected(case: Any) -> str | None:
    error: str | None = case["error"]
    asked = [call["poet"] for call in case["calls"] or () if call["call"] == "poet_proof"]
    poets = [poet for poet in case["poets"] if poet["address"] in asked]
    is_all_here = len(poets) == len(case["poets"]) and not any(poet["proof_fails"] for poet in poets)
    if poets and is_all_here and all(poet["members_lack_challenge"] for poet in poets):
        return "expired"
    return error


def _error(state: State, run: _Run) -> str:
    if state is State.EXPIRED:
        return "expired"
    if state is State.INITIAL_INVALID:
        return "invalid_initial_post"
    return "other" if run.failures else "poet_unstable"


def _equally_good(case: Any) -> list[str]:
    """The references of proofs of as many leaves as the best has."""
    asked = {call["poet"] for call in case["calls"] or () if call["call"] == "poet_proof"}
    good = [
        poet
        for poet in case["poets"]
        if poet["address"] in asked and not poet["proof_fails"] and not poet["members_lack_challenge"]
    ]
    best = max((poet["leaf_count"] for poet in good), default=0)
    return [poet["proof_ref"] for poet in good if poet["leaf_count"] == best]


def _in_phases(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As they are recorded: those of a phase together, by server."""
    parallel = [
        call
        for phase in PARALLEL
        for call in sorted((one for one in calls if one["call"] == phase), key=lambda one: one["poet"])
    ]
    return [*parallel, *(call for call in calls if call["call"] not in PARALLEL)]
