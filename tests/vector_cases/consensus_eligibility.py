"""Vectors of eligibilities: consensus/eligibility.json and consensus/proposal_slots.json."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from node.eligibility import active_set as sets
from node.eligibility import committee, slots
from node.eligibility.active_set import FirstBallot
from node.eligibility.committee import Stake
from node.eligibility.errors import EligibilityError
from protocol.crypto import vrf
from protocol.crypto.signing import Signer
from protocol.numbers.layers import NetworkTime
from protocol.types import eligibility as inputs
from protocol.types.activation import EpochActiveSet, active_set_hash
from protocol.types.certificates import CERTIFIER_ROUND
from protocol.types.ids import AtxId, Beacon, EpochId, Hash32, LayerId, NodeId, VrfSignature
from tests.vector_cases.harness import Case, Context, unknown_sections, vectors


@vectors("consensus/eligibility.json", variants=False)
def eligibility(document: Any, context: Context) -> Iterator[Any]:
    known = ("active_set", "certify_round", "counts_real", "counts_stubbed_vrf", "vrf_messages")
    yield from unknown_sections(document, known)
    yield Case("certify_round", lambda: _same(CERTIFIER_ROUND, document["certify_round"]))
    for name, check in (
        ("vrf_messages", _vrf_message),
        ("counts_real", _count),
        ("counts_stubbed_vrf", _stubbed_counts),
        ("active_set", _active_set),
    ):
        for position, row in enumerate(document[name]):
            yield Case(f"{name}[{position}]", lambda check=check, row=row: check(row))


def _same(found: object, expected: object) -> None:
    assert found == expected, f"{found}, expected {expected}"


def _vrf_message(row: Any) -> None:
    message = inputs.hare_input(Beacon(bytes.fromhex(row["beacon"])), row["round"], LayerId(row["layer"]))
    _same(message.hex(), row["message"])
    seed = bytes.fromhex(row["key_seed"])
    _same(Signer(seed).public_key.hex(), row["node_id"])
    _same(vrf.prove(seed, message).hex(), row["vrf"])


def _count(row: Any) -> None:
    public_key = Signer(bytes.fromhex(row["key_seed"])).public_key
    message = inputs.hare_input(Beacon(bytes.fromhex(row["beacon"])), row["round"], LayerId(row["layer"]))
    total = int(row["total_weight"])
    for proof_hex, expected in ((row["vrf"], row), (row["corrupted"]["vrf"], row["corrupted"])):
        proof = VrfSignature(bytes.fromhex(proof_hex))
        if not vrf.verify(public_key, message, proof):
            _same((0, False), (expected["count"], expected.get("valid", False)))
            continue
        stake = Stake(int(row["weight"]), proof)
        _same(committee.counts(row["committee"], total, [stake]), [expected["count"]])
        for claimed, is_valid in row["validate"].items():
            _same((claimed, committee.is_count(row["committee"], total, stake, int(claimed))), (claimed, is_valid))


def _outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except EligibilityError as error:
        return error.reason


def _stubbed_counts(row: Any) -> None:
    total, weight = int(row["total_weight"]), int(row["weight"])
    for result in row["results"]:
        stake = Stake(weight, VrfSignature(bytes.fromhex(result["vrf8"]).ljust(80, b"\0")))
        found = _outcome(lambda stake=stake: committee.counts(row["committee"], total, [stake])[0])
        _same(found, result["error"] or result["count"])
        for name, claimed in (
            ("valid_at_count", result["count"]),
            ("valid_at_count_plus_1", result["count"] + 1),
            ("valid_at_count_minus_1", result["count"] - 1),
        ):
            if name not in result:
                continue
            if claimed > committee.COUNT_MASK:
                continue  # it cannot be claimed in 16 bits
            answer = _outcome(lambda stake=stake, at=claimed: committee.is_count(row["committee"], total, stake, at))
            error = result["error"] or result.get("validate_error")
            _same((name, answer), (name, error or result[name]))


class _Database:
    """The rows of one case."""

    def __init__(self, row: Any) -> None:
        self._length = row["layers_per_epoch"]
        self._sets = {one["hash"]: _ids(one["ids"]) for one in row["active_sets"] or ()}
        self._beacons = {one["epoch"]: Beacon(bytes.fromhex(one["beacon"])) for one in row["beacons"] or ()}
        self._fallback: dict[int, Sequence[AtxId]] = {}
        for one in row["fallback_updates"] or ():
            if one["epoch"] not in self._fallback:
                self._fallback[one["epoch"]] = _ids(one["ids"])
        self._atxs = {
            (one["target_epoch"], one["id"]): (NodeId(bytes.fromhex(one["node_id"])), one["weight"])
            for one in row["atxs"] or ()
            if one["in_memory"]
        }
        self._ballots = row["ballots"] or ()
        blocks = {one["id"]: one for one in row["blocks"] or ()}
        self._applied = [
            blocks[one["block"]]
            for one in sorted(row["applied"] or (), key=lambda one: one["layer"])
            if one["block"] in blocks
        ]

    def fallback(self, epoch: EpochId) -> Sequence[AtxId] | None:
        return self._fallback.get(epoch)

    def first_rewards(self, epoch: EpochId) -> Sequence[AtxId] | None:
        for block in self._applied:
            if block["layer"] // self._length == epoch:
                return _ids(block["reward_atxs"])
        return None

    def first_ballot(self, epoch: EpochId, atx_id: AtxId) -> FirstBallot | None:
        for ballot in sorted(self._ballots, key=lambda one: one["layer"]):
            if ballot["atx"] == atx_id.hex() and ballot["layer"] // self._length == epoch:
                return self._first(ballot)
        return None

    def first_ballots(self, epoch: EpochId) -> Iterable[FirstBallot]:
        seen = set()
        for ballot in sorted(self._ballots, key=lambda one: one["layer"]):
            if ballot["layer"] // self._length == epoch and ballot["smesher"] not in seen:
                seen.add(ballot["smesher"])
                yield self._first(ballot)

    def _first(self, ballot: Any) -> FirstBallot:
        data = ballot["epoch_data"]
        return FirstBallot(
            AtxId(bytes.fromhex(ballot["atx"])),
            data and Beacon(bytes.fromhex(data["beacon"])),
            data and Hash32(bytes.fromhex(data["active_set_hash"])),
        )

    def active_set(self, hash: Hash32) -> Sequence[AtxId] | None:
        return self._sets.get(hash.hex())

    def beacon(self, epoch: EpochId) -> Beacon | None:
        return self._beacons.get(epoch)

    def atx(self, epoch: EpochId, id: AtxId) -> tuple[NodeId, int] | None:
        return self._atxs.get((epoch, id.hex()))


def _ids(texts: Sequence[str] | None) -> list[AtxId]:
    return [AtxId(bytes.fromhex(text)) for text in texts or ()]


def _with_several(sources: _Database, epoch: EpochId) -> list[str]:
    """Smeshers with more than one ATX in a set that is a union, and so has no order."""
    if sources.fallback(epoch) is not None:
        return []
    owners = [found[0].hex() for id in sets.active_ids(sources, epoch) if (found := sources.atx(epoch, id))]
    return [node for node in set(owners) if owners.count(node) > 1]


def _active_set(row: Any) -> None:
    sources = _Database(row)
    time = NetworkTime(0, 1, row["layers_per_epoch"], row["effective_genesis"])
    confidence = row["confidence_param"]
    for query in row["queries"]:
        layer = LayerId(query["layer"])
        found = _outcome(lambda layer=layer: sets.active_set(sources, sets.target_epoch(time, confidence, layer)))
        if query.get("error"):
            _same((layer, found), (layer, query["error"]))
            continue
        members = {node.hex(): (one.atx_id.hex(), one.weight) for node, one in found.members.items()}
        expected = {node: (one["atx"], int(one["weight"])) for node, one in query["set"].items()}
        epoch = sets.target_epoch(time, confidence, layer)
        for node in _with_several(sources, epoch):
            # which of them counts is the order of a map in the reference, different from run to run
            expected[node] = members[node]
        _same((layer, members), (layer, expected))
        _same(found.total, sum(weight for _, weight in expected.values()))
        _same(sum(int(one["weight"]) for one in query["set"].values()), int(query["total"]))


@vectors("consensus/proposal_slots.json", variants=False)
def proposal_slots(document: Any, context: Context) -> Iterator[Any]:
    known = ("active_set_hash", "epoch_eligibilities", "min_weight", "slots", "voting_vrf")
    yield from unknown_sections(document, known)
    for name, check in (
        ("slots", _slots),
        ("min_weight", _minimal_weight),
        ("voting_vrf", _voting_vrf),
        ("epoch_eligibilities", _epoch_eligibilities),
        ("active_set_hash", _active_set_hash),
    ):
        for position, row in enumerate(document[name]):
            yield Case(f"{name}[{position}]", lambda check=check, row=row: check(row))


def _slots(row: Any) -> None:
    found = _outcome(
        lambda: slots.slot_count(
            int(row["weight"]),
            int(row["total_weight"]),
            int(row["min_weight"]),
            row["layer_size"],
            row["layers_per_epoch"],
        )
    )
    _same(found, "zero_total_weight" if row["error"] else row["slots"])


def _minimal_weight(row: Any) -> None:
    entries = [slots.MinimalWeight(EpochId(one["epoch"]), int(one["weight"])) for one in row["entries"] or ()]
    for epoch, expected in row["selected"].items():
        _same(slots.minimal_weight(entries, EpochId(int(epoch))), int(expected))


def _voting_vrf(row: Any) -> None:
    epoch = EpochId(row["epoch"])
    message = inputs.voting_input(Beacon(bytes.fromhex(row["beacon"])), epoch, int(row["nonce"]), row["j"])
    _same(message.hex(), row["message"])
    proof = vrf.prove(bytes.fromhex(row["key_seed"]), message)
    _same(proof.hex(), row["vrf"])
    _same(vrf.slot_layer(proof, epoch, row["layers_per_epoch"]), row["layer"])


def _epoch_eligibilities(row: Any) -> None:
    seed, epoch, found = bytes.fromhex(row["key_seed"]), EpochId(row["epoch"]), dict[str, list[int]]()
    beacon, length = Beacon(bytes.fromhex(row["beacon"])), row["layers_per_epoch"]
    for counter in range(row["slots"]):
        proof = vrf.prove(seed, inputs.voting_input(beacon, epoch, int(row["nonce"]), counter))
        found.setdefault(str(vrf.slot_layer(proof, epoch, length)), []).append(counter)
    _same(found, row["layer_to_j"])


def _active_set_hash(row: Any) -> None:
    ids = tuple(_ids(row["ids"]))
    _same(EpochActiveSet.codec.encode(EpochActiveSet(EpochId(row["epoch"]), ids)).hex(), row["encoded"])
    _same(active_set_hash(ids).hex(), row["hash"])
