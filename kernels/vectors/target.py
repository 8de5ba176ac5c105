"""Which instruction set the CPU kernels are compiled for.

There is one source for every processor; what differs is how many labels stand side by side in a
vector. Three variants exist: `avx512` (512-bit registers, rotate instruction), `avx2` (256-bit) and
`portable` (128-bit: SSE2, NEON, or whatever LLVM makes of a plain vector). The best one that the
processor has is taken, unless the environment variable `KERNELS_FORCE` names another; then numba's
target is set to a processor that has nothing above that variant. The choice is made once, before
anything is compiled, and is part of the key under which numba caches compiled code.

Compiled code of a module is kept in a folder named after the content of that module and of all that it imports from
this floor: numba itself looks only at the file that holds the outermost function, so a change in a file below it would
go unnoticed. A module with `cache=True` says so with `keep_code_of(__name__)`, behind its imports.
"""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import pickle
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kernels.errors import KernelError

FORCE_VARIABLE = "KERNELS_FORCE"

COMPILE_TIMEOUT_S = 600
"""For a child process that compiles."""

_log = logging.getLogger(__name__)

_IMPORTS = re.compile(r"^[ \t]*from (kernels[\w.]*) import (\([^)]*\)|[^\n]+)", re.MULTILINE)
"""Module and names of each import from this floor, as it stands in a source."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to lay labels into registers."""

    name: str
    registers: int
    """Bits of one vector register."""
    lanes: int
    """Labels side by side in one run: two registers of 4-word rows, so that one hides the latency of the other."""


VARIANTS = (
    Variant("portable", 128, 2),
    Variant("avx2", 256, 4),
    Variant("avx512", 512, 8),
)

_AVX512 = ("avx512f", "avx512bw", "avx512dq", "avx512vl")

# What LLVM may use when a variant is forced: x86-64 is SSE2 and no more, x86-64-v3 is AVX2, BMI and FMA.
_FORCED_CPU = {"portable": "x86-64", "avx2": "x86-64-v3"}

# AES belongs to the middle of the three although no x86-64 level holds it.
_FORCED_EXTRAS: dict[str, tuple[str, ...]] = {"portable": (), "avx2": ("aes", "vaes")}


@cache
def _host_features() -> frozenset[str]:
    from llvmlite import binding

    found = {name for name, present in binding.get_host_cpu_features().items() if present}
    if platform.system() == "Darwin" and family() == "arm":
        found |= {"aes", "sha2"}  # LLVM does not ask there, but compiles for the processor by its name, which has them
    return frozenset(found)


def family() -> str:
    """ "x86", "arm" (64 bits), or "other": whose instructions may be used by name."""
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        return "x86"
    return "arm" if machine in ("aarch64", "arm64") else "other"


def _is_x86() -> bool:
    return family() == "x86"


@cache
def supported_variants() -> tuple[str, ...]:
    """Names of the variants that this processor can run, the slowest first."""
    names = ["portable"]
    if _is_x86():
        features = _host_features()
        if "avx2" in features:
            names.append("avx2")
        if all(name in features for name in _AVX512):
            names.append("avx512")
    return tuple(names)


def _forced() -> tuple[str | None, tuple[str, ...]]:
    """The variant that the environment asks for, and what it leaves out: `avx2-vaes` has AES, but not on vectors."""
    name, *without = (os.environ.get(FORCE_VARIABLE) or "").split("-")
    return name or None, tuple(without)


def _choose(forced: str | None, without: tuple[str, ...] = ()) -> Variant:
    supported = supported_variants()
    if forced is None:
        chosen = supported[-1]
    elif forced not in [variant.name for variant in VARIANTS]:
        raise KernelError(
            f"{FORCE_VARIABLE}={forced!r} is not a variant; expected one of "
            f"{', '.join(variant.name for variant in VARIANTS)}"
        )
    elif unknown := [feature for feature in without if feature not in _FORCED_EXTRAS.get(forced, ())]:
        raise KernelError(f"{FORCE_VARIABLE}: {unknown[0]!r} cannot be left out of {forced}")
    elif forced not in supported:
        raise KernelError(
            f"{FORCE_VARIABLE}={forced} needs instructions that this processor lacks; it can run {', '.join(supported)}"
        )
    else:
        chosen = forced
    return next(variant for variant in VARIANTS if variant.name == chosen)


@cache
def variant() -> Variant:
    """The variant in use in this process; the first call sets numba's target.

    Raises `KernelError` when `KERNELS_FORCE` names an unknown variant or one that the processor
    cannot run, or when numba has compiled something for another target before.
    """
    from numba.core import config, registry

    forced, without = _forced()
    chosen = _choose(forced, without)
    if forced in _FORCED_CPU and _is_x86():
        if "_toplevel_target_context" in vars(registry.cpu_target):
            raise KernelError(f"{FORCE_VARIABLE} came too late: numba has already compiled code in this process")
        config.CPU_NAME = _FORCED_CPU[forced]
        extras = [name for name in _FORCED_EXTRAS[forced] if name in _host_features() and name not in without]
        config.CPU_FEATURES = ",".join(f"+{name}" for name in extras)
    return chosen


