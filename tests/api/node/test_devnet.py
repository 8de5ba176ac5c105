"""The network of one process: its settings fit, its spaces are real, its command says what it does and ends in time."""

from __future__ import annotations

import json
import queue
import threading
from contextlib import closing
from pathlib import Path

import pytest

from api.edge.errors import UsageError
from api.node import embedded_poet, local_space
from api.node.checks import require
from api.node.devnet import EPOCH_LAYERS, LAYER_NS, Plan, config_of
from api.node.local_space import LocalSpaces, SharedTools, Space
from node.assembly.parameters import parameters_of
from node.contract.demands import Failed, HeldSpace, ProvenPost, Result
from protocol.numbers.time import Time
from protocol.post.proof import Proof, ProofMetadata
from protocol.types.ids import AtxId, NodeId
from prover.errors import Interrupted
from prover.post.proof.job import ProofJob
from prover.post.proof.verify import Claim, Mode, VerifyParams, check
from tests.support.cli import run_child, smesher

GENESIS = Time(1_800_000_000, 0)
POET = "http://127.0.0.1:9"
IDENTITY, OTHER, GOLDEN = NodeId(b"\1" * 32), NodeId(b"\2" * 32), AtxId(b"\3" * 32)
WAIT_S = 60.0


def test_its_settings_can_work_together(tmp_path: Path) -> None:
    plan = Plan(tmp_path, public_ports=(4000,))
    configs = [config_of(GENESIS, POET, plan, number) for number in range(2)]
    for config in configs:
        require(config)
    parameters = [parameters_of(config) for config in configs]
    assert parameters[0] == parameters[1]
    assert parameters[0].time.layer_duration_ns == LAYER_NS
    assert parameters[0].time.layers_per_epoch == EPOCH_LAYERS
    assert configs[0].api.grpc_public_listener == "127.0.0.1:4000"
    assert configs[1].api.grpc_public_listener == "127.0.0.1:0"
    assert configs[0].smeshing.coinbase != configs[1].smeshing.coinbase


def test_the_embedded_poet_has_the_times_of_its_network(tmp_path: Path) -> None:
    config = config_of(GENESIS, "http://127.0.0.1:4321", Plan(tmp_path), 0)
    found = embedded_poet.config_of(config, tmp_path / "poet")
    assert found.restlisten == "127.0.0.1:4321"
    assert found.schedule.start(0) == GENESIS.unix_ns + config.poet.phase_shift_ns
    assert found.schedule.start(1) - found.schedule.start(0) == LAYER_NS * EPOCH_LAYERS
    assert found.schedule.start(1) - found.schedule.end(0) == config.poet.cycle_gap_ns


@pytest.mark.parametrize("text", ["ftp://127.0.0.1:1", "http://127.0.0.1", "nothing"])
def test_a_poet_without_an_address_is_refused_by_name(tmp_path: Path, text: str) -> None:
    config = config_of(GENESIS, text, Plan(tmp_path), 0)
    with pytest.raises(UsageError, match=r"main\.poet-servers is "):
        embedded_poet.config_of(config, tmp_path)


def test_space_is_made_once_proven_and_verified(tmp_path: Path) -> None:
    config = config_of(GENESIS, POET, Plan(tmp_path), 0)
    space = Space(tmp_path / "post", 2)
    metadata = local_space.make(config, IDENTITY, GOLDEN, space)
    changed = {file.name: file.stat().st_mtime_ns for file in space.folder.iterdir()}
    assert local_space.make(config, IDENTITY, GOLDEN, space) == metadata
    assert {file.name: file.stat().st_mtime_ns for file in space.folder.iterdir()} == changed
    told: queue.Queue[tuple[int, Result]] = queue.Queue()
    memory = local_space.light_randomx()
    spaces = LocalSpaces(config, memory, lambda call, result: told.put((call, result)))
    spaces.add(IDENTITY, space)
    try:
        spaces.describe(1, IDENTITY)
        assert told.get(timeout=WAIT_S) == (1, HeldSpace(GOLDEN, 2))
        spaces.describe(2, OTHER)
        _, nobody = told.get(timeout=WAIT_S)
        assert isinstance(nobody, Failed)
        assert nobody.reason == "not_connected"
        challenge = b"\7" * 32
        spaces.prove(3, IDENTITY, challenge)
        call, proven = told.get(timeout=WAIT_S)
        assert call == 3
        assert isinstance(proven, ProvenPost)
        assert (proven.num_units, proven.commitment_atx, proven.vrf_nonce) == (2, GOLDEN, metadata.nonce)
        post, rules = proven.post, config.post
        params = VerifyParams(
            k1=rules.k1,
            k2=rules.k2,
            pow_difficulty=rules.pow_difficulty,
            min_num_units=rules.min_numunits,
            max_num_units=rules.max_numunits,
            labels_per_unit=rules.labels_per_unit,
            scrypt_n=config.smeshing.opts.scrypt.n,
        )
        claim = Claim(
            Proof(post.nonce, post.indices, post.pow),
            ProofMetadata(IDENTITY, GOLDEN, challenge, 2),
            Mode(tuple(range(rules.k2))),
        )
        with closing(SharedTools(memory, config.smeshing.opts.scrypt.n)) as tools:
            assert check(claim, params, tools.labels, tools.hash).valid
    finally:
        spaces.close()
        memory.close()


