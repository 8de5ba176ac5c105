"""The port against our own PoET server over real sockets: what one says is what the other understands."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

from api.node.ports.calls import Calls
from api.node.ports.poets import Poets
from api.services.poet.app import App
from api.services.poet.config import load
from node.contract.demands import CertifyAtPoet, Failed, PoetProofOf, RegisterAtPoet, Registered, Result, SpaceProof
from node.contract.instants import Instant
from protocol.crypto import signing
from protocol.crypto.signing import Domain
from protocol.numbers.durations import HOUR, MILLISECOND, SECOND
from protocol.params.config import networks
from protocol.types.activation import PostV1
from protocol.types.ids import AtxId, EdSignature, NodeId

SPACE = SpaceProof(PostV1(1, b"\x02", 4), bytes(32), AtxId(bytes(32)), 2)


def test_registration_conflict_and_a_proof_that_is_not_there(tmp_path: Path) -> None:
    config = networks.BY_NAME["fastnet"]
    poet = replace(config.poet, phase_shift_ns=HOUR, retry_delay_ns=MILLISECOND, retry_max=1)
    config = replace(config, poet=poet)
    key = signing.Signer(b"\x01" * 32, config.genesis.identity.genesis_id)
    words = [f"--poetdir={tmp_path}", "--epoch-duration=2h", "--phase-shift=1h", "--cycle-gap=1h", "--one-process"]
    words += [f"--{name}=127.0.0.1:0" for name in ("rpclisten", "config-rpclisten", "restlisten")]

    async def main() -> None:
        app = App(load([*words, "--pow-difficulty=4"], {}))
        await app.start()
        answers: asyncio.Queue[Result] = asyncio.Queue()
        calls = Calls(asyncio.get_running_loop(), lambda call, result: answers.put_nowait(result))
        poets = Poets(config, calls, lambda: Instant(time.time_ns()))
        server = f"http://127.0.0.1:{app.rest_port}"

        def demand(challenge: bytes) -> RegisterAtPoet:
            return RegisterAtPoet(
                server,
                NodeId(key.public_key),
                challenge,
                EdSignature(key.sign(Domain.POET, challenge)),
                deadline=Instant(time.time_ns() + 30 * SECOND),
                proof_deadline=Instant(time.time_ns() + 10 * HOUR),
                space=SPACE,
            )

        try:
            async with asyncio.timeout(60):
                poets.register(1, demand(b"\x07" * 32))
                first = await answers.get()
                assert isinstance(first, Registered) and first.round_id == "0" and first.certificate is None
                assert abs(first.round_end - time.time_ns() - 2 * HOUR) < 60 * SECOND
                poets.register(2, demand(b"\x07" * 32))
                again = await answers.get()
                assert isinstance(again, Registered) and again.round_id == "0"
                poets.register(3, demand(b"\x08" * 32))
                other = await answers.get()
                assert isinstance(other, Failed) and other.reason == "conflict"
                poets.certify(4, CertifyAtPoet(server, NodeId(key.public_key), SPACE))
                certified = await answers.get()
                assert isinstance(certified, Failed) and certified.reason == "no_certifier"
                poets.proof(5, PoetProofOf(server, "0"))
                missing = await answers.get()
                assert isinstance(missing, Failed) and missing.reason == "unreachable"
        finally:
            await calls.close()
            await app.stop()

    asyncio.run(main())
