"""What the tests of proofs on the command line share: a small data set, its parameters, RandomX made once."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernels import randomx
from protocol.post.proof import RANDOMX_KEY
from prover.post.proof import randomx_source
from tests.support.cli import Job, Result, smesher

Memory = randomx.Memory
"""The real one; `kept_randomx` puts another in its place."""

JOB = Job(units=4, labels_per_unit=64, max_file_size=1024)
"""Four files of 64 labels."""

CHALLENGE = "ab" * 32
ANY_HASH = "ff" * 32
NO_HASH = "00" * 31 + "01"
RULES = ["--k1", "12", "--k2", "4", "--pow-difficulty", ANY_HASH]
RULES_OF_VERIFIER = [*RULES, "--scrypt-n", "2", "--labels-per-unit", "64", "--min-num-units", "1"]


class KeptMemory:
    """RandomX memory that outlives the command that closes it."""

    def __init__(self, memory: randomx.Memory) -> None:
        self._memory = memory
        self.full = memory.full
        self.large_pages = memory.large_pages

    def machine(self) -> randomx.Machine:
        return self._memory.machine()

    def close(self) -> None:
        """Nothing: the next test uses it again."""


@functools.cache
def light() -> KeptMemory:
    """Light memory, made once in a process."""
    return KeptMemory(Memory(RANDOMX_KEY))


@pytest.fixture
def kept_randomx(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Commands in this process share one light memory; what they asked for (full or not) is in the list."""
    asked: list[bool] = []

    def memory(key: bytes, *, full: bool = False, **_: object) -> KeptMemory:
        assert key == RANDOMX_KEY
        asked.append(full)
        return light()

    monkeypatch.setattr(randomx, "Memory", memory)
    yield asked


def has_memory(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """The machine has so many bytes left, and no large pages."""
    for module in (randomx_source, randomx):
        monkeypatch.setattr(module, "available_memory", lambda: size)
    monkeypatch.setattr(randomx, "free_large_pages", lambda: 0)


def prove(directory: Path, *more: object, out: Path | None = None) -> Result:
    """`smesher prove` with the parameters of this set; later options override."""
    words = ["prove", directory, "--challenge", CHALLENGE, "--nonces", 16, *RULES, "--out", out or directory.parent]
    return smesher(*words, *more)


def verify_proof(folder: Path, *more: object) -> Result:
    """`smesher verify-proof` of what `prove` has written."""
    files = ["--proof", folder / "proof.json", "--metadata", folder / "metadata.json"]
    return smesher("verify-proof", *files, *RULES_OF_VERIFIER, *more)
