"""PoST services on a real socket: our own makes a proof for our node, and who may not connect is told so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from api.edge.rpc import Status
from node.contract.demands import Failed as NotMet
from node.contract.demands import HeldSpace, ProvenPost
from protocol.pb.spacemesh.v1 import post_types_pb2 as pb
from protocol.post.proof import Proof, ProofMetadata
from protocol.types.ids import AtxId, NodeId
from prover.post.metadata import FILE_NAME, decode
from prover.post.proof.verify import Claim, Mode, VerifyParams, check
from tests.support import archives
from tests.support.post_served import Service, settings_for
from tests.support.smeshing_world import PostNode, serve
from tests.vector_cases.post_support import engine
from tests.vector_cases.post_verify import pow_hash

ARCHIVE = Path(__file__).resolve().parents[4] / "vectors" / "post" / "pos" / "big_n2.tar.gz"
WAIT_S = 60.0


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(WAIT_S):
            await test()

    asyncio.run(main())


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
