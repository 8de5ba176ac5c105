"""Proofs of the service over good, incomplete and damaged data, and what it tells about them."""

from __future__ import annotations

import http.server
import itertools
import json
import random
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.services.post.job import Progress, ProofJob
from api.services.post.options import PowServices
from protocol.params.post import MAINNET
from protocol.pb.spacemesh.v1 import post_types_pb2 as pb
from protocol.post.proof import Proof, required_bits, unpack_indices
from prover.errors import EnvironmentFault
from prover.post.directory import Storage
from prover.post.layout import Layout, file_name
from prover.post.metadata import FILE_NAME, decode, encode
from prover.post.proof.job import MOST_LEFT_OUT
from prover.post.proof.pow import Search
from prover.post.proof.prove import Prover
from tests.support import archives
from tests.support.post_node import Node, gen_proof, wait_for
from tests.support.post_served import Service, open_shared, settings_for
from tests.vector_cases.post_verify import machines

POS = Path(__file__).resolve().parents[3] / "vectors" / "post" / "pos"
CHALLENGE = b"\x03" * 32
ERROR, OK = pb.GEN_PROOF_STATUS_ERROR, pb.GEN_PROOF_STATUS_OK


def unpack(name: str, target: Path) -> Path:
    archives.unpack(POS / f"{name}.tar.gz", target)
    return target / name


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack("big_n2", tmp_path_factory.mktemp("data"))


@pytest.fixture
def data(unpacked: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(unpacked, tmp_path / "data"))


@pytest.fixture
def node() -> Iterator[Node]:
    with Node() as node:
        yield node


def words(service: Service) -> str:
    """The page in words."""
    return service.ask("GET", "/status", accept="text/plain").text


def metric(service: Service, name: str, **labels: str) -> float:
    """One figure of the only identity."""
    for line in service.ask("GET", "/metrics").text.splitlines():
        if line.startswith(f"smesher_post_{name}") and all(f'{key}="{value}"' in line for key, value in labels.items()):
            return float(line.rpartition(" ")[2])
    raise AssertionError(f"no metric {name} {labels}")


def test_the_state_in_all_its_forms(data: Path, node: Node) -> None:
    with Service(settings_for(node.address), data, held=True) as service:
        stream = node.connected()
        identity = stream.node_id.hex()
        assert service.status() == '"Idle"' and "idle: waits" in words(service)
        stream.ask(gen_proof(CHALLENGE))
        proving = '{"Proving":{"nonces":{"start":0,"end":64},"position":0}}'
        assert service.status() == proving
        assert service.ask("GET", f"/status/{identity}").text == proving
        assert service.ask("GET", f"/status/{'0' * 64}").status == 404
        assert CHALLENGE.hex() in words(service) and metric(service, "phase", phase="proving") == 1
        page = service.ask("GET", "/status", accept="text/html,*/*").text
        assert page.startswith("<!doctype html>") and "proving since" in page
        service.go.set()
        service.wait_status('"DoneProving"')
        assert "ready for the node" in words(service)
        stream.prove(CHALLENGE)
        assert service.status() == '"Idle"' and metric(service, "proofs_total", outcome="made") == 1
        (facts,) = json.loads(service.ask("GET", "/status.json").text)["identities"]
        assert (facts["node_id"], facts["last_error"], facts["connected"]) == (identity, None, True)
        assert facts["last_proof"]["challenge"] == CHALLENGE.hex()
        head = service.ask("HEAD", "/status")
        assert (head.status, head.body, head.header("content-length")) == (200, b"", "6")
        assert service.ask("POST", "/metrics").status == 405


def test_how_far_a_proof_is_over_several_passes(data: Path, node: Node) -> None:
    seen: list[Progress] = []

    class Watched(ProofJob):
        def __setattr__(self, name: str, value: Any) -> None:
            if name == "progress":
                seen.append(value)
            super().__setattr__(name, value)

    with Service(settings_for(node.address, nonces=16), data, make_job=Watched):
        proof = node.connected().prove(CHALLENGE).proof
    passes = [nonces for nonces, _ in itertools.groupby(one.first_nonce for one in seen)]
    assert passes == list(range(0, proof.nonce + 1, 16)) and len(passes) > 1
    for first in passes:
        of_pass = [one for one in seen if one.first_nonce == first]
        assert {one.end_nonce for one in of_pass} == {first + 16}
        positions = [one.position for one in of_pass]
        assert positions[0] == 0 and positions == sorted(positions), "it begins anew in each pass and only grows"
        assert all(one.position == 0 for one in of_pass if one.phase in ("preparing", "randomx", "k2pow"))
        assert positions[-1] == 4 * 65536 or first == passes[-1]
    assert seen[-1].phase == "checking"


