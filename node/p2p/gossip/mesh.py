"""Whom to take into a mesh and whom to part with: the decisions of a heartbeat. Protocol 09a, section 2.1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from node.contract.messages import PeerId
from node.contract.ports import Random

from .parameters import GossipParameters


@dataclass(slots=True)
class Changes:
    """What a mesh is to become."""

    graft: list[PeerId] = field(default_factory=list)
    prune: list[PeerId] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Candidates:
    """What is known of the peers of a topic."""

    score: Callable[[PeerId], float]
    is_outbound: Callable[[PeerId], bool]
    """Whether this node has dialled it."""
    fit: Sequence[PeerId]
    """Those outside the mesh that may be taken in, in a random order."""


def balance(
    mesh: Sequence[PeerId], among: Candidates, of: GossipParameters, random: Random, *, is_opportunistic: bool
) -> Changes:
    """The changes of one mesh. is_opportunistic: it is time to look for better peers."""
    changes = Changes()
    scores = {peer: among.score(peer) for peer in mesh}
    kept = [peer for peer in mesh if scores[peer] >= 0]
    changes.prune += [peer for peer in mesh if scores[peer] < 0]
    fit = list(among.fit)

    def take(wanted: Callable[[PeerId], bool], count: int) -> None:
        for peer in [one for one in fit if wanted(one)][: max(count, 0)]:
            fit.remove(peer)
            kept.append(peer)
            changes.graft.append(peer)

    if len(kept) < of.degree_low:
        take(lambda peer: True, of.degree - len(kept))
    if len(kept) > of.degree_high:
        ranked = _ranked(kept, scores, among, of, random)
        changes.prune += ranked[of.degree :]
        kept = ranked[: of.degree]
    if len(kept) >= of.degree_low:
        take(among.is_outbound, of.degree_out - sum(among.is_outbound(peer) for peer in kept))
    if is_opportunistic and len(kept) > 1:
        ordered = sorted(among.score(peer) for peer in kept)
        median = ordered[len(ordered) // 2]
        if median < of.score.opportunistic_threshold:
            take(lambda peer: among.score(peer) > median, of.opportunistic_peers)
    return changes


def _ranked(
    mesh: Sequence[PeerId],
    scores: dict[PeerId, float],
    among: Candidates,
    of: GossipParameters,
    random: Random,
) -> list[PeerId]:
    """The best ones first, the others by chance, with enough that this node has dialled among those that stay."""
    ranked = sorted(random.shuffled(mesh), key=lambda peer: -scores.get(peer, 0.0))
    ranked = ranked[: of.degree_score] + random.shuffled(ranked[of.degree_score :])
    staying, leaving = ranked[: of.degree], ranked[of.degree :]
    missing = of.degree_out - sum(among.is_outbound(peer) for peer in staying)
    for peer in [one for one in leaving if among.is_outbound(one)][: max(missing, 0)]:
        worst = next(one for one in reversed(staying) if not among.is_outbound(one))
        staying[staying.index(worst)], leaving[leaving.index(peer)] = peer, worst
    return staying + leaving
