"""Settings that only this program's node has. They stand in a section of their own, so that it is plain what is ours:
the original refuses a file that has it, and takes the same file where they are given as flags or in the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import kinds
from .node import variable_of
from .settings import Setting

SECTION = "smesher"
MODES = ("supervised", "remote")
LOOPBACK = "127.0.0.1"


def _one(name: str, kind: kinds.Kind, default: object, help: str, default_text: str = "") -> Setting:
    variables = (variable_of(name),)
    return Setting(f"{SECTION}.{name}", kind, default, help, name, "", variables, SECTION, default_text=default_text)


SETTINGS = (
    _one(
        "smeshing-mode",
        kinds.one_of(*MODES),
        None,
        "Who makes the proofs: supervised, the node itself for its one identity; remote, PoST services that connect.",
        "supervised with smeshing-start or where the one key is called local.key, else remote",
    ),
    _one(
        "metrics-host", kinds.TEXT, LOOPBACK, "Address on which metrics are told; another than the default opens them."
    ),
    _one("log-file", kinds.PATH, None, "File for the log.", "standard output"),
    _one("log-file-size", kinds.integer(1, 1 << 20), 100, "MiB after which a new log file is begun."),
    _one("log-files", kinds.integer(1, 1000), 5, "Former log files that are kept."),
)


@dataclass(frozen=True, slots=True)
class OwnSettings:
    """Their values."""

    smeshing_mode: str | None = None
    """None: as the names of the key files and smeshing-start say."""
    log_file: Path | None = None
    """None: standard output."""
    log_file_size: int = 100
    """MiB."""
    log_files: int = 5
    metrics_host: str = LOOPBACK

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> OwnSettings:
        """From values by path."""
        return cls(**{one.path.partition(".")[2].replace("-", "_"): found[one.path] for one in SETTINGS})
