"""Verification in threads: the network's verdicts, memory only while it is needed, one answer for every call."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.node.identities import OwnIdentity
from api.node.ports.keys import NodeKeys
from api.node.ports.proofs import Lent, LightTools, Proofs, Tools
from kernels.errors import MemoryShortage
from node.contract.demands import (
    DescribePost,
    Failed,
    PostVerdict,
    ProvePost,
    ProveVrf,
    Result,
    VerifyPoet,
    VerifyPost,
    VerifyVrfNonce,
)
from node.runtime.workers import Work, Workers
from protocol.crypto import signing, vrf
from protocol.params.config import networks
from protocol.params.config.node import Config
from protocol.types.activation import PostMetadataV1, PostV1
from protocol.types.ids import AtxId, Hash32, NodeId, PoetProofRef
from protocol.types.poet import SECURITY_PARAM, MerkleProof, PoetProof, PoetProofMessage
from prover.post.proof.verify import VerifyParams
from tests.support.smeshing_world import Shared
from tests.vector_cases.harness import load
from tests.vector_cases.post_verify import metadata_of, mode_of

WAIT_S = 60.0
ANY = b"\xff" * 32


class Spaces:
    """PoST services that note what they are asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def prove(self, call: int, identity: NodeId, challenge: bytes) -> None:
        self.asked.append((call, identity, challenge))

    def describe(self, call: int, identity: NodeId) -> None:
        self.asked.append((call, identity))

    def give_up(self, call: int) -> None:
        self.asked.append(call)


class Bench:
    """A port with everything around it."""

    def __init__(self, proofs: Proofs, answers: queue.Queue[tuple[int, Result]], spaces: Spaces) -> None:
        self.proofs, self.answers, self.spaces = proofs, answers, spaces

    def answer(self) -> tuple[int, Result]:
        return self.answers.get(timeout=WAIT_S)


def config_of(rules: dict[str, Any], init: dict[str, Any]) -> Config:
    config = networks.BY_NAME["fastnet"]
    post = replace(
        config.post,
        min_numunits=init["min_num_units"],
        max_numunits=init["max_num_units"],
        k1=rules["k1"],
        k2=rules["k2"],
        pow_difficulty=bytes.fromhex(rules["pow_difficulty"]),
    )
    opts = replace(config.smeshing.opts, scrypt=replace(config.smeshing.opts.scrypt, n=init["n"]))
    return replace(config, post=post, smeshing=replace(config.smeshing, opts=opts))


@contextmanager
def bench(
    tmp_path: Path,
    config: Config,
    *,
    make_tools: Callable[[int], Tools] = Shared,
    keys: tuple[OwnIdentity, ...] = (),
    most: int = 1000,
    threads: int = 1,
) -> Iterator[Bench]:
    answers: queue.Queue[tuple[int, Result]] = queue.Queue()
    pool, spaces = Workers("verify", threads, most), Spaces()
    own = NodeKeys(keys, tmp_path)
    proofs = Proofs(
        config, own, spaces, pool, lambda call, result: answers.put((call, result)), make_tools=make_tools, idle_s=600
    )
    try:
        yield Bench(proofs, answers, spaces)
    finally:
        assert pool.close(WAIT_S)
        proofs.close()


def identity(name: str, seed: bytes) -> OwnIdentity:
    signer = signing.Signer(seed)
    return OwnIdentity(name, NodeId(signer.public_key), signer)


def demand_of(entry: dict[str, Any], positions: tuple[int, ...] | None) -> VerifyPost:
    proof, about = entry["proof"], metadata_of(entry["metadata"])
    return VerifyPost(
        NodeId(about.node_id),
        AtxId(about.commitment_atx_id),
        PostV1(proof["nonce"], bytes.fromhex(proof["indices"]), int(proof["pow"])),
        PostMetadataV1(about.challenge, int(entry["init"]["labels_per_unit"])),
        about.num_units,
        positions,
    )


def usual(entry: dict[str, Any]) -> bool:
    return entry["init"]["n"] <= 8 and (entry["init"]["r"], entry["init"]["p"]) == (1, 1)


