"""A small chain, made from nothing: activations, blocks, ballots, certificates, and a proof against a cheat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from node.contract.instants import Instant
from node.contract.messages import Message, Origin
from node.eligibility.committee import Stake, counts
from node.mempool.handler import BLOCK_TRANSACTIONS
from protocol.crypto.hashing import hash32
from protocol.crypto.signing import Domain
from protocol.numbers.layers import NetworkTime
from protocol.types.activation import ATXMetadata
from protocol.types.ballots import Ballot, InnerBallot, Vote, Votes
from protocol.types.blocks import AnyReward, InnerBlock, RatNum
from protocol.types.certificates import CERTIFIER_ROUND, Certificate, CertifyContent, CertifyMessage
from protocol.types.eligibility import hare_input
from protocol.types.fetch import Hint
from protocol.types.ids import (
    EMPTY_BALLOT_ID,
    EMPTY_BLOCK_ID,
    AtxId,
    Beacon,
    BlockId,
    EdSignature,
    EpochId,
    Hash32,
    LayerId,
    NodeId,
    VrfSignature,
)
from protocol.types.malfeasance import AtxProof, AtxProofMsg, MalfeasanceProof
from protocol.types.poet import PoetProofMessage
from protocol.types.transactions import RawTx
from tests.node.activation.forge import Forged, v1
from tests.node.contract.world import GENESIS, LAYER, Key

EPOCH = 4
"""Layers."""
TIME = NetworkTime(GENESIS, LAYER, EPOCH)
FIRST = LayerId(TIME.effective_genesis + 1)
BEACON = Beacon(b"\1\2\3\4")
COMMITTEE, HDIST = 40, 3


KEYS = [Key(number) for number in range(1, 4)]
CHEAT = Key(9)


def ballot(key: Key, layer: int, atx: AtxId, support: Sequence[Vote] = (), salt: int = 0) -> Ballot:
    """A signed ballot."""
    opinion = Hash32(hash32(layer.to_bytes(4, "big"), salt.to_bytes(4, "big"), *(one.id for one in support)))
    inner = InnerBallot(LayerId(layer), atx, opinion, EMPTY_BALLOT_ID, None)
    unsigned = Ballot(inner, EdSignature(bytes(64)), key.identity, Votes(EMPTY_BALLOT_ID, tuple(support)), ())
    signature = key.sign(Domain.BALLOT, unsigned.signed_bytes())
    return Ballot(inner, signature, key.identity, unsigned.votes, ())


def certificate(layer: int, block: BlockId) -> Certificate:
    """The words of all smeshers."""
    entries = []
    for key in KEYS:
        proof = key.prove(hare_input(BEACON, CERTIFIER_ROUND, LayerId(layer)))
        content = CertifyContent(LayerId(layer), block, seats(proof), proof)
        if content.eligibility_count:
            signature = key.sign(Domain.HARE, CertifyContent.codec.encode(content))
            entries.append(CertifyMessage(content, signature, key.identity))
    return Certificate(block, tuple(entries))


def seats(proof: VrfSignature) -> int:
    """Of one smesher."""
    return counts(COMMITTEE, 100 * len(KEYS), [Stake(100, proof)])[0]


def proof_against(key: Key) -> MalfeasanceProof:
    """Two activations of one epoch."""

    def one(hash: bytes) -> AtxProofMsg:
        metadata = ATXMetadata(EpochId(1), Hash32(hash * 32))
        return AtxProofMsg(metadata, key.identity, key.sign(Domain.ATX, ATXMetadata.codec.encode(metadata)))

    return MalfeasanceProof(LayerId(9), AtxProof((one(b"1"), one(b"2"))))


@dataclass(slots=True)
class Chain:
    """Everything that there is up to a layer, which has only begun."""

    current: int
    atxs: list[Forged] = field(default_factory=list)
    poets: list[PoetProofMessage] = field(default_factory=list)
    transactions: list[bytes] = field(default_factory=list)
    blocks: dict[int, InnerBlock] = field(default_factory=dict)
    ballots: list[Ballot] = field(default_factory=list)
    certificates: dict[int, Certificate] = field(default_factory=dict)
    proofs: list[MalfeasanceProof] = field(default_factory=list)

    def __post_init__(self) -> None:
        previous: dict[NodeId, Forged] = {}
        of_epoch: dict[tuple[int, NodeId], Forged] = {}
        for epoch in range(1, self.current // EPOCH + 1):
            for key in (*KEYS, *([CHEAT] if epoch == 1 else [])):
                forged = v1(key, epoch, previous.get(key.identity))
                previous[key.identity] = of_epoch[epoch, key.identity] = forged
                self.atxs.append(forged)
                self.poets += forged.poets
        before: tuple[Vote, ...] = ()
        for layer in range(FIRST, self.current):
            epoch = layer // EPOCH
            voters = [(key, of_epoch[epoch - 1, key.identity].id) for key in KEYS]
            for key, atx in voters:
                self.ballots.append(ballot(key, layer, atx, before))
            if layer % 5 == 0:
                before = ()  # hare came to nothing
                continue
            raw = b"what a block holds, layer %d" % layer
            self.transactions.append(raw)
            rewards = tuple(sorted((AnyReward(atx, RatNum(1, 3)) for _, atx in voters), key=lambda one: one.atx_id))
            block = InnerBlock(LayerId(layer), 5, rewards, (RawTx.of(raw).id,))
            self.blocks[layer] = block
            before = (Vote(block.id(), LayerId(layer), 5),)
        for layer in range(max(FIRST, self.current - HDIST), self.current):
            block_id = self.blocks[layer].id() if layer in self.blocks else EMPTY_BLOCK_ID
            self.certificates[layer] = certificate(layer, block_id)
        self.proofs.append(proof_against(CHEAT))

    def block_of(self, layer: int) -> BlockId:
        """What a layer has in the state; zeros where it is empty."""
        return self.blocks[layer].id() if layer in self.blocks else EMPTY_BLOCK_ID

    def messages(self, now: Instant) -> list[Message]:
        """All objects, as if they were kept from before."""

        def one(hint: str, data: bytes, id: bytes | None = None) -> Message:
            return Message(hint, data, Origin.RESTORED, now, expected=id)

        return [
            *(one(Hint.POET, PoetProofMessage.codec.encode(poet)) for poet in self.poets),
            *(one(Hint.ATX, forged.data) for forged in self.atxs),
            *(one(Hint.MALFEASANCE, MalfeasanceProof.codec.encode(proof)) for proof in self.proofs),
            *(one(BLOCK_TRANSACTIONS, raw, RawTx.of(raw).id) for raw in self.transactions),
            *(one(Hint.BLOCK, InnerBlock.codec.encode(block)) for block in self.blocks.values()),
            *(one(Hint.BALLOT, Ballot.codec.encode(one_of)) for one_of in self.ballots),
        ]
