"""The trace that the tortoise of a recorded chain wrote: chain/devnet_*_tortoise_trace.jsonl.

Every input is given to ours in the recorded order, and what it tells after each tally must be what the recorded one
told.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from node.tortoise.ballots import Decoded, EpochClaim, TortoiseBallot
from node.tortoise.errors import TortoiseError
from node.tortoise.parameters import TortoiseParameters
from node.tortoise.results import BlockResult, LayerResult
from node.tortoise.state import AtxInfo
from node.tortoise.tortoise import Tortoise
from node.tortoise.trace import AtxTable
from protocol.types.ballots import Opinion, Vote, Votes
from protocol.types.ids import (
    EMPTY_BALLOT_ID,
    AtxId,
    BallotId,
    Beacon,
    BlockId,
    EpochId,
    Hash32,
    LayerId,
    NodeId,
)
from tests.vector_cases.harness import Case, Context, NotUnderstood, vectors

Event = Mapping[str, Any]
START, COIN, BEACON, ATX, DECODE, STORE, TALLY, BLOCK, HARE, UPDATES, APPLIED, MALFEASANCE = (
    1, 2, 3, 4, 6, 7, 9, 10, 11, 12, 13, 14,
)  # fmt: skip


@vectors("chain/devnet_*_tortoise_trace.jsonl", variants=False)
def trace(document: Sequence[Event], context: Context) -> Iterator[Any]:
    unknown = {event["t"] for event in document} - set(_CALLS) - {START}
    if unknown or not document or document[0]["t"] != START:
        raise NotUnderstood(f"a trace with events of the types {sorted(unknown)}")
    counts = {kind: sum(event["t"] == kind for event in document) for kind in _CALLS}
    yield Case(f"{counts[TALLY]} tallies, {counts[STORE]} ballots", lambda: replay(document))


def replay(document: Sequence[Event]) -> None:
    """Raises AssertionError at the first event that gives something else."""
    run = _Run(document[0]["o"])
    for position, event in enumerate(document[1:], 1):
        try:
            _CALLS[event["t"]](run, event["o"])
        except AssertionError as error:
            raise AssertionError(f"event {position} (type {event['t']}): {error}") from None


class _Run:
    def __init__(self, start: Event) -> None:
        parameters = TortoiseParameters(
            layers_per_epoch=start["epoch-size"],
            effective_genesis=LayerId(start["effective-genesis"]),
            hdist=start["hdist"],
            zdist=start["zdist"],
            window_size=start["window"],
            max_exceptions=start["exceptions"],
            bad_beacon_delay=start["delay"],
        )
        self.atxs = AtxTable()
        self.tortoise = Tortoise(parameters, self.atxs)
        self.decoded: dict[str, Decoded] = {}

    def coin(self, event: Event) -> None:
        self.tortoise.on_weak_coin(LayerId(event["lid"]), event["coin"])

    def beacon(self, event: Event) -> None:
        self.tortoise.on_beacon(EpochId(event["epoch"]), Beacon(b64decode(event["beacon"])))

    def atx(self, event: Event) -> None:
        epoch, row = EpochId(event["target"]), event["Atx"]
        atx = AtxInfo(NodeId(b64decode(row["Node"])), int(row["Weight"]), int(row["Height"]))
        self.atxs.epochs.setdefault(epoch, {})[AtxId(b64decode(event["id"]))] = atx
        self.tortoise.on_atx(epoch, atx.node, atx.weight)

    def decode(self, event: Event) -> None:
        ballot = _ballot(event["Ballot"])
        try:
            self.decoded[event["Ballot"]["id"]] = self.tortoise.decode(ballot)
        except TortoiseError as error:
            assert event["e"], f"ballot {ballot.id.hex()} is refused: {error}"
            return
        assert not event["e"], f"ballot {ballot.id.hex()} is taken, expected {event['e']}"

    def store(self, event: Event) -> None:
        self.tortoise.store(self.decoded.pop(event["id"]), is_malicious=event["mal"])

    def tally(self, event: Event) -> None:
        self.tortoise.tally(LayerId(event["lid"]))

    def block(self, event: Event) -> None:
        self.tortoise.on_block(_vote(event["Header"]))

    def hare(self, event: Event) -> None:
        self.tortoise.on_hare_output(LayerId(event["lid"]), BlockId(b64decode(event["vote"])))

    def updates(self, event: Event) -> None:
        found = [_written(result) for result in self.tortoise.updates()]
        expected = [{**result, "blocks": result["blocks"] or []} for result in event["results"] or ()]
        for one, other in zip(found, expected, strict=False):
            assert one == other, f"layer {other['lid']}: {one}, expected {other}"
        assert len(found) == len(expected), f"results of {len(found)} layers, expected {len(expected)}"

    def applied(self, event: Event) -> None:
        found = self.tortoise.on_applied(LayerId(event["layer"]), _hash(event["opinion"]))
        assert found is event["rst"], f"layer {event['layer']} applied: {found}, expected {event['rst']}"

    def malfeasance(self, event: Event) -> None:
        self.tortoise.on_malfeasance(NodeId(b64decode(event["id"])))


_CALLS: dict[int, Callable[[_Run, Event], None]] = {
    COIN: _Run.coin,
    BEACON: _Run.beacon,
    ATX: _Run.atx,
    DECODE: _Run.decode,
    STORE: _Run.store,
    TALLY: _Run.tally,
    BLOCK: _Run.block,
    HARE: _Run.hare,
    UPDATES: _Run.updates,
    APPLIED: _Run.applied,
    MALFEASANCE: _Run.malfeasance,
}


def _hash(text: str) -> Hash32:
    return Hash32(bytes.fromhex(text.removeprefix("0x")))


def _vote(written: Event) -> Vote:
    return Vote(BlockId(b64decode(written["id"])), LayerId(written["lid"]), int(written["height"]))


def _ballot(written: Event) -> TortoiseBallot:
    opinion, claim = written["opinion"], written["epochdata"]
    votes = Votes(
        BallotId(b64decode(opinion["base"])) if opinion.get("base") else EMPTY_BALLOT_ID,
        tuple(_vote(vote) for vote in opinion.get("support") or ()),
        tuple(_vote(vote) for vote in opinion.get("against") or ()),
        tuple(LayerId(layer) for layer in opinion.get("abstain") or ()),
    )
    return TortoiseBallot(
        BallotId(b64decode(written["id"])),
        NodeId(b64decode(written["node"])),
        LayerId(written["lid"]),
        AtxId(b64decode(written["atxid"])),
        written["elig"],
        Opinion(_hash(opinion["hash"]), votes),
        EpochClaim(Beacon(b64decode(claim["beacon"])), claim["elig"]) if claim else None,
        BallotId(b64decode(written["ref"])) if written["ref"] else None,
        written["mal"],
    )


def _written(result: LayerResult) -> Event:
    return {
        "lid": result.layer,
        "v": result.is_verified,
        "opinion": f"0x{result.opinion.hex()}",
        "blocks": [_written_block(block) for block in result.blocks],
    }


def _written_block(block: BlockResult) -> Event:
    return {
        "header": {"id": _text(block.vote.id), "lid": block.vote.layer, "height": block.vote.height},
        "v": block.is_valid,
        "l": block.is_locally_supported,
        "i": block.is_invalid,
        "h": block.is_hare_output,
        "d": block.has_data,
    }


def _text(data: bytes) -> str:
    return b64encode(data).decode()
