"""The file beside a store that says that it existed, and that one process holds it.

`DIR.store` beside the folder `DIR`. It is empty while the store is being made, so that a kill in between leaves nothing
that cannot be begun anew; afterwards it names the store, and a store that is missing then is refused.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from prover import durable

from .errors import StoreFault, StoreRefused

SUFFIX = ".store"


def marker_of(store: Path) -> Path:
    """Where the marker of a store is."""
    return store.with_name(store.name + SUFFIX)


class Marker:
    """The file, open and locked."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, store: Path) -> Marker:
        """Opens the marker of a store, made empty where there is none. Raises StoreRefused where another process holds
        it, StoreFault."""
        path = marker_of(store)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = durable.open_file(path, os.O_RDWR | os.O_CREAT, follow=False)
        except OSError as error:
            raise StoreFault(f"{path} cannot be opened: {durable.reason(error)}.") from None
        try:
            is_ours = durable.try_lock(descriptor)
        except OSError as error:
            os.close(descriptor)
            raise StoreFault(f"{path} cannot be locked: {durable.reason(error)}.") from None
        if not is_ours:
            os.close(descriptor)
            raise StoreRefused(f"{store} is in use by another process. Stop it, then try again.")
        return cls(path, descriptor)

    @property
    def says_it_existed(self) -> bool:
        """Whether the store was made before."""
        return os.fstat(self._descriptor).st_size > 0

    def write(self, name: str) -> None:
        """Notes that the store is there. On stable storage on return, with the folder's entries. Raises StoreFault."""
        text = json.dumps({"store": name, "note": "This store exists. Without this file it may be begun anew."})
        try:
            durable.write_all_at(self._descriptor, text.encode() + b"\n", 0)
            durable.sync(self._descriptor)
            durable.sync_directory(self.path.parent)
        except OSError as error:
            raise StoreFault(f"{self.path} cannot be written: {durable.reason(error)}.") from None

    def release(self) -> None:
        """Lets another process have the store; the file stays."""
        os.close(self._descriptor)