def test_the_networks_verdicts_with_all_labels_and_with_chosen_ones(tmp_path: Path, vectors_root: Path) -> None:
    """Every twentieth case; the whole file is what `prover.post.proof.verify` is checked by."""
    path = vectors_root / "post/verify.json.gz"
    entries = [one for one in load(path)["cases"][::20] if usual(one)]
    assert len(entries) > 20
    seen = set()
    for entry in entries:
        rules, init = entry["cfg"], entry["init"]
        config = config_of(rules, init)
        params = VerifyParams(rules["k1"], rules["k2"], ANY, 1, 1, int(init["labels_per_unit"]), init["n"])
        with bench(tmp_path, config) as one:
            for call, result in enumerate(entry["results"]):
                mode = mode_of(result, params, metadata_of(entry["metadata"]))
                one.proofs.verify_post(call, demand_of(entry, mode.positions))
            for call, result in enumerate(entry["results"]):
                number, verdict = one.answer()
                assert number == call and isinstance(verdict, PostVerdict)
                assert verdict.is_valid == (result["result"] == "Ok"), entry["name"]
                assert verdict.wrong_position == result.get("index_id"), entry["name"]
                assert verdict.is_valid or verdict.reason, "why is told"
                seen.add(result["result"])
    assert {"Ok", "InvalidIndex"} <= seen


@pytest.fixture
def valid(vectors_root: Path) -> dict[str, Any]:
    """A valid proof of small space."""
    entry: dict[str, Any] = load(vectors_root / "post/verify.json.gz")["cases"][0]
    assert entry["results"][0] == {"mode": "all", "result": "Ok"}
    return entry


def test_the_real_tools_and_that_they_are_given_back(tmp_path: Path, valid: dict[str, Any]) -> None:
    made: list[LightTools] = []

    def make(scrypt_n: int) -> Tools:
        made.append(LightTools(scrypt_n))
        return made[-1]

    with bench(tmp_path, config_of(valid["cfg"], valid["init"]), make_tools=make, threads=2) as one:
        assert one.proofs.tools.cache.state == "none", "nobody has needed them"
        for call in range(4):
            one.proofs.verify_post(call, demand_of(valid, None))
        found = [one.answer() for _ in range(4)]
        assert sorted(found, key=lambda pair: pair[0]) == [(call, PostVerdict(True)) for call in range(4)]
        assert len(made) == 1, "two threads share them"
        assert one.proofs.tools.cache.state == "light"
    assert one.proofs.tools.cache.state == "none"


def test_idle_tools_are_given_back_and_busy_ones_stay() -> None:
    now = [0.0]
    tools = Shared(2)
    lent = Lent(lambda: tools, 600.0, lambda: now[0])
    try:
        assert lent.use(lambda found: PostVerdict(True)).is_valid
        now[0] = 599.0
        lent.look()
        assert (tools.closed, lent.cache.state) == (0, "light")
        lent.use(lambda found: lent.look() or PostVerdict(True))  # type: ignore[func-returns-value]
        now[0] = 1200.0
        lent.look()
        assert (tools.closed, lent.cache.state) == (1, "none")
        assert lent.use(lambda found: PostVerdict(True)).is_valid, "they are made again"
    finally:
        lent.close()
    assert lent.cache.state == "none"


def test_they_are_given_back_without_anybody_looking() -> None:
    closed = threading.Event()
    tools = Shared(2)
    tools.close = closed.set  # type: ignore[method-assign]
    lent = Lent(lambda: tools, 0.01)
    lent.use(lambda found: PostVerdict(True))
    assert closed.wait(WAIT_S)
    lent.close()