def test_a_proof_that_is_being_made_is_broken_off_when_the_network_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(GENESIS, POET, Plan(tmp_path), 0)
    space = Space(tmp_path / "post", 2)
    local_space.make(config, IDENTITY, GOLDEN, space)
    told: queue.Queue[tuple[int, Result]] = queue.Queue()
    memory = local_space.light_randomx()
    spaces = LocalSpaces(config, memory, lambda call, result: told.put((call, result)))
    spaces.add(IDENTITY, space)
    begun, stopped = threading.Event(), threading.Event()

    def make(job: ProofJob) -> Proof:
        begun.set()
        assert stopped.wait(WAIT_S)
        raise Interrupted("Stopped.")

    monkeypatch.setattr(ProofJob, "make", make)
    monkeypatch.setattr(ProofJob, "stop", lambda job: stopped.set())
    spaces.prove(1, IDENTITY, b"\7" * 32)
    assert begun.wait(WAIT_S)
    assert spaces.close()
    call, found = told.get_nowait()
    assert call == 1
    assert isinstance(found, Failed)
    memory.close()


def test_a_space_that_is_damaged_is_told_to_who_asks(tmp_path: Path) -> None:
    config = config_of(GENESIS, POET, Plan(tmp_path), 0)
    folder = tmp_path / "post"
    folder.mkdir()
    (folder / "postdata_metadata.json").write_text("{")
    told: queue.Queue[tuple[int, Result]] = queue.Queue()
    spaces = LocalSpaces(config, local_space.light_randomx(), lambda call, result: told.put((call, result)))
    spaces.add(IDENTITY, Space(folder, 2))
    spaces.describe(1, IDENTITY)
    _, found = told.get(timeout=WAIT_S)
    spaces.close()
    assert isinstance(found, Failed)
    assert found.reason == "failed"
    assert "postdata_metadata.json" in found.detail


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--nodes", "0"], "--nodes is 0"),
        (["--nodes", "51"], "--nodes is 51"),
        (["--layers", "0"], "--layers is 0"),
        (["--first-port", "65535"], "--first-port is 65535"),
        (["--account", "nobody"], "--account is 'nobody'"),
        (["--account", "nobody=-1"], "--account is 'nobody=-1'"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(words: list[str], found: str) -> None:
    result = smesher("devnet", *words)
    assert result.code == 2
    assert found in result.err


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    result = smesher("devnet", "--data-folder", tmp_path)
    assert result.code == 2
    assert "no empty folder" in result.err
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


@pytest.mark.slow
def test_it_tells_where_its_nodes_are_and_ends_with_the_layer_that_was_asked_for(tmp_path: Path) -> None:
    result = run_child("devnet", "--nodes", "2", "--layers", "1", "--data-folder", tmp_path / "net", "--json")
    assert result.code == 0, result.err
    events = [json.loads(line) for line in result.out.splitlines()]
    nodes = [one for one in events if one["event"] == "node"]
    assert len(nodes) == 2
    assert len({one["public"] for one in nodes} | {one["json"] for one in nodes}) == 4
    (layer,) = [one for one in events if one["event"] == "layer"]
    assert layer["layer"] == 0
    assert [one["node"] for one in layer["nodes"]] == [0, 1]
    assert sorted(file.name for file in (tmp_path / "net").iterdir()) == ["node-0", "node-1", "poet"]
