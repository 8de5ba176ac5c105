"""Messages decoded, written and named, against `json.loads` of the same content in the same run.

JSON with its bytes in hexadecimal, parsed by Python's own C code into dictionaries, is what a Python program would use
without a codec of its own; it checks neither limits nor types. CPU time of the thread, in turns, medians. Objects are
of the sizes that they have on mainnet. Protocol 03-encoding-and-types.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from rich.table import Table

from bench.settings import Settings, Show
from protocol.codec.composites import Elements, Option, Struct
from protocol.codec.declare import Codec, IdList
from protocol.types.activation import (
    ActivationTxV1,
    EpochActiveSet,
    InnerActivationTxV1,
    NIPostChallengeV1,
    NIPostV1,
    PostMetadataV1,
    PostV1,
)
from protocol.types.activation_v2 import ActivationTxV2, MarriageCertificate, MerkleProofV2, NiPostsV2, SubPostV2
from protocol.types.ballots import Ballot, InnerBallot, Vote, Votes, VotingEligibility
from protocol.types.blocks import AnyReward, InnerBlock, RatNum
from protocol.types.hare import Hare3Body, Hare3Message, Hare3Value, HareEligibility, IterRound
from protocol.types.poet import MembershipProof

TURNS = 15
"""Measurements of each figure, of which the median is taken."""


@dataclass(frozen=True, slots=True)
class Subject:
    """An object and what it may take."""

    name: str
    record: Any
    reference_us: float | None
    """The reference's decoder on one core of the same kind; of ATX v2 with the id."""
    limit_us: float | None
    """What was asked of ours."""


def subjects() -> list[Subject]:
    """The objects, always the same."""
    raw: Any = Random(1).randbytes  # fields are of many types, all of them bytes
    number = Random(2).getrandbits
    post = PostV1(7, raw(170), number(60))
    membership = tuple(raw(32) for _ in range(17))
    nipost = NIPostV1(MembershipProof(membership, 12_345), post, PostMetadataV1(raw(32), 1 << 32))
    challenge = NIPostChallengeV1(_epoch(20), 3, raw(32), raw(32))
    inner = InnerActivationTxV1(challenge, raw(24), 16, nipost, None, 1 << 40)
    votes = Votes(raw(20), tuple(Vote(raw(20), _epoch(99_999 - back), 1 << 33) for back in range(3)))
    eligibilities = tuple(VotingEligibility(77 * slot, raw(80)) for slot in range(2))
    inner_ballot = InnerBallot(_epoch(100_000), raw(32), raw(32), raw(20))
    rewards = tuple(AnyReward(raw(32), RatNum(number(40), number(44))) for _ in range(50))
    body = Hare3Body(
        _epoch(100_000),
        IterRound(0, 0),
        Hare3Value(tuple(raw(20) for _ in range(50))),
        HareEligibility(raw(80), 3),
    )
    return [
        Subject("ATX v1", ActivationTxV1(inner, raw(32), raw(64)), 1.2, 25),
        Subject("ballot", Ballot(inner_ballot, raw(64), raw(32), votes, eligibilities), 1.1, 20),
        Subject("block", InnerBlock(_epoch(100_000), 1 << 33, rewards, tuple(raw(32) for _ in range(190))), 6.7, 80),
        Subject("hare 3", Hare3Message(body, raw(32), raw(64)), None, None),
        Subject("ATX v2", _atx_v2(raw, post, membership, 1), 198, 100),
        Subject("ATX v2, 5 ids", _atx_v2(raw, post, membership, 5), None, None),
        Subject("100,000 ids", EpochActiveSet(_epoch(20), IdList(raw(3_200_000), 32)), None, None),
    ]


def _epoch(value: int) -> Any:
    return value


def _atx_v2(raw: Any, post: PostV1, membership: tuple[bytes, ...], identities: int) -> ActivationTxV2:
    posts = tuple(SubPostV2(index, index, 12_345 + index, post, 16) for index in range(identities))
    marriages = tuple(MarriageCertificate(raw(32), raw(64)) for _ in range(identities if identities > 1 else 0))
    niposts: Any = (NiPostsV2(MerkleProofV2(membership), raw(32), posts),)  # type: ignore[arg-type]
    previous = tuple(raw(32) for _ in range(identities))
    return ActivationTxV2(
        _epoch(20), raw(32), raw(24), None, previous, niposts, 1 << 40, marriages, None, raw(32), raw(64)
    )


def run(settings: Settings, show: Show) -> dict[str, object]:
    """All figures; `show` prints them as they come."""
    show("µs of one thread's CPU time; both: decode and id; json: json.loads of the same;")
    show("asked and reference: decode, of ATX v2 both")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("object", "bytes", "decode", "encode", "id", "both", "json", "asked", "reference"):
        table.add_column(heading, justify="left" if heading == "object" else "right", no_wrap=True)
    results: dict[str, object] = {}
    for subject in subjects():
        figures = measure(subject, settings.seconds / TURNS)
        results[subject.name] = figures | {"asked_us": subject.limit_us, "reference_us": subject.reference_us}
        cells = [figures[name] for name in ("decode_us", "encode_us", "id_us", "decode_and_id_us", "json_loads_us")]
        table.add_row(
            subject.name,
            f"{figures['bytes']:,.0f}",
            *("" if cell is None else f"{cell:,.0f}" if cell >= 1000 else f"{cell:.1f}" for cell in cells),
            *("" if value is None else f"{value:g}" for value in (subject.limit_us, subject.reference_us)),
        )
    show(table)
    return results


def measure(subject: Subject, seconds: float) -> dict[str, float | None]:
    """The figures of one object, measured in turns."""
    record, codec = subject.record, type(subject.record).codec
    encoded = codec.encode(record)
    as_json = json.dumps(plain(codec, record))
    jobs: dict[str, Callable[[], object]] = {
        "decode_us": lambda: codec.decode(encoded),
        "encode_us": lambda: codec.encode(record),
        "json_loads_us": lambda: json.loads(as_json),
    }
    if hasattr(record, "id"):
        jobs["id_us"] = record.id
        jobs["decode_and_id_us"] = lambda: codec.decode(encoded).id()
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(TURNS):
        for name, job in jobs.items():
            taken[name].append(_once(job, seconds))
    figures: dict[str, float | None] = {"bytes": len(encoded), "id_us": None, "decode_and_id_us": None}
    return figures | {name: round(1e6 * statistics.median(times), 2) for name, times in taken.items()}


def _once(job: Callable[[], object], seconds: float) -> float:
    """CPU seconds of one call, over so many calls that they fill the time."""
    count, taken = 1, 0.0
    while True:
        began = time.thread_time()
        for _ in range(count):
            job()
        taken = time.thread_time() - began
        if taken >= seconds or count >= 1 << 20:
            return taken / count
        count *= 2


def plain(codec: Codec[Any], value: Any) -> Any:
    """The value as JSON can hold it, bytes in hexadecimal."""
    match codec:
        case Struct():
            return {name: plain(member, getattr(value, name)) for name, member in codec.members.items()}
        case Option():
            return None if value is None else plain(codec.inner, value)
        case Elements():
            return [plain(codec.inner, one) for one in value]
    return value.hex() if isinstance(value, bytes) else value
