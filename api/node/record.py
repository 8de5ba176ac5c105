"""What a node notes of its data beside genesis.json: `node.json`, which no other program knows.

Which layers the data was counted in, whose keys were here, which stores: so that what is deleted or changed between two
starts is refused by name, where the reference silently begins anew or counts other layers. Protocol
09b-node-storage-libp2p, sections 6.2 and 6.3.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from api.config.files import parse_json
from api.edge.errors import DataError
from api.edge.text import read_text
from protocol.numbers import durations
from protocol.params.config.node import Config
from prover import durable

NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Record:
    """The content of the file."""

    genesis_id: str
    """40 hex digits."""
    layer_duration: str
    """As settings hold it, such as 5m0s."""
    layers_per_epoch: int
    identities: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    """Name of a key file to its node id, 64 hex digits."""
    stores: tuple[str, ...] = ()
    """Stores that a start has found."""
    handed_to: str = ""
    """The data directory of an original node that was given this data; empty: none."""

    @classmethod
    def of(cls, config: Config) -> Record:
        """What a configuration makes of new data."""
        return cls(
            config.genesis.identity.genesis_id.hex(),
            durations.text(config.main.layer_duration_ns),
            config.main.layers_per_epoch,
        )

    def check_ours(self, path: Path) -> None:
        """Whether no other node has this data now. Raises DataError."""
        if self.handed_to:
            raise DataError(
                f"The data of {path.parent} was handed to the original node of {self.handed_to}. If that one has run "
                "since, a node here would sign what it has signed already: move its data over again with smesher "
                f"migrate from-go, to a new directory. If it has never run, take handed_to out of {path}, and delete "
                "its databases."
            )

    def check_layers(self, configured: Record, path: Path) -> None:
        """Whether the data counts layers as they are configured. Raises DataError with both values."""
        differences = [
            f"{name} is {found} here, {asked} configured"
            for name, found, asked in (
                ("main.layer-duration", self.layer_duration, configured.layer_duration),
                ("main.layers-per-epoch", self.layers_per_epoch, configured.layers_per_epoch),
            )
            if found != asked
        ]
        if differences:
            raise DataError(
                f"The data of {path.parent} was made with other layers: {'; '.join(differences)}. Every layer in it "
                "would get another time and epoch. Configure what it was made with, or use another main.data-folder."
            )


def read(path: Path) -> Record | None:
    """The file's content; None where there is none. Raises DataError for a damaged one, EnvironmentFault."""
    if not path.exists():
        return None
    try:
        found: Any = parse_json(read_text(path, "The file"))
        return Record(
            _text(found["genesis_id"]),
            _text(found["layer_duration"]),
            int(found["layers_per_epoch"]),
            {_text(name): _text(node_id) for name, node_id in found["identities"].items()},
            tuple(_text(name) for name in found["stores"]),
            _text(found.get("handed_to", "")),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise DataError(
            f"{path} is damaged: expected an object with genesis_id, layer_duration, layers_per_epoch, identities and "
            "stores. Restore it from a copy. Without one, make sure that stores and keys of this directory are whole "
            "and belong to the configured network, then delete it; it is written again."
        ) from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def write(path: Path, record: Record) -> None:
    """Writes the file where it changes, durably. Raises EnvironmentFault."""
    document = {one.name: getattr(record, one.name) for one in fields(record)}
    document["identities"] = dict(record.identities)
    if not record.handed_to:
        del document["handed_to"]
    data = (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()
    with durable.explained(path, "write"):
        if not path.exists() or path.read_bytes() != data:
            durable.replace(path, data)
