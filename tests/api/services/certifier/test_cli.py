"""`smesher certifier` as its operator meets it: keys, configuration, ports, signals."""

from __future__ import annotations

import base64
import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nacl.bindings import crypto_sign_seed_keypair

from api.cli.main import main
from tests.support.cli import Job, finish, smesher, start, wait_for
from tests.support.served import Reply, ask

CONFIG = """\
listen: "127.0.0.1:0"
signing_key: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=
post_cfg:
  k1: 12
  k2: 4
  pow_difficulty: "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
init_cfg:
  min_num_units: 2
  max_num_units: 4
  labels_per_unit: 128
  scrypt:
    n: 2
    r: 1
    p: 1
metrics: "127.0.0.1:0"
limits:
  max_pending_requests: 10
"""
Running = tuple["subprocess.Popen[str]", dict[str, object]]


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    path = tmp_path / "config.yml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def certifier(configuration: Path) -> Iterator[Callable[..., Running]]:
    """Starts certifiers in the folder of the configuration; those that are left are killed."""
    started: list[subprocess.Popen[str]] = []

    def begin(*words: object) -> Running:
        child = start("certifier", *words, "--json", cwd=configuration.parent)
        started.append(child)
        assert child.stdout is not None
        for line in child.stdout:
            event: dict[str, object] = json.loads(line)
            if event["event"] == "serving":
                return child, event
        raise AssertionError(f"it ended: {finish(child).text}")

    yield begin
    for child in started:
        if child.poll() is None:
            child.kill()
        child.communicate()


def request(data: Path, tmp_path: Path) -> bytes:
    """What a node sends, made by the commands of ours."""
    out = tmp_path / "out"
    words = ("--challenge", "05" * 32, "--network", "fastnet", "--randomx-mode", "light", "--out", out)
    smesher("prove", data, *words).ok()
    parts = {"proof": out / "proof.json", "metadata": out / "metadata.json"}
    return json.dumps({name: json.loads(path.read_text()) for name, path in parts.items()}).encode()


def certify(port: object, content: bytes) -> Reply:
    assert isinstance(port, int)
    return ask(port, "POST", "/certify", content, {"Content-Type": "application/json"})


def test_from_keys_to_a_certificate(certifier: Callable[..., Running], tmp_path: Path) -> None:
    data = Job(units=2, labels_per_unit=128).make(tmp_path / "data")
    child, serving = certifier()
    content = request(data, tmp_path)
    answer = certify(serving["port"], content)
    assert answer.status == 200
    assert json.loads(answer.text)["pub_key"] == serving["pub_key"]
    bad = json.loads(content)
    bad["proof"]["nonce"] ^= 1
    assert certify(serving["port"], json.dumps(bad).encode()).status == 403
    assert isinstance(serving["metrics"], int)
    assert 'status="403"' in ask(serving["metrics"], "GET", "/metrics").text
    child.terminate()
    result = finish(child)
    assert result.code == 143 and "Traceback" not in result.err
    assert "certified 1111" in result.err and "refused 1111" in result.err
    assert "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8" not in result.text


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_soon(certifier: Callable[..., Running], number: int, code: int) -> None:
    child, _ = certifier()
    began = time.monotonic()
    child.send_signal(number)
    result = finish(child, timeout=30)
    assert time.monotonic() - began < 5, "2 s, and some for a busy machine"
    assert result.code == code and "Traceback" not in result.err


