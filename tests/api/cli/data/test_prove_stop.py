"""Proofs that are stopped or killed: at a signal everything ends soon, and the next run makes the same proof."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernels import randomx
from prover.post.proof import prove as proving
from prover.post.proof import scan
from tests.support.cli import ENTRY, finish, start, wait_for
from tests.support.proving import CHALLENGE, JOB, NO_HASH, RULES, RULES_OF_VERIFIER, kept_randomx, prove, verify_proof

__all__ = ["kept_randomx"]

SOON_S = 20.0
"""For a machine that does other things as well; `timing` tests hold what is promised."""

PROMISED_S = 2.0
HARD_RULES = ["--k1", 12, "--k2", 14, "--nonces", 64]
"""A proof that needs most of the data, and four proofs of work."""

SMALL_PIECES = """
import sys, time
from prover.post.proof import prove; from prover.post.proof import scan; from prover.post import directory as storage
scan.BATCH_BYTES, prove.SAVE_SECONDS = 256, 0.0
"""
SLOW_READS = (
    SMALL_PIECES
    + """
read = storage._read_buffered
storage.DIRECT = False
storage._read_buffered = lambda *words: (time.sleep(0.4), read(*words))[1]
"""
    + ENTRY
)

KILLED = (
    SMALL_PIECES
    + """
import os, signal
where, left = sys.argv.pop(1), int(sys.argv.pop(1))
rename, replace = os.replace, storage.Storage.replace
def kill():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
class Os:
    def __getattr__(self, name):
        return getattr(os, name)
    def replace(self, *names):
        if where == "rename":
            kill()
        rename(*names)
def replaced(self, name, content):
    replace(self, name, content)
    if where == "after":
        kill()
from prover import durable
durable.os = storage.os = Os()
storage.Storage.replace = replaced
"""
    + ENTRY
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return JOB.make(tmp_path / "data")


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(scan, "BATCH_BYTES", 256)
    yield


def words(data: Path, *more: object) -> list[object]:
    return ["prove", data, "--challenge", CHALLENGE, "--nonces", 16, *RULES, "--out", data.parent, "--json", *more]


def stopped(child: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> tuple[float, str]:
    """Sends the signal; how long it took to end with 130, and the last message."""
    began = time.monotonic()
    child.send_signal(number)
    result = finish(child, SOON_S)
    took = time.monotonic() - began
    assert result.refused(130).last["code"] == 130
    return took, result.last["message"]


def said(child: subprocess.Popen[str], word: str) -> None:
    """Waits until a line of the child's output has the word."""
    assert child.stdout is not None
    for line in child.stdout:
        if word in line:
            return
    raise AssertionError(f"the child ended before it said {word!r}: {finish(child)}")


def searching(data: Path) -> subprocess.Popen[str]:
    child = start(*words(data, "--pow-difficulty", NO_HASH, "--randomx-mode", "light"))
    said(child, "proofs of work")
    return child


def reading(data: Path) -> subprocess.Popen[str]:
    child = start(*words(data, *HARD_RULES, "--randomx-mode", "light"), script=SLOW_READS)
    state = data / proving.STATE_NAME
    wait_for(lambda: state.exists() and json.loads(state.read_text())["NextBatch"] > 0, child)
    return child


def building(*command: object) -> subprocess.Popen[str]:
    if randomx.available_memory() < randomx.memory_needed(full=True):
        pytest.skip("NOT CHECKED: there is no memory for the data set")
    child = start(*command, "--randomx-mode", "fast")
    said(child, "preparing RandomX (fast")
    time.sleep(1)  # the cache is there, the data set is not
    return child


