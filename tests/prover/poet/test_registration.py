"""Proofs of work of many submits, hashed side by side, judge as one after another; what that spares the server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from api.services.poet.config import load
from api.services.poet.service import PoetService
from api.services.poet.worker_link import NoWorker
from protocol.crypto.ripemd256 import ripemd256, ripemd256_many
from protocol.poet.registration import PowParams, TrustedKeys, has_leading_zero_bits, pow_hash
from prover.poet.server.registration import Code, Policy, Pow, Refused, Registered, Registration, Submit
from prover.poet.server.rounds import Schedule

DIFFICULTY = 5
CURRENT, PREVIOUS = bytes(32), bytes([1]) * 32
NOW_NS = 5
REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        (b"", "02ba4c4e5f8ecd1877fc52d64d30e37a2d9774fb1e5d026380ae0168e3c5522d"),
        (b"abc", "afbd6e228b9d8cbbcef5ca2d03e6dba10ac0bc7dcbe4680e1e42d2e975459b65"),
    ],
)
def test_known_answers(text: bytes, digest: str) -> None:
    assert ripemd256(text).hex() == digest
    assert [one.hex() for one in ripemd256_many([text] * 3)] == [digest] * 3


@settings(deadline=None, max_examples=50)
@given(data=st.data(), length=st.integers(0, 200), count=st.integers(0, 40))
def test_side_by_side_as_one_by_one(data: st.DataObject, length: int, count: int) -> None:
    messages = data.draw(st.lists(st.binary(min_size=length, max_size=length), min_size=count, max_size=count))
    assert ripemd256_many(messages) == [ripemd256(one) for one in messages]


def test_lanes_of_ones_and_zeros_do_not_mix() -> None:
    for length in (64, 104):
        messages = [b"\xff" * length, bytes(length)] * 20
        assert ripemd256_many(messages) == [ripemd256(one) for one in messages]
    with pytest.raises(ValueError, match="one length"):
        ripemd256_many([b"a", b"bc"])


def machine(certifier: bool = False) -> Registration:
    return Registration(
        Schedule(0, 10**12, 10**12, 0),
        Policy(certifier=certifier),
        TrustedKeys(None, ()),
        Pow(DIFFICULTY, CURRENT, PREVIOUS),
        lambda round_id, pubkey: None,
        open_round=0,
    )


def member(index: int, params: PowParams, *, works: bool, certificate: tuple[bytes, bytes] | None = None) -> Submit:
    """A signed registration with a nonce that works, or the first one that does not."""
    public, secret = crypto_sign_seed_keypair(index.to_bytes(32, "big"))
    challenge = index.to_bytes(32, "little")
    nonce = 0
    while has_leading_zero_bits(pow_hash(params.challenge, public, challenge, nonce), params.difficulty) != works:
        nonce += 1
    signature = crypto_sign(challenge, secret)[:64]
    return Submit(b"", challenge, public, signature, nonce, params, certificate=certificate)


def mixed() -> list[Submit]:
    current, previous = PowParams(CURRENT, DIFFICULTY), PowParams(PREVIOUS, DIFFICULTY)
    return [
        *(member(index, current, works=index % 3 > 0) for index in range(1, 30)),
        *(member(index, previous, works=index % 2 > 0) for index in range(30, 40)),
        member(40, PowParams(b"\x07" * 32, DIFFICULTY), works=True),
        member(41, PowParams(CURRENT, 1), works=True),
        member(42, current, works=True, certificate=(b"data", bytes(64))),
        Submit(pow_params=current),
        Submit(pubkey=bytes(31), pow_params=current),
    ]


@pytest.mark.parametrize("certifier", [False, True])
def test_verdicts_with_hashes_that_are_known_and_without(certifier: bool) -> None:
    requests = mixed()
    alone, together = machine(certifier), machine(certifier)
    expected = [alone.submit(one, NOW_NS) for one in requests]
    digests = together.pow_digests(requests)
    assert [together.submit(one, NOW_NS, digest) for one, digest in zip(requests, digests)] == expected
    assert alone.counts == together.counts
    assert sum(isinstance(one, Refused) for one in expected) > 15
    hashed = [digest is not None for digest in digests]
    assert hashed[39:42] == [False, False, not certifier], "parameters that are not in force are not hashed over"
    assert machine().pow_digests([]) == []


def test_what_is_refused_for_its_form_is_not_hashed() -> None:
    """A challenge of megabytes would hold up everybody else."""
    params = PowParams(CURRENT, DIFFICULTY)
    huge = Submit(challenge=bytes(4 << 20), pubkey=bytes(32), pow_params=params)
    odd = Submit(challenge=bytes(32), pubkey=bytes(31), pow_params=params)
    assert machine().pow_digests([huge, odd]) == [None, None]


def answers_of(service: PoetService, requests: Sequence[Submit]) -> list[Refused | Registered]:
    answers: list[Refused | Registered | None] = [None] * len(requests)

    async def submit_all() -> None:
        for number, one in enumerate(requests):
            service.submit(one, lambda answer, number=number: answers.__setitem__(number, answer))
        while None in answers:
            await asyncio.sleep(0.001)
        await service.stop()

    service.open()
    asyncio.run(submit_all())
    return [one for one in answers if one is not None]


def test_a_server_judges_what_comes_at_once_each_by_itself(tmp_path: Path) -> None:
    config = load([f"--poetdir={tmp_path}", f"--pow-difficulty={DIFFICULTY}", "--phase-shift=1h"], {})
    service = PoetService(config, NoWorker(), pow_challenge=CURRENT)
    requests = [member(index, PowParams(CURRENT, DIFFICULTY), works=index % 3 > 0) for index in range(600)]
    answers = answers_of(service, requests)
    assert [isinstance(one, Registered) for one in answers] == [index % 3 > 0 for index in range(600)]
    assert {one.code for one in answers if isinstance(one, Refused)} == {Code.INVALID_ARGUMENT}


def test_what_has_arrived_is_answered_when_the_server_stops(tmp_path: Path) -> None:
    config = load([f"--poetdir={tmp_path}", "--phase-shift=1h"], {})
    service = PoetService(config, NoWorker(), pow_challenge=CURRENT)
    answers: list[Refused | Registered] = []

    async def submit_and_stop() -> None:
        service.submit(member(1, PowParams(CURRENT, 0), works=True), answers.append)
        await service.stop()

    service.open()
    asyncio.run(submit_and_stop())
    assert [type(one) for one in answers] == [Registered]


SERVER = """
import sys
from pathlib import Path
from tests.prover.poet.test_registration import *
config = load([f"--poetdir={sys.argv[1]}", f"--pow-difficulty={DIFFICULTY}", "--phase-shift=1h"], {})
service = PoetService(config, NoWorker(), pow_challenge=CURRENT)
answers = answers_of(service, [member(1, PowParams(CURRENT, DIFFICULTY), works=True)])
assert isinstance(answers[0], Registered)
print(sorted({"numba", "llvmlite"} & set(sys.modules)))
"""


def test_a_proof_of_work_brings_no_compiler_into_the_servers_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SERVER, str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
