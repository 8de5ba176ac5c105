"""Every instruction set that this processor has gives the same labels, from code that uses only that set.

A variant is chosen once in a process, so each runs in processes of its own, on a copy of the package
and with a cache of compiled code that starts empty: only then is there assembly to look at.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import kernels
from kernels.errors import KernelError
from kernels.labels import cpu
from kernels.labels import scalar as scrypt_scalar
from kernels.vectors import target
from tests.support.once import made_once

PACKAGE = Path(kernels.__file__).parent
NAMES = ("portable", "avx2", "avx512")
CASES = [(2, 0, 21), (16, 2**32 - 3, 9), (128, 2**64 - 6, 5), (1024, 77, 2)]
"""scrypt N, first label, number of labels."""

KEY = bytes(range(32))

x86 = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"), reason="numba's target is set only on x86"
)

COMPUTE = """
import json, sys
from kernels.labels import cpu; from kernels.labels import scrypt; from kernels.vectors import target
cached = target.has_cached_code("labels.scrypt.labels")
key, cases, assembly = bytes.fromhex(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3:]
labels = []
for scrypt_n, start, count in cases:
    engine = cpu.LabelEngine(cpu.devices()[0], scrypt_n)
    labels.append([row.tobytes().hex() for row in engine.labels32([key], range(start, start + count))])
    engine.close()
if assembly:
    open(assembly[0], "w").write("\\n".join(scrypt.labels.inspect_asm().values()))
print(json.dumps({
    "variant": target.variant().name,
    "lanes": target.variant().lanes,
    "labels": labels,
    "cached": cached,
    "cached_after": target.has_cached_code("labels.scrypt.labels"),
    "hits": sum(scrypt.labels.stats.cache_hits.values()),
    "misses": sum(scrypt.labels.stats.cache_misses.values()),
    "folder": str(target.cache_directory("kernels.labels.scrypt")),
}))
"""
HAS_CODE = "from kernels.vectors import target; print(target.has_cached_code('labels.scrypt.labels'))"


def copy_of_package(parent: Path, source: Path = PACKAGE) -> Path:
    """A copy of the kernels below `parent`, so that a test may change a source."""
    package = parent / "kernels"
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__"))
    return package


def start(code: str, *arguments: str, parent: Path, cache: Path | None, force: str | None) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment |= {"PYTHONPATH": str(parent), target.FORCE_VARIABLE: force or ""}
    if cache is not None:
        environment["NUMBA_CACHE_DIR"] = str(cache)
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(
        command, env=environment, cwd=parent, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def output(process: subprocess.Popen[str]) -> str:
    printed, errors = process.communicate(timeout=250)
    assert process.returncode == 0, errors
    return printed.strip()


@dataclass(frozen=True)
class Compiled:
    """What one variant's first process left behind."""

    parent: Path
    cache: Path
    report: dict[str, Any]
    assembly: str


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> dict[str, Compiled]:
    """Every supported variant, compiled at the same time, each into a cache of its own; once in a run of the tests."""

    def make(parent: Path) -> None:
        copy_of_package(parent)
        arguments = [KEY.hex(), json.dumps(CASES)]
        processes = {
            name: start(COMPUTE, *arguments, str(parent / f"{name}.s"), parent=parent, cache=parent / name, force=name)
            for name in target.supported_variants()
        }
        reports = {name: json.loads(output(process)) for name, process in processes.items()}
        (parent / "reports.json").write_text(json.dumps(reports))

    parent = made_once(tmp_path_factory, worker_id, "variants", make)
    reports = json.loads((parent / "reports.json").read_text())
    return {
        name: Compiled(parent, parent / name, report, (parent / f"{name}.s").read_text())
        for name, report in reports.items()
    }


@pytest.fixture(params=NAMES)
def variant(request: pytest.FixtureRequest, compiled: dict[str, Compiled]) -> Compiled:
    if request.param not in compiled:
        pytest.skip(f"this processor cannot run {request.param}")
    return compiled[request.param]


# The same labels from every variant


def test_every_variant_computes_the_labels_of_the_scalar_path(variant: Compiled) -> None:
    expected = [
        [scrypt_scalar.label32(KEY, index, scrypt_n).hex() for index in range(first, first + count)]
        for scrypt_n, first, count in CASES
    ]
    assert variant.report["labels"] == expected


def test_the_forced_variant_is_in_use(compiled: dict[str, Compiled]) -> None:
    for name, of in compiled.items():
        assert of.report["variant"] == name
        assert of.report["lanes"] == next(one.lanes for one in target.VARIANTS if one.name == name)


