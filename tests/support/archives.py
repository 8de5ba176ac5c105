"""Archives of recorded data, unpacked by hand: `extractall(filter=)` is missing in Python 3.11.2, Debian 12's own."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path, PurePosixPath


def unpack(source: Path, target: Path) -> None:
    """Writes the plain files and folders of a .tar.gz below `target`. Raises ValueError for any other member."""
    with tarfile.open(source) as archive:
        for member in archive:
            name = PurePosixPath(member.name)
            if name.is_absolute() or ".." in name.parts or not (member.isfile() or member.isdir()):
                raise ValueError(f"{source.name} holds {member.name!r}, neither a plain file nor a folder below it")
            path = target / name
            if member.isdir():
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            content = archive.extractfile(member)
            assert content is not None, "a plain file has content"
            with path.open("wb") as file:
                shutil.copyfileobj(content, file)
