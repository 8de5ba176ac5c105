"""`smesher post-service` as its user starts and stops it: signals, kills, restarts, bad options."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from protocol.pb.spacemesh.v1 import post_types_pb2 as pb
from tests.support import archives, post_tls
from tests.support.cli import ENTRY, finish, smesher, start
from tests.support.post_node import Gone, Node, ServerTls, Stream, gen_proof, wait_for
from tests.support.post_served import Service, settings_for
from tests.support.proving import has_memory

ARCHIVE = Path(__file__).resolve().parents[3] / "vectors" / "post" / "pos" / "big_n2.tar.gz"
CHALLENGE = b"\x03" * 32
ANY = "ff" * 32
NEVER = "00" * 31 + "01"
"""A difficulty that no hash is below: a proof of work without end."""

END_S = 2.0
SLACK_S = 2.0
"""On top, for a machine that does other things as well."""

SLOW = """
import time
from prover.post.proof import prove; from prover.post import directory as storage
prove.SAVE_SECONDS = 0.0
read = storage.Storage.read_into
def slowly(self, name, *words):
    time.sleep(0.6 * (1 + int(name[9])))
    return read(self, name, *words)
storage.Storage.read_into = slowly
"""
"""A pass over four files that takes a few seconds and is saved after each of them."""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("data")
    archives.unpack(ARCHIVE, target)
    return target / "big_n2"


@pytest.fixture(scope="module", autouse=True)
def compiled(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """One proof in this process, so that the services started here find everything compiled."""
    copy = Path(shutil.copytree(unpacked, tmp_path_factory.mktemp("compiled") / "data"))
    with Node() as node, Service(settings_for(node.address), copy):
        assert node.connected().prove(CHALLENGE, 240.0).HasField("proof")


@pytest.fixture
def data(unpacked: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(unpacked, tmp_path / "data"))


@pytest.fixture
def node() -> Iterator[Node]:
    with Node() as node:
        yield node


def options(data: Path, node: Node, **more: Any) -> list[object]:
    """Words of a command line for small data."""
    named = {
        "dir": data,
        "address": node.address,
        "min_num_units": 1,
        "threads": 1,
        "n": 2,
        "nonces": 64,
        "pow_difficulty": ANY,
        "randomx_mode": "light",
        "reconnect_interval_s": 1,
        **more,
    }
    words = [(f"-{name}" if len(name) == 1 else f"--{name.replace('_', '-')}", value) for name, value in named.items()]
    return ["post-service", *(word for pair in words for word in pair)]


CHILDREN: list[subprocess.Popen[str]] = []


def launch(*words: object, script: str = ENTRY) -> subprocess.Popen[str]:
    """Starts a service; what a test leaves running is killed after it."""
    CHILDREN.append(start(*words, script=script))
    return CHILDREN[-1]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    for child in CHILDREN:
        if child.poll() is None:
            child.kill()
            child.communicate()
    CHILDREN.clear()


def begun(node: Node, after: Stream | None = None) -> Stream:
    """A service that has begun a proof."""
    stream = node.connected(after=after)
    assert stream.ask(gen_proof(CHALLENGE)) == bytes.fromhex("12020801")
    return stream


def ended(child: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, float, str]:
    """Sends a signal; the exit code, how long it took, and what was said."""
    began = time.monotonic()
    child.send_signal(number)
    result = finish(child)
    assert "Traceback" not in result.text, result.text
    return result.code, time.monotonic() - began, result.text


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_an_idle_service(data: Path, node: Node, number: int, code: int) -> None:
    child = launch(*options(data, node))
    node.connected()
    found, seconds, _ = ended(child, number)
    assert found == code and seconds < END_S + SLACK_S


def test_a_signal_during_k2pow(data: Path, node: Node) -> None:
    child = launch(*options(data, node, pow_difficulty=NEVER))
    begun(node)
    time.sleep(2.5)  # RandomX is there and searches
    code, seconds, _ = ended(child)
    assert code == 143 and seconds < END_S + SLACK_S


def test_a_signal_while_the_data_set_is_built(data: Path, node: Node) -> None:
    child = launch(*options(data, node, randomx_mode="fast", pow_difficulty=NEVER))
    stream = begun(node)
    for _ in range(3):
        time.sleep(0.5)
        assert stream.ask(gen_proof(CHALLENGE), 2.0) == bytes.fromhex("12020801"), "it answers meanwhile"
    code, seconds, _ = ended(child)
    assert code == 143 and seconds < END_S + SLACK_S


def test_a_signal_during_a_pass_saves_it(data: Path, node: Node) -> None:
    child = launch(*options(data, node), script=SLOW + ENTRY)
    begun(node)
    state = data / "smesher-proof.json"
    wait_for(lambda: (state.exists() and json.loads(state.read_text())["NextBatch"] >= 2) or None, "a pass is saved")
    code, seconds, _ = ended(child)
    assert code == 143 and seconds < END_S + SLACK_S
    assert json.loads(state.read_text())["NextBatch"] >= 2


def test_a_signal_during_a_check_that_cannot_be_stopped(data: Path, node: Node) -> None:
    script = "import time\nfrom prover.post.proof import verify\nverify.check = lambda *words: time.sleep(60)\n" + ENTRY
    child = launch(*options(data, node, operator_address="127.0.0.1:0"), script=script)
    begun(node)
    time.sleep(4.0)
    code, seconds, _ = ended(child)
    assert code == 143 and seconds < END_S + SLACK_S


def test_a_killed_service_goes_on_where_it_was_and_finds_the_same_proof(data: Path, node: Node, tmp_path: Path) -> None:
    whole = Path(shutil.copytree(data, tmp_path / "whole"))
    child = launch(*options(whole, node))
    stream = node.connected()
    expected = stream.prove(CHALLENGE)
    assert expected.HasField("proof")
    ended(child)
    state = data / "smesher-proof.json"
    for batches in (1, 3):
        child = launch(*options(data, node), script=SLOW + ENTRY)
        stream = begun(node, after=stream)
        wait_for(
            lambda least=batches: (state.exists() and json.loads(state.read_text())["NextBatch"] >= least) or None,
            "the pass comes so far",
        )
        child.kill()
        child.wait()
    child = launch(*options(data, node), script=SLOW + ENTRY)
    assert node.connected(after=stream).prove(CHALLENGE).proof == expected.proof
    ended(child)
    assert not state.exists()


def test_it_ends_with_the_process_that_it_watches(data: Path, node: Node) -> None:
    watched = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    child = launch(*options(data, node, watch_pid=watched.pid))
    node.connected()
    watched.kill()  # a zombie until somebody waits for it, which counts as gone
    result = finish(child)
    watched.wait()
    assert result.code == 0 and "is gone" in result.text


def test_json_events(data: Path, node: Node) -> None:
    child = launch(*options(data, node), "--json")
    stream = node.connected()
    stream.prove(CHALLENGE)
    child.terminate()
    result = finish(child)
    assert result.code == 143 and not result.err
    kinds = [event["event"] for event in result.events]
    assert "serving" in kinds and kinds.count("log") >= 3
    assert any("nonce" in event.get("message", "") for event in result.events)


def test_mutual_tls_by_files(data: Path, tmp_path: Path) -> None:
    files = {}
    for option, content in (
        ("ca_cert", post_tls.CA_CERT),
        ("cert", post_tls.SERVICE_CERT),
        ("key", post_tls.SERVICE_KEY),
    ):
        files[option] = tmp_path / f"{option}.pem"
        files[option].write_bytes(content)
    with Node(tls=ServerTls(post_tls.CA_CERT, post_tls.NODE_CERT, post_tls.NODE_KEY)) as node:
        child = launch(*options(data, node, **files))
        assert node.connected().prove(CHALLENGE).status == pb.GEN_PROOF_STATUS_OK
        ended(child)
    # files that do not fit are named before anything starts
    (tmp_path / "other.pem").write_bytes(post_tls.STRANGER_KEY)
    smesher(*options(data, node, **{**files, "key": tmp_path / "other.pem"})).refused(1, "--key", "other.pem")
    (tmp_path / "other.pem").write_text("nonsense")
    smesher(*options(data, node, **{**files, "ca_cert": tmp_path / "other.pem"})).refused(1, "--ca-cert", "other.pem")


@pytest.mark.parametrize("scheme", ["http", "HTTP"])
def test_certificates_are_refused_where_nothing_would_be_encrypted(data: Path, tmp_path: Path, scheme: str) -> None:
    words: list[object] = ["post-service", "--dir", data, "--threads", 1, "--address", f"{scheme}://127.0.0.1:9"]
    for option, content in (
        ("--ca-cert", post_tls.CA_CERT),
        ("--cert", post_tls.SERVICE_CERT),
        ("--key", post_tls.SERVICE_KEY),
    ):
        path = tmp_path / f"{option}.pem"
        path.write_bytes(content)
        words += [option, path]
    smesher(*words, "--max-retries", 0).refused(2, f"{scheme}://127.0.0.1:9 is not https", "--ca-cert")


@pytest.mark.parametrize(
    ("more", "code", "facts"),
    [
        ({"pinned_cores": "99999"}, 1, ["99999"]),
        ({"pinned_cores": "0,x"}, 2, ["--pinned-cores", "0,x"]),
        ({"operator_address": "localhost:1"}, 2, ["--operator-address", "localhost:1"]),
        ({"operator_address": "[::1:1"}, 2, ["--operator-address"]),
        ({"address": "http://node:x"}, 1, ["--address"]),
        ({"address": "http://node:9094/path"}, 1, ["--address", "more than host and port"]),
        ({"domain": "x"}, 2, ["--domain", "--ca-cert"]),
        ({"remote_k2pow": "ftp://x"}, 2, ["ftp://x"]),
        ({"n": 512}, 2, ["512", "scrypt N"]),
        ({"r": 0}, 2, ["-r is 0"]),
        ({"min_num_units": 5}, 1, ["4 units", "5 to"]),
    ],
)
def test_options_that_cannot_be(data: Path, node: Node, more: dict[str, Any], code: int, facts: list[str]) -> None:
    if "n" in more:
        smesher("init", "--data-dir", data / "own", "--num-units", 1, "--labels-per-unit", 64, "--scrypt-n", 2,
                "--node-id", "11" * 32, "--commitment-atx-id", "22" * 32, "--cpu").ok()  # fmt: skip
        data = data / "own"
    smesher(*options(data, node, **{**more, **({"min_num_units": 1} if "n" in more else {})})).refused(code, *facts)


def test_one_identity_twice(data: Path, node: Node, tmp_path: Path) -> None:
    twin = shutil.copytree(data, tmp_path / "twin")
    smesher(*options(data, node), "--dir", twin).refused(2, "both hold identity", twin)


def test_a_port_that_is_taken(data: Path, node: Node) -> None:
    taken = f"127.0.0.1:{node.port}"
    smesher(*options(data, node, operator_address=taken)).refused(3, "--operator-address", taken)


def test_memory_that_does_not_suffice_for_the_data_set(data: Path, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    has_memory(monkeypatch, 1 << 30)
    smesher(*options(data, node, randomx_mode="fast")).refused(3, "RandomX", "1024 MiB")


def test_without_being_asked_for_fast_it_proves_in_light_mode_with_a_warning(data: Path, node: Node) -> None:
    script = "from kernels import randomx\nrandomx.available_memory = lambda: 1 << 30\n" + ENTRY
    words = options(data, node)
    place = words.index("--randomx-mode")
    child = launch(*words[:place], *words[place + 2 :], script=script)
    assert node.connected().prove(CHALLENGE).HasField("proof")
    _, _, said = ended(child)
    assert "light mode" in said


def test_data_on_a_disk_that_is_read_only(data: Path, node: Node, tmp_path: Path) -> None:
    """The pass is saved in the user's state directory."""
    script = (
        "import os\nallowed = os.access\n"
        f"os.access = lambda path, mode: False if str(path) == {str(data)!r} else allowed(path, mode)\n"
        f"os.environ['XDG_STATE_HOME'] = {str(tmp_path / 'state')!r}\n"
    )
    child = launch(*options(data, node), script=script + SLOW + ENTRY)
    stream = begun(node)
    wait_for(lambda: list((tmp_path / "state" / "smesher").glob("proof-*.json")) or None, "the pass is saved there")
    assert stream.prove(CHALLENGE).HasField("proof")
    ended(child)
    assert not list(data.glob("smesher-proof*.json"))


def test_the_stream_ends_with_the_service(data: Path, node: Node) -> None:
    child = launch(*options(data, node))
    stream = node.connected()
    child.kill()
    child.wait()
    wait_for(lambda: stream.ended.is_set() or None, "the node hears of it")
    with pytest.raises(Gone):
        stream.ask(gen_proof(CHALLENGE))
    assert os.path.exists(data / "postdata_metadata.json")