def a_proof(tmp_path: Path, data: Path) -> list[object]:
    """Writes a proof; how it is verified."""
    prove(data).ok()
    files = ["--proof", tmp_path / "proof.json", "--metadata", tmp_path / "metadata.json"]
    return ["verify-proof", *files, *RULES_OF_VERIFIER, "--json"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_k2pow(data: Path, number: signal.Signals) -> None:
    _, message = stopped(searching(data), number)
    assert "run the same command again" in message


@pytest.mark.usefixtures("kept_randomx", "small_pieces")
def test_a_signal_during_a_pass(data: Path, tmp_path: Path) -> None:
    prove(data, *HARD_RULES, out=tmp_path / "whole").ok()
    _, message = stopped(reading(data))
    assert "run the same command again" in message
    saved = json.loads((data / proving.STATE_NAME).read_text())
    assert 0 < saved["NextBatch"] < 16 and len(saved["Pows"]) == 4
    prove(data, *HARD_RULES).ok()
    assert (tmp_path / "proof.json").read_bytes() == (tmp_path / "whole" / "proof.json").read_bytes()
    assert not (data / proving.STATE_NAME).exists()


def test_a_signal_while_the_data_set_is_built(data: Path) -> None:
    stopped(building(*words(data)))


@pytest.mark.usefixtures("kept_randomx")
def test_a_signal_during_verification(data: Path, tmp_path: Path) -> None:
    stopped(building(*a_proof(tmp_path, data)))


@pytest.mark.usefixtures("kept_randomx")
def test_a_signal_while_labels_of_a_large_n_are_computed(data: Path, tmp_path: Path) -> None:
    command = [*a_proof(tmp_path, data), "--scrypt-n", 1 << 22]
    script = "import api.cli.proofs as proofs, time\n" + LABELS_BEGUN + ENTRY
    child = start(*command, script=script)
    said(child, "labels begin")
    stopped(child)


LABELS_BEGUN = """
from kernels.labels import cpu
compute = cpu.LabelEngine._compute
def begun(self, *words):
    print('{"event": "note", "message": "labels begin"}', flush=True)
    return compute(self, *words)
cpu.LabelEngine._compute = begun
"""


@pytest.mark.timing
@pytest.mark.usefixtures("kept_randomx")
def test_signals_end_everything_within_two_seconds(data: Path, tmp_path: Path) -> None:
    verifying = a_proof(tmp_path, data)
    took = {
        "search": stopped(searching(data))[0],
        "pass": stopped(reading(data))[0],
        "data set": stopped(building(*words(data)))[0],
        "verification": stopped(building(*verifying))[0],
    }
    assert max(took.values()) < PROMISED_S, took


@pytest.mark.usefixtures("kept_randomx", "small_pieces")
@pytest.mark.parametrize(
    ("where", "number"),
    [("after", 1), ("after", 4), ("rename", 6), ("after", 8), ("after", 11), ("last", 1), ("last", 0)],
)
def test_a_kill_at_any_point_and_a_restart_give_the_same_proof(
    data: Path, tmp_path: Path, where: str, number: int
) -> None:
    """Small files are replaced for each proof of work, each piece of data, and each file of the proof."""
    prove(data, *HARD_RULES, out=tmp_path / "whole").ok()
    at_the_end = where == "last"
    if at_the_end:  # between the proof and its metadata, or with both written
        where, number = "after", replacements(data, tmp_path) - number
    child = start(where, number, *words(data, *HARD_RULES, "--randomx-mode", "light"), script=KILLED)
    child.communicate(timeout=120)
    assert child.returncode == -signal.SIGKILL
    if at_the_end:
        assert (data / proving.STATE_NAME).exists(), "the pass is needed until all is written"
    prove(data, *HARD_RULES).ok()
    for name in ("proof.json", "metadata.json"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert sorted(path.name for path in data.iterdir() if "proof" in path.name and not path.name.startswith(".")) == []
    verify_proof(tmp_path, *HARD_RULES[:4]).ok()


def replacements(data: Path, tmp_path: Path) -> int:
    """How often an undisturbed run replaces a small file."""
    counted = 0
    real = proving.Storage.replace

    def replace(self: proving.Storage, name: str, content: bytes) -> None:
        nonlocal counted
        counted += 1
        real(self, name, content)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proving.Storage, "replace", replace)
        patch.setattr(proving, "SAVE_SECONDS", 0.0)
        prove(data, *HARD_RULES, out=tmp_path / "counted").ok()
    return counted
