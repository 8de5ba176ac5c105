"""Numbers of fetching: batches, deadlines, bounds; queues and rates of what is served. Protocol 09a, sections 3.2 and
4; 03b, section 4.6."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from node.fetch.protocols import (
    ACTIVE_SETS,
    EPOCH_ATXS,
    LAYER_BALLOTS,
    MALICIOUS_IDS,
    MESH_HASHES,
    OBJECTS,
    OPINIONS,
)
from node.p2p.frames import MAX_REQUEST_BYTES
from protocol.numbers.durations import MILLISECOND, MINUTE, SECOND


@dataclass(frozen=True, slots=True)
class FetchParameters:
    """Of the client."""

    gather: int = 50 * MILLISECOND
    """So long objects are gathered before they are asked for; nanoseconds."""
    gather_at_most: int = 20
    """So many are asked for at once."""
    batch: int = 10
    """Objects of one request; of kinds with a protocol of their own there is one."""
    timeout: int = 25 * SECOND
    """Of a request; nanoseconds."""
    large_timeout: int = 5 * MINUTE
    """Of one for an object of a kind that has a protocol of its own, because it is large. Whoever carries requests ends
    one before that when the peer is silent for long."""
    best_peers: int = 5
    """Where nobody is known to have an object, one of so many best peers is asked."""
    max_tries: int = 100
    """Peers that are asked for one object, in all rounds."""
    rounds: int = 3
    """How often each peer is asked: an object that nobody has yet may be on its way."""
    round_pause: int = SECOND
    """Between rounds, and until peers are looked for that were not there before; nanoseconds."""
    max_bad_answers: int = 3
    """Objects of different peers that were all rejected: then there is no good one."""
    others_after_denial: int = 5
    """Where all who named an object say that they do not have it, so many others are asked."""
    max_wanted: int = 100_000
    """Objects that are wanted at once; further ones fail at once."""
    max_requests: int = 100
    """Open requests."""
    max_requests_of_peer: int = 10
    """Of them, those to one peer."""
    max_passed_over: int = 200
    """Objects that are passed over, because all who may have them are busy, before the rest waits too."""


@dataclass(frozen=True, slots=True)
class ServerLimit:
    """Of one protocol."""

    queue: int
    """Requests that wait or are being answered; further ones are turned away."""
    rate: int
    """Requests that are answered in an interval; so many may come at once."""
    interval: int = SECOND
    """Nanoseconds."""


LIMITS: Mapping[str, ServerLimit] = {
    EPOCH_ATXS: ServerLimit(10, 1),
    LAYER_BALLOTS: ServerLimit(1000, 100),
    OBJECTS: ServerLimit(2000, 200),
    ACTIVE_SETS: ServerLimit(10, 1),
    MESH_HASHES: ServerLimit(1000, 100),
    MALICIOUS_IDS: ServerLimit(100, 10),
    OPINIONS: ServerLimit(10000, 1000),
}


@dataclass(frozen=True, slots=True)
class ServerParameters:
    """Of the server."""

    limits: Mapping[str, ServerLimit] = field(default_factory=lambda: LIMITS)
    """By protocol."""
    is_streaming: bool = True
    """The network's usual mode, `fetch.streaming`: a request that cannot be read is not answered, and what is asked for
    twice is sent once. Otherwise it is answered with an error, and sent twice."""
    max_request_bytes: int = MAX_REQUEST_BYTES
    share_of_peer: int = 4
    """One peer takes at most one in so many places of a queue, and at least one place."""
    max_answer_bytes: int = 1 << 25
    """An answer with objects grows no further; what is left out is asked for again. One object always goes."""
    ids_of_step: int = 10_000
    """Ids that are read in one step. Longer lists take several, so that nothing else waits for them."""
    list_pause: int = MILLISECOND
    """Between such steps; nanoseconds."""
    list_age: int = MINUTE
    """So long a list of ids is sent again as it was; nanoseconds."""
    lists_kept: int = 3
    """So many lists, those that are being read among them; of others the oldest is let go."""
