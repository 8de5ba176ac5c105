"""Data directories and configurations of nodes, for tests of how a node starts."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from api.config.load import read
from api.node.start import Prepared, note_stores, prepared
from node.schema import OWN, STATE
from node.store.level import open_own_store, open_store
from protocol.params.config.node import Config
from tests.support.cli import Result, smesher

NOW_NS = 1_800_000_000 * 10**9
ACCOUNTS = {
    "standalone1qqqqqqq88tmmasqcarfwx706gl0k48aq0f4gx3qgrl5v8": 10**17,
    "standalone1qqqqqqqmx9x30sz69yzljxxs6uhj76vfvs8mksc3g5e5n": 10**15,
}


@dataclass(frozen=True)
class NodeFolder:
    """A folder with a configuration file, a lock file and a data directory, as an operator has it."""

    path: Path

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def keys(self) -> Path:
        return self.data / "identities"

    @property
    def file(self) -> Path:
        return self.path / "config.json"

    def document(self, changes: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Any]:
        """A standalone network of 4 s layers, 8 an epoch; `changes` by section."""
        document: dict[str, Any] = {
            "preset": "standalone",
            "main": {
                "data-folder": str(self.data),
                "filelock": str(self.path / "LOCK"),
                "layer-duration": "4s",
                "layers-per-epoch": 8,
            },
            "genesis": {"genesis-time": "2027-01-01T00:00:00Z", "genesis-extra-data": "op", "accounts": dict(ACCOUNTS)},
            "smeshing": {"smeshing-start": False, "smeshing-coinbase": ""},
        }
        for section, values in (changes or {}).items():
            document[section] = {**document.get(section, {}), **values}
        return document

    def write(self, changes: Mapping[str, Mapping[str, Any]] | None = None) -> Path:
        """Writes the configuration file."""
        self.file.write_text(json.dumps(self.document(changes)))
        return self.file

    def config(self, changes: Mapping[str, Mapping[str, Any]] | None = None) -> Config:
        return read(json.dumps(self.document(changes))).config

    def used(self) -> Prepared:
        """The data directory after a node has run on it: keys, stores, files."""
        with prepared(self.config(), now_ns=NOW_NS) as found:
            open_own_store(found.data.own, OWN).close()
            open_store(found.data.state, STATE).close()
            note_stores(found)
            return found

    def run(self, *words: object) -> Result:
        """`smesher node` with this configuration file."""
        return smesher("node", "-c", self.file, *words)


@contextmanager
def serving_file(body: bytes, status: int = 200) -> Iterator[str]:
    """A server of this machine that answers everything with one file; its URL."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
