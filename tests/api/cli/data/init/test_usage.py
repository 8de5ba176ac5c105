"""The options of `smesher init`: devices, lists of directories, throttling, output, help."""

from __future__ import annotations

import importlib.metadata
import os
import re
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.cli.main import COMMANDS
from kernels.devices import find
from kernels.devices.types import CPU_ID, Device, PassedOver
from tests.api.cli.data.init.jobs import JOB, OTHER, is_complete
from tests.support import cli
from tests.support.cli import Job, smesher

# -- devices ---------------------------------------------------------------------------------------------------


def a_device(number: int | None, name: str, kind: str, **more: Any) -> Device:
    """A device that exists in name only."""
    fields: dict[str, Any] = {
        "id": number,
        "name": name,
        "device_class": kind,
        "backend": "cpu",
        "platform": "NVIDIA CUDA",
        "vendor": "NVIDIA",
        "driver": "550",
        "memory_bytes": 2**33,
        "compute_units": 80,
    }
    return Device(**{**fields, **more})


GPUS = [
    a_device(0, "[GPU] NVIDIA CUDA/NVIDIA GeForce RTX 3090", "GPU", pci="0000:01:00.0"),
    a_device(1, "[GPU] NVIDIA CUDA/NVIDIA GeForce RTX 4090", "GPU", pci="0000:02:00.0"),
]


def test_gpu_with_no_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpus = [one for one in find.devices() if one.device_class == "CPU"]
    monkeypatch.setattr(find, "devices", lambda: cpus)
    monkeypatch.setattr(find, "passed_over", lambda: [PassedOver("OpenCL", "no driver library libOpenCL")])
    options = [word for word in JOB.options(tmp_path / "post") if word != "--cpu"]
    smesher(*options, "--gpu").refused(
        3, "No GPU", "OpenCL: no driver library libOpenCL", cpus[0].name, "--cpu", "pocl"
    )
    assert not any((tmp_path / "post").glob("*"))


def test_provider_that_matches_none(tmp_path: Path) -> None:
    result = JOB.init(tmp_path / "post", "--provider", "voodoo")
    cpu = next(one for one in find.devices() if one.id == CPU_ID)
    result.refused(2, "voodoo", cpu.name, cpu.id)
    assert not any((tmp_path / "post").glob("*"))


def test_provider_that_matches_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "devices", lambda: [*GPUS, a_device(CPU_ID, "[CPU] Zen", "CPU")])
    result = JOB.init(tmp_path / "post", "--provider", "geforce")
    result.refused(2, "geforce", GPUS[0].name, GPUS[1].name, "id")
    assert "Zen" not in result.text
    assert not any((tmp_path / "post").glob("*"))
    last = JOB.init(tmp_path / "post", "--provider", "geforce", "--json").last
    assert (last["event"], last["code"]) == ("error", 2) and GPUS[1].name in last["message"]


@pytest.mark.parametrize("selector", ["cpu", "CPU", "4294967295", "numba"])
def test_provider_selectors(tmp_path: Path, selector: str) -> None:
    options = [word for word in JOB.options(tmp_path / "post") if word != "--cpu"]
    smesher(*options, "--provider", selector, "--provider", "cpu").ok()
    is_complete(tmp_path / "post")


# -- a list of directories -------------------------------------------------------------------------------------


def test_toml_list(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs.toml"
    jobs.write_text(
        f'directories = ["{tmp_path}/a", {{ data-dir = "{tmp_path}/b", num-units = 2, node-id = "{OTHER}" }}]\n'
    )
    result = JOB.init(jobs, "--json").ok()
    is_complete(tmp_path / "a")
    is_complete(tmp_path / "b", replace(JOB, units=2, node_id=OTHER))
    assert [event["data_dir"] for event in result.named("done")] == [f"{tmp_path}/a", f"{tmp_path}/b"]
    assert result.last["event"] == "done"
    JOB.init(jobs).ok()


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("directories = [", ["TOML"]),
        ("", ["directories"]),
        ("directories = []", ["directories"]),
        ("directores = ['a']", ["directores", "directories"]),
        ("directories = [5]", ["directories[0]"]),
        ("directories = ['HERE/a', {num-units = 2}]", ["directories[1]", "data-dir"]),
        ("directories = [{data-dir = 'HERE/a', num-unit = 2}]", ["num-unit", "num-units"]),
        ("directories = [{data-dir = 'HERE/a', num-units = 'two'}]", ["num-units", "two", "whole number"]),
        ("directories = [{data-dir = 'HERE/a', num-units = true}]", ["num-units", "True"]),
        ("directories = [{data-dir = 'HERE/a', num-units = -1}]", ["num-units", "-1"]),
        ("directories = ['HERE/a', 'HERE/b/../a']", ["HERE/a", "once"]),
        ("directories = [{data-dir = 'HERE/a', node-id = '00', identity = 'x'}]", ["node-id", "identity"]),
        ("directories = [{data-dir = 'HERE/a', max-file-size = 1030}]", ["1030"]),
    ],
)
def test_toml_list_that_makes_no_sense(tmp_path: Path, text: str, facts: list[str]) -> None:
    jobs = tmp_path / "jobs.toml"
    jobs.write_text(text.replace("HERE", str(tmp_path)))
    JOB.init(jobs).refused(2, *(fact.replace("HERE", str(tmp_path)) for fact in facts))
    assert [path.name for path in tmp_path.iterdir()] == ["jobs.toml"]


