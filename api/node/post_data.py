"""The PoST data of an identity whose node smeshes itself: what is there of it, what makes the rest, what is deleted.

Specified in protocol 04-activation-beacon-eligibility, section 8.3; 01-post, section 3.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.edge.text import shown
from api.services.node.smeshing import SetupOptions
from kernels.devices.types import CPU_ID
from protocol.params.config.node import Config
from protocol.types.ids import AtxId, NodeId
from prover import durable
from prover.errors import UsageError
from prover.post import findings, metadata, record
from prover.post.directory import Storage
from prover.post.layout import file_number

from .child import own, said
from .data_directory import absolute

THROTTLED = "50"
"""Percent of the time in which labels are made, where they are to leave room for other work."""
SMALL_FILES = (
    metadata.FILE_NAME,
    record.FILE_NAME,
    findings.FILE_NAME,
    "smesher-proof.json",
    "smesher-proof-made.json",
)
"""What stands beside the labels and means nothing without them."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What is there of the data."""

    is_complete: bool
    commitment: AtxId | None
    """To which it is bound; None: there is none yet."""


class Data:
    """The data of one identity, as it is wanted."""

    def __init__(self, config: Config, node_id: NodeId, options: SetupOptions) -> None:
        self._config, self.node_id, self._options = config, node_id, options
        self.path: Path = absolute(options.data_dir)
        self.found = Survey(False, None)

    def survey(self) -> Survey:
        """What is there; reads small files alone. Raises ProofError where it is other data than is wanted."""
        from prover.post.init.plan import Request, check, decide  # which brings what makes labels
        from prover.post.init.run import look

        _check_name(self.path)
        storage, config = Storage(self.path), self._config
        found = look(storage)
        before = None
        if found.metadata is not None:
            before = metadata.decode(found.metadata, str(self.path / metadata.FILE_NAME))
        request = Request(
            node_id=self.node_id,
            commitment_atx_id=bytes(32) if before is None else before.commitment_atx_id,
            labels_per_unit=config.post.labels_per_unit,
            num_units=self._options.num_units,
            max_file_size=self._options.max_file_size if before is None else before.max_file_size,
            scrypt_n=config.smeshing.opts.scrypt.n,
            min_num_units=config.post.min_numunits,
            max_num_units=config.post.max_numunits,
            k1=config.post.k1,
        )
        check(request)
        plan = decide(request, found, str(self.path))
        is_complete = before is not None and before.nonce is not None and not plan.lacks_labels
        self.found = Survey(is_complete, None if before is None else AtxId(before.commitment_atx_id))
        return self.found

    def command(self, commitment: AtxId) -> list[str]:
        """What makes what is missing."""
        config, options = self._config, self._options
        words = [
            *("init", "--json", "--data-dir", self.path),
            *("--node-id", self.node_id.hex()),
            *("--commitment-atx-id", commitment.hex()),
            *("--num-units", options.num_units),
            *("--labels-per-unit", config.post.labels_per_unit),
            *("--scrypt-n", config.smeshing.opts.scrypt.n),
            *("--min-num-units", config.post.min_numunits),
            *("--max-num-units", config.post.max_numunits),
        ]
        if self.found.commitment is None:
            words += ["--max-file-size", options.max_file_size]
        if options.provider == CPU_ID:
            words.append("--cpu")
        elif options.provider is not None:
            words += ["--provider", options.provider]
        if options.throttle:
            words += ["--throttle", THROTTLED]
        return own(*(str(word) for word in words))


def _check_name(path: Path) -> None:
    """Raises UsageError for what no system takes as the name of a folder."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return  # it is made, or it is told what stands there
    except (OSError, ValueError) as error:
        why = durable.reason(error) if isinstance(error, OSError) else str(error)
        raise UsageError(f"The data directory {shown(str(path))} cannot be looked at: {why}.") from None


def delete(path: Path) -> None:
    """Removes labels and what stands beside them; nothing else. Raises ProofError."""
    storage = Storage(path)
    if not storage.exists():
        return
    with storage.lock():
        for name in storage.names():
            if file_number(name) is not None or name in SMALL_FILES:
                storage.remove(name)


def error_in(line: str) -> str:
    """The text of an error among the events of that command; empty for all others."""
    try:
        event: Any = json.loads(line)
    except ValueError:
        return ""
    if not isinstance(event, dict) or event.get("event") != "error":
        return ""
    return said(str(event.get("message", "")))
