"""What a merge is made of: directories as found, the plan for each file, and the plan of the whole. No logic.

Specified in protocol 01-post-tools, section 3.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from protocol.post.rules import LABEL_SIZE
from prover.post.layout import Layout
from prover.post.metadata import PostMetadata
from prover.post.record import Record


class Mode(enum.Enum):
    """What may happen to the sources."""

    LINK = "link"
    """They stay; files are shared with them where that is possible."""
    COPY = "copy"
    """They stay, and nothing is shared."""
    MOVE = "move"
    """They are emptied."""


class How(enum.Enum):
    """How one file comes to the destination."""

    KEEP = "keep"
    LINK = "link"
    SYMLINK = "symlink"
    COPY = "copy"
    RENAME = "rename"


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file, or a link to one, as found in a directory."""

    number: int
    size: int
    """Bytes; 0 where a link leads nowhere."""
    path: str
    """Its name in the directory."""
    target: str
    """The path with every link resolved; equal to the path of a regular file."""
    device: int
    """The disk of the content; of a link that leads nowhere the disk where it would be, -1 when there is none."""
    inode: int
    is_link: bool = False
    inside: bool = False
    """Whether a link's target lies below a source directory, on its disk."""
    there: bool = True
    """False for a link that leads nowhere."""

    @property
    def labels(self) -> int:
        """Whole labels."""
        return self.size // LABEL_SIZE

    @property
    def tail(self) -> int:
        """Bytes of a partial label at the end."""
        return self.size % LABEL_SIZE

    def same_content(self, other: DataFile) -> bool:
        """Whether both names lead to one file on disk."""
        return self.there and other.there and (self.device, self.inode) == (other.device, other.inode)


@dataclass(frozen=True, slots=True)
class Directory:
    """What stands in one directory."""

    path: str
    device: int
    files: Mapping[int, DataFile] = field(default_factory=dict)
    metadata: PostMetadata | None = None
    record: Record | None = None
    identity: bytes | None = None
    begun: PostMetadata | None = None
    """Of a destination: the metadata that an interrupted merge was to write."""


@dataclass(frozen=True, slots=True)
class FilePlan:
    """What happens to one data file."""

    number: int
    chosen: DataFile
    """The copy that the destination gets (or has)."""
    how: How
    final: str
    """Where it ends: the name in the destination, or the place that its link there leads to."""
    device: int
    """The disk of that place."""
    complete: bool
    compare: tuple[DataFile, ...]
    """Other copies: what they hold must be what the chosen one holds there."""
    remove: tuple[DataFile, ...]
    """Names in the sources that go when the destination has the file."""

    @property
    def cut(self) -> bool:
        """Whether a partial label is cut off in the destination afterwards (a copy never gets it)."""
        return self.chosen.tail > 0 and self.how is not How.COPY


@dataclass(frozen=True, slots=True)
class MergePlan:
    """Everything that a merge does: compare, then place file after file, then write the small files."""

    common: PostMetadata
    """The five fields alone."""
    layout: Layout
    files: tuple[FilePlan, ...]
    discard: tuple[DataFile, ...]
    """Names in the sources without a single whole label; they go when the sources are emptied."""
    missing: tuple[range, ...]
    """Numbers of the files that nobody has."""
    incomplete: tuple[int, ...]
    """Numbers of the files that lack labels."""
    scrypt_n: int | None
    """As recorded or asked for; None when nobody knows."""
    identity: bytes | None
    """What identity.key is to hold; None when nobody has one, or the destination has it."""
    notes: tuple[str, ...]

    @property
    def labels_to_compare(self) -> int:
        """Labels that two copies have."""
        return sum(min(one.chosen.labels, other.labels) for one in self.files for other in one.compare)

    @property
    def labels_to_place(self) -> int:
        """Labels of all files that are not in the destination yet."""
        return sum(one.chosen.labels for one in self.files if one.how is not How.KEEP)

    def needed(self) -> dict[int, tuple[int, str]]:
        """Disk -> bytes that will be copied onto it, and a directory on it."""
        needs: dict[int, tuple[int, str]] = {}
        for one in self.files:
            if one.how is How.COPY:
                before, place = needs.get(one.device, (0, os.path.dirname(one.final)))
                needs[one.device] = (before + one.chosen.labels * LABEL_SIZE, place)
        return needs
