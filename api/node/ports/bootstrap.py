"""The port `Bootstrap`: documents by HTTP, each downloaded once and kept as the reference keeps them.

Of an epoch there is one file with everything, else one with the beacon and one with the active set. What is on disk
is given first; what was given since the start is not given again. Files lie read-only at
`bootstrap/EPOCH/epoch-EPOCH-update-ENDING`; those of epochs that nobody needs any more are removed.
Protocol 09b-node-storage-libp2p, section 2; 03b-config-and-genesis, section 6.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import time
from collections.abc import Callable, Collection
from pathlib import Path

from api.edge.repeats import Repeats
from api.edge.text import escaped
from api.http.client import ClientLimits, HttpClient, Unreachable
from node.bootstrap.document import Part, address, file_name, read, required_epochs
from node.bootstrap.errors import DocumentRefused
from node.contract.demands import BootstrapDocument, Failed, Result
from node.contract.instants import Instant
from protocol.numbers.layers import NetworkTime
from protocol.types.ids import EpochId
from prover import durable

from .calls import Calls

log = logging.getLogger("bootstrap")

MOST_BYTES = 64 << 20
"""Of a document: an active set of almost a million activations."""
LIMITS = ClientLimits(connect_s=10.0, silence_s=10.0, total_s=60.0, answer_bytes=MOST_BYTES)
DIRECTORY_MODE, FILE_MODE = 0o700, 0o400


class Documents:
    """The published fallback of one network. `document` may be called from any thread."""

    def __init__(
        self,
        url: str,
        version: str,
        directory: Path,
        calls: Calls,
        network: NetworkTime,
        clock: Callable[[], Instant],
        *,
        client: HttpClient | None = None,
    ) -> None:
        """directory: `bootstrap` of the data."""
        self._url, self._version, self._directory = url.rstrip("/"), version, directory
        self._calls, self._network, self._clock = calls, network, clock
        self._client = client or HttpClient(LIMITS)
        self._given: dict[EpochId, set[Part]] = {}
        """What whoever asks has had since the start."""
        self._is_away = False
        """Whether nobody answered last; that is said once."""
        self._voice = Repeats()

    def document(self, call: int, work: BootstrapDocument) -> None:
        """As Bootstrap says."""
        self._calls.begin(call, self._document(work.epoch))

    async def _document(self, epoch: EpochId) -> Result:
        needed = {*self._needed(), epoch}
        self._given = {one: parts for one, parts in self._given.items() if one in needed}
        given = self._given.setdefault(epoch, set())
        await asyncio.to_thread(self._prune, needed)
        if Part.BOTH in given:
            return Failed("not_found", f"The document of epoch {epoch} was given before; there is no other one.")
        missing = [part for part in (Part.BOTH, Part.BEACON, Part.ACTIVE_SET) if part not in given]
        for part in missing:
            kept = await asyncio.to_thread(self._kept, epoch, part)
            if kept is not None:
                given.add(part)
                return kept
        for part in missing:
            found = await self._download(epoch, part)
            if isinstance(found, Failed) and found.reason == "not_found":
                continue
            if isinstance(found, bytes) and await asyncio.to_thread(self._is_sound, found, epoch):
                await asyncio.to_thread(self._keep, epoch, part, found)
                given.add(part)
            return found
        return Failed("not_found", f"Nothing is published for epoch {epoch}.")

    async def _download(self, epoch: EpochId, part: Part) -> bytes | Failed:
        """What is published, whatever the status: what is no document is refused by whoever asked."""
        url = address(self._url, epoch, part.value)
        try:
            answer = await self._client.send("GET", url)
        except Unreachable as error:
            if not self._is_away:
                log.warning(
                    "The published fallback cannot be had: %s. It is asked for again, and the node goes by what the "
                    "network agrees on. Correct bootstrap-url, or leave it empty where nobody publishes one.",
                    error,
                )
            self._is_away = True
            return Failed("unreachable", f"{error}.")
        self._is_away = False
        if answer.status == 404 or not answer.body:
            return Failed("not_found", f"{url} answered {answer.reason}.")
        if answer.status != 200:
            self._say(f"{url} answered {answer.reason}: {escaped(answer.body)}")
        return answer.body

    def _is_sound(self, data: bytes, epoch: EpochId) -> bool:
        try:
            return read(data, self._version).epoch == epoch
        except DocumentRefused:
            return False

    def _say(self, text: str) -> None:
        said = self._voice.once(text, time.monotonic())
        if said is not None:
            log.warning("%s", said)

    # ---- files ----

    def _needed(self) -> Collection[EpochId]:
        return required_epochs(self._network, self._network.epoch_of(self._network.layer_at(self._clock())))

    def _path(self, epoch: EpochId, part: Part) -> Path:
        return self._directory / str(epoch) / file_name(epoch, part.value)

    def _kept(self, epoch: EpochId, part: Part) -> bytes | None:
        """What is on disk, judged anew: it may have been made for another version, or be damaged."""
        path = self._path(epoch, part)
        try:
            data = durable.read_whole(path, MOST_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._say(f"{path} cannot be read: {durable.reason(error)}. The document is downloaded again.")
            return None
        if self._is_sound(data, epoch):
            return data
        self._say(f"{path} is no document of epoch {epoch}; it is removed, and the document downloaded again.")
        self._remove(path)
        return None

    def _keep(self, epoch: EpochId, part: Part, data: bytes) -> None:
        path = self._path(epoch, part)
        try:
            durable.make_directory(path.parent, DIRECTORY_MODE)
            durable.replace(path, data, FILE_MODE)
        except OSError as error:
            self._say(
                f"{path} cannot be written: {durable.reason(error)}. The document is downloaded at the next start."
            )

    def _prune(self, needed: Collection[EpochId]) -> None:
        """Remove the directories of other epochs. What else lies there is somebody else's."""
        try:
            names = os.listdir(self._directory)
        except OSError:
            return  # nothing was kept yet
        for name in names:
            if name.isascii() and name.isdigit() and int(name) not in needed:
                try:
                    shutil.rmtree(self._directory / name)
                except OSError as error:
                    self._say(f"{self._directory / name} cannot be removed: {durable.reason(error)}.")

    def _remove(self, path: Path) -> None:
        try:
            path.unlink()
        except OSError as error:
            self._say(f"{path} cannot be removed: {durable.reason(error)}.")
