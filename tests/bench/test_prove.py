"""The benchmark of proofs runs and reports what it says it does; no test asserts a speed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import prove, prove_child, verify_command
from bench.settings import Settings
from kernels.scan import aes
from kernels.vectors import target


def quick(directory: Path) -> Settings:
    return Settings(threads=2, seconds=0.01, rounds=1, directory=directory)


def test_the_scan_on_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[object] = []
    monkeypatch.setattr(prove, "paths", lambda: [{target.FORCE_VARIABLE: ""}, {target.FORCE_VARIABLE: ""}])
    (row,) = prove.scan(quick(tmp_path), shown.append)
    assert row["path"] == aes.name()
    assert set(row["rates"]) - {"openssl"} == {"64", "128", "288"}  # type: ignore[call-overload]
    assert min(row["rates"].values()) > 0  # type: ignore[attr-defined]
    assert len(shown) == 1


def test_every_path_of_this_processor_is_measured() -> None:
    forced = [environment[target.FORCE_VARIABLE] for environment in prove.paths()]
    assert set(target.supported_variants()) <= set(forced) and len(forced) == len(set(forced))
    assert [one for one in prove.paths() if "OPENSSL_ia32cap" in one] == [
        {target.FORCE_VARIABLE: "portable", "OPENSSL_ia32cap": prove.NO_AES}
    ]


def test_files_and_memory(tmp_path: Path) -> None:
    shown: list[object] = []
    figures = prove.files(quick(tmp_path), shown.append)
    assert figures["files"] == 4 and figures["file_bytes"] == 5 << 20
    assert min(figures["gib_per_second"].values()) > 0  # type: ignore[attr-defined]
    memory = prove.memory(quick(tmp_path), shown.append)
    assert 0 < memory["pass_bytes"] < 64 << 20  # type: ignore[operator]
    assert list(tmp_path.iterdir()) == [] and len(shown) == 2


def test_hashes_and_verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[object] = []
    monkeypatch.setattr(prove, "MODES", (False,))
    monkeypatch.setattr(prove, "LABELS", 512)
    figures = prove.randomx_and_verdicts(quick(tmp_path), shown.append)
    assert set(figures) == {"randomx_light", "verify_all 37, light", "verify_K3 = 1, light"}
    assert figures["randomx_light"]["share"] > 0  # type: ignore[index]
    assert figures["verify_all 37, light"]["ms_each"] > figures["verify_K3 = 1, light"]["ms_each"] > 0  # type: ignore[index]
    assert len(shown) == 2


def test_a_proof_is_verified_by_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[object] = []
    monkeypatch.setattr(prove, "LABELS", 512)
    figures = verify_command.whole_command(*prove.a_proof(), 512, quick(tmp_path), shown.append)
    assert set(figures) == {"RandomX alone", "smesher verify-proof"} and len(shown) == 1
    for one in figures.values():
        assert one["wall_ms"] > 0 and one["processor_ms"] > 0  # type: ignore[index]
    with pytest.raises(RuntimeError, match="the command ended with 7"):
        verify_command._run(["raise SystemExit(7)"])


def test_the_yardstick_is_left_out_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers", None)
    assert prove_child._openssl(bytes(32)) is None
    assert "openssl" not in prove_child.scan(0.001, 1)["rates"]  # type: ignore[operator]
