"""`smesher verify-proof`: every option, the verdicts as the network gives them, good and bad input."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernels import randomx
from protocol.post.proof import pack_indices, unpack_indices
from tests.support.cli import run_child, smesher
from tests.support.proving import JOB, RULES_OF_VERIFIER, has_memory, kept_randomx, prove, verify_proof

__all__ = ["kept_randomx"]

pytestmark = pytest.mark.usefixtures("kept_randomx")
BITS, K2 = 9, 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a valid proof is."""
    prove(JOB.make(tmp_path / "data")).ok()
    return tmp_path


def change(file: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(file.read_text())
    edit(document)
    file.write_text(json.dumps(document))


def wrong_index(folder: Path, position: int) -> int:
    """Puts an index into the proof whose label is not good; returns it."""

    def edit(document: dict[str, Any]) -> None:
        indices = unpack_indices(base64.b64decode(document["indices"]), BITS, K2)
        indices[position] = unused = next(number for number in range(256) if number not in indices)
        document["indices"] = base64.b64encode(pack_indices(indices, BITS)).decode()
        chosen.append(unused)

    chosen: list[int] = []
    for _ in range(8):  # by luck another good label may be hit
        change(folder / "proof.json", edit)
        if verify_proof(folder, "--index", position).code == 1:
            return chosen[-1]
    raise AssertionError("every label is good")


# -- verdicts -------------------------------------------------------------------------------------------------


def test_a_valid_proof(folder: Path) -> None:
    assert "4 of 4 labels checked" in verify_proof(folder).ok().out
    done = verify_proof(folder, "--all", "--json").ok().last
    assert done["event"] == "done" and done["valid"] is True
    assert done["reason"] is None and done["index"] is None and done["label"] is None


@pytest.mark.parametrize(
    ("more", "checked"),
    [
        (["--all"], 4),
        (["--index", 0], 1),
        (["--index", 3], 1),
        (["--k3", 2, "--seed", ""], 2),
        (["--k3", 4, "--seed", "00ff"], 4),
        (["--k3", 9, "--seed", "00"], 4),
        (["--threads", 1], 4),
        (["--randomx-mode", "light"], 4),
    ],
)
def test_what_is_checked(folder: Path, more: list[object], checked: int) -> None:
    assert f"{checked} of 4 labels checked" in verify_proof(folder, *more).ok().out


def test_the_failing_index_is_its_place_in_the_proof(folder: Path) -> None:
    label = wrong_index(folder, 2)
    result = verify_proof(folder)
    assert result.code == 1 and "position 2" in result.out and f"label {label}" in result.out
    last = verify_proof(folder, "--json").last
    assert (last["valid"], last["index"], last["label"]) == (False, 2, label)
    assert last["reason"] in ("InvalidMsb", "InvalidLsb") and str(label) in last["message"]
    verify_proof(folder, "--index", 1).ok()
    assert verify_proof(folder, "--index", 2, "--json").last["index"] == 2
    codes = {seed: verify_proof(folder, "--k3", 1, "--seed", f"{seed:02x}").code for seed in range(12)}
    assert set(codes.values()) == {0, 1}, "some seeds choose the wrong index, others do not"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--min-num-units", 5], "NumUnitsTooSmall"),
        (["--max-num-units", 3], "NumUnitsTooLarge"),
        (["--pow-difficulty", "00" * 32], "InvalidPoW"),
        (["--k2", 5], "InvalidIndicesLen"),
        (["--labels-per-unit", 1 << 20], "InvalidIndicesLen"),
        (["--k1", 256], "InvalidNumLabels"),
        (["--network", "mainnet", "--k1", 12], "InvalidPoW"),
    ],
)
def test_other_parameters_than_the_provers(folder: Path, more: list[object], reason: str) -> None:
    if "--network" in more:
        files = ["--proof", folder / "proof.json", "--metadata", folder / "metadata.json"]
        result = smesher("verify-proof", *files, *more, "--json")
    else:
        result = verify_proof(folder, *more, "--json")
    assert result.code == 1 and result.last["reason"] == reason and result.last["index"] is None
    assert len(result.last["message"]) > 10


@pytest.mark.parametrize(
    ("file", "field", "value", "reasons"),
    [
        ("proof.json", "nonce", 4096, {"NonceGroupOutOfBounds"}),
        ("proof.json", "nonce", 2**32 - 1, {"NonceGroupOutOfBounds"}),
        ("proof.json", "indices", "AAAA", {"InvalidIndicesLen"}),
        ("proof.json", "pow", 2**56, {"InvalidMsb", "InvalidLsb"}),
        ("metadata.json", "num_units", 3, {"InvalidMsb", "InvalidLsb", "InvalidIndicesLen", "InvalidPoW"}),
        ("metadata.json", "num_units", 0, {"NumUnitsTooSmall"}),
        ("metadata.json", "commitment_atx_id", base64.b64encode(bytes(32)).decode(), {"InvalidMsb", "InvalidLsb"}),
    ],
)
def test_tampered_fields(folder: Path, file: str, field: str, value: object, reasons: set[str]) -> None:
    change(folder / file, lambda document: document.__setitem__(field, value))
    result = verify_proof(folder, "--json")
    assert result.code == 1 and result.last["reason"] in reasons


def test_the_text_form_of_an_invalid_proof(folder: Path) -> None:
    change(folder / "proof.json", lambda document: document.__setitem__("nonce", 4096))
    assert "invalid  NonceGroupOutOfBounds: nonce 4096 is in group 256" in verify_proof(folder).out