# What the assembly may hold


def mnemonics(assembly: str) -> set[str]:
    return set(re.findall(r"^\s+([a-z][a-z0-9]*)\b(?!:)", assembly, re.MULTILINE))


def registers(assembly: str) -> set[str]:
    return set(re.findall(r"%([xyz]mm\d+|k[0-7])\b", assembly))


def assembly_of(name: str, compiled: dict[str, Compiled]) -> str:
    if name not in compiled:
        pytest.skip(f"this processor cannot run {name}")
    assembly = compiled[name].assembly
    assert assembly.count("\n") > 1000, "no assembly: the code came from a cache"
    return assembly


@x86
def test_portable_is_sse2_and_no_more(compiled: dict[str, Compiled]) -> None:
    assembly = assembly_of("portable", compiled)
    assert "ymm" not in assembly
    assert "zmm" not in assembly
    assert registers(assembly) <= {f"xmm{number}" for number in range(16)}
    used = mnemonics(assembly)
    assert {"paddd", "pxor", "pshufd"} <= used
    # every AVX instruction begins with v, and no other that a compiler writes does
    assert sorted(name for name in used if name.startswith("v")) == []
    # SSSE3, SSE4.1, BMI
    assert used & {"pshufb", "palignr", "pinsrd", "pinsrq", "pextrd", "pextrq", "ptest", "blendvps"} == set()
    assert used & {"andnq", "rorxq", "rorxl", "shlxq", "shrxq", "popcntq", "tzcntq", "lzcntq"} == set()


@x86
def test_avx2_has_nothing_of_avx512(compiled: dict[str, Compiled]) -> None:
    assembly = assembly_of("avx2", compiled)
    assert "ymm" in assembly
    assert "zmm" not in assembly
    assert registers(assembly) <= {f"{kind}mm{number}" for kind in "xy" for number in range(16)}
    used = mnemonics(assembly)
    assert {"vpaddd", "vpxor"} <= used
    assert sorted(name for name in used if re.match(r"vpro[lr]|vpternlog|vmovdq[au](8|16|32|64)|vpxor[dq]", name)) == []


@x86
def test_avx512_rotates_whole_registers(compiled: dict[str, Compiled]) -> None:
    assembly = assembly_of("avx512", compiled)
    assert "zmm" in assembly
    assert {"vprold", "vprolq"} <= mnemonics(assembly)
    assert re.search(r"vprold\s+\$\d+, %zmm", assembly)


# The choice


def choose(monkeypatch: pytest.MonkeyPatch, force: str | None) -> target.Variant:
    if force is None:
        monkeypatch.delenv(target.FORCE_VARIABLE, raising=False)
    else:
        monkeypatch.setenv(target.FORCE_VARIABLE, force)
    return target.variant.__wrapped__()


@pytest.mark.parametrize("force", ["bogus", "AVX2", "avx", "avx2 ", "sse2"])
def test_an_unknown_variant_is_refused_with_the_names(monkeypatch: pytest.MonkeyPatch, force: str) -> None:
    with pytest.raises(KernelError) as caught:
        choose(monkeypatch, force)
    for part in (target.FORCE_VARIABLE, repr(force), *NAMES):
        assert part in str(caught.value)


def test_a_variant_that_the_processor_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "supported_variants", lambda: ("portable", "avx2"))
    with pytest.raises(KernelError) as caught:
        choose(monkeypatch, "avx512")
    assert f"{target.FORCE_VARIABLE}=avx512" in str(caught.value)
    assert "it can run portable, avx2" in str(caught.value)


@pytest.mark.parametrize("force", [None, ""])
@pytest.mark.parametrize("supported", [("portable",), ("portable", "avx2"), ("portable", "avx2", "avx512")])
def test_the_best_that_the_processor_has_is_taken(
    monkeypatch: pytest.MonkeyPatch, supported: tuple[str, ...], force: str | None
) -> None:
    monkeypatch.setattr(target, "supported_variants", lambda: supported)
    assert choose(monkeypatch, force).name == supported[-1]


