"""Signatures and VRF proofs: microseconds each by batch size, against PyNaCl verifying one after the other.

All are measured in turns in one thread by its CPU time; figures are medians, ratios medians of ratios of neighbours.
Threads share a large batch at the end, by the wall clock. Protocol 03-encoding-and-types, sections 8 and 9.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from nacl.signing import VerifyKey
from rich.table import Table

from bench.settings import Settings, Show, beside
from kernels.signatures import ecvrf, ed25519
from kernels.signatures.ed25519_keys import KNOWN, KnownKeys
from kernels.vectors import target
from node.contract.checks import NetworkChecker, SignatureCheck, VrfCheck
from protocol.crypto import signing, vrf
from protocol.crypto.signing import Domain, Signer
from protocol.types.ids import NodeId

GENESIS = bytes(range(20))
SIGNATURES = 1024
PROOFS = 256
MESSAGE_BYTES = 150
SIZES = (3, 8, 64, 256, 1024)
PROOF_SIZES = (1, 8, 64, 256)
BASELINE = "PyNaCl, one after the other"
BASELINE_COUNT = 32
LARGE = 8
BURST = 64
"""Messages that come at once: each has a signature and a VRF proof."""
ASKED_FAST_MS = 2.0
ASKED_PORTABLE_MS = 6.0
"""For a burst, without the 52-bit multiply-add."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What is timed: a call that handles `count` entries."""

    name: str
    count: int
    call: Callable[[], object]


def run(settings: Settings, show: Show) -> dict[str, object]:
    """All figures; the tables are shown as they come."""
    if not ed25519.is_compiled():
        show("compiling the verification in lanes for this processor …")
    ed25519.prepare()
    show(
        f"variant {target.variant().name}, 52-bit multiply-add: {'yes' if ed25519.is_fast() else 'no (portable twin)'}"
    )
    signatures, batch = _signatures()
    results: dict[str, object] = {"ifma": ed25519.is_fast()}
    results["signatures"] = _compare("signatures of 150 bytes", signatures, settings, show)
    results["proofs"] = _compare("VRF proofs", _proofs(), settings, show)
    results["threads"] = _threads(batch, settings, show)
    results["burst"] = _burst(settings, show)
    return results


def _signatures() -> tuple[list[Measured], tuple[list[bytes], list[bytes], list[bytes]]]:
    source = random.Random(1)
    signers = [Signer(source.randbytes(32), GENESIS) for _ in range(SIGNATURES)]
    messages = [source.randbytes(MESSAGE_BYTES) for _ in signers]
    keys = [signer.public_key for signer in signers]
    parts = [signer.sign(Domain.HARE, message) for signer, message in zip(signers, messages)]
    head = signing.signed_bytes(Domain.HARE, b"", GENESIS)
    known = KnownKeys()
    known.remember(keys)

    def one_by_one() -> None:
        for key, message, part in zip(keys[:BASELINE_COUNT], messages, parts):
            VerifyKey(key).verify(head + message, part)

    def ours_one_by_one() -> None:
        for key, message, part in zip(keys[:BASELINE_COUNT], messages, parts):
            signing.verify(Domain.HARE, key, message, part, GENESIS)

    def in_lanes(count: int, tables: KnownKeys | None) -> Callable[[], object]:
        columns = keys[:count], messages[:count], parts[:count]
        return lambda: ed25519.verify_many(*columns, head, known=tables)

    rows = [Measured(BASELINE, BASELINE_COUNT, one_by_one), Measured("ours, one after the other", 32, ours_one_by_one)]
    for count in SIZES:
        rows.append(Measured(f"lanes, batch of {count}", count, in_lanes(count, None)))
    for count in SIZES:
        rows.append(Measured(f"lanes, known keys, batch of {count}", count, in_lanes(count, known)))
    return rows, (keys, messages, parts)


def _proofs() -> list[Measured]:
    source = random.Random(2)
    seeds = [source.randbytes(32) for _ in range(PROOFS)]
    keys = [Signer(seed).public_key for seed in seeds]
    alphas = [source.randbytes(14) for _ in seeds]
    proofs = [vrf.prove(seed, alpha) for seed, alpha in zip(seeds, alphas)]

    def by_libsodium() -> None:
        for row in zip(keys[:4], alphas, proofs):
            vrf.verify_by_libsodium(*row)

    def prove() -> None:
        for row in zip(seeds[:4], alphas):
            vrf.prove(*row)

    known = KnownKeys()
    known.remember(keys)

    def in_lanes(count: int, tables: KnownKeys | None) -> Callable[[], object]:
        columns = keys[:count], alphas[:count], proofs[:count]
        return lambda: ecvrf.verify_many(*columns, known=tables)

    rows = [Measured("libsodium and integers", 4, by_libsodium)]
    rows += [Measured(f"lanes, batch of {count}", count, in_lanes(count, None)) for count in PROOF_SIZES]
    rows += [Measured(f"lanes, known keys, batch of {count}", count, in_lanes(count, known)) for count in PROOF_SIZES]
    rows.append(Measured("proving", 4, prove))
    return rows


