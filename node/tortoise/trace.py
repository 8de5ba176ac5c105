"""A run of the tortoise as a list of events, each with what it gave: recorded while it happens, replayed later.

Part of the product: of a node that came to another opinion than its peers, a trace is what can be looked at elsewhere,
step by step. The format is that of recorded runs of the network's own programs, one JSON object an event: identifiers
in hexadecimal, weights and margins as decimal texts of the raw 72.56 number, and after each tally the state of the
newest layers. Protocol 06-tortoise, section 14.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from node.tortoise.ballots import Decoded, EpochClaim, TortoiseBallot
from node.tortoise.errors import TortoiseError
from node.tortoise.parameters import HistoricalWindow, TortoiseParameters
from node.tortoise.state import AtxInfo, Layer
from node.tortoise.thresholds import expected_weight, global_threshold
from node.tortoise.tortoise import Tortoise
from protocol.types.ballots import Opinion, Vote, Votes
from protocol.types.ids import AtxId, BallotId, Beacon, BlockId, EpochId, Hash32, LayerId, NodeId

NEWEST = 15
"""Layers whose state is written after a tally."""

Event = Mapping[str, Any]


def parameters_of(written: Mapping[str, Any]) -> TortoiseParameters:
    """The parameters at the head of a trace. Raises KeyError, ValueError."""
    return TortoiseParameters(
        layers_per_epoch=written["layers_per_epoch"],
        effective_genesis=LayerId(written["effective_genesis"]),
        hdist=written["hdist"],
        zdist=written["zdist"],
        window_size=written["window"],
        max_exceptions=written["max_exceptions"],
        bad_beacon_delay=written["bad_beacon_delay"] or written["layers_per_epoch"],
        historical_windows=tuple(
            HistoricalWindow(LayerId(one["start"]), LayerId(one["end"]), one["window"])
            for one in written["historical_windows"]
        ),
    )


@dataclass(slots=True)
class AtxTable:
    """The ATXs of a trace, in dictionaries."""

    epochs: dict[EpochId, dict[AtxId, AtxInfo]] = field(default_factory=dict)
    malicious: set[NodeId] = field(default_factory=set)

    def get(self, epoch: EpochId, id: AtxId) -> AtxInfo | None:
        """As AtxData says."""
        return self.epochs.get(epoch, {}).get(id)

    def median_height(self, epoch: EpochId) -> int:
        """As AtxData says."""
        return median(atx.height for atx in self.epochs.get(epoch, {}).values() if atx.node not in self.malicious)

    def missing(self, epoch: EpochId, ids: Sequence[AtxId]) -> Sequence[AtxId]:
        """As AtxData says."""
        known = self.epochs.get(epoch, {})
        return [id for id in ids if id not in known]

    def evict(self, epoch: EpochId) -> None:
        """As AtxData says."""
        self.epochs.pop(epoch, None)


def median(heights: Iterable[int]) -> int:
    """The middle one, or the mean of the middle two, cut off; 0 without any."""
    ordered = sorted(heights)
    if not ordered:
        return 0
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) // 2


# ---- how things are written ----


def write_vote(vote: Vote) -> dict[str, Any]:
    """A block as votes name it."""
    return {"id": vote.id.hex(), "layer": vote.layer, "height": str(vote.height)}


def read_vote(written: Event) -> Vote:
    """A block as votes name it."""
    return Vote(BlockId(bytes.fromhex(written["id"])), LayerId(written["layer"]), int(written["height"]))


def write_opinion(opinion: Opinion) -> dict[str, Any]:
    """Votes with the hash of what they come to."""
    votes = opinion.votes
    return {
        "hash": opinion.hash.hex(),
        "base": votes.base.hex(),
        "support": [write_vote(vote) for vote in votes.support],
        "against": [write_vote(vote) for vote in votes.against],
        "abstain": list(votes.abstain),
    }


def read_opinion(written: Event) -> Opinion:
    """Votes with the hash of what they come to."""
    votes = Votes(
        BallotId(bytes.fromhex(written["base"])),
        tuple(read_vote(vote) for vote in written["support"]),
        tuple(read_vote(vote) for vote in written["against"]),
        tuple(LayerId(layer) for layer in written["abstain"]),
    )
    return Opinion(Hash32(bytes.fromhex(written["hash"])), votes)


def read_ballot(written: Event) -> TortoiseBallot:
    """A ballot."""
    claim = written["epoch_data"]
    return TortoiseBallot(
        BallotId(bytes.fromhex(written["id"])),
        NodeId(bytes.fromhex(written["node"])),
        LayerId(written["layer"]),
        AtxId(bytes.fromhex(written["atx"])),
        written["eligibilities"],
        read_opinion(written["opinion"]),
        EpochClaim(Beacon(bytes.fromhex(claim["beacon"])), claim["total_eligibilities"]) if claim else None,
        BallotId(bytes.fromhex(written["ref"])) if written["ref"] else None,
        written["malicious"],
    )


def write_results(tortoise: Tortoise) -> dict[str, Any] | None:
    """What has changed since it was last taken; None where nothing has."""
    results = tortoise.updates()
    if not results:
        return None
    return {
        "from": results[0].layer,
        "to": results[-1].layer,
        "results": [
            {
                "layer": one.layer,
                "verified": one.is_verified,
                "opinion": one.opinion.hex(),
                "blocks": [
                    {
                        **write_vote(block.vote),
                        "valid": block.is_valid,
                        "invalid": block.is_invalid,
                        "hare": block.is_hare_output,
                        "data": block.has_data,
                        "local": block.is_locally_supported,
                    }
                    for block in one.blocks
                ],
            }
            for one in results
        ],
    }


def write_state(tortoise: Tortoise) -> dict[str, Any]:
    """The state after a tally."""
    state = tortoise.state
    first = max(state.evicted + 1, state.processed - NEWEST + 1)
    return {
        "last": state.last,
        "processed": state.processed,
        "verified": state.verified,
        "evicted": state.evicted,
        "pending": state.pending,
        "mode": "full" if tortoise.is_full else "verifying",
        "full_counted": tortoise.full.counted,
        "local_threshold": str(state.local_threshold),
        "total_good": str(tortoise.verifying.total_good),
        "retriable": tortoise.waiting_for_beacon,
        "layers": [_write_layer(tortoise, state.layer(number)) for number in range(first, state.processed + 1)],
    }


def _write_layer(tortoise: Tortoise, layer: Layer) -> dict[str, Any]:
    state = tortoise.state
    has_votes = layer.number < state.processed
    return {
        "layer": layer.number,
        "opinion": layer.opinion.hex(),
        "terminated": layer.hare_terminated,
        "ref_height": str(layer.ref_height),
        "good_uncounted": str(tortoise.verifying.good_uncounted(layer.number)),
        "empty": str(layer.empty),
        "coin": layer.coin,
        "expected_weight": str(expected_weight(state, layer.number)) if has_votes else "",
        "global_threshold": str(global_threshold(state, layer.number)) if has_votes else "",
        "ballots": len(layer.ballots),
        "blocks": [
            {
                "id": block.id.hex(),
                "height": str(block.height),
                "margin": str(block.margin),
                "hare": block.hare,
                "validity": block.validity,
                "data": block.data,
            }
            for block in layer.blocks
        ],
    }


# ---- a run ----


class Recorder:
    """A tortoise whose calls are kept as events. The calls are those of `events`, by their `op`."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        """parameters: as they stand at the head of a trace."""
        self.parameters = dict(parameters)
        self.atxs = AtxTable()
        self.tortoise = Tortoise(parameters_of(parameters), self.atxs)
        self.events: list[dict[str, Any]] = []
        self._decoded: dict[BallotId, Decoded] = {}

    def do(self, event: Event) -> dict[str, Any]:
        """Make one call. The event with what it gives in this run. Raises KeyError for an op that there is none of."""
        given = {name: value for name, value in event.items() if name in _INPUTS[event["op"]]}
        outcome = {"op": event["op"], **given, **_CALLS[event["op"]](self, given)}
        self.events.append(outcome)
        return outcome

    def _atx(self, event: Event) -> Event:
        epoch, node = EpochId(event["epoch"]), NodeId(bytes.fromhex(event["node"]))
        atx = AtxInfo(node, int(event["weight"]), int(event["height"]))
        self.atxs.epochs.setdefault(epoch, {})[AtxId(bytes.fromhex(event["id"]))] = atx
        self.tortoise.on_atx(epoch, node, atx.weight)
        return {}

    def _atx_cache_malicious(self, event: Event) -> Event:
        self.atxs.malicious.add(NodeId(bytes.fromhex(event["node"])))
        return {}

    def _malfeasance(self, event: Event) -> Event:
        self.tortoise.on_malfeasance(NodeId(bytes.fromhex(event["node"])))
        return {}

    def _beacon(self, event: Event) -> Event:
        self.tortoise.on_beacon(EpochId(event["epoch"]), Beacon(bytes.fromhex(event["beacon"])))
        return {}

    def _weak_coin(self, event: Event) -> Event:
        self.tortoise.on_weak_coin(LayerId(event["layer"]), event["coin"])
        return {}

    def _block(self, event: Event) -> Event:
        self.tortoise.on_block(read_vote(event))
        return {}

    def _hare(self, event: Event) -> Event:
        self.tortoise.on_hare_output(LayerId(event["layer"]), BlockId(bytes.fromhex(event["block"])))
        return {}

    def _decode(self, event: Event) -> Event:
        ballot = read_ballot(event["ballot"])
        try:
            self._decoded[ballot.id] = self.tortoise.decode(ballot)
        except TortoiseError as error:
            return {"error_class": error.reason}
        return {"error_class": ""}

    def _store(self, event: Event) -> Event:
        try:
            self.tortoise.store(self._decoded[BallotId(bytes.fromhex(event["id"]))], is_malicious=event["malicious"])
        except TortoiseError as error:
            return {"error_class": error.reason}
        return {"error_class": ""}

    def _ballot(self, event: Event) -> Event:
        self._swallow(self.tortoise.on_ballot, event)
        return {}

    def _recovered_ballot(self, event: Event) -> Event:
        self._swallow(self.tortoise.on_recovered_ballot, event)
        return {}

    def _swallow(self, call: Callable[[TortoiseBallot], None], event: Event) -> None:
        try:
            call(read_ballot(event["ballot"]))
        except TortoiseError:
            return  # what the ballot is refused for is not part of the trace

    def _recovered_blocks(self, event: Event) -> Event:
        hare = event["hare"]
        self.tortoise.on_recovered_blocks(
            LayerId(event["layer"]),
            [(read_vote(block), block["valid"]) for block in event["blocks"]],
            None if hare is None else BlockId(bytes.fromhex(hare)),
        )
        return {}

    def _recover_from(self, event: Event) -> Event:
        self.tortoise.recover_from(
            LayerId(event["layer"]), Hash32(bytes.fromhex(event["opinion"])), Hash32(bytes.fromhex(event["prev"]))
        )
        return {}

    def _update_last(self, event: Event) -> Event:
        self.tortoise.update_last(LayerId(event["layer"]))
        return {}

    def _update_verified(self, event: Event) -> Event:
        self.tortoise.update_verified(LayerId(event["layer"]))
        return {}

    def _tally(self, event: Event) -> Event:
        self.tortoise.tally(LayerId(event["layer"]))
        return {"state": write_state(self.tortoise)}

    def _encode(self, event: Event) -> Event:
        try:
            opinion = self.tortoise.encode_votes(LayerId(event["current"]))
        except TortoiseError as error:
            return {"error_class": error.reason, "opinion": None}
        return {"error_class": "", "opinion": write_opinion(opinion)}

    def _updates(self, event: Event) -> Event:
        return write_results(self.tortoise) or {"from": None, "to": None, "results": []}

    def _applied(self, event: Event) -> Event:
        result = self.tortoise.on_applied(LayerId(event["layer"]), Hash32(bytes.fromhex(event["opinion"])))
        return {"result": result}


_CALLS: dict[str, Callable[[Recorder, Event], Event]] = {
    "atx": Recorder._atx,
    "atx_cache_malicious": Recorder._atx_cache_malicious,
    "malfeasance": Recorder._malfeasance,
    "beacon": Recorder._beacon,
    "weak_coin": Recorder._weak_coin,
    "block": Recorder._block,
    "hare": Recorder._hare,
    "decode": Recorder._decode,
    "store": Recorder._store,
    "ballot": Recorder._ballot,
    "recovered_ballot": Recorder._recovered_ballot,
    "recovered_blocks": Recorder._recovered_blocks,
    "recover_from": Recorder._recover_from,
    "update_last": Recorder._update_last,
    "update_verified": Recorder._update_verified,
    "tally": Recorder._tally,
    "encode": Recorder._encode,
    "updates": Recorder._updates,
    "applied": Recorder._applied,
}

_INPUTS: dict[str, tuple[str, ...]] = {
    "atx": ("epoch", "id", "node", "weight", "base_height", "height"),
    "atx_cache_malicious": ("node",),
    "malfeasance": ("node",),
    "beacon": ("epoch", "beacon"),
    "weak_coin": ("layer", "coin"),
    "block": ("id", "layer", "height"),
    "hare": ("layer", "block"),
    "decode": ("ballot",),
    "store": ("id", "malicious"),
    "ballot": ("ballot",),
    "recovered_ballot": ("ballot",),
    "recovered_blocks": ("layer", "blocks", "hare"),
    "recover_from": ("layer", "opinion", "prev"),
    "update_last": ("layer",),
    "update_verified": ("layer",),
    "tally": ("layer",),
    "encode": ("current",),
    "updates": (),
    "applied": ("layer", "opinion"),
}


def replay(parameters: Mapping[str, Any], events: Iterable[Event]) -> Iterator[tuple[int, Event, dict[str, Any]]]:
    """Make all calls of a trace anew: the position of each event, what is recorded, and what it gives now."""
    run = Recorder(parameters)
    for position, event in enumerate(events):
        yield position, event, run.do(event)