def test_a_signal_while_it_verifies(certifier: Callable[..., Running], tmp_path: Path) -> None:
    data = Job(units=2, labels_per_unit=128).make(tmp_path / "data")
    content = request(data, tmp_path)
    child, serving = certifier()
    port = serving["port"]
    assert isinstance(port, int)
    head = (
        f"POST /certify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(10)]
    for one in clients:
        one.sendall(head.encode() + content)
    began = time.monotonic()
    child.terminate()
    result = finish(child, timeout=30)
    assert time.monotonic() - began < 5
    assert result.code == 143 and "Traceback" not in result.err
    for one in clients:
        one.close()


def test_killed_and_started_again(certifier: Callable[..., Running]) -> None:
    child, first = certifier()
    child.kill()
    child.wait()
    _, second = certifier()
    assert second["pub_key"] == first["pub_key"]
    assert certify(second["port"], b"{").status == 400


def test_the_environment_names_file_and_fields(
    certifier: Callable[..., Running], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text('{"listen": "127.0.0.1:0"}')
    monkeypatch.setenv("CERTIFIER_CONFIG_PATH", str(elsewhere))
    smesher("certifier").refused(2, "elsewhere.json", "signing_key is missing", "CERTIFIER_SIGNING_KEY")
    monkeypatch.setenv("CERTIFIER_SIGNING_KEY", base64.b64encode(bytes(32)).decode())
    _, serving = certifier("--config", tmp_path / "config.yml")
    assert serving["pub_key"] == base64.b64encode(crypto_sign_seed_keypair(bytes(32))[0]).decode()


def test_a_taken_port(certifier: Callable[..., Running], configuration: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for field in ("listen", "metrics"):
            changed = configuration.with_name(f"{field}.yml")
            changed.write_text(CONFIG.replace(f'{field}: "127.0.0.1:0"', f'{field}: "127.0.0.1:{port}"'))
            smesher("certifier", "-c", changed).refused(3, f"{field} 127.0.0.1:{port}", "in use")


def test_memory_that_fast_mode_does_not_get(configuration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.services.certifier.certify.available_memory", lambda: 1 << 30)
    configuration.write_text(CONFIG + "randomx_mode: Fast\n")
    smesher("certifier", "-c", configuration).refused(3, "2336 MiB", "randomx_mode to Light")


def test_an_unknown_field_is_refused_and_a_misspelt_variable_told(
    certifier: Callable[..., Running], configuration: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration.write_text(CONFIG + "randomx_mod: Fast\n")
    smesher("certifier", "--config", configuration).refused(2, "randomx_mod is no setting. Did you mean randomx_mode?")
    configuration.write_text(CONFIG)
    monkeypatch.setenv("CERTIFIER_RANDOMX_MOD", "Fast")
    child, _ = certifier("--config", configuration)
    child.terminate()
    assert "CERTIFIER_RANDOMX_MOD is no setting" in finish(child).err


@pytest.mark.parametrize(
    "words, facts",
    [
        (("--config", "missing.yml"), ("missing.yml", "no such file", "--config")),
        (("generate-key",), ("generate-keys",)),
        (("--foo",), ("--foo",)),
    ],
)
def test_bad_usage(words: tuple[str, ...], facts: tuple[str, ...]) -> None:
    smesher("certifier", *words).refused(2, *facts)


def test_a_bad_configuration(configuration: Path) -> None:
    configuration.write_text(CONFIG.replace("k1: 12", "k1: twelve"))
    smesher("certifier", "--config", configuration).refused(2, "config.yml", "post_cfg.k1 is 'twelve'")


def test_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seen = set()
    for _ in range(3):
        result = smesher("certifier", "generate-keys").ok()
        fields = json.loads(result.out)
        assert list(fields) == ["public_key", "secret_key"]
        public, secret = (base64.b64decode(value, validate=True) for value in fields.values())
        assert crypto_sign_seed_keypair(secret)[0] == public
        seen.add(secret)
    assert len(seen) == 3
    assert list(tmp_path.iterdir()) == [], "nothing is written"
    event = smesher("certifier", "generate-keys", "--json").ok().last
    assert event["event"] == "done" and len(base64.b64decode(event["secret_key"])) == 32


def test_the_version_needs_no_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certifier", "--version"]) == 0
    assert capsys.readouterr().out.startswith("smesher ")


def test_it_answers_while_it_prepares(certifier: Callable[..., Running], tmp_path: Path) -> None:
    child, serving = certifier()
    assert certify(serving["port"], b"{").status == 400
    data = Job(units=2, labels_per_unit=128).make(tmp_path / "data")
    content = request(data, tmp_path)
    wait_for(lambda: certify(serving["port"], content).status == 200, child)
