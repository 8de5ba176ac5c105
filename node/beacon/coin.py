"""The weak coin of the beacon: in each round the smallest proof decides, as long as most of the weight is honest.

| state | a message of this round | of the next one | of another |
|---|---|---|---|
| round open | judged | kept | refused |
| between rounds, epoch open | kept (any round of the epoch) | kept | refused |
| between epochs | refused | kept (next epoch) | refused |

Kept messages are handed out when their round opens; the others are forgotten then. Protocol 04b, section 1.7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from protocol.crypto import vrf
from protocol.types.beacon import WeakCoinMessage
from protocol.types.ids import EpochId, RoundId, VrfSignature

BUFFER = 10_000
"""Messages of a later round that are kept."""
NO_EPOCH, NO_ROUND = EpochId(0), RoundId(0)
NO_THRESHOLD = VrfSignature(b"\xff" * 80)


@dataclass(slots=True)
class WeakCoin:
    """The coins of one epoch after another. Mutable."""

    max_round: int
    buffer: int = BUFFER
    threshold: VrfSignature = NO_THRESHOLD
    """Larger proofs are refused; that of the network refuses none."""
    epoch: EpochId = NO_EPOCH
    round: RoundId = NO_ROUND
    is_epoch_open: bool = False
    is_round_open: bool = False
    smallest: VrfSignature | None = None
    coins: dict[RoundId, bool] = field(default_factory=dict)
    kept: list[WeakCoinMessage] = field(default_factory=list)

    def start_epoch(self, epoch: EpochId) -> None:
        """Messages of this epoch are taken."""
        self.epoch, self.is_epoch_open = epoch, True

    def finish_epoch(self) -> None:
        """Forget the coins."""
        self.is_epoch_open, self.coins, self.round = False, {}, NO_ROUND

    def start_round(self, round: RoundId) -> list[WeakCoinMessage]:
        """Open a round; the messages of it that were kept, to be judged now."""
        self.is_round_open, self.round = True, round
        due = [one for one in self.kept if (one.epoch, one.round) == (self.epoch, round)]
        self.kept = []
        return due

    def finish_round(self) -> None:
        """Close the round and toss its coin, if anybody took part."""
        self.is_round_open = False
        if self.smallest is not None:
            self.coins[self.round] = bool(vrf.coin_bit(self.smallest))
            self.smallest = None

    def refusal(self, message: WeakCoinMessage) -> str | None:
        """Why a message is refused before it is judged; None where it is to be judged now or was kept."""
        if self.is_above_threshold(message.vrf_signature):
            return "above_threshold"
        if self.is_current(message):
            return None
        if self._is_next(message.epoch, message.round) and len(self.kept) < self.buffer:
            return None
        return "wrong_round"

    def is_current(self, message: WeakCoinMessage) -> bool:
        """Whether a message is of the open round."""
        is_open = self.is_epoch_open and self.is_round_open
        return is_open and (message.epoch, message.round) == (self.epoch, self.round)

    def keep(self, message: WeakCoinMessage) -> None:
        """Keep a message of a later round."""
        self.kept.append(message)

    def _is_next(self, epoch: EpochId, round: RoundId) -> bool:
        if epoch == self.epoch:
            is_between = self.is_epoch_open and not self.is_round_open
            return is_between or (round == self.round + 1 and round <= self.max_round)
        if epoch == self.epoch + 1:
            return self.round == self.max_round or not (self.is_epoch_open or self.is_round_open)
        return False

    def is_above_threshold(self, proof: VrfSignature) -> bool:
        """Whether a proof is too large to count."""
        return vrf.compare(proof, self.threshold) > 0

    def to_publish(self, proofs: Sequence[VrfSignature]) -> list[tuple[int, VrfSignature]]:
        """Of a smesher's proofs, by unit, the smallest, if it may become the smallest of all; else none."""
        allowed = [(unit, proof) for unit, proof in enumerate(proofs) if not self.is_above_threshold(proof)]
        if not allowed:
            return []
        best = min(allowed, key=lambda one: vrf.order_key(one[1]))
        return [best] if vrf.compare(best[1], self.smallest) < 0 else []

    def take(self, proof: VrfSignature) -> bool:
        """A proof that is valid and allowed; whether it is the smallest so far."""
        if vrf.compare(proof, self.smallest) < 0:
            self.smallest = proof
            return True
        return False
