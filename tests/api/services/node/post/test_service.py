"""The recorded dialogues, and the program `smesher post-service` on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from api.edge.rpc import Failed, Status
from node.contract.demands import Failed as NotMet
from node.contract.demands import HeldSpace, ProvenPost
from protocol.pb.spacemesh.v1 import post_types_pb2 as pb
from protocol.post.proof import Proof, ProofMetadata
from protocol.types.ids import AtxId, NodeId
from prover.post.metadata import FILE_NAME, decode
from prover.post.proof.verify import Claim, Mode, VerifyParams, check
from tests.support import archives
from tests.support.post_served import Service, settings_for
from tests.support.smeshing_world import PostNode, Recorded, serve
from tests.vector_cases.harness import load
from tests.vector_cases.post_support import engine
from tests.vector_cases.post_verify import pow_hash

ARCHIVE = Path(__file__).resolve().parents[4] / "vectors" / "post" / "pos" / "big_n2.tar.gz"
RECORDED = "api/grpc_smeshing_control.json"
ZEROS = bytes(32)
WAIT_S = 60.0


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(WAIT_S):
            await test()

    asyncio.run(main())


def entries(vectors_root: Path) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in load(vectors_root / RECORDED)["register"]}


NAMES = [
    "no coinbase configured",
    "closes before answering",
    "answers the metadata request with a proof response",
    "metadata without meta",
    "short node id",
    "identity the node does not have",
    "metadata sent before being asked",
    "first stream of a (then a second one for the same id is opened)",
    "proof in progress for ever (poll period)",
    "proof request: status error",
    "proof request: status unspecified",
    "proof request: proof without metadata",
    "proof request: proof for another challenge",
    "proof request: wrong kind of answer",
    "proof request: invalid proof, complete answer",
    "proof request: stream closed on a proof request",
]
APART = {"second stream of the same id"}
"""Needs a first stream; the test after this one."""


def test_no_recorded_dialogue_is_left_out(vectors_root: Path) -> None:
    assert set(NAMES) | APART == set(entries(vectors_root))


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_dialogue(name: str, vectors_root: Path) -> None:
    entry = entries(vectors_root)[name]
    expected = [one["message"] for one in entry["log"] if one["dir"] == "node->service"]

    async def test() -> None:
        node = PostNode(is_allowed=name != "no coinbase configured")
        service = Recorded(node, entry)
        task = asyncio.ensure_future(service.run())
        if any("genProof" in message for message in expected):
            await node.connected()
            (identity,) = node.post.connected()
            node.post.prove(1, identity, ZEROS)
        if "code" in entry:
            with pytest.raises(Failed) as caught:
                await task
            assert (caught.value.status, caught.value.message) == (entry["code"], entry["message"])
        else:
            await node.connected()
            while len(service.heard) < len(expected) or service.unsaid:
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await service.dialogue.aclose()
        assert service.heard[: len(expected)] == expected
        assert set(map(str, service.heard[len(expected) :])) <= {str(expected[-1]) if expected else ""}, "polls alone"
        assert node.post.connected() == frozenset(), "the end of a stream drops its registration"
        if "proof request" in name:
            _, result = await node.result()
            assert isinstance(result, ProvenPost) if "invalid proof" in name else isinstance(result, NotMet)

    run(test)


def test_the_recorded_second_stream(vectors_root: Path) -> None:
    found = entries(vectors_root)
    first = found["first stream of a (then a second one for the same id is opened)"]
    second = found["second stream of the same id"]

    async def test() -> None:
        node = PostNode()
        one = Recorded(node, first)
        task = asyncio.ensure_future(one.run())
        await node.connected()
        other = Recorded(node, second)
        with pytest.raises(Failed) as caught:
            await other.run()
        assert (caught.value.status, caught.value.message) == (second["code"], second["message"])
        (identity,) = node.post.connected()
        node.post.prove(1, identity, ZEROS)
        while len(one.heard) < 2:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await one.dialogue.aclose()

    run(test)


def test_our_post_service_makes_a_proof_for_our_node(tmp_path: Path) -> None:
    archives.unpack(ARCHIVE, tmp_path)
    path = tmp_path / "big_n2"
    metadata = decode((path / FILE_NAME).read_bytes())
    identity, challenge = NodeId(metadata.node_id), b"\x07" * 32

    async def test() -> None:
        node = PostNode(poll_s=0.02)
        server, port = await serve(node)
        node.names = [(identity, "local.key")]
        settings = settings_for(f"http://127.0.0.1:{port}", operator_address=None)
        service = Service(settings, path, held=True)
        try:
            await asyncio.to_thread(service.__enter__)
            await node.connected()
            node.post.describe(1, identity)
            assert await node.result() == (1, HeldSpace(AtxId(metadata.commitment_atx_id), metadata.num_units))
            node.post.prove(2, identity, challenge)
            node.post.describe(3, identity)
            assert (await node.result())[0] == 3, "a proof that takes hours keeps nobody waiting"
            (state,) = (await node.post.post_states(pb.PostStatesRequest())).states
            assert (state.id, state.state, state.name) == (identity, pb.PostState.PROVING, "local.key")
            service.go.set()
            call, result = await node.result()
            assert call == 2 and isinstance(result, ProvenPost), result
            assert (result.metadata.challenge, result.vrf_nonce) == (challenge, metadata.nonce)
            params = VerifyParams(
                settings.k1, settings.k2, settings.pow_difficulty, 1, 10, result.metadata.labels_per_unit, 2
            )
            claim = Claim(
                Proof(result.post.nonce, result.post.indices, result.post.pow),
                ProofMetadata(identity, result.commitment_atx, challenge, result.num_units),
                Mode.all(settings.k2),
            )
            assert check(claim, params, engine(2), pow_hash).valid
            (state,) = (await node.post.post_states(pb.PostStatesRequest())).states
            assert state.state == pb.PostState.IDLE
        finally:
            await asyncio.to_thread(service.stop)
        while node.post.connected():
            await asyncio.sleep(0.001)
        node.post.prove(4, identity, challenge)
        call, gone = await node.result()
        assert call == 4 and isinstance(gone, NotMet) and gone.reason == "not_connected"
        await server.stop(0)

    run(test)


def test_a_service_without_a_coinbase_is_refused_over_the_socket(tmp_path: Path) -> None:
    import grpc.aio

    async def test() -> None:
        node = PostNode(is_allowed=False)
        server, port = await serve(node)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.stream_stream("/spacemesh.v1.PostService/Register")()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
            assert caught.value.code().value[0] == Status.FAILED_PRECONDITION
            assert "connection not allowed" in (caught.value.details() or "")
        await server.stop(0)

    run(test)
