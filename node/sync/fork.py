"""Where our mesh and that of a peer part: a search over the hashes of the mesh, a hundred at a time.

| of a search | then |
|---|---|
| the peer agrees with us on a layer, and not on the next one | found |
| they are further apart | asks for hashes between them; the first that differs comes nearer |
| the peer's hashes of the ends are not those that it gave before | given up; the peer is forgotten |
| all hashes are equal, or all differ | our own mesh has changed meanwhile: everything is forgotten |

A hash covers all layers before it, so the first one that differs is where the fork is. Each question makes the range a
99th of what it was. Protocol 09a, section 5.6.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.contract.instants import Instant
from node.contract.messages import PeerId
from node.fetch.answers import layers_of, own_hashes
from node.fetch.protocols import MESH_HASHES, read_mesh_hashes
from node.mesh import tables as mesh
from node.store.view import View
from node.sync.parameters import SyncParameters
from node.sync.procedures import Procedure, Turn
from node.sync.questions import Peers, Question
from protocol.types.fetch import MeshHashRequest
from protocol.types.ids import Hash32, LayerId


@dataclass(frozen=True, slots=True)
class LayerHash:
    """The hash of the mesh up to a layer."""

    layer: LayerId
    hash: Hash32


@dataclass(frozen=True, slots=True)
class _Agreement:
    at: LayerHash
    made_at: Instant


class ForkFinder:
    """Of one node. What it remembers is bounded by the peers that are asked, and by `max_resynced`."""

    def __init__(self, parameters: SyncParameters, peers: Peers, genesis: LayerId) -> None:
        self._parameters = parameters
        self._peers = peers
        self._genesis = genesis
        self._agreed: dict[PeerId, _Agreement] = {}
        """Where each peer agreed with us last."""
        self._resynced: dict[LayerHash, Instant] = {}
        """Hashes of peers that were followed already, oldest first."""

    @property
    def agreed(self) -> int:
        """Peers of which it is known where they agreed with us."""
        return len(self._agreed)

    def agree(self, peer: PeerId, at: LayerHash, now: Instant) -> None:
        """A peer agrees with us up to a layer; in place of what was known, for peers change their opinions."""
        self._agreed[peer] = _Agreement(at, now)

    def needs_resync(self, at: LayerHash) -> bool:
        """Whether a hash of a peer has not been followed yet."""
        return at not in self._resynced

    def add_resynced(self, at: LayerHash, now: Instant) -> None:
        """A hash of a peer was followed to its fork."""
        self._resynced[at] = now
        if len(self._resynced) > self._parameters.max_resynced:
            del self._resynced[next(iter(self._resynced))]

    def forget_all(self) -> None:
        """Forget where peers agreed: new data came."""
        self._agreed.clear()

    def forget_stale(self, now: Instant) -> None:
        """Forget peers that are no longer among the best, and what was followed, when it is long ago."""
        best = set(self._peers.scores.best(self._parameters.peers))
        limit = now - self._parameters.max_stale
        self._agreed = {peer: one for peer, one in self._agreed.items() if peer in best or one.made_at > limit}
        self._resynced = {at: when for at, when in self._resynced.items() if when > limit}

    def find(self, turn: Turn, peer: PeerId, differing: LayerHash) -> Procedure[LayerId | None]:
        """The last layer on which a peer agrees with us, who has another hash of a later layer; None: not found."""
        high = differing
        while True:
            low = self._lowest(turn.rows, peer, high.layer)
            if low is None or low.layer >= high.layer:
                return None
            if low.layer + 1 == high.layer:
                return low.layer
            request = MeshHashRequest.between(low.layer, high.layer)
            hashes = yield from self._hashes(turn, peer, request)
            if hashes is None:
                return None
            theirs = [LayerHash(layer, hash) for layer, hash in zip(layers_of(request), hashes, strict=True)]
            if (theirs[0], theirs[-1]) != (low, high):
                self._agreed.pop(peer, None)
                return None
            same: LayerHash | None = None
            differs: LayerHash | None = None
            for own, one in zip(own_hashes(turn.rows, request), theirs, strict=True):
                if own != one.hash:
                    differs = one
                    break
                same = one
            if same is None or differs is None:
                self.forget_all()
                return None
            self.agree(peer, same, turn.now)
            if same.layer + 1 == differs.layer:
                return same.layer
            high = differs

    def _lowest(self, view: View, peer: PeerId, below: LayerId) -> LayerHash | None:
        """The last layer before another one on which a peer agreed, if we still think so; else the genesis."""
        known = self._agreed.get(peer)
        if known is not None:
            at = known.at
            if at.layer < below and view.get(mesh.MESH_HASHES, at.layer) == at.hash:
                return at
            del self._agreed[peer]
        hash = view.get(mesh.MESH_HASHES, self._genesis)
        return None if hash is None else LayerHash(self._genesis, hash)

    def _hashes(self, turn: Turn, peer: PeerId, request: MeshHashRequest) -> Procedure[list[Hash32] | None]:
        question = Question(
            MESH_HASHES,
            MeshHashRequest.codec.encode(request),
            lambda data: list(read_mesh_hashes(request, data)),
            self._parameters.timeout,
        )
        answers = yield from self._peers.ask(turn, question, (peer,))
        return answers[0][1] if answers else None
