"""A data directory as an original node leaves it, made of a recorded chain."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from api.node.original import schema, writing
from node.migration import records
from node.migration.give import state_records
from node.migration.records import AnyRecord
from protocol.types.activation import ActivationTxV1
from protocol.types.ids import Address, EdSignature, NodeId
from prover.post import identity
from tests.support.imported_chain import ImportedChain

OWN_EPOCH = 3


@dataclass
class OriginalNode:
    """A directory with databases, genesis, a key and a configuration file beside it."""

    path: Path
    chain: ImportedChain
    key_name: str = "local.key"
    node_id: NodeId = field(init=False)
    state_records: list[Any] = field(init=False)
    """All rows of `state.sql`, with an activation of the own identity."""
    local_records: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        made = identity.generate()
        self.node_id = NodeId(bytes(made.node_id))
        genesis = self.chain.parameters.time.effective_genesis
        self.state_records = _with_own(list(state_records(self.chain.stores.view(), genesis)), self.node_id)
        (self.path / "identities").mkdir(parents=True)
        (self.path / "identities" / self.key_name).write_bytes(made.encode())
        (self.path / "p2p").mkdir()
        (self.path / "p2p" / "p2p.key").write_text('{"Key":"a","ID":"b"}')
        (self.path / "genesis.json").write_text(self.chain.config.genesis.identity.file_content())
        document = dict(self.chain.document["config"])
        document["main"] = {**document["main"], "data-folder": str(self.path), "filelock": str(self.lock)}
        self.config.write_text(json.dumps(document))
        self.write()

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.path.with_suffix(".json")

    @property
    def lock(self) -> Path:
        """The lock file."""
        return self.path.with_suffix(".lock")

    def write(self) -> None:
        """Makes the databases of the records anew."""
        for one, given in ((schema.STATE, self.state_records), (schema.LOCAL, self.local_records)):
            (self.path / one.file).unlink(missing_ok=True)
            writing.write(self.path / one.file, one, in_order(given))

    def change(self, *statements: str, name: str = "state.sql") -> None:
        """Runs SQL on a database, which has no log afterwards."""
        with closing(sqlite3.connect(self.path / name)) as connection:
            for one in statements:
                connection.execute(one)
            connection.commit()
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def content(self) -> dict[str, tuple[bytes, int]]:
        """Every file with its content and when it was changed."""
        return {
            str(path.relative_to(self.path)): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in sorted(self.path.rglob("*"))
            if path.is_file()
        }


def in_order(given: Iterable[AnyRecord]) -> list[AnyRecord]:
    """Records of one table one after another."""
    kinds: tuple[type[Any], ...] = (*records.STATE, *records.LOCAL)
    return sorted(given, key=lambda one: kinds.index(type(one)))


def _with_own(given: list[Any], node_id: NodeId) -> list[Any]:
    """With an activation of an identity: that of another one of the same epoch, but for who is paid."""
    like = next(one for one in given if isinstance(one, records.Atx) and one.epoch == OWN_EPOCH)
    atx = ActivationTxV1.codec.decode(like.atx)
    coinbase = Address(bytes(4) + b"\7" * 20)
    atx = replace(
        atx, inner=replace(atx.inner, coinbase=coinbase), smesher_id=node_id, signature=EdSignature(bytes(64))
    )
    own = like._replace(id=atx.id(), pubkey=node_id, coinbase=coinbase, atx=ActivationTxV1.codec.encode(atx))
    return [*given, own, records.Post(own.id, node_id, None, 0, 2, OWN_EPOCH)]
