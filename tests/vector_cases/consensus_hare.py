"""Vectors of Hare: consensus/hare3_core.json and hare4_core.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from node.hare.gossip import HareInput
from node.hare.parameters import (
    MESSAGE_ROUNDS,
    NEVER,
    CommitteeUpgrade,
    HareParameters,
    delay,
    grade,
)
from node.hare.protocol import HareProtocol
from protocol.types.hare import (
    Hare3Body,
    Hare3Value,
    Hare4Body,
    Hare4Value,
    HareEligibility,
    HareMetadata,
    IterRound,
)
from protocol.types.ids import EdSignature, Hash32, LayerId, NodeId, ProposalId, VrfSignature
from tests.vector_cases.harness import Case, Context, NotUnderstood, unknown_sections, vectors

SECTIONS = ("committee_mainnet", "delays", "round_numbers", "scripted", "simulated", "timing")
MAINNET = HareParameters(
    is_enabled=True,
    enable_layer=LayerId(35117),
    disable_layer=NEVER,
    topic="/h/3.0",
    committee=400,
    leaders=5,
    iterations_limit=4,
    preround_delay=25_000_000_000,
    round_duration=12_000_000_000,
    upgrade=CommitteeUpgrade(LayerId(105720), 50),
)


@vectors("consensus/hare3_core.json", "consensus/hare4_core.json", variants=False)
def hare_core(document: Any, context: Context) -> Iterator[Any]:
    yield from unknown_sections(document, SECTIONS)
    for row in document["round_numbers"]:
        yield Case(f"round_numbers {row['iter']}.{row['round']}", lambda row=row: _round_number(row))
    yield Case("delays", lambda: _delays(document["delays"]))
    yield Case("committee_mainnet", lambda: _committee(document["committee_mainnet"]))
    for row in document["timing"]:
        yield Case(f"timing {row['name']}", lambda row=row: _timing(row))
    for section in ("scripted", "simulated"):
        for position, trace in enumerate(document[section]):
            name = f"{section}[{position}] {trace.get('name', '')}"
            yield Case(name, lambda trace=trace: _trace(trace))


def _ir(pair: list[int]) -> IterRound:
    return IterRound(*pair)


def _round_number(row: dict[str, Any]) -> None:
    at = IterRound(row["iter"], row["round"])
    assert at.absolute() == row["absolute"], at.absolute()
    assert (at.round in MESSAGE_ROUNDS) == row["message_round"]


def _delays(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        received, target = _ir(row["received"]), _ir(row["target"])
        found = delay(received, target), grade(received, target)
        assert found == (row["delay"], row["grade"]), f"{row}: {found}"


def _committee(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        layer = LayerId(row["layer"])
        found = MAINNET.committee_for(layer), MAINNET.threshold(layer)
        assert found == (row["committee"], row["threshold"]), f"{row}: {found}"


def _timing(row: dict[str, Any]) -> None:
    parameters = HareParameters(
        is_enabled=row["enable"],
        enable_layer=LayerId(row["enable_layer"]),
        disable_layer=LayerId(row["disable_layer"]),
        topic="/h/3.0",
        committee=400,
        leaders=5,
        iterations_limit=row["iterations_limit"],
        preround_delay=row["preround_delay_ns"],
        round_duration=row["round_duration_ns"],
    )
    for one in row["round_start"]:
        found = parameters.round_start(IterRound(one["iter"], one["round"]))
        assert found == one["start_ns"], f"{one}: {found}"
    try:
        parameters.check(1, row["zdist_time_ns"])
    except ValueError as error:
        assert not row["valid"], f"refused: {error}"
    else:
        assert row["valid"], "taken, but refused by the reference"


def _trace(trace: dict[str, Any]) -> None:
    protocol = HareProtocol(trace["threshold"])
    for position, step in enumerate(trace["steps"]):
        where = f"step {position} ({step['op']})"
        if step["op"] == "initial":
            protocol.initial = _ids(step["proposals"])
        elif step["op"] == "message":
            _message(protocol, trace["layer"], step, where)
        elif step["op"] == "next":
            _next(protocol, step, where)
        else:
            raise NotUnderstood(f"{where}: unknown")


def _ids(texts: list[str]) -> tuple[ProposalId, ...]:
    return tuple(ProposalId(bytes.fromhex(text)) for text in texts)


def _hash(text: str | None) -> Hash32 | None:
    return None if text is None else Hash32(bytes.fromhex(text))


def _message(protocol: HareProtocol, layer: int, step: dict[str, Any], where: str) -> None:
    at, proposals, reference = IterRound(step["iter"], step["round"]), _ids(step["proposals"]), _hash(step["reference"])
    eligibility = HareEligibility(VrfSignature(bytes.fromhex(step["vrf"])), step["count"])
    bodies = (
        Hare3Body(LayerId(layer), at, Hare3Value(proposals, reference), eligibility),
        Hare4Body(LayerId(layer), at, Hare4Value(proposals, reference), eligibility),
    )
    hashes = [body.hash() for body in bodies]
    recorded = Hash32(bytes.fromhex(step["hash"]))
    assert recorded in hashes, f"{where}: hashes {[one.hex() for one in hashes]}, expected {step['hash']}"
    sender = NodeId(bytes.fromhex(step["sender"]))
    is_relayed, equivocation = protocol.on_input(
        HareInput(
            sender,
            at,
            proposals,
            reference,
            recorded,
            eligibility.proof,
            eligibility.count,
            step["atx_grade"],
            step["malicious"],
            EdSignature(bytes(64)),
        )
    )
    assert is_relayed == step["relay"], f"{where}: relayed {is_relayed}"
    proof = None
    if equivocation is not None:
        proof = [
            {"layer": layer, "msg_hash": one.hex(), "round": at.absolute(), "smesher_id": sender.hex()}
            for one in (equivocation.first.hash, equivocation.second.hash)
        ]
        assert HareMetadata(LayerId(layer), at.absolute(), equivocation.first.hash) != HareMetadata(
            LayerId(layer), at.absolute(), equivocation.second.hash
        )
    assert proof == step["equivocation"], f"{where}: {proof}"


def _next(protocol: HareProtocol, step: dict[str, Any], where: str) -> None:
    output = protocol.next()
    said = output.said and {
        "iter": output.said.at.iter,
        "round": int(output.said.at.round),
        "proposals": [id.hex() for id in output.said.proposals],
        "reference": output.said.reference and output.said.reference.hex(),
    }
    found = {
        "op": "next",
        "executed": [output.executed.iter, int(output.executed.round)],
        "next": [protocol.next_round.iter, int(protocol.next_round.round)],
        "message": said,
        "coin": output.coin,
        "result": None if output.result is None else [id.hex() for id in output.result],
        "terminated": output.is_terminated,
        "locked": protocol.locked and protocol.locked.hex(),
        "hard_locked": protocol.is_hard_locked,
    }
    assert found == step, f"{where}: {[(key, found[key], step[key]) for key in step if found.get(key) != step[key]]}"
