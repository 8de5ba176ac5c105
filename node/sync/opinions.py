"""What peers think of a layer: its certificate, which is adopted, and the hash of the mesh before it.

| of a layer | then |
|---|---|
| it is recent, and nothing is known of its hare output | certificates are asked for, one block after another |
| a certificate is valid | stored by whoever judges it; its block is got; tortoise is told |
| we are synced, and a peer has another hash of the layer before | its activations, the fork, its layers are got |

Protocol 09a, section 5.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from node.certificates.machine import HINT as CERTIFICATE
from node.certificates.machine import HareOutputs
from node.certificates.tables import of_layer
from node.contract.demands import Fetch, Fetched
from node.contract.effects import Deliver, Emit, Penalise
from node.contract.messages import PeerId
from node.contract.verdicts import Judgement
from node.fetch.protocols import (
    EPOCH_ATXS,
    OPINIONS,
    certificate_request,
    epoch_request,
    opinion_request,
    read_epoch,
    read_opinion,
)
from node.mesh import tables as mesh
from node.sync.fork import ForkFinder, LayerHash
from node.sync.layers import LayerOutcome, LayerSync
from node.sync.objects import Outcome, outcome_of
from node.sync.parameters import SyncParameters
from node.sync.procedures import Answers, Procedure, Turn
from node.sync.questions import Peers, Question
from protocol.numbers.layers import NetworkTime
from protocol.types.certificates import Certificate
from protocol.types.fetch import Hint, LayerOpinion
from protocol.types.ids import EMPTY_BLOCK_ID, AtxId, BlockId, EpochId, LayerId, as_hash32

Opinions = Sequence[tuple[PeerId, LayerOpinion]]


class Tortoise(HareOutputs, Protocol):
    """What it tells and asks the tortoise."""

    def missing_active_set(self, epoch: EpochId, ids: Sequence[AtxId]) -> Sequence[AtxId]:
        """Those that are not known in an epoch."""


class LatestLayer(Protocol):
    """The mesh, as far as it is asked here."""

    @property
    def latest(self) -> LayerId:
        """The last layer from which something came."""


@dataclass(frozen=True, slots=True)
class CertificateAdopted:
    """An event: a peer's certificate was taken."""

    layer: LayerId
    block: BlockId


@dataclass(frozen=True, slots=True)
class ForkFollowed:
    """An event: the layers of a peer were got, whose mesh differs from ours after a layer."""

    peer: PeerId
    agreed: LayerId
    latest: LayerId