# -- throttle and output ---------------------------------------------------------------------------------------


def test_throttle(tmp_path: Path) -> None:
    job = Job(units=2, labels_per_unit=4096, max_file_size=2**20, scrypt_n=1024)
    full = job.init(tmp_path / "full", "--json").ok().last["seconds"]
    slow = job.init(tmp_path / "slow", "--json", "--throttle", "15%").ok().last["seconds"]
    assert cli.data_files(tmp_path / "full") == cli.data_files(tmp_path / "slow") == job.files()
    assert slow > 1.5 * full  # about six times as long where nothing else runs


@pytest.mark.parametrize(
    "words",
    [
        ["init", "--json"],
        ["init", "--json", "--data-dir"],
        ["--json", "nonsense"],
        ["nonsense", "--json"],
        ["verify", "--json"],
        ["verify", "/nowhere/at/all", "--json"],
        ["info", "/nowhere/at/all", "--json"],
        ["verify", ".", "--fraction", "200", "--json"],
        ["providers", "--json", "--seconds", "x"],
    ],
    ids=" ".join,
)
def test_usage_errors_with_json_are_json(words: list[str]) -> None:
    result = smesher(*words)
    assert result.code == 2, result.text
    assert len(result.events) == 1
    assert (result.last["event"], result.last["code"]) == ("error", 2)
    assert result.last["message"]
    assert result.err == ""


def test_errors_without_json_go_to_standard_error(filled: Path) -> None:
    result = JOB.init(filled, "--num-units", 5)
    assert result.code == 2 and result.out == "" and "--grow" in result.err


@pytest.mark.parametrize("name", ["[/red]post", "[bold]post", "post [x]", "pöst ✓"])
def test_names_that_look_like_markup(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    options = JOB.options(directory)
    result = smesher(*options).ok()
    assert name in result.text
    is_complete(directory)
    for words in (["info", directory], ["verify", directory], ["repair", directory], ["nonce", directory]):
        smesher(*words).ok()
    cli.damage(directory, "postdata_1.bin", 3)
    smesher("verify", directory, "--fraction", 100).refused(1, name, "smesher repair")
    smesher("repair", directory).ok()
    os.truncate(directory / "postdata_1.bin", 16)
    smesher("info", directory).ok().refused(0, name)


# -- help ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [["--help"], [], *([command.name, "--help"] for command in COMMANDS if command.name != "poet")],
    ids=" ".join,
)
def test_help_is_instant(words: list[str]) -> None:
    script = """
import sys
from api.cli.main import main
code = main()
print("LOADED", *sorted({name.partition(".")[0] for name in sys.modules} & {"rich", "numba", "llvmlite", "cupy"}))
sys.exit(code)
"""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = cli.run_child(*words, script=script)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime  # of the processor, not of the wall
    assert result.code == 0, result.text
    text, _, loaded = result.out.rpartition("LOADED")
    assert loaded.split() == []
    assert "usage: smesher" in text
    assert seconds < 1.5, seconds
    if words in ([], ["--help"]):
        assert all(command.name in text for command in COMMANDS)


def test_version() -> None:
    try:
        importlib.metadata.version("smesher")
    except importlib.metadata.PackageNotFoundError:
        cli.not_checked("the package is not installed")
    result = smesher("--version").ok()
    assert re.fullmatch(r"smesher \d+\.\d+\.\d+.*\n", result.out)