def _compare(title: str, rows: list[Measured], settings: Settings, show: Show) -> dict[str, object]:
    """Every row in turns; the first is what the others are compared with."""
    taken: dict[str, list[float]] = {row.name: [] for row in rows}
    seconds = settings.seconds / 10
    for row in rows:
        row.call()
    for _ in range(settings.rounds * 3):
        for row in rows:
            calls, began = 0, time.thread_time()
            while (spent := time.thread_time() - began) < seconds:
                row.call()
                calls += 1
            taken[row.name].append(spent / calls / row.count * 1e6)
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for heading in ("µs each", "times as fast"):
        table.add_column(heading, justify="right")
    figures: dict[str, object] = {}
    for name, times in taken.items():
        median = statistics.median(times)
        ratio = statistics.median(first / ours for first, ours in zip(taken[rows[0].name], times))
        table.add_row(name, f"{median:,.2f}", f"{ratio:,.2f}")
        figures[name] = {"microseconds": round(median, 3), "ratio": round(ratio, 3)}
    show(table)
    return figures


def _threads(batch: tuple[list[bytes], list[bytes], list[bytes]], settings: Settings, show: Show) -> dict[str, float]:
    """Signatures a second of a large batch, by the wall clock."""
    keys, messages, parts = (column * LARGE for column in batch)
    head = signing.signed_bytes(Domain.HARE, b"", GENESIS)
    counts = sorted({1, settings.threads})
    rates: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(settings.rounds):
        for count in counts:
            began = time.perf_counter()
            ed25519.verify_many(keys, messages, parts, head, threads=count)
            rates[count].append(len(keys) / (time.perf_counter() - began))
    medians = {str(count): statistics.median(values) for count, values in rates.items()}
    show(
        "a batch of 8,192: "
        + ", ".join(f"{rate:,.0f} signatures/s on {count} threads" for count, rate in medians.items())
    )
    return {count: round(rate) for count, rate in medians.items()}


def _burst(settings: Settings, show: Show) -> dict[str, object]:
    """A burst of messages of as many senders, judged as a node judges them; every round has keys that were never seen.

    The baseline is PyNaCl, one signature after the other, and no proof at all.
    """
    asked = ASKED_FAST_MS if ed25519.is_fast() else ASKED_PORTABLE_MS
    checker = NetworkChecker(GENESIS)
    source = random.Random(3)
    taken: dict[str, list[float]] = {"new_keys": [], "known_keys": [], "pynacl": []}
    for _ in range(settings.rounds * 3):
        seeds = [source.randbytes(32) for _ in range(BURST)]
        signers = [Signer(seed, GENESIS) for seed in seeds]
        keys = [NodeId(signer.public_key) for signer in signers]
        texts = [source.randbytes(MESSAGE_BYTES) for _ in keys]
        alphas = [source.randbytes(14) for _ in keys]
        signed = [
            SignatureCheck(Domain.HARE, key, text, signer.sign(Domain.HARE, text))
            for key, text, signer in zip(keys, texts, signers)
        ]
        proved = [VrfCheck(key, alpha, vrf.prove(seed, alpha)) for key, alpha, seed in zip(keys, alphas, seeds)]
        for name in ("new_keys", "known_keys"):
            if name == "known_keys":
                KNOWN.remember(keys)
            began = time.thread_time()
            verdicts = (*checker.signatures(signed), *checker.vrf_proofs(proved))
            taken[name].append((time.thread_time() - began) * 1e3)
            assert all(verdicts), "all of them hold"
        began = time.thread_time()
        for one in signed:
            VerifyKey(one.public_key).verify(signing.signed_bytes(Domain.HARE, one.message, GENESIS), one.signature)
        taken["pynacl"].append((time.thread_time() - began) * 1e3)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    ratio = statistics.median(first / ours for first, ours in zip(taken["pynacl"], taken["new_keys"]))
    show(
        f"a burst of {BURST}, signatures and VRF proofs: {beside(medians['new_keys'], asked, 'ms')}, keys known "
        f"{medians['known_keys']:.2f} ms; its signatures alone by PyNaCl {medians['pynacl']:.2f} ms, {ratio:.2f} × as "
        "long as both by us"
    )
    return {**{name: round(value, 3) for name, value in medians.items()}, "asked_ms": asked, "ratio": round(ratio, 3)}