class OpinionSync:
    """Of one node."""

    def __init__(
        self,
        parameters: SyncParameters,
        time: NetworkTime,
        peers: Peers,
        layers: LayerSync,
        forks: ForkFinder,
        tortoise: Tortoise,
        latest: LatestLayer,
    ) -> None:
        self._parameters = parameters
        self._time = time
        self._peers = peers
        self._layers = layers
        self._forks = forks
        self._tortoise = tortoise
        self._latest = latest

    def ask(self, turn: Turn, layer: LayerId) -> Procedure[Opinions]:
        """The opinions of some peers on a layer; a certificate is adopted where none is known."""
        peers = self._peers.scores.best_shuffled(self._parameters.peers)
        question = Question(OPINIONS, opinion_request(layer), read_opinion, self._parameters.timeout)
        opinions = yield from self._peers.ask(turn, question, peers)
        certified: dict[BlockId, list[PeerId]] = {}
        for peer, opinion in opinions:
            if opinion.certified is not None:
                certified.setdefault(opinion.certified, []).append(peer)
        for block, who in certified.items():
            if not self._needs_certificate(turn, layer):
                break
            if (yield from self._adopt(turn, layer, block, who)):
                break
        return opinions

    def _needs_certificate(self, turn: Turn, layer: LayerId) -> bool:
        current = self._time.layer_at(turn.now)
        first = max(self._time.effective_genesis, current - self._parameters.certificate_distance)
        return layer > first and not of_layer(turn.rows, layer)

    def _adopt(self, turn: Turn, layer: LayerId, block: BlockId, peers: Sequence[PeerId]) -> Procedure[bool]:
        """Take the certificate of a block from the first peer that has a valid one."""
        question = Question(
            OPINIONS, certificate_request(layer, block), Certificate.codec.decode, self._parameters.timeout
        )
        for peer in peers:
            for _, certificate in (yield from self._peers.ask(turn, question, (peer,))):
                if certificate.block_id != block:
                    turn.effects.append(Penalise(peer, "wrong_certificate"))
                    continue
                data = Certificate.codec.encode(certificate)
                deliver = Deliver(CERTIFICATE, layer.to_bytes(4, "big"), data, peer, None)
                (came,) = yield Answers([deliver], 1)
                if isinstance(came.result, Fetched) and came.result.verdict.is_accepted:
                    return (yield from self._follow(turn, layer, block, peers))
                if isinstance(came.result, Fetched) and came.result.verdict.judgement is Judgement.REJECT:
                    turn.effects.append(Penalise(peer, came.result.verdict.reason))
        return False

    def _follow(self, turn: Turn, layer: LayerId, block: BlockId, peers: Sequence[PeerId]) -> Procedure[bool]:
        """The block is got only now: a committee has signed that there is one."""
        if block != EMPTY_BLOCK_ID and not turn.rows.has(mesh.BLOCKS, block):
            (came,) = yield Answers([Fetch(Hint.BLOCK, as_hash32(block), tuple(peers))], 1)
            if outcome_of(came.result) is not Outcome.HERE:
                return False
        self._tortoise.on_hare_output(layer, block)
        turn.effects.append(Emit(CertificateAdopted(layer, block)))
        return True

    # ---- whether the meshes agree ----

    def agree(self, turn: Turn, layer: LayerId, opinions: Opinions, followed: set[PeerId]) -> Procedure[None]:
        """Follow peers whose mesh before a layer is another one. followed: peers of this run, each of them once."""
        before = LayerId(layer - 1)
        own = turn.rows.get(mesh.MESH_HASHES, before)
        if own is None or all(opinion.prev_agg_hash in (mesh.NO_MESH_HASH, own) for _, opinion in opinions):
            return
        for peer, opinion in opinions:
            theirs = LayerHash(before, opinion.prev_agg_hash)
            if theirs.hash == mesh.NO_MESH_HASH or peer in followed:
                continue
            if theirs.hash == own:
                self._forks.agree(peer, theirs, turn.now)
            elif self._forks.needs_resync(theirs) and (yield from self._resync(turn, layer, peer, theirs)):
                followed.add(peer)
                self._forks.add_resynced(theirs, turn.now)
        self._forks.forget_all()

    def _resync(self, turn: Turn, layer: LayerId, peer: PeerId, theirs: LayerHash) -> Procedure[bool]:
        """Whether a peer was followed: it has activations behind its opinion, it is known where the fork is, and it
        has answered to its end."""
        epoch = self._time.epoch_of(layer)
        question = Question(EPOCH_ATXS, epoch_request(EpochId(epoch - 1)), read_epoch, self._parameters.list_timeout)
        lists = yield from self._peers.ask(turn, question, (peer,))
        if not lists:
            return False
        unknown = self._tortoise.missing_active_set(epoch, lists[0][1])
        if len(unknown) > self._parameters.atxs.max_retried:
            return False
        demands = [Fetch(Hint.ATX, id, (peer,)) for id in unknown]
        came = yield Answers(demands, self._parameters.atxs.at_once)
        if any(outcome_of(one.result) is not Outcome.HERE for one in came):
            return False
        fork = yield from self._forks.find(turn, peer, theirs)
        if fork is None:
            return False
        next, latest = fork + 1, self._latest.latest
        while next <= latest:
            outcome, _ = yield from self._layers.sync_from(turn, LayerId(next), (peer,))
            if outcome is LayerOutcome.NO_ANSWER:
                return False  # there may be as many layers as the network has: nobody is waited for in each of them
            next, latest = next + 1, self._latest.latest
        turn.effects.append(Emit(ForkFollowed(peer, fork, latest)))
        return True