def test_an_error_is_told_with_its_reason(data: Path, node: Node) -> None:
    with Service(settings_for(node.address), data) as service:
        stream = node.connected()
        assert stream.prove(b"\x01" * 31).status == ERROR
        assert "has 31 bytes, expected 32" in words(service)
        assert metric(service, "errors_total", reason="challenge") == 1 and metric(service, "failed") == 1
        (facts,) = json.loads(service.ask("GET", "/status.json").text)["identities"]
        assert facts["last_error"]["kind"] == "challenge" and "31 bytes" in facts["last_error"]["text"]
        assert stream.prove(CHALLENGE).HasField("proof")
        assert metric(service, "failed") == 0 and "Last error" not in words(service)


def test_a_proof_from_incomplete_data_is_made_and_marked(
    data: Path, node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    (data / "postdata_0.bin").unlink()
    with Service(settings_for(node.address, k2=30), data) as service:
        stream = node.connected()
        assert "The data is not complete: postdata_0.bin is missing" in caplog.text, "told before a proof is asked for"
        assert stream.prove(CHALLENGE).HasField("proof")
        assert metric(service, "incomplete_files") == 1
        assert metric(service, "proofs_total", outcome="weakened") == 1
        assert "postdata_0.bin is missing" in words(service)


def test_no_data_is_an_error_until_it_is_there_again(data: Path, node: Node, tmp_path: Path) -> None:
    away = tmp_path / "away"
    away.mkdir()
    for file in data.glob("postdata_*.bin"):
        file.rename(away / file.name)
    with Service(settings_for(node.address), data) as service:
        stream = node.connected()
        assert stream.prove(CHALLENGE).status == ERROR
        assert "has no data files" in words(service)
        for file in away.iterdir():
            file.rename(data / file.name)
        assert stream.prove(CHALLENGE).HasField("proof")


def test_a_damaged_file_is_named_and_left_out(data: Path, node: Node) -> None:
    (data / "postdata_1.bin").write_bytes(random.Random(1).randbytes(65536))
    with Service(settings_for(node.address, k2=30), data) as service:
        assert node.connected().prove(CHALLENGE).HasField("proof")
        assert "postdata_1.bin at" in words(service) and "run smesher repair" in words(service)
        found = metric(service, "wrong_labels")
        assert found > 0 and findings_of(data) == found
        if found > MOST_LEFT_OUT:
            assert metric(service, "proofs_total", outcome="weakened") == 1


def findings_of(data: Path) -> int:
    """Wrong labels that are remembered beside the data."""
    return len(json.loads((data / "smesher-findings.json").read_text())["BadLabels"])


def test_one_wrong_label_beside_a_winning_one_costs_no_proof(data: Path, node: Node) -> None:
    """The label after the first good one becomes a copy of the second good one: taken for good, and wrong."""
    metadata = decode((data / FILE_NAME).read_bytes())
    layout = Layout(metadata.num_labels, metadata.max_file_size)
    with Service(settings_for(node.address), data):
        made = node.connected().prove(CHALLENGE).proof
    good = list(unpack_indices(made.indices, required_bits(metadata.num_labels), MAINNET.k2))
    bad = next(index for index in range(good[0] + 1, metadata.num_labels) if index not in good)
    (number, offset), (bad_number, bad_offset) = layout.locate(good[1]), layout.locate(bad)
    label = (data / file_name(number)).read_bytes()[offset : offset + 16]
    with (data / file_name(bad_number)).open("r+b") as file:
        file.seek(bad_offset)
        file.write(label)
    (data / "smesher-proof-made.json").unlink()
    with Service(settings_for(node.address), data) as service:
        proof = node.connected().prove(CHALLENGE).proof
        assert bad not in unpack_indices(proof.indices, required_bits(metadata.num_labels), MAINNET.k2)
        assert metric(service, "wrong_labels") == 1 and metric(service, "proofs_total", outcome="made") == 1
        assert f"{bad} ({file_name(bad_number)} at {bad_offset})" in words(service)
        (facts,) = json.loads(service.ask("GET", "/status.json").text)["identities"]
        assert facts["wrong_labels"] == [{"index": bad, "file": file_name(bad_number), "offset": bad_offset}]


def test_a_nonce_that_is_none_is_told_before_the_node_is_asked(data: Path, node: Node) -> None:
    metadata = decode((data / FILE_NAME).read_bytes())
    (data / FILE_NAME).write_text(encode(replace(metadata, nonce=5, nonce_value=None)))
    with Service(settings_for(node.address), data) as service:
        node.connected()
        assert "VRF nonce 5 is none" in words(service) and metric(service, "nonce_invalid") == 1
    (data / FILE_NAME).write_text(encode(metadata))
    with Service(settings_for(node.address), data) as service:
        node.connected()
        assert metric(service, "nonce_invalid") == 0 and "VRF nonce" not in words(service)
    (data / FILE_NAME).write_text(encode(replace(metadata, nonce=None, nonce_value=None)))
    with Service(settings_for(node.address), data) as service:
        node.connected()
        assert "complete, but it has no VRF nonce" in words(service) and metric(service, "nonce_invalid") == 1


def test_data_of_another_identity_is_found_before_the_pass(data: Path, node: Node) -> None:
    metadata = decode((data / FILE_NAME).read_bytes())
    (data / FILE_NAME).write_text(encode(replace(metadata, commitment_atx_id=bytes(32))))
    with Service(settings_for(node.address), data) as service:
        assert node.connected().prove(CHALLENGE).status == ERROR
        assert "None of the labels" in words(service) and "commitment" in words(service)
        assert not (data / "smesher-proof.json").exists()


def test_a_read_error_in_the_middle_of_a_pass(data: Path, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Storage.read_into

    def failing(storage: Storage, name: str, offset: int, target: Any) -> int:
        if name == "postdata_2.bin":
            raise EnvironmentFault(f"Cannot read {storage.path / name}: the disk reports an input/output error.")
        return real(storage, name, offset, target)

    monkeypatch.setattr(Storage, "read_into", failing)
    with Service(settings_for(node.address, k2=30), data) as service:
        assert node.connected().prove(CHALLENGE).HasField("proof")
        assert metric(service, "unreadable_files") == 1
        assert metric(service, "proofs_total", outcome="weakened") == 1
        assert "could not be read to their end" in words(service)


def test_whatever_goes_wrong_the_node_is_told_and_may_ask_again(data: Path, node: Node) -> None:
    class Faulty(ProofJob):
        broken = True

        def run(self) -> Proof:
            if Faulty.broken:
                raise ZeroDivisionError("surprise")
            return super().run()

    with Service(settings_for(node.address), data, make_job=Faulty) as service:
        stream = node.connected()
        assert stream.prove(CHALLENGE).status == ERROR
        assert "ZeroDivisionError: surprise" in words(service)
        Faulty.broken = False
        assert stream.prove(CHALLENGE).HasField("proof")


def test_several_identities_in_one_service(data: Path, node: Node, tmp_path: Path) -> None:
    other = unpack("single_file_n2", tmp_path)
    settings = settings_for(node.address, k1=12, k2=4)
    with Service(settings, data, other, held=True) as service:
        first, second = (node.connected(decode((path / FILE_NAME).read_bytes()).node_id) for path in (data, other))
        first.ask(gen_proof(CHALLENGE))
        second.ask(gen_proof(CHALLENGE))
        both = json.loads(service.status())
        assert set(both) == {first.node_id.hex(), second.node_id.hex()} and all(
            "Proving" in one for one in both.values()
        )
        assert "the proof of another identity is being made" in words(service)
        assert len(service.jobs) == 1
        service.go.set()
        proofs = {bytes(one.prove(CHALLENGE).metadata.meta.node_id) for one in (first, second)}
        assert proofs == {first.node_id, second.node_id}
        assert metric(service, "proofs_total", node_id=second.node_id.hex(), outcome="made") == 1


def test_a_proof_that_was_made_survives_a_restart(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service or node that restarts at the wrong moment does not cost a pass."""
    with Node() as node:
        with Service(settings_for(node.address), data, held=True) as service:
            stream = node.connected()
            stream.ask(gen_proof(CHALLENGE))
            service.go.set()
            service.wait_status('"DoneProving"')  # and is not fetched
        made: list[int] = []
        real = Prover.run
        monkeypatch.setattr(Prover, "run", lambda prover, **named: made.append(1) or real(prover, **named))
        with Service(settings_for(node.address), data) as service:
            again = node.connected(after=stream).prove(CHALLENGE)
            assert again.HasField("proof") and not made
            assert node.connected(after=stream).prove(b"\x04" * 32).HasField("proof") and made == [1]


def test_a_kept_proof_that_does_not_hold_is_not_given_out(data: Path, node: Node) -> None:
    with Service(settings_for(node.address), data) as service:
        stream = node.connected()
        right = stream.prove(CHALLENGE)
        kept = data / "smesher-proof-made.json"
        document = json.loads(kept.read_text())
        document["proof"]["nonce"] ^= 1
        kept.write_text(json.dumps(document))
        assert stream.prove(CHALLENGE).proof == right.proof
        kept.write_text("{")
        assert stream.prove(CHALLENGE).proof == right.proof
        assert metric(service, "proofs_total", outcome="made") == 3


class K2powService(http.server.ThreadingHTTPServer):
    """Finds solutions, or says that it does."""

    def __init__(self, lie: int | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _K2powHandler)
        self.lie = lie
        self.paths: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _K2powHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, K2powService)
        first_time = self.path not in self.server.paths
        self.server.paths.append(self.path)
        if first_time:
            self.send_response(201)
            self.end_headers()
            return
        _, _, miner, group, challenge, difficulty = self.path.split("/")
        found = self.server.lie
        if found is None:
            parts = (bytes.fromhex(challenge), bytes.fromhex(miner), bytes.fromhex(difficulty))
            found = Search(machines().memory, int(group), *parts).run()
        body = str(found).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Quiet."""


def test_proofs_of_work_from_a_k2pow_service(data: Path, node: Node) -> None:
    with K2powService() as remote:
        named = {"remote_pow": PowServices((remote.url,), 5, 0.02)}
        with Service(settings_for(node.address, **named), data):
            proof = node.connected().prove(CHALLENGE)
            assert proof.HasField("proof")
            groups = {path.split("/")[3] for path in remote.paths}
            assert groups == {"0", "1", "2", "3"}, "all groups of a pass are asked for"
        remote.shutdown()
    # a pass that nobody fetched is not what is compared: the kept proof is of the same challenge
    (data / "smesher-proof-made.json").unlink()
    with Service(settings_for(node.address), data):
        local = node.connected().prove(CHALLENGE)
        assert local.proof == proof.proof, "the same proof for the same proofs of work"


def test_a_k2pow_service_that_lies_is_found_out_before_the_pass(data: Path, node: Node) -> None:
    hard = bytes.fromhex("00ff" + "ff" * 30)
    with K2powService(lie=0) as remote:
        settings = settings_for(node.address, remote_pow=PowServices((remote.url,), 5, 0.02), pow_difficulty=hard)
        with Service(settings, data) as service:
            assert node.connected().prove(CHALLENGE).status == ERROR
            assert "no solution" in words(service) and remote.url in words(service)
        remote.shutdown()


def test_randomx_is_kept_between_proofs_and_given_back_after_a_while(
    data: Path, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.services.post.app.TICK_S", 0.05)
    opened: list[bool] = []

    def open_memory(full: bool, stop: threading.Event) -> Any:
        opened.append(full)
        return open_shared(full, stop)

    with Service(settings_for(node.address), data, open_memory=open_memory) as service:
        stream = node.connected()
        for number in range(3):
            assert stream.prove(bytes([number]) * 32).HasField("proof")
        assert opened == [False] and metric(service, "randomx", state="light") == 1
        service.app.cache._idle_s = 0.3
        wait_for(lambda: metric(service, "randomx", state="none") == 1 or None, "it is given back")
        assert stream.prove(b"\x05" * 32).HasField("proof") and opened == [False, False]


def test_scrypt_with_other_r_and_p_is_checked_as_such(data: Path, node: Node) -> None:
    """The data was made with r = p = 1, so with other parameters no label is right."""
    with Service(settings_for(node.address, scrypt_r=2), data) as service:
        assert node.connected().prove(CHALLENGE).status == ERROR
        assert "None of the labels" in words(service), "found before a pass over the data"
