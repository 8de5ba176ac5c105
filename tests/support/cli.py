"""The command line as the tests use it: in this process, or as a child that can be stopped and killed.

Beside that: small data sets with known right answers, and the conditions that only some machines allow
(another user, a small disk); where a machine does not, the test is skipped and says so.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.cli.main import main
from kernels.labels import cpu
from protocol.post.rules import commitment, vrf_difficulty
from prover.post import metadata as metadata_file
from prover.post.metadata import PostMetadata

ROOT = Path(__file__).resolve().parents[2]
NODE_ID = "11" * 32
ATX_ID = "22" * 32
NO_NONCE_IN_64 = f"{3240:064x}"
"""With node id NODE_ID and N = 2 none of the labels 0 … 63 of this commitment ATX is a VRF nonce for 64 labels."""

NOBODY = 65534
ENTRY = "import sys; from api.cli.main import main; sys.exit(main())"


@dataclass(frozen=True)
class Result:
    """How one call ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """All it said, whichever way."""
        return self.out + self.err

    @property
    def events(self) -> list[dict[str, Any]]:
        """The JSON objects on standard output; anything else there is an error."""
        return events(self.out)

    @property
    def last(self) -> dict[str, Any]:
        """The last event."""
        return self.events[-1]

    def named(self, event: str) -> list[dict[str, Any]]:
        """The events of one kind."""
        return [one for one in self.events if one["event"] == event]

    def ok(self) -> Result:
        """Itself, when the call ended well."""
        assert self.code == 0, f"exit {self.code}: {self.text}"
        return self

    def refused(self, code: int, *facts: object) -> Result:
        """Itself, when it ended with this code and its message has all the facts."""
        assert self.code == code, f"exit {self.code}, expected {code}: {self.text}"
        assert "Traceback" not in self.text, self.text
        missing = [str(fact) for fact in facts if str(fact) not in self.text]
        assert not missing, f"{missing} not in: {self.text}"
        return self


def events(text: str) -> list[dict[str, Any]]:
    """One JSON object a line."""
    parsed = [json.loads(line) for line in text.splitlines()]
    assert all(isinstance(one, dict) and isinstance(one["event"], str) for one in parsed), text
    return parsed


def smesher(*words: object) -> Result:
    """Runs a command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(word) for word in words])
    return Result(code, out.getvalue(), err.getvalue())


def environment(**more: str) -> dict[str, str]:
    """The environment of a child."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **more}


def start(*words: object, script: str = ENTRY, **options: Any) -> subprocess.Popen[str]:
    """Starts a command line as a child, which an interrupt reaches even where these tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-c", script, *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            **options,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def finish(child: subprocess.Popen[str], timeout: float = 120) -> Result:
    """Waits for a child; a child that does not end is killed and an error."""
    try:
        out, err = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        child.kill()
        out, err = child.communicate()
        raise AssertionError(f"the child did not end in {timeout} s: {out}{err}") from None
    return Result(child.returncode, out, err)


def run_child(*words: object, timeout: float = 120, **options: Any) -> Result:
    """Runs a command line as a child."""
    return finish(start(*words, **options), timeout)


def wait_for(condition: Callable[[], bool], child: subprocess.Popen[str] | None = None, timeout: float = 60) -> None:
    """Returns when the condition holds; an error when the child ends before, or time is over."""
    until = time.monotonic() + timeout
    while not condition():
        if child is not None and child.poll() is not None:
            raise AssertionError(f"the child ended before: {finish(child)}")
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.005)


@dataclass(frozen=True)
class Job:
    """The parameters of a small data set."""

    units: int = 4
    labels_per_unit: int = 64
    max_file_size: int = 1024
    scrypt_n: int = 2
    atx_id: str = ATX_ID
    node_id: str = NODE_ID

    @property
    def num_labels(self) -> int:
        return self.units * self.labels_per_unit

    @property
    def commitment(self) -> bytes:
        return commitment(bytes.fromhex(self.node_id), bytes.fromhex(self.atx_id))

    def options(self, directory: Path, *more: object) -> list[object]:
        """`init` and its options for this set; later ones override."""
        return [
            "init",
            *("--data-dir", directory),
            *("--num-units", self.units),
            *("--labels-per-unit", self.labels_per_unit),
            *("--max-file-size", self.max_file_size),
            *("--scrypt-n", self.scrypt_n),
            *("--commitment-atx-id", self.atx_id),
            *("--node-id", self.node_id),
            "--cpu",
            *more,
        ]

    def init(self, directory: Path, *more: object) -> Result:
        """Runs `init` in this process."""
        return smesher(*self.options(directory, *more))

    def labels32(self, start: int = 0, count: int | None = None) -> np.ndarray:
        """Right full labels, uint8[count, 32]."""
        return _labels32(self.commitment, start, self.num_labels if count is None else count, self.scrypt_n)

    def data(self) -> bytes:
        """What all data files together have to hold."""
        return self.labels32()[:, :16].tobytes()

    def files(self) -> dict[str, bytes]:
        """What each data file has to hold."""
        data, size = self.data(), self.max_file_size
        return {f"postdata_{at // size}.bin": data[at : at + size] for at in range(0, len(data), size)}

    def smallest(self, start: int = 0, count: int | None = None) -> tuple[int, bytes]:
        """Index and full label of the smallest one."""
        rows = [row.tobytes() for row in self.labels32(start, count)]
        at = min(range(len(rows)), key=rows.__getitem__)
        return start + at, rows[at]

    def metadata(self, **changes: Any) -> PostMetadata:
        """The metadata of the complete set."""
        nonce, label = self.smallest()
        found = label < vrf_difficulty(self.num_labels)
        fields: dict[str, Any] = {
            "node_id": bytes.fromhex(self.node_id),
            "commitment_atx_id": bytes.fromhex(self.atx_id),
            "labels_per_unit": self.labels_per_unit,
            "num_units": self.units,
            "max_file_size": self.max_file_size,
            "nonce": nonce if found else None,
            "nonce_value": label[:16] if found else None,
        }
        return PostMetadata(**{**fields, **changes})

    def make(self, directory: Path, *, record: bool = True) -> Path:
        """Writes the complete set without the command under test; `record=False`: as other programs do."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in self.files().items():
            (directory / name).write_bytes(content)
        (directory / metadata_file.FILE_NAME).write_text(metadata_file.encode(self.metadata()), newline="")
        if record:
            (directory / "smesher.json").write_text(f'{{\n  "ScryptN": {self.scrypt_n}\n}}\n', newline="")
        return directory