def test_what_is_refused_at_once_needs_no_memory(tmp_path: Path, valid: dict[str, Any]) -> None:
    def make(scrypt_n: int) -> Tools:
        raise AssertionError("nothing is computed")

    with bench(tmp_path, config_of(valid["cfg"], valid["init"]), make_tools=make) as one:
        good = demand_of(valid, None)
        bad = [
            replace(good, num_units=0),
            replace(good, num_units=1 << 31),
            replace(good, post=replace(good.post, nonce=4096)),
            replace(good, post=replace(good.post, indices=b"")),
            replace(good, metadata=replace(good.metadata, challenge=b"short")),
        ]
        for call, work in enumerate(bad):
            one.proofs.verify_post(call, work)
            number, verdict = one.answer()
            assert number == call and isinstance(verdict, PostVerdict) and not verdict.is_valid and verdict.reason


def test_positions_beyond_the_proof_select_nothing(tmp_path: Path, valid: dict[str, Any]) -> None:
    with bench(tmp_path, config_of(valid["cfg"], valid["init"])) as one:
        one.proofs.verify_post(1, demand_of(valid, (4, 1 << 31)))
        assert one.answer() == (1, PostVerdict(True))


def test_a_machine_without_memory_refuses_nobodys_proof(
    tmp_path: Path, valid: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    def make(scrypt_n: int) -> Tools:
        raise MemoryShortage(1 << 28, 0, "RandomX")

    with bench(tmp_path, config_of(valid["cfg"], valid["init"]), make_tools=make) as one:
        for call in range(3):
            one.proofs.verify_post(call, demand_of(valid, None))
            _, result = one.answer()
            assert isinstance(result, Failed) and result.reason == "unavailable" and "memory" in result.detail
    assert caplog.text.count("cannot be verified") == 1, "it is said, and not for every proof"


def test_a_fault_is_answered_and_the_thread_goes_on(tmp_path: Path, valid: dict[str, Any]) -> None:
    def make(scrypt_n: int) -> Tools:
        raise ZeroDivisionError

    with bench(tmp_path, config_of(valid["cfg"], valid["init"]), make_tools=make) as one:
        for call in (1, 2):
            one.proofs.verify_post(call, demand_of(valid, None))
            assert one.answer()[1] == Failed("fault", "A fault of this program; see the log.")


def test_verification_that_is_switched_off_accepts_everything(tmp_path: Path, valid: dict[str, Any]) -> None:
    config = config_of(valid["cfg"], valid["init"])
    off = replace(config.smeshing, verifying_opts=replace(config.smeshing.verifying_opts, disable=True))
    with bench(tmp_path, replace(config, smeshing=off)) as one:
        one.proofs.verify_post(1, replace(demand_of(valid, None), num_units=0))
        assert one.answer() == (1, PostVerdict(True))


class Slow:
    """A pool that notes what it is given."""

    def __init__(self, takes: bool = True) -> None:
        self.takes, self.given = takes, list[tuple[int, str, bool]]()
        self.given_up: list[int] = []

    def put(self, work: Work, *, is_urgent: bool = False) -> bool:
        self.given.append((work.call, work.kind, is_urgent))
        return self.takes

    def give_up(self, call: int) -> bool:
        self.given_up.append(call)
        return True


def test_own_identities_and_chains_come_first_and_who_waits_may_give_up(tmp_path: Path, valid: dict[str, Any]) -> None:
    own = identity("local.key", bytes(32))
    pool, spaces, answers = Slow(), Spaces(), list[tuple[int, Result]]()
    config = config_of(valid["cfg"], valid["init"])
    many = replace(config.smeshing, verifying_opts=replace(config.smeshing.verifying_opts, workers=10))
    proofs = Proofs(
        replace(config, smeshing=many),
        NodeKeys([own], tmp_path),
        spaces,
        pool,
        lambda call, result: answers.append((call, result)),
    )
    others = demand_of(valid, None)
    proofs.verify_post(1, others)
    proofs.verify_post(2, replace(others, is_urgent=True))
    proofs.verify_post(3, replace(others, node_id=own.node_id))
    proofs.prove_vrf(4, ProveVrf(own.node_id, b"alpha"))
    assert [urgent for _, _, urgent in pool.given] == [False, True, True, True]
    proofs.give_up(2)
    assert pool.given_up == [2] and spaces.asked == [2]
    proofs.prove_post(5, ProvePost(own.node_id, bytes(32)))
    proofs.describe_post(6, DescribePost(own.node_id))
    assert spaces.asked[1:] == [(5, own.node_id, bytes(32)), (6, own.node_id)]
    pool.takes = False
    proofs.verify_post(7, others)
    ((call, result),) = answers
    assert call == 7 and isinstance(result, Failed) and result.reason == "busy"


def test_others_are_verified_by_few_while_an_own_proof_is_made(tmp_path: Path, valid: dict[str, Any]) -> None:
    config, pool, proving = config_of(valid["cfg"], valid["init"]), Slow(), [True]
    verifying = replace(config.smeshing.verifying_opts, workers=3, min_workers=1)
    proofs = Proofs(
        replace(config, smeshing=replace(config.smeshing, verifying_opts=verifying)),
        NodeKeys([], tmp_path),
        Spaces(),
        pool,
        lambda call, result: None,
        is_proving=lambda: proving[0],
    )
    for call in range(3):
        proofs.verify_post(call, demand_of(valid, None))
    assert len(pool.given) == 1
    proofs.give_up(1)
    assert pool.given_up == [], "it has not come to the threads"
    proving[0] = False
    proofs.verify_post(3, demand_of(valid, None))
    assert [call for call, _, _ in pool.given] == [0, 2, 3]


def test_vrf_proofs_of_own_identities(tmp_path: Path) -> None:
    own, foreign = (identity(f"{number}.key", bytes([number]) * 32) for number in (1, 2))
    with bench(tmp_path, networks.BY_NAME["fastnet"], keys=(own,)) as one:
        one.proofs.prove_vrf(1, ProveVrf(own.node_id, b"alpha"))
        _, proof = one.answer()
        assert isinstance(proof, bytes) and vrf.verify(own.node_id, b"alpha", proof)
        one.proofs.prove_vrf(2, ProveVrf(foreign.node_id, b"alpha"))
        _, refused = one.answer()
        assert isinstance(refused, Failed) and refused.reason == "refused"


def test_vrf_nonces(tmp_path: Path, vectors_root: Path) -> None:
    entries = [one for one in load(vectors_root / "post/vrf.json")["verify"] if one["n"] <= 64][:12]
    assert entries
    for entry in entries:
        config = networks.BY_NAME["fastnet"]
        opts = replace(config.smeshing.opts, scrypt=replace(config.smeshing.opts.scrypt, n=entry["n"]))
        with bench(tmp_path, replace(config, smeshing=replace(config.smeshing, opts=opts))) as one:
            one.proofs.verify_vrf_nonce(
                1,
                VerifyVrfNonce(
                    NodeId(bytes.fromhex(entry["node_id"])),
                    AtxId(bytes.fromhex(entry["commitment_atx_id"])),
                    int(entry["nonce"]),
                    entry["num_units"],
                    int(entry["labels_per_unit"]),
                ),
            )
            assert one.answer() == (1, entry["valid"]), entry


def test_proofs_of_sequential_work(tmp_path: Path, vectors_root: Path) -> None:
    bases = load(vectors_root / "poet/verify.json")["bases"]
    base = next(one for one in bases if one["security_param"] == SECURITY_PARAM)
    merkle = MerkleProof(
        bytes.fromhex(base["root"]),
        tuple(map(bytes.fromhex, base["proven_leaves"])),
        tuple(map(bytes.fromhex, base["proof_nodes"])),
    )
    statement = Hash32(bytes.fromhex(base["statement"]))
    message = PoetProofMessage(PoetProof(merkle, int(base["num_leaves"])), bytes(32), b"7", statement)
    wrong = replace(message, proof=replace(message.proof, leaf_count=message.proof.leaf_count + 1))
    with bench(tmp_path, networks.BY_NAME["fastnet"]) as one:
        for call, proof in enumerate((message, wrong)):
            one.proofs.verify_poet(call, VerifyPoet(proof, PoetProofRef(proof.ref())))
        assert [one.answer(), one.answer()] == [(0, True), (1, False)]
