"""PoET servers as a node asks them: words for what goes wrong, each server by itself, certificates where they help."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from api.clients.poet.errors import Unreachable
from api.http.client import Answer
from api.node.ports.calls import Calls
from api.node.ports.poets import Poets
from api.services.certifier.certify import Certifier
from node.contract.demands import (
    Certified,
    CertifyAtPoet,
    Failed,
    PoetProofOf,
    RegisterAtPoet,
    Registered,
    Result,
    SpaceProof,
)
from node.contract.instants import Instant
from protocol.crypto import signing
from protocol.crypto.signing import Domain
from protocol.numbers.durations import SECOND
from protocol.params.config import networks
from protocol.params.config.node import Config
from protocol.types.activation import PostV1
from protocol.types.ids import AtxId, EdSignature, NodeId

NOW = Instant(1_790_000_000 * SECOND)
FIRST, SECOND_SERVER = "http://first", "second:8080"
KEY = signing.Signer(bytes(32))
IDENTITY = NodeId(KEY.public_key)
CHALLENGE = b"\x07" * 32
SPACE = SpaceProof(PostV1(1, b"\x02\x03", 4), bytes(32), AtxId(b"\x05" * 32), 2)
CERTIFIER = Certifier(b"\x09" * 32, None, now_s=lambda: NOW // SECOND)
WAIT_S = 30.0


def quick() -> Config:
    config = networks.BY_NAME["fastnet"]
    client = replace(config.certifier.client, retry_delay_ns=0, max_retry_delay_ns=0, max_retries=1)
    poet = replace(config.poet, retry_delay_ns=1_000_000, retry_max=1, request_timeout_ns=10 * SECOND)
    return replace(config, poet=poet, certifier=replace(config.certifier, client=client))


CONFIG = quick()


def told(**fields: Any) -> Answer:
    return Answer(200, json.dumps(fields).encode())


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


class World:
    """Servers that answer what a test says; every request is noted."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        self.info: dict[str, Any] = {"phaseShift": f"{CONFIG.poet.phase_shift_ns // SECOND}s", "cycleGap": "30s"}
        self.submits: list[Answer] = []
        """One after another; the last one stays."""
        self.proofs = [Answer(404, b"not found")]
        self.certifier: Answer | None = None
        self.unreachable: set[str] = set()

    async def send(self, method: str, url: str, body: bytes) -> Answer:
        host, _, path = url.removeprefix("http://").partition("/")
        self.requests.append((host, path, json.loads(body or b"{}")))
        if host in self.unreachable:
            raise Unreachable(f"{url}: connection refused")
        if path == "v1/info":
            return told(**self.info)
        if path == "v1/pow_params":
            return told(powParams={"challenge": text(b"pow"), "difficulty": 0})
        if path == "v1/submit":
            return self.submits.pop(0) if len(self.submits) > 1 else self.submits[0]
        if path == "certify":
            if self.certifier is not None:
                return self.certifier
            return Answer(200, CERTIFIER.certify(IDENTITY).to_json())
        return self.proofs.pop(0) if len(self.proofs) > 1 else self.proofs[0]

    def asked(self, path: str) -> list[dict[str, Any]]:
        return [body for _, found, body in self.requests if found == path]


class Asker:
    """Calls as the engine makes them, from the loop's own thread."""

    def __init__(self, world: World, config: Config = CONFIG, now: Callable[[], Instant] = lambda: NOW) -> None:
        self.answers: asyncio.Queue[tuple[int, Result]] = asyncio.Queue()
        self.calls = Calls(asyncio.get_running_loop(), lambda call, result: self.answers.put_nowait((call, result)))
        self.poets = Poets(config, self.calls, now, send=world.send)

    async def answer(self) -> Result:
        return (await self.answers.get())[1]


def run(test: Callable[[World, Asker], Awaitable[None]], config: Config = CONFIG) -> None:
    async def main() -> None:
        world = World()
        asker = Asker(world, config)
        async with asyncio.timeout(WAIT_S):
            await test(world, asker)
            await asker.calls.close()

    asyncio.run(main())


def registration(server: str = FIRST, **named: Any) -> RegisterAtPoet:
    signature = EdSignature(signing.Signer(bytes(32), CONFIG.genesis.identity.genesis_id).sign(Domain.POET, CHALLENGE))
    usual = RegisterAtPoet(
        server,
        IDENTITY,
        CHALLENGE,
        signature,
        deadline=Instant(NOW + 10 * SECOND),
        proof_deadline=Instant(NOW + 3600 * SECOND),
        space=SPACE,
    )
    return replace(usual, **named)


def taken(round_id: str = "7") -> Answer:
    return told(roundId=round_id, roundEnd="90s")


def test_a_registration_with_proof_of_work() -> None:
    async def test(world: World, asker: Asker) -> None:
        world.submits = [taken()]
        asker.poets.register(1, registration())
        assert await asker.answer() == Registered("7", Instant(NOW + 90 * SECOND), None)
        (body,) = world.asked("v1/submit")
        assert base64.b64decode(body["prefix"]) == CONFIG.genesis.identity.genesis_id + b"\x04"
        assert base64.b64decode(body["pubkey"]) == IDENTITY and base64.b64decode(body["challenge"]) == CHALLENGE
        assert body["powParams"]["challenge"] == text(b"pow")
        signed = base64.b64decode(body["prefix"]) + base64.b64decode(body["challenge"])
        assert signing.verify(None, IDENTITY, signed, base64.b64decode(body["signature"]))
        assert body["deadline"] == "2026-09-21T15:13:20Z"

    run(test)


def test_a_certificate_that_is_new_comes_with_the_registration_and_an_old_one_is_used() -> None:
    async def test(world: World, asker: Asker) -> None:
        world.info["certifier"] = {"url": "http://certifier", "pubkey": text(CERTIFIER.public_key)}
        world.submits = [taken()]
        asker.poets.register(1, registration())
        found = await asker.answer()
        signed = CERTIFIER.certify(IDENTITY)
        certificate = Certified(CERTIFIER.public_key, signed.certificate, signed.signature)
        assert isinstance(found, Registered) and found.certificate == certificate
        (asked,) = world.asked("certify")
        assert asked["metadata"]["num_units"] == 2 and base64.b64decode(asked["metadata"]["node_id"]) == IDENTITY
        asker.poets.register(2, registration(certificates=(certificate,)))
        assert await asker.answer() == Registered("7", Instant(NOW + 90 * SECOND), None)
        asker.poets.certify(3, CertifyAtPoet(FIRST, IDENTITY, SPACE, (certificate,)))
        assert await asker.answer() == certificate
        assert len(world.asked("certify")) == 1, "the certifier is asked once"
        assert all("certificate" in body for body in world.asked("v1/submit"))

    run(test)


def test_a_certificate_that_is_refused_is_not_believed_again() -> None:
    async def test(world: World, asker: Asker) -> None:
        world.info["certifier"] = {"url": "http://certifier", "pubkey": text(CERTIFIER.public_key)}
        old = Certified(CERTIFIER.public_key, b"old", b"signature")
        world.submits = [Answer(401, b"unauthorized"), taken()]
        asker.poets.register(1, registration(certificates=(old,)))
        found = await asker.answer()
        assert isinstance(found, Registered) and found.certificate is not None and found.certificate != old
        asker.poets.register(2, registration("http://other", certificates=(old,)))
        await asker.answer()
        sent = [base64.b64decode(body["certificate"]["data"]) for body in world.asked("v1/submit")]
        assert sent[0] == b"old" and b"old" not in sent[1:], "the rows held it still"

    run(test)


def test_without_a_certificate_a_proof_of_work_stands_in() -> None:
    async def test(world: World, asker: Asker) -> None:
        world.info["certifier"] = {"url": "http://certifier", "pubkey": text(CERTIFIER.public_key)}
        world.certifier = Answer(403, b"invalid proof: no")
        world.submits = [taken()]
        asker.poets.certify(1, CertifyAtPoet(FIRST, IDENTITY, SPACE))
        refused = await asker.answer()
        assert isinstance(refused, Failed) and refused.reason == "failed" and "invalid proof: no" in refused.detail
        asker.poets.register(2, registration())
        assert isinstance(await asker.answer(), Registered)
        assert "powParams" in world.asked("v1/submit")[0]

    run(test)


def test_a_server_without_a_certifier() -> None:
    async def test(world: World, asker: Asker) -> None:
        asker.poets.certify(1, CertifyAtPoet(FIRST, IDENTITY, SPACE))
        found = await asker.answer()
        assert isinstance(found, Failed) and found.reason == "no_certifier"

    run(test)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(409, b"another challenge is registered"), "conflict"),
        (Answer(400, b"too late to register"), "refused"),
        (Answer(403, b"go away"), "refused"),
        (Answer(401, b"no"), "unauthorized"),
        (Answer(200, b""), "bad_answer"),
        (Answer(200, b"no JSON"), "bad_answer"),
    ],
)
def test_words_for_what_a_server_says(answer: Answer, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    async def test(world: World, asker: Asker) -> None:
        world.submits = [answer]
        asker.poets.register(1, registration())
        found = await asker.answer()
        assert isinstance(found, Failed) and found.reason == reason
        assert FIRST in found.detail and "\n" not in found.detail

    with caplog.at_level(logging.WARNING, "poets"):
        run(test)
    refused = [one for one in caplog.records if one.name == "poets"]
    assert len(refused) == 1, "what went wrong is said once"


def test_a_server_for_other_times_is_told_by_name() -> None:
    async def test(world: World, asker: Asker) -> None:
        world.info["phaseShift"] = "1s"
        asker.poets.register(1, registration())
        found = await asker.answer()
        assert isinstance(found, Failed) and found.reason == "phase_shift" and "is configured for" in found.detail
        assert not world.asked("v1/submit")

    run(test)


def test_it_is_tried_until_the_round_starts_and_what_was_the_matter_is_told() -> None:
    async def test(world: World, asker: Asker) -> None:
        world.submits = [Answer(500, b"disk full")]
        asker.poets.register(1, registration(deadline=Instant(NOW + SECOND // 20)))
        found = await asker.answer()
        assert isinstance(found, Failed) and found.reason == "timeout" and "disk full" in found.detail
        assert world.asked("v1/submit")
        asker.poets.register(2, registration(deadline=NOW))
        late = await asker.answer()
        assert isinstance(late, Failed) and late.reason == "too_late"

    run(test)


def test_one_server_that_is_down_keeps_no_other_one_waiting(caplog: pytest.LogCaptureFixture) -> None:
    async def test(world: World, asker: Asker) -> None:
        world.unreachable.add("first")
        world.submits = [taken("9")]
        asker.poets.register(1, registration(FIRST))
        asker.poets.register(2, registration(SECOND_SERVER))
        answers = dict([await asker.answers.get(), await asker.answers.get()])
        assert answers[2] == Registered("9", Instant(NOW + 90 * SECOND), None)
        down = answers[1]
        assert isinstance(down, Failed) and down.reason == "unreachable" and "connection refused" in down.detail

    with caplog.at_level(logging.WARNING, "poets"):
        run(test)
    said = [one.getMessage() for one in caplog.records if one.name == "poets"]
    assert len(said) == len(set(said)), "nothing is said twice"


def test_proofs_that_are_missing_or_do_not_hold() -> None:
    async def test(world: World, asker: Asker) -> None:
        asker.poets.proof(1, PoetProofOf(FIRST, "7"))
        missing = await asker.answer()
        assert isinstance(missing, Failed) and missing.reason == "unreachable" and "404" in missing.detail
        assert len(world.asked("v1/proofs/7")) == 2, "it is polled for"
        proof = {"root": text(bytes(32)), "provenLeaves": [], "proofNodes": []}
        world.proofs = [told(proof={"proof": proof, "members": [text(CHALLENGE)], "leaves": 1}, pubkey=text(b"key"))]
        asker.poets.proof(2, PoetProofOf(FIRST, "7"))
        wrong = await asker.answer()
        assert isinstance(wrong, Failed) and wrong.reason == "invalid"

    run(test)


def test_who_gives_up_is_not_answered_and_asks_no_more() -> None:
    async def test(world: World, asker: Asker) -> None:
        world.submits = [Answer(500, b"busy")]
        asker.poets.register(1, registration())
        while not world.asked("v1/submit"):
            await asyncio.sleep(0)
        asker.poets.give_up(1)
        asker.poets.give_up(2)
        world.submits = [taken()]
        asker.poets.register(3, registration())
        assert (await asker.answers.get())[0] == 3
        assert asker.answers.empty()

    run(test)


def test_a_fault_is_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        answers: asyncio.Queue[tuple[int, Result]] = asyncio.Queue()
        calls = Calls(asyncio.get_running_loop(), lambda call, result: answers.put_nowait((call, result)))

        async def broken() -> Result:
            raise ZeroDivisionError("what")

        calls.begin(1, broken())
        call, found = await answers.get()
        assert call == 1 and isinstance(found, Failed) and found.reason == "fault"
        await calls.close()

    asyncio.run(main())
    assert "ZeroDivisionError" in caplog.text


def test_calls_of_a_loop_that_is_gone_are_let_go() -> None:
    loop = asyncio.new_event_loop()
    calls = Calls(loop, lambda call, result: None)
    loop.close()

    async def work() -> Result:
        return True

    calls.begin(1, work())
    calls.give_up(1)