@functools.cache
def engine(scrypt_n: int) -> cpu.LabelEngine:
    """One engine for each N; how it computes is tested elsewhere."""
    return cpu.LabelEngine(cpu.devices()[0], scrypt_n, threads=2)


@functools.lru_cache(maxsize=32)
def _labels32(commitment: bytes, start: int, count: int, scrypt_n: int) -> np.ndarray:
    labels = engine(scrypt_n).labels32([commitment], np.arange(start, start + count, dtype=np.uint64))
    labels.flags.writeable = False
    return labels


def data_files(directory: Path) -> dict[str, bytes]:
    """Name and content of every data file."""
    return {path.name: path.read_bytes() for path in sorted(directory.glob("postdata_*.bin"))}


def metadata_text(directory: Path) -> str:
    """postdata_metadata.json, byte for byte."""
    return (directory / metadata_file.FILE_NAME).read_bytes().decode()


def metadata_of(directory: Path) -> PostMetadata:
    """What postdata_metadata.json says."""
    return metadata_file.decode(metadata_text(directory))


def edit_metadata(directory: Path, change: Callable[[str], str]) -> str:
    """Changes the text of the metadata; returns the new one."""
    text = change(metadata_text(directory))
    (directory / metadata_file.FILE_NAME).write_bytes(text.encode())
    return text


def snapshot(directory: Path) -> dict[str, tuple[bytes, int, int]]:
    """Everything in a directory: content, mode, time of the last write."""
    found = {}
    for path in sorted(directory.iterdir()):
        status = path.stat()
        found[path.name] = (path.read_bytes() if path.is_file() else b"", status.st_mode, status.st_mtime_ns)
    return found


def damage(directory: Path, name: str, *positions: int) -> None:
    """Writes other labels over those at the given positions."""
    with (directory / name).open("r+b") as file:
        for position in positions:
            file.seek(position * 16)
            label = file.read(16)
            file.seek(position * 16)
            file.write(bytes(byte ^ 0x5A for byte in label))


# -- what only some machines allow -----------------------------------------------------------------------------


def not_checked(reason: str) -> None:
    """Skips a test, loudly."""
    pytest.skip(f"NOT CHECKED: {reason}")


@contextlib.contextmanager
def public_folder() -> Iterator[Path]:
    """A temporary folder that other users can enter (those of pytest are closed to them)."""
    path = Path(tempfile.mkdtemp(prefix="smesher-test-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        for entry in path.iterdir():
            if entry.is_dir():
                entry.chmod(0o700)
        shutil.rmtree(path)


def as_ordinary_user(*words: object, folder: Path, load: str = "api.cli.data.init, prover.post.init.run") -> Result:
    """Runs a command line as a user whom permissions bind, and who owns `folder`, which was made for it.

    Root's child loads what it needs, and the modules of the command (`load`), before it gives its rights up: the
    interpreter's files may be closed to others.
    """
    if os.geteuid() != 0:
        return run_child(*words, cwd="/")
    script = f"""
import os, sys
import {load}, kernels.devices.find, kernels.labels.cpu, kernels.devices.rig
import rich.console, rich.markup
kernels.devices.find.devices()
kernels.labels.cpu.warm_up()
try:
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
except OSError as error:
    print("rights:", error, file=sys.stderr)
    sys.exit(77)
from api.cli.main import main
sys.exit(main())
"""
    result = run_child(*words, script=script, cwd="/")
    if result.code == 77:
        not_checked(f"permissions do not bind root, and it cannot become another user here: {result.err}")
    assert "ModuleNotFoundError" not in result.err and "ImportError" not in result.err, result.err
    return result


def give_to_ordinary_user(folder: Path) -> None:
    """Makes the user of `as_ordinary_user` the owner of a folder and all in it."""
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)


@contextlib.contextmanager
def small_disk(size: int) -> Iterator[tuple[Path, Callable[[str], None]]]:
    """A disk of `size` bytes in memory, and a function that mounts it again with other options."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        not_checked("only root can mount a small disk")
    path = Path(tempfile.mkdtemp(prefix="smesher-disk-"))

    def mount(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["mount", *words], capture_output=True, text=True)

    def again(options: str) -> None:
        answer = mount("-o", f"remount,{options}", str(path))
        assert answer.returncode == 0, answer.stderr

    try:
        mounted = mount("-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(path))
        if mounted.returncode != 0:
            not_checked(f"this machine lets no small disk be mounted: {mounted.stderr.strip()}")
        try:
            yield path, again
        finally:
            subprocess.run(["umount", str(path)], check=True)
    finally:
        path.rmdir()


class FaultyOs:
    """The module `os` as `prover.post.directory` sees it, with some calls replaced."""

    def __init__(self, **replaced: Callable[..., Any]) -> None:
        vars(self).update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def words_of(text: str) -> Sequence[str]:
    """The words of a message without punctuation at their ends."""
    return [word.strip(".,;:()") for word in text.split()]
