"""LevelDB: the one module that imports a binding of it.

`plyvel` has wheels for Linux on x86-64 and Python before 3.13 only. Elsewhere `pyproject.toml` chooses one of its
two forks, which have the same interface and write the same files: `plyvel-ci`, under the same name, and
`plyvel-next`, under a name of its own. Whoever needs a database takes what it needs from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import EnvironmentFault

if TYPE_CHECKING:
    from plyvel import DB, CorruptionError, Error, IOError, repair_db
else:
    try:
        from plyvel import DB, CorruptionError, Error, IOError, repair_db
    except ImportError as absent:
        try:
            from plyvel_next import DB, CorruptionError, Error, IOError, repair_db
        except ImportError as error:
            # of two that are not there, neither tells more; one that is there and does not load does
            reason = absent if error.name == "plyvel_next" else error
            raise EnvironmentFault(
                f"LevelDB, which keeps the databases, cannot be loaded ({reason}). Install smesher with all that it "
                "needs: make install, or pip install . in its folder."
            ) from None

__all__ = ["DB", "CorruptionError", "Error", "IOError", "repair_db"]
