"""The own identities: who signs now, who may not any more, and whose activations are made.

An identity that was stopped stays so: a note beside the key files says why, and is read at every start. Taking the note
away is its owner's decision. Protocol 04-activation-beacon-eligibility, section 3; 09b, section 6.1.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from api.edge.text import escaped
from api.node.identities import OwnIdentity
from node.contract.ports import Signer
from protocol.crypto.signing import Domain
from protocol.types.ids import EdSignature, NodeId, VrfSignature
from prover import durable

log = logging.getLogger("identities")

NOTE_ENDING = ".stopped"
"""After the public key in hexadecimal: the name of the note about an identity that was stopped."""
MOST_NOTE_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class OwnKey:
    """An identity that may sign. Also the port `Signer`."""

    own: OwnIdentity

    @property
    def name(self) -> str:
        """Of its file, such as `local.key`."""
        return self.own.name

    @property
    def identity(self) -> NodeId:
        """As Signer says."""
        return self.own.node_id

    def sign(self, domain: Domain, message: bytes) -> EdSignature:
        """As Signer says."""
        return EdSignature(self.own.signer.sign(domain, message))

    def prove(self, alpha: bytes) -> VrfSignature:
        """Its VRF proof."""
        return VrfSignature(self.own.signer.prove(alpha))


@dataclass(frozen=True, slots=True)
class Stopped:
    """An identity that signs no more."""

    name: str
    """Of its file."""
    sentence: str
    """Why."""
    since: str
    """RFC 3339; empty where the note does not say."""


class NodeKeys:
    """The identities of a node. Also the port `Keys`. Everything may be called from any thread."""

    def __init__(
        self,
        identities: Sequence[OwnIdentity],
        notes: Path,
        *,
        load: Callable[[], Sequence[OwnIdentity]] | None = None,
        told: Callable[[NodeId, str], None] = lambda identity, sentence: None,
        today: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """notes: the directory of the key files, which is also where the notes are. load: all identities that are there
        now, for `look`; None: there are no others than these. told: about an identity that is stopped."""
        self._notes, self._load, self._told, self._today = notes, load, told, today
        self._lock = threading.Lock()
        self._active: tuple[OwnKey, ...] = ()
        self._stopped: dict[NodeId, Stopped] = {}
        self._stamp: object = self._look_at_directory()
        self.smeshing = Smeshers(self)
        """Those whose activations are made."""
        for one in identities:
            self.add(one)

    # ---- the port ----

    def signers(self) -> Sequence[Signer]:
        """As Keys says."""
        return self._active

    def stop(self, identity: NodeId, sentence: str) -> None:
        """As Keys says. A note of it is on stable storage when this returns, where the disk plays along."""
        with self._lock:
            key = self._find(identity)
            if key is None:
                return
            stopped = Stopped(key.name, sentence, self._today().isoformat(timespec="seconds"))
            self._active = tuple(one for one in self._active if one is not key)
            self._stopped[identity] = stopped
            self._note(identity, stopped)
        log.error("The identity %s (%s) signs no more: %s", identity.hex(), key.name, sentence)
        self._told(identity, sentence)

    # ---- for others ----

    def key(self, identity: NodeId) -> OwnKey | None:
        """One of them; None where it is not here, or may not sign."""
        return self._find(identity)

    def names(self) -> Mapping[NodeId, str]:
        """The file of each that may sign."""
        return {one.identity: one.name for one in self._active}

    def stopped(self) -> Mapping[NodeId, Stopped]:
        """Those that may not sign any more, and why."""
        with self._lock:
            return dict(self._stopped)

    def add(self, own: OwnIdentity) -> bool:
        """One more, from the next layer on; whether it may sign. One that is here already changes nothing."""
        key = OwnKey(own)
        with self._lock:
            if self._find(key.identity) is not None:
                return True
            if key.identity not in self._stopped:
                before = self._read_note(key)
                if before is None:
                    self._active += (key,)
                    return True
                self._stopped[key.identity] = before
            before = self._stopped[key.identity]
        log.error(
            "The identity %s (%s) does not sign: %s It was stopped on %s. If that was a mistake, remove %s and start "
            "again.",
            key.identity.hex(),
            key.name,
            before.sentence,
            before.since or "an earlier day",
            self._note_of(key.identity),
        )
        return False

    def look(self) -> Sequence[OwnIdentity]:
        """Take in keys that were put into the directory since; those that are new and may sign. Cheap when nothing was.

        Raises what `load` raises: then nothing is taken, and the next change is looked at again.
        """
        stamp = self._look_at_directory()
        if self._load is None or stamp == self._stamp:
            return ()
        self._stamp = stamp
        known = {one.identity for one in self._active} | set(self._stopped)
        new = [one for one in self._load() if one.node_id not in known]
        return [one for one in new if self.add(one)]

    def _look_at_directory(self) -> object:
        try:
            return self._notes.stat().st_mtime_ns
        except OSError:
            return None

    def _find(self, identity: NodeId) -> OwnKey | None:
        return next((one for one in self._active if one.identity == identity), None)

    # ---- notes ----

    def _note_of(self, identity: NodeId) -> Path:
        return self._notes / f"{identity.hex()}{NOTE_ENDING}"

    def _note(self, identity: NodeId, stopped: Stopped) -> None:
        path = self._note_of(identity)
        text = json.dumps({"stopped": stopped.since, "reason": stopped.sentence}, indent=1) + "\n"
        try:
            durable.make_directory(path.parent)
            durable.replace(path, text.encode())
        except OSError as error:
            log.error(
                "%s cannot be written: %s. Take the key file %s away before the next start, or it signs again.",
                path,
                durable.reason(error),
                stopped.name,
            )

    def _read_note(self, key: OwnKey) -> Stopped | None:
        """Why it was stopped before. A note that cannot be read counts: nothing is signed by mistake."""
        path = self._note_of(key.identity)
        try:
            found = json.loads(durable.read_whole(path, MOST_NOTE_BYTES))
        except FileNotFoundError:
            return None
        except OSError as error:
            return Stopped(key.name, f"{path} cannot be read: {durable.reason(error)}.", "")
        except (ValueError, RecursionError):
            found = None
        fields = found if isinstance(found, dict) else {}
        sentence, since = fields.get("reason"), fields.get("stopped")
        if not isinstance(sentence, str):
            return Stopped(key.name, "The note beside it does not say why.", "")
        return Stopped(key.name, escaped(sentence, 1000), escaped(since, 40) if isinstance(since, str) else "")


class Smeshers:
    """The identities whose activations are made: all that may sign, or those that were begun. Also the port `Keys`.

    One that smeshes no more still takes part with the activations that it has.
    """

    def __init__(self, keys: NodeKeys) -> None:
        self._keys = keys
        self._begun: frozenset[NodeId] | None = None

    def only(self, identities: Sequence[NodeId]) -> None:
        """Whose activations are made from the next layer on."""
        self._begun = frozenset(identities)

    def everyone(self) -> None:
        """All that may sign, also those that come later."""
        self._begun = None

    def signers(self) -> Sequence[Signer]:
        """As Keys says."""
        begun, signers = self._begun, self._keys.signers()
        return signers if begun is None else tuple(one for one in signers if one.identity in begun)

    def stop(self, identity: NodeId, sentence: str) -> None:
        """As Keys says."""
        self._keys.stop(identity, sentence)

    def all_named(self) -> Sequence[tuple[NodeId, str]]:
        """All that may sign, with the names of their files, by name."""
        return sorted(self._keys.names().items(), key=lambda pair: (pair[1], pair[0]))

    def named(self) -> Sequence[tuple[NodeId, str]]:
        """The same of those whose activations are made."""
        begun = self._begun
        return [pair for pair in self.all_named() if begun is None or pair[0] in begun]
