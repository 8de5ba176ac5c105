"""A disk that can be cut off at any change, for the tests of crashes.

`Disk` stands between `prover.durable` and the system. It cuts the work at its k-th change of the disk, also in the
middle of a write, and knows what is on stable storage: after a power cut everything else is lost, partly lost or full
of zeros. It can also refuse its k-th sync once, as Linux does: what was written since the last good one is forgotten,
though programs still read it, and the next sync says that all is well.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Kind = Literal["kill", "power cut"]


class Cut(BaseException):
    """The process is no more; not even `except Exception` runs."""


@dataclass(eq=False)
class Inode:
    """A file, whatever its name: what programs read, and what survives a power cut."""

    content: bytes = b""
    durable: bytes = b""
    dirty: list[tuple[int, bytes | None]] = field(default_factory=list)
    """What the next sync brings to the disk: (offset, bytes), or (size, None) where the file was cut."""

    def apply(self) -> None:
        """A sync that succeeds."""
        for offset, data in self.dirty:
            kept = self.durable[:offset].ljust(offset, b"\0")
            self.durable = kept if data is None else kept + data + self.durable[offset + len(data) :]
        self.dirty.clear()


class Disk:
    """The module `os` as `prover.post.directory` sees it, over a real directory.

    Names survive a power cut as the last sync of the directory left them, or with the first few of the later
    changes; content as the last sync of the file left it, with whatever part of later writes.
    """

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.root = root
        self.rng = rng
        self.half_done = 0.5
        """How probable it is that the change in which the work is cut still happens."""
        self.after_power_cut: Literal["anything", "zeros", "what was synced"] = "anything"
        """"zeros": files are as long as they were, with zeros where nothing was synced."""
        self.count = 0
        self.cut_at: int | None = None
        self.syncs = 0
        self.fail_sync_at: int | None = None
        """The number of the sync, of files or directories, that ends with an input/output error."""
        self.dead = False
        self.names: dict[str, Inode] = {}
        for path in root.iterdir():
            content = path.read_bytes()
            self.names[path.name] = Inode(content, content)
        self.histories = [dict(self.names)]
        self.descriptors: dict[int, Inode | None] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    # -- the calls that change something -----------------------------------------------------------------------

    def _step(self) -> bool:
        """Counts one change; whether the cut is inside this one."""
        if self.dead:
            raise Cut
        self.count += 1
        if self.count == self.cut_at:
            self.dead = True
        return self.dead

    def _name(self, path: Any) -> str:
        assert Path(path).parent == Path(self.root)
        return Path(path).name

    def _renamed(self) -> None:
        self.histories.append(dict(self.names))

    def open(self, path: Any, flags: int, mode: int = 0o777) -> int:
        if Path(path) == Path(self.root):
            descriptor = os.open(path, flags)
            self.descriptors[descriptor] = None
            return descriptor
        name = self._name(path)
        assert not flags & os.O_TRUNC, "files are replaced, not emptied"
        cut = self._step() if flags & os.O_CREAT and name not in self.names else False
        if cut and self.rng.random() >= self.half_done:
            raise Cut
        descriptor = os.open(path, flags, mode)
        if name not in self.names:
            self.names[name] = Inode()
            self._renamed()
        self.descriptors[descriptor] = self.names[name]
        if cut:
            os.close(descriptor)
            raise Cut
        return descriptor

    def write(self, descriptor: int, data: Any) -> int:
        cut = self._step()
        inode = self.descriptors[descriptor]
        assert inode is not None
        part = bytes(data)
        if cut:
            part = part[: self.rng.randint(0, len(part))]
        written = os.write(descriptor, part) if part else 0
        inode.dirty.append((len(inode.content), part[:written]))
        inode.content += part[:written]
        if cut:
            raise Cut
        return written

    def pwrite(self, descriptor: int, data: Any, offset: int) -> int:
        cut = self._step()
        inode = self.descriptors[descriptor]
        assert inode is not None
        part = bytes(data)
        if cut:
            part = part[: self.rng.randint(0, len(part))]
        written = os.pwrite(descriptor, part, offset) if part else 0
        inode.dirty.append((offset, part[:written]))
        inode.content = inode.content[:offset] + part[:written] + inode.content[offset + written :]
        if cut:
            raise Cut
        return written

    def fsync(self, descriptor: int) -> None:
        cut = self._step()
        inode = self.descriptors[descriptor]
        self.syncs += 1
        if self.syncs == self.fail_sync_at:
            if inode is not None:
                inode.dirty.clear()
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if not cut or self.rng.random() < self.half_done:
            if inode is None:
                self.histories = [dict(self.names)]
            else:
                inode.apply()
        if cut:
            raise Cut

    fdatasync = fsync

    def replace(self, source: Any, target: Any) -> None:
        cut = self._step()
        if not cut or self.rng.random() < self.half_done:
            os.replace(source, target)
            self.names[self._name(target)] = self.names.pop(self._name(source))
            self._renamed()
        if cut:
            raise Cut

    def truncate(self, path: Any, size: int) -> None:
        cut = self._step()
        if not cut or self.rng.random() < self.half_done:
            os.truncate(path, size)
            inode = self.names[self._name(path)]
            inode.content = inode.content[:size].ljust(size, b"\0")
            inode.dirty.append((size, None))
        if cut:
            raise Cut

    def unlink(self, path: Any) -> None:
        cut = self._step()
        if not cut or self.rng.random() < self.half_done:
            os.unlink(path)
            del self.names[self._name(path)]
            self._renamed()
        if cut:
            raise Cut

    def close(self, descriptor: int) -> None:
        self.descriptors.pop(descriptor, None)
        with contextlib.suppress(OSError):
            os.close(descriptor)

    # -- what happens to it ------------------------------------------------------------------------------------

    def arm(self, cut_at: int | None, fail_sync_at: int | None = None) -> None:
        """A new process begins; its `cut_at`-th change is its last, its `fail_sync_at`-th sync fails."""
        self.syncs, self.fail_sync_at = 0, fail_sync_at
        for descriptor in list(self.descriptors):
            self.close(descriptor)
        self.dead, self.count, self.cut_at = False, 0, cut_at

    def power_cut(self) -> None:
        """The machine goes down and comes up again."""
        synced = self.after_power_cut == "what was synced"
        self.names = dict(self.histories[0] if synced else self.rng.choice(self.histories))
        for inode in self.names.values():
            inode.content = inode.durable = self._survives(inode)
            inode.dirty.clear()
        for path in self.root.iterdir():
            path.unlink()
        for name, inode in self.names.items():
            (self.root / name).write_bytes(inode.content)
        self.histories = [dict(self.names)]

    def _survives(self, inode: Inode) -> bytes:
        content, durable, rng = inode.content, inode.durable, self.rng
        if self.after_power_cut == "what was synced" or not inode.dirty:
            return durable
        if self.after_power_cut == "zeros" and content.startswith(durable):
            return durable.ljust(len(content), b"\0")
        if content == durable:
            return content
        if durable.startswith(content):  # cut without a sync
            return rng.choice([content, durable])
        if not content.startswith(durable):  # written over without a sync
            pairs = zip(content, durable, strict=False)
            same = next((at for at, (one, other) in enumerate(pairs) if one != other), len(durable))
            return rng.choice([content, durable, content[:same] + bytes(len(content) - same)])
        length = rng.randint(len(durable), len(content))
        kind = rng.choice(["lost", "zeros", "holes", "all there"])
        if kind == "all there":
            return content
        if kind == "lost":
            return content[:length]
        if kind == "zeros":
            return content[:length] + bytes(rng.randint(0, len(content) - length))
        kept = bytearray(content[:length])
        for start in range(len(durable), length, 48):
            if rng.random() < 0.3:
                end = min(length, start + 48)
                kept[start:end] = bytes(end - start)
        return bytes(kept)
