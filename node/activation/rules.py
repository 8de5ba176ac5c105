"""What the rules of both versions share: what an activation builds on, and its membership in a PoET round.

Each function returns what follows, or raises AtxRefused with the reason that is counted. Protocol
04-activation-beacon-eligibility, section 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from node.contract.demands import Demand, Failed, Fetch, Fetched, PostVerdict, Result
from node.contract.messages import Message
from node.contract.verdicts import Judgement, Verdict
from node.store.view import View
from protocol.crypto.hashing import left_aligned, right_aligned
from protocol.crypto.merkle import InvalidPartialTree, validate
from protocol.types.fetch import Hint
from protocol.types.ids import EMPTY_ATX_ID, AtxId, EpochId, PoetProofRef

from .columns import MAX_WEIGHT
from .errors import AtxIgnored, AtxRefused
from .parameters import ActivationParameters
from .tables import ATXS, POETS, PoetFacts, StoredAtx

ZERO_CHALLENGE = bytes(32)
"""What an initial proof of space answers."""
MAX_U32 = 0xFFFF_FFFF
FAULTS_OF_PEERS = ("malformed", "wrong_hash", "bad_signature")
"""For what an activation that was asked for is rejected when a peer sends something else under its id."""


def check_publish_epoch(publish: EpochId, current: EpochId) -> None:
    """An activation may come one epoch early."""
    if publish > current + 1:
        raise AtxRefused(f"The publish epoch is {publish}, the current one {current}.", "publish_epoch_too_far")


def check_positioning_named(positioning: AtxId) -> None:
    """A positioning ATX is named; the golden one will do."""
    if positioning == EMPTY_ATX_ID:
        raise AtxRefused("The positioning ATX is empty.", "positioning_empty")


def base_height(view: View, parameters: ActivationParameters, positioning: AtxId, publish: EpochId, lost: str) -> int:
    """The height at which an activation begins. lost: the reason where its positioning ATX is not known."""
    if positioning == parameters.golden_atx:
        return 0
    found = view.get(ATXS, positioning)
    if found is None:
        raise AtxRefused(f"The positioning ATX {positioning.hex()} is not known.", lost)
    if found.publish_epoch >= publish:
        raise AtxRefused(
            f"The positioning ATX is of epoch {found.publish_epoch}, expected one before {publish}.",
            "positioning_epoch_not_before",
        )
    return found.height


def check_commitment(
    view: View, parameters: ActivationParameters, commitment: AtxId, publish: EpochId, lost: str
) -> None:
    """The commitment of a first activation. lost: the reason where it is not known."""
    if commitment == parameters.golden_atx:
        return
    found = view.get(ATXS, commitment)
    if found is None:
        raise AtxRefused(f"The commitment ATX {commitment.hex()} is not known.", lost)
    if found.publish_epoch >= publish:
        raise AtxRefused(
            f"The commitment ATX is of epoch {found.publish_epoch}, expected one before {publish}.",
            "commitment_epoch_not_before",
        )


def previous(view: View, id: AtxId) -> StoredAtx:
    """A previous activation."""
    found = view.get(ATXS, id)
    if found is None:
        raise AtxRefused(f"The previous ATX {id.hex()} is not known.", "previous_unknown")
    return found


def check_before(found: StoredAtx, publish: EpochId) -> None:
    """A previous activation is of an earlier epoch."""
    if found.publish_epoch >= publish:
        raise AtxRefused(
            f"The previous ATX is of epoch {found.publish_epoch}, expected one before {publish}.",
            "previous_epoch_not_before",
        )


def member_leaves(
    view: View, challenge: bytes, indices: Sequence[int], members: Sequence[bytes], nodes: Sequence[bytes]
) -> int:
    """The leaves of the PoET proof in whose round the members were registered.

    challenge: what names the proof, shorter than 32 bytes in a bad activation; indices: ascending.
    """
    facts = poet_of(view, challenge)
    if facts is None:
        raise AtxRefused(f"The PoET proof {challenge.hex()} is not known.", "poet_unknown")
    try:
        is_member = validate(indices, members, nodes, facts.statement)
    except InvalidPartialTree as error:
        raise AtxRefused(f"The membership proof cannot be read: {error}", "membership_invalid") from error
    if not is_member:
        raise AtxRefused("The challenge is not a member of the PoET round.", "membership_invalid")
    return facts.leaf_count


def weight(units: int, ticks: int) -> int:
    """Units times ticks. The reference takes up to 2^64, with which its tortoise cannot count; ours stops before."""
    if units * ticks > MAX_WEIGHT:
        raise AtxRefused(f"The weight, {units} units times {ticks} ticks, is 2^63 or more.", "weight_overflow")
    return units * ticks


def poet_of(view: View, challenge: bytes) -> PoetFacts | None:
    """The proof that a challenge names."""
    return view.get(POETS, PoetProofRef(left_aligned(challenge, 32)))


# ---- what has to be there first ----


def missing(
    view: View, parameters: ActivationParameters, poets: Iterable[bytes], atxs: Iterable[AtxId], message: Message
) -> tuple[Demand, ...]:
    """What an activation builds on and is not stored, each once; asked for where the message came from."""
    peers = () if message.peer is None else (message.peer,)
    demands: dict[Demand, None] = {}
    for challenge in poets:
        if poet_of(view, challenge) is None:
            demands[Fetch(Hint.POET, right_aligned(challenge), peers)] = None
    for id in atxs:
        if id not in (EMPTY_ATX_ID, parameters.golden_atx) and not view.has(ATXS, id):
            demands[Fetch(Hint.ATX, id, peers)] = None
    return tuple(demands)


def check_fetched(demands: Sequence[Demand], results: Sequence[Result]) -> None:
    """What was asked for came and was accepted.

    Raises AtxIgnored; AtxRefused where an activation was rejected for what it says, not for what a peer made of it.
    """
    for demand, result in zip(demands, results, strict=True):
        if isinstance(result, Fetched) and result.verdict.is_accepted:
            continue
        assert isinstance(demand, Fetch)
        if demand.hint == Hint.POET:
            raise AtxIgnored(f"The PoET proof {demand.id.hex()} did not come.", "poet_unavailable")
        if isinstance(result, Fetched) and _is_its_own_fault(result.verdict):
            raise AtxRefused(f"It builds on {demand.id.hex()}, which was rejected.", "dependency_rejected")
        raise AtxIgnored(f"It builds on {demand.id.hex()}, which did not come.", "atxs_unavailable")


def _is_its_own_fault(verdict: Verdict) -> bool:
    return verdict.judgement is Judgement.REJECT and verdict.reason not in FAULTS_OF_PEERS


def require_nonce(result: Result) -> None:
    """The answer of a check of a VRF nonce."""
    if isinstance(result, Failed):
        raise AtxIgnored(f"The VRF nonce could not be checked: {result.reason}.", "not_checked")
    if result is not True:
        raise AtxRefused("The VRF nonce is not that of the space.", "vrf_nonce_invalid")


def require_post(result: Result, reason: str) -> None:
    """The answer of a check of a proof of space. reason: where it is not valid."""
    found = post_verdict(result)
    if not found.is_valid:
        raise AtxRefused(f"The proof of space is not valid: {found.reason}.", reason)


def post_verdict(result: Result) -> PostVerdict:
    """What a check of a proof of space gave. Raises AtxIgnored where it was not made."""
    if isinstance(result, PostVerdict):
        return result
    why = result.reason if isinstance(result, Failed) else type(result).__name__
    raise AtxIgnored(f"The proof of space could not be checked: {why}.", "not_checked")