@pytest.mark.parametrize(
    ("machine", "features", "expected"),
    [
        ("x86_64", "sse2 ssse3 avx", ("portable",)),
        ("x86_64", "sse2 avx avx2", ("portable", "avx2")),
        ("AMD64", "avx2 avx512f", ("portable", "avx2")),
        ("x86_64", "avx2 avx512f avx512bw avx512dq", ("portable", "avx2")),
        ("AMD64", "avx2 avx512f avx512bw avx512dq avx512vl", ("portable", "avx2", "avx512")),
        ("aarch64", "neon", ("portable",)),
        ("arm64", "neon sve", ("portable",)),
    ],
)
def test_what_a_processor_can_run(
    monkeypatch: pytest.MonkeyPatch, machine: str, features: str, expected: tuple[str, ...]
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(target, "_host_features", lambda: frozenset(features.split()))
    assert target.supported_variants.__wrapped__() == expected


@x86
def test_a_variant_cannot_be_forced_after_something_was_compiled(tmp_path: Path) -> None:
    code = """
import numba
assert numba.njit(lambda number: number + 1)(1) == 2
from kernels.vectors import target
from kernels.errors import KernelError
try:
    target.variant()
except KernelError as error:
    print(error)
"""
    message = output(start(code, parent=PACKAGE.parent, cache=tmp_path, force="portable"))
    assert target.FORCE_VARIABLE in message
    assert "too late" in message


def test_importing_the_backend_loads_no_compiler() -> None:
    code = """
import sys
import kernels.labels.cpu, kernels.devices.types, kernels.devices.pool, kernels.vectors.target
print([name for name in ("numba", "llvmlite") if name in sys.modules])
"""
    assert output(start(code, parent=PACKAGE.parent, cache=None, force=None)) == "[]"


# The cache of compiled code


def test_the_first_process_compiles_and_the_second_does_not(variant: Compiled) -> None:
    first = variant.report
    assert (first["cached"], first["cached_after"], first["hits"], first["misses"]) == (False, True, 0, 1)
    process = start(
        COMPUTE, KEY.hex(), json.dumps(CASES[:1]), parent=variant.parent, cache=variant.cache, force=first["variant"]
    )
    second = json.loads(output(process))
    assert (second["cached"], second["hits"], second["misses"]) == (True, 1, 0)
    assert second["folder"] == first["folder"]
    assert second["labels"] == first["labels"][:1]


def test_code_of_one_variant_is_not_taken_for_another_s(compiled: dict[str, Compiled]) -> None:
    processes = {
        (stored, wanted): start(HAS_CODE, parent=of.parent, cache=of.cache, force=wanted)
        for stored, of in compiled.items()
        for wanted in compiled
        if abs(NAMES.index(stored) - NAMES.index(wanted)) == 1
    }
    assert {pair: output(process) for pair, process in processes.items()} == dict.fromkeys(processes, "False")


def test_code_of_another_installation_is_not_taken_for_ours(compiled: dict[str, Compiled], tmp_path: Path) -> None:
    name, of = next(iter(compiled.items()))
    copy_of_package(tmp_path, of.parent / "kernels")
    # numba keeps code by the path of its source: it would compile here, although the sources are the same
    assert output(start(HAS_CODE, parent=tmp_path, cache=of.cache, force=name)) == "False"


@pytest.fixture
def uncached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """The folder is looked up for a copy of the package, without what this process found before."""
    monkeypatch.setattr(target, "__file__", str(copy_of_package(tmp_path) / "vectors" / "target.py"))
    monkeypatch.setattr(target, "_private", [])
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return monkeypatch


def folder_of_cache(module: str = "kernels.labels.scrypt") -> Path:
    folder: Path = target.cache_directory.__wrapped__(module)
    return folder


def test_the_cache_is_where_numba_s_variable_says(uncached: pytest.MonkeyPatch, tmp_path: Path) -> None:
    uncached.setenv("NUMBA_CACHE_DIR", str(tmp_path / "given" / "deep"))
    uncached.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    folder = folder_of_cache()
    assert folder.is_dir()
    assert folder.parent == tmp_path / "given" / "deep"


def test_the_cache_is_below_the_users_cache_otherwise(uncached: pytest.MonkeyPatch, tmp_path: Path) -> None:
    uncached.setattr(platform, "system", lambda: "Linux")
    assert folder_of_cache().parent == tmp_path / "home" / ".cache" / "smesher" / "kernels"
    uncached.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert folder_of_cache().parent == tmp_path / "xdg" / "smesher" / "kernels"
    uncached.setattr(platform, "system", lambda: "Darwin")
    assert folder_of_cache().parent == tmp_path / "home" / "Library" / "Caches" / "smesher" / "kernels"


def test_a_folder_that_cannot_be_written_is_replaced_by_a_temporary_one_and_named(
    uncached: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "a file"
    file.touch()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    uncached.setattr("tempfile.tempdir", str(temporary))
    uncached.setenv("NUMBA_CACHE_DIR", str(file / "below"))
    folder = folder_of_cache()
    assert folder.is_dir()
    assert folder.parent.parent == temporary
    (said,) = caplog.messages
    assert said.startswith(f"Compiled kernels cannot be kept in {file / 'below'} (Not a directory)")
    assert "set NUMBA_CACHE_DIR" in said


def test_a_user_without_a_home_gets_a_temporary_folder(uncached: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def nobody(uid: int) -> None:
        raise KeyError(uid)

    uncached.delenv("HOME")
    uncached.setattr("pwd.getpwuid", nobody)
    uncached.setattr("tempfile.tempdir", str(tmp_path))
    assert folder_of_cache().parent.parent == tmp_path


def test_kernels_work_where_no_cache_can_be_written(compiled: dict[str, Compiled], tmp_path: Path) -> None:
    file = tmp_path / "a file"
    file.touch()
    code = """
from kernels.labels import cpu
from kernels.vectors import target
print(cpu.is_compiled(), target.cache_directory("kernels.labels.scrypt").is_dir())
"""
    parent = next(iter(compiled.values())).parent
    assert output(start(code, parent=parent, cache=file / "below", force=None)) == "False True"


SOURCES = {
    "kernels.labels.scrypt": {"labels/scrypt.py", "labels/keccak.py", "vectors/simd.py", "vectors/target.py"},
    "kernels.labels.scalar": {"labels/scalar.py", "labels/keccak.py", "vectors/target.py"},
    "kernels.posw.sha256": {"posw/sha256.py", "posw/sha256_constants.py", "posw/sha256_portable.py", "vectors/simd.py"},
}
"""Modules with compiled code, and what their code is made of."""


@pytest.mark.parametrize("changed", sorted(set().union(*SOURCES.values()) | {"scan/sliced.py"}))
def test_a_change_of_a_source_moves_the_code_that_is_made_of_it_and_no_other(
    uncached: pytest.MonkeyPatch, tmp_path: Path, changed: str
) -> None:
    uncached.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    before = {module: folder_of_cache(module) for module in SOURCES}
    assert before == {module: folder_of_cache(module) for module in SOURCES}
    with (tmp_path / "kernels" / changed).open("a") as source:
        source.write("# a change\n")
    moved = {module for module in SOURCES if folder_of_cache(module) != before[module]}
    assert moved == {
        module for module, sources in SOURCES.items() if changed in sources or changed == "vectors/target.py"
    } | ({"kernels.labels.scalar"} if changed == "vectors/simd.py" else set())
    assert {folder_of_cache(module).parent for module in SOURCES} == {tmp_path / "cache"}


def test_every_module_with_cached_code_says_where_it_is_kept() -> None:
    """Behind its imports, and before its functions: numba looks when it meets them."""
    found = 0
    for file in PACKAGE.rglob("*.py"):
        text = file.read_text()
        cached = [match.start() for match in re.finditer(r"^@njit\(.*cache=True", text, re.MULTILINE)]
        if not cached:
            assert "keep_code_of(__name__)" not in text or file.name == "target.py", file
            continue
        found += 1
        said = text.index("\ntarget.keep_code_of(__name__)")
        imports = [match.start() for match in re.finditer(r"^(from|import) ", text, re.MULTILINE)]
        assert max(imports) < said < min(cached), file
    assert found >= 11


@pytest.mark.parametrize("module", ["kernels.labels.cpu", "kernels.scan.aes", "kernels.signatures.ed25519"])
def test_what_a_child_compiles_has_a_warm_up(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child's complaints are not shown: a module that it cannot find would compile nothing, without a word."""
    ran: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda words, **more: ran.append(words))
    target.compile_in_child(module)
    (words,) = ran
    assert words[0] == sys.executable
    scope: dict[str, Any] = {}
    exec(words[2].rpartition(";")[0], scope)
    assert scope["module"].__name__ == module and callable(scope["module"].warm_up)
    assert words[2].endswith("module.warm_up()")


def test_nothing_is_compiled_ahead_when_the_code_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object, **options: object) -> None:
        raise AssertionError("a compiler was started")

    monkeypatch.setattr(cpu, "is_compiled", lambda: True)
    monkeypatch.setattr(subprocess, "run", never)
    cpu.compile_kernels()


@pytest.mark.parametrize("error", [OSError(12, "no memory"), subprocess.TimeoutExpired("python", 1)])
def test_a_compiler_that_cannot_be_started_is_no_error(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    started = []

    def failing(command: list[str], **options: object) -> None:
        started.append(command[0])
        raise error

    monkeypatch.setattr(cpu, "is_compiled", lambda: False)
    monkeypatch.setattr(subprocess, "run", failing)
    cpu.compile_kernels()
    assert started == [sys.executable]
