"""The benchmark for GPUs, dry on PoCL with small limits, and its arithmetic."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench import gpu, gpu_pocl
from bench.settings import Settings
from kernels.devices.types import Device, Labels
from kernels.gpu import engine as gpu_engine
from kernels.gpu import tune
from tests.support import pocl

CARD = Device(0, "[GPU] NVIDIA CUDA/NVIDIA GeForce RTX 4090", "GPU", "opencl", "P", "maker", "1.2", 24 << 30, 128)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tune, "folder", lambda: tmp_path / "tuning")


@pocl.needed
@pytest.mark.slow
def test_dry_run_on_pocl(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures, page = tmp_path / "figures.json", tmp_path / "benchmarks.md"
    page.write_text("# Benchmarks\n\ntext\n")
    words = ["--provider", pocl.device().place, "--seconds", "20", "--scrypt-n", "256", "--layouts", "2"]
    assert gpu.main([*words, "--json", str(figures), "--markdown", str(page)]) == 0, capsys.readouterr().out
    (found,) = json.loads(figures.read_text())["devices"]
    assert found["device"]["name"] == pocl.device().name
    assert (found["layouts_right"], found["failures"], found["layouts_failed"]) == (2, [], {})
    assert found["labels_per_second"] > 0 and found["init"]["labels_per_second"] > 0
    assert found["init"]["valid"] is True and found["init"]["verified"] >= 200
    assert found["best"]["layout"]["vec"] in (4, 8, 16)
    text = page.read_text()
    assert text.startswith("# Benchmarks\n\ntext\n") and pocl.device().name in text


@pocl.needed
@pytest.mark.slow
def test_pocl_against_hashlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison itself, not its outcome: a machine that runs tests is too busy for that."""
    monkeypatch.setattr(gpu_pocl, "TUNE_SECONDS", 3.0)
    shown: list[object] = []
    figures = gpu_pocl.run(Settings(threads=1, seconds=0.2, rounds=2, scrypt_n=256), shown.append)
    assert figures["device"] == pocl.device().name and figures["layouts_tried"] >= 1
    mine, other = float(figures["labels_per_core_second"]), float(figures["hashlib_per_core_second"])  # type: ignore[arg-type]
    assert mine > 0 and other > 0 and len(shown) == 1
    assert 0.5 * mine / other < float(figures["ratio"]) < 2 * mine / other  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "hashlib", "reason"), [([], True, "no PoCL"), ([replace(CARD, aliases=("pocl",))], False, "refuses")]
)
def test_without_pocl_or_hashlib_nothing_is_measured(
    monkeypatch: pytest.MonkeyPatch, found: list[Device], hashlib: bool, reason: str
) -> None:
    monkeypatch.setattr(gpu_pocl.find, "devices", lambda: found)
    monkeypatch.setattr(gpu_pocl.measuring, "hashlib_accepts", lambda scrypt_n: hashlib)
    shown: list[object] = []
    assert reason in str(gpu_pocl.run(Settings(threads=1), shown.append)["skipped"])
    assert "not measured" in str(shown[0])


@pocl.needed
def test_wrong_labels_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    real = gpu_engine.LabelEngine.labels

    def labels(self: gpu_engine.LabelEngine, commitment: bytes, start: int, count: int, out: Labels) -> object:
        candidate = real(self, commitment, start, count, out)
        out[3] ^= 1
        return candidate

    monkeypatch.setattr(gpu_engine.LabelEngine, "labels", labels)
    report, shown = gpu.Report(pocl.device()), list[object]()
    gpu._layouts(report, gpu.Limits(layouts=1), shown.append)
    assert report.layouts_right == 0
    assert report.failures == [f"{next(iter(report.layouts_failed))}: 1 wrong labels of {gpu.CHECK_LABELS}"]


def test_the_table_takes_the_place_of_the_one_before() -> None:
    section = gpu.markdown([gpu.Report(CARD, failures=["label 7 is wrong"])], gpu.Limits())
    assert CARD.name in section and "failed: label 7 is wrong" in section
    assert gpu.placed("", section) == section
    once = gpu.placed("# Title\n", section)
    assert once == f"# Title\n\n{section}"
    assert gpu.placed(once + "\nmore\n", section) == once + "\nmore\n"


@pytest.mark.parametrize(
    ("name", "gigabytes"),
    [
        (CARD.name, 24),
        ("NVIDIA GeForce RTX 3090", 24),
        ("NVIDIA H100 80GB HBM3", 80),
        ("NVIDIA H200", 141),
        ("NVIDIA A100-SXM4-80GB", 80),
        ("gfx1100", None),
        ("pthread-AMD EPYC", None),
    ],
)
def test_cards_with_public_figures(name: str, gigabytes: int | None) -> None:
    card = gpu.card_of(name)
    assert (None if card is None else card.gigabytes) == gigabytes


def test_a_device_can_be_named() -> None:
    assert gpu.selector_of(CARD) == "0"
    assert gpu.selector_of(replace(CARD, id=None, pci="0000:01:00.0")) == "0000:01:00.0"
    assert gpu.selector_of(replace(CARD, id=None, handle="1:0", aliases=("opencl", "pocl"))) == "opencl:1:0"
