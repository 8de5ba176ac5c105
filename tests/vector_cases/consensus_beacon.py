"""Vectors of the beacon's rules: consensus/beacon.json."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from node.beacon.reports import Reports
from node.beacon.thresholds import VRF_BITS, proposal_threshold, voting_threshold
from node.beacon.votes import OwnVotes, ProposalFacts, classify, decode_bits, encode_bits, own_votes
from node.tortoise.state import unit_weight
from protocol.crypto import vrf
from protocol.crypto.signing import Signer
from protocol.types.beacon import ProposalMessage, beacon_of
from protocol.types.eligibility import beacon_proposal_input
from protocol.types.ids import BallotId, Beacon, EpochId, VrfSignature
from tests.vector_cases.harness import Case, Context, unknown_sections, vectors


@vectors("consensus/beacon.json", variants=False)
def beacon(document: Any, context: Context) -> Iterator[Any]:
    checks = {
        "beacon_from_ballots": _from_ballots,
        "beacon_of_set": _of_set,
        "classification": _classification,
        "proposal_vrf": _proposal_vrf,
        "threshold_edges": _edge,
        "thresholds": _threshold,
        "vote_bits": _bits,
        "votes": _votes,
        "voting_thresholds": _voting_threshold,
    }
    yield from unknown_sections(document, tuple(checks))
    for name, check in checks.items():
        for position, row in enumerate(document[name]):
            yield Case(f"{name}[{position}]", lambda check=check, row=row: check(row))


def _same(found: object, expected: object) -> None:
    assert found == expected, f"{found}, expected {expected}"


def _set(texts: list[str] | None) -> frozenset[bytes]:
    return frozenset(bytes.fromhex(text) for text in texts or ())


def _threshold(row: Any) -> None:
    found = proposal_threshold(row["kappa"], Fraction(row["q"]), row["w"])
    _same(str(found), row["threshold"])
    if "fraction" not in row:
        return
    difference = abs(Fraction(found, 1 << VRF_BITS) - Fraction(row["fraction"]))
    assert difference < Fraction(1, 10**17), f"{float(difference)}"


def _edge(row: Any) -> None:
    number = int(row["vrf_big_endian"], 16)
    _same(number < proposal_threshold(40, Fraction(1, 3), row["w"]), row["passes"])


def _classification(row: Any) -> None:
    q = Fraction(row["q"])
    late = row["received_minus_phase_end_ns"] if row["phase_finished"] else 0
    facts = ProposalFacts(VrfSignature(bytes.fromhex(row["vrf"])), row["atx_received_minus_epoch_start_ns"], late)
    threshold, strict = (proposal_threshold(row["kappa"], q, w) for w in (row["w1"], row["w1"] + row["w2"]))
    _same(classify(facts, row["grace_ns"], threshold, strict).value, row["class"])


def _proposal_vrf(row: Any) -> None:
    epoch = EpochId(row["epoch"])
    message = beacon_proposal_input(int(row["nonce"]), epoch)
    _same(message.hex(), row["message"])
    signer = Signer(bytes.fromhex(row["key_seed"]))
    proof = VrfSignature(signer.prove(message))
    _same(proof.hex(), row["vrf"])
    _same(vrf.beacon_proposal(proof).hex(), row["proposal"])
    decoded = ProposalMessage.codec.decode(bytes.fromhex(row["proposal_message"]))
    _same((decoded.epoch, decoded.vrf_signature), (epoch, proof))


def _bits(row: Any) -> None:
    first = [bytes.fromhex(text) for text in row["first_round_list"]]
    _same(encode_bits(first, _set(row["support"])).hex(), row["bits"])
    _same(decode_bits(first, bytes.fromhex(row["bits"]))[0], _set(row["decoded_support"]))
    _same(decode_bits(first, bytes.fromhex(row["arbitrary_bits"]))[0], _set(row["arbitrary_decoded_support"]))


def _votes(row: Any) -> None:
    margins = {bytes.fromhex(one["proposal"]): int(one["margin"]) for one in row["margins"] or ()}
    found = own_votes(margins, Fraction(row["theta"]), int(row["epoch_weight"]))
    _same(found, OwnVotes(_set(row["support"]), _set(row["against"]), _set(row["undecided"])))
    after = found.after_coin(row["coin"])
    _same((after.support, after.against), (_set(row["support_after_coin"]), _set(row["against_after_coin"])))
    _same(beacon_of(after.support).hex() if after.support else None, row.get("beacon"))


def _voting_threshold(row: Any) -> None:
    _same(str(voting_threshold(Fraction(row["theta"]), int(row["epoch_weight"]))), row["threshold"])


def _of_set(row: Any) -> None:
    _same(beacon_of(_set(row["support_sorted"])).hex(), row["beacon"])


def _from_ballots(row: Any) -> None:
    reports, known = Reports(row["sync_weight_units"]), None
    for one in row["reports"]:
        if known is None:  # afterwards ballots are not looked at any more
            reports.add(
                BallotId(bytes.fromhex(one["ballot"])),
                Beacon(bytes.fromhex(one["beacon"])),
                unit_weight(int(one["atx_weight"]), one["eligibility_count"]),
                one["eligibility_proofs"],
            )
            known = reports.beacon()
        _same(known and known.hex(), one["epoch_beacon_after"])