def has_feature(name: str) -> bool:
    """Whether code of the variant in use may use an instruction set extension, by LLVM's name for it."""
    forced, without = _forced()
    if forced in _FORCED_CPU and _is_x86():
        base = ("avx2", "bmi", "fma") if forced == "avx2" else ()
        return name in _host_features() and name in (*base, *_FORCED_EXTRAS[forced]) and name not in without
    return name in _host_features()


def keep_code_of(module: str) -> None:
    """For a module with cached code: numba reads where to keep it when it meets a function with `cache=True`."""
    variant()
    from numba.core import config

    config.CACHE_DIR = str(cache_directory(module))


def has_aes() -> bool:
    """Whether code may use the AES instructions of x86 or Arm."""
    return family() in ("x86", "arm") and has_feature("aes")


def has_sha256() -> bool:
    """Whether code may use the SHA-256 instructions of x86 (with what stands beside them) or Arm."""
    wanted = {"x86": ("sha", "sse4.1", "ssse3"), "arm": ("sha2",)}.get(family(), ())
    return bool(wanted) and all(has_feature(name) for name in wanted)


@cache
def cache_directory(module: str) -> Path:
    """Where the compiled code of a module ("kernels.room.module") is kept. See `cache_root`.

    Where nothing can be written, a private temporary folder; then it is compiled again by the next process, which
    is logged.
    """
    name = f"{module.rpartition('.')[2]}-{_sources_hash(module)}"
    try:
        return _writable(cache_root() / name)
    except OSError as error:
        return _writable(_private_root(f"in {cache_root()} ({error.strerror})") / name)
    except RuntimeError as error:  # this user has no home
        return _writable(_private_root(f"({error})") / name)


def _writable(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        return folder


_private: list[Path] = []


def _private_root(why: str) -> Path:
    """A folder of this process, made and spoken of once."""
    if not _private:
        _log.warning(
            "Compiled kernels cannot be kept %s, so that every start compiles them again, which takes some seconds: "
            "set NUMBA_CACHE_DIR to a folder that you may write to.",
            why,
        )
        _private.append(Path(tempfile.mkdtemp(prefix="smesher-kernels-")))
        atexit.register(shutil.rmtree, _private[0], ignore_errors=True)
    return _private[0]


def cache_root() -> Path:
    """The folder of all compiled code: `NUMBA_CACHE_DIR`, else below the user's cache directory.

    Raises RuntimeError for a user who has no home.
    """
    given = os.environ.get("NUMBA_CACHE_DIR")
    if given:
        base = Path(given)
    elif platform.system() == "Darwin":
        base = Path("~/Library/Caches/smesher/kernels")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "smesher" / "kernels"
    return base.expanduser()


def _sources_hash(module: str) -> str:
    """A name for the content of a module and of those of this floor that it imports, and they import, and so on."""
    package = Path(__file__).parent.parent
    waiting, seen = [module], dict[str, bytes]()
    while waiting:
        name = waiting.pop()
        file = package.joinpath(*name.split(".")[1:]).with_suffix(".py")
        if name in seen or not file.is_file():
            continue
        seen[name] = file.read_bytes()
        for imported, names in _IMPORTS.findall(seen[name].decode()):
            words = [one.split()[0] for one in names.strip("()").split(",") if one.strip()]
            waiting += [imported, *(f"{imported}.{word}" for word in words)]
    total = hashlib.sha256()
    for name in sorted(seen):
        total.update(seen[name])
    return total.hexdigest()[:16]


def has_cached_code(function: str) -> bool:
    """Whether code of `function` ("room.module.name") for the variant in use and this installation is in the cache."""
    variant()
    import numba
    from numba.core import caching, codegen, config

    features = config.CPU_FEATURES if config.CPU_FEATURES is not None else codegen.get_host_cpu_features()
    processor = config.CPU_NAME or _host_cpu_name()
    # numba keeps code below a folder named after the path of the source, and in the index one key a target
    room, module, name = function.split(".")
    source = str(Path(__file__).parent.parent / room / "any.py")
    cached = cache_directory(f"kernels.{room}.{module}")
    folder = cached / caching._CacheLocator.get_suitable_cache_subpath(source)
    for index in folder.glob(f"{module}.{name}-*.nbi"):
        try:
            with index.open("rb") as file:
                if pickle.load(file) == numba.__version__:
                    _, overloads = pickle.load(file)
                    if any(key[1][1:] == (processor, features) for key in overloads):
                        return True
        except Exception:  # an index that cannot be read is written anew
            continue
    return False


def _host_cpu_name() -> str:
    from llvmlite import binding

    return str(binding.get_host_cpu_name())


def compile_in_child(module: str, function: str = "warm_up") -> None:
    """Calls a function of a module of this floor in a child process: a compiler's memory is gone when it ends.

    When no child can be started, or when it fails, whoever needs the code compiles it in this process.
    """
    package_parent = str(Path(__file__).resolve().parents[2])
    search_path = os.pathsep.join(filter(None, [package_parent, os.environ.get("PYTHONPATH")]))
    kept = str(cache_directory(module).parent)
    try:
        subprocess.run(
            [sys.executable, "-c", f"import {module} as module; module.{function}()"],
            env={**os.environ, "PYTHONPATH": search_path, "NUMBA_CACHE_DIR": kept},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=COMPILE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return