# -- bad input ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "facts"),
    [
        (["--index", 4], ["No position", 4]),
        (["--k3", 0, "--seed", ""], ["No position"]),
        (["--k3", 2], ["--k3", "--seed"]),
        (["--seed", "00"], ["--k3", "--seed"]),
        (["--k3", 2, "--seed", "0"], ["--seed", "hex"]),
        (["--index", 1, "--k3", 2, "--seed", ""], ["--k3"]),
        (["--all", "--index", 1], ["--index"]),
        (["--index", -1], ["--index"]),
        (["--threads", 0], ["--threads"]),
        (["--network", "none"], ["none", "mainnet"]),
        (["--scrypt-n", 1000], ["scrypt N", 1000]),
        (["--labels-per-unit", 0], ["--labels-per-unit", 0]),
        (["--max-num-units", 0], ["--max-num-units", 0]),
        (["--pow-difficulty", "0f"], ["--pow-difficulty"]),
        (["--randomx-mode", "slow"], ["--randomx-mode"]),
    ],
)
def test_bad_options_are_usage_errors(folder: Path, more: list[object], facts: list[object]) -> None:
    verify_proof(folder, *more).refused(2, *facts)
    assert verify_proof(folder, *more, "--json").refused(2, *facts).last["code"] == 2


def test_units_that_nothing_can_be_divided_by(folder: Path) -> None:
    """The reference's process ends there."""
    change(folder / "metadata.json", lambda document: document.__setitem__("num_units", 0))
    verify_proof(folder, "--min-num-units", 0).refused(2, "units", 0)


@pytest.mark.parametrize("name", ["proof", "metadata"])
def test_files_that_are_no_json(folder: Path, name: str) -> None:
    file = folder / f"{name}.json"
    for text, fact in (("{", "is not JSON"), ("[]", "JSON object"), ("7", "JSON object"), ("[" * 100_000, "not JSON")):
        file.write_text(text)
        verify_proof(folder).refused(2, fact)
    file.write_bytes(b"\xff\xfe\x00")
    verify_proof(folder).refused(2, "no UTF-8 text", file)
    file.unlink()
    verify_proof(folder).refused(2, f"--{name}", file, "cannot be read")
    file.mkdir()
    verify_proof(folder).refused(2, f"--{name}", file, "is a directory")
    smesher("verify-proof").refused(2, "--proof", "--metadata")


@pytest.mark.parametrize(
    ("file", "field", "value"),
    [
        ("proof.json", "nonce", -1),
        ("proof.json", "nonce", 2**32),
        ("proof.json", "nonce", 1.5),
        ("proof.json", "nonce", True),
        ("proof.json", "nonce", None),
        ("proof.json", "pow", 2**64),
        ("proof.json", "pow", "7"),
        ("proof.json", "indices", "not base64!"),
        ("proof.json", "indices", 5),
        ("proof.json", "indices", ""),
        ("metadata.json", "node_id", "AAAA"),
        ("metadata.json", "challenge", base64.b64encode(bytes(31)).decode()),
        ("metadata.json", "challenge", None),
        ("metadata.json", "commitment_atx_id", base64.b64encode(bytes(33)).decode()),
        ("metadata.json", "num_units", 2**32),
        ("metadata.json", "num_units", "4"),
    ],
)
def test_fields_that_cannot_be(folder: Path, file: str, field: str, value: object) -> None:
    change(folder / file, lambda document: document.__setitem__(field, value))
    verify_proof(folder).refused(2, field)
    change(folder / file, lambda document: document.pop(field))
    verify_proof(folder).refused(2, field, "missing")


def test_memory_and_library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    has_memory(monkeypatch, 1 << 30)
    verify_proof(folder, "--randomx-mode", "fast").refused(3, "2336 MiB", "light")
    verify_proof(folder).ok()
    monkeypatch.setattr(randomx, "_candidates", list)
    randomx.library.cache_clear()
    try:
        verify_proof(folder).refused(3, "pip install cyrx")
    finally:
        randomx.library.cache_clear()


def test_the_options_are_those_of_the_documentation() -> None:
    text = smesher("verify-proof", "--help").ok().out
    wanted = ("--proof", "--metadata", "--network", "--all", "--index", "--k3", "--seed", "--randomx-mode", "--json")
    assert [option for option in wanted if option not in text] == []
    assert "--scrypt-n" in RULES_OF_VERIFIER


def test_a_proof_that_is_refused_at_once_needs_no_randomx(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(randomx, "_candidates", list)
    randomx.library.cache_clear()
    try:
        assert verify_proof(folder, "--min-num-units", 5, "--json").last["reason"] == "NumUnitsTooSmall"
        change(folder / "proof.json", lambda document: document.__setitem__("nonce", 4096))
        assert verify_proof(folder, "--json").last["reason"] == "NonceGroupOutOfBounds"
    finally:
        randomx.library.cache_clear()


WATCHED = """
import sys, threading
from api.cli.main import main
from kernels import randomx

real = randomx.Memory

def memory(*given, **more):
    print("LOADED", sorted({"numpy", "numba", "rich"} & set(sys.modules)), file=sys.stderr)
    return real(*given, **more)

randomx.Memory = memory
code = main(sys.argv[1:])
print("THEN", sorted({"rich"} & set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


def test_randomx_begins_before_anything_slow_is_loaded(folder: Path) -> None:
    """Its memory takes longest, and whoever reads a pipe sees no colours."""
    files = ["--proof", folder / "proof.json", "--metadata", folder / "metadata.json"]
    result = run_child("verify-proof", *files, *RULES_OF_VERIFIER, script=WATCHED).ok()
    assert "4 of 4 labels checked" in result.out
    assert "THEN []" in result.err
    loaded = next(line for line in result.err.splitlines() if line.startswith("LOADED"))
    assert "rich" not in loaded and "numba" not in loaded, "the thread of RandomX starts first"
