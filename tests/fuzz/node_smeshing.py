"""Random requests to the services of smeshing, and PoST services that say anything, in process and over a socket.

`python -m tests.fuzz.node_smeshing` asks each method of SmesherService and PostInfoService 10^5 times, lets PoST
services give as many answers, and 2,000 over a socket, or as many as it is told; exit code 1 on a find, with what
reproduces it.
The supervisor is the node's own, its programs are scripts. A find is a call that is neither answered nor refused, a
demand of the node that is answered twice or never, or a listener that serves nobody any more.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import grpc.aio
from google.protobuf.descriptor import MethodDescriptor

from api.edge.rpc import Failed
from api.grpc.methods import methods
from api.grpc.server import GrpcServer
from api.services.node.post.service import PostServices
from api.services.node.v1 import smesher
from node.contract.demands import Result
from protocol.pb.spacemesh.v1 import post_pb2, smesher_pb2
from protocol.pb.spacemesh.v1 import post_types_pb2 as pb
from protocol.types import address
from protocol.types.ids import NodeId
from tests.fuzz.mutate import mutated
from tests.fuzz.node_services import Found, Hints, asked, random_message
from tests.support.node_backend import StoresBackend
from tests.support.smeshing_world import World, small

SMESHER = smesher_pb2.DESCRIPTOR.services_by_name["SmesherService"]
POST_INFO = post_pb2.DESCRIPTOR.services_by_name["PostInfoService"]
POST = post_pb2.DESCRIPTOR.services_by_name["PostService"]
REGISTER = f"/{POST.full_name}/Register"
IDS = tuple(NodeId(bytes([number]) * 32) for number in range(3))
CHALLENGES = tuple(bytes([number]) * 32 for number in range(2))
FOLDERS = ("post", "post/x", "", "\0", "x" * 5000, "~nobody/x", "file", "file/below", "ä")
"""Where data may be wanted, below a folder of the run's own; `file` is one."""
COINBASE = address.generate(bytes(20))
COINBASE_TEXTS: list[str] = []
HINTS = Hints(list(IDS), COINBASE_TEXTS, [b""])
"""What a request may name that is there."""
SOCKET_CASES = 2_000
WAIT_S = 20.0


# ---- methods, in process ----


def calls(cases: int, seed: int, only: str = "") -> Iterator[tuple[str, int, float]]:
    """Name, number of answers and seconds of each method that was asked so often. Raises Found."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder), quiet_logs(), asyncio.Runner() as runner:
        Path("file").write_text("no folder")
        world, made = runner.run(_served(Path(folder)))
        for name, (descriptor, method) in made.items():
            if only.lower() not in name.lower():
                continue
            random, began, answered = Random(f"{seed} {name}"), time.process_time(), 0
            for _ in range(cases):
                request = _request(descriptor, random)
                try:
                    answered += runner.run(asked(descriptor, method, request))
                    if descriptor.name == "StartSmeshing":
                        runner.run(_stopped(world))
                except Exception as error:
                    raise Found(f"{name} with {request.SerializeToString()!r:.600}: {error!r:.300}") from error
            yield name, answered, time.process_time() - began


async def _stopped(world: World) -> None:
    """Nothing runs, so that the next start is looked at."""
    world.supervised.is_smeshing = True
    await world.supervised.stop(delete_files=False)


async def _served(folder: Path) -> tuple[World, dict[str, tuple[MethodDescriptor, Any]]]:
    config = small()
    world = World(folder, config, COINBASE)
    COINBASE_TEXTS[:] = [address.to_text(COINBASE, config.main.network_hrp)]
    loop = asyncio.get_running_loop()
    post = PostServices(loop, lambda call, result: None, world.supervised.identities, lambda: True)
    backend = StoresBackend(config)
    given = {**smesher.calls(backend, world.supervised), **post.info_calls()}
    return world, {one.full_name: (one, given[one.name]) for service in (SMESHER, POST_INFO) for one in service.methods}


def _request(descriptor: MethodDescriptor, random: Random) -> Any:
    request = random_message(descriptor.input_type, random, HINTS)
    if descriptor.name == "StartSmeshing" and request.HasField("opts"):  # type: ignore[attr-defined]
        request.opts.data_dir = random.choice(FOLDERS)  # type: ignore[attr-defined]
        request.opts.num_units = random.choice((0, 1, 2, 8, 9, 1 << 31))  # type: ignore[attr-defined]
    return request


# ---- PoST services ----


def random_response(random: Random) -> pb.ServiceResponse:
    """An answer of a PoST service: likely ones, and nonsense."""
    response = random_message(pb.ServiceResponse.DESCRIPTOR, random, HINTS)
    assert isinstance(response, pb.ServiceResponse)
    meta = pb.Metadata(node_id=random.choice(IDS), commitment_atx_id=bytes(32), num_units=2, labels_per_unit=128)
    draw = random.random()
    if draw < 0.3:
        return pb.ServiceResponse(metadata=pb.MetadataResponse(meta=meta))
    if draw < 0.6:
        done = pb.GenProofResponse(status=pb.GEN_PROOF_STATUS_OK)
        if draw < 0.45:
            done.proof.CopyFrom(pb.Proof(nonce=1, indices=b"\x01", pow=2))
            done.metadata.CopyFrom(pb.ProofMetadata(challenge=random.choice(CHALLENGES), meta=meta))
        return pb.ServiceResponse(gen_proof=done)
    return response


def dialogues(cases: int, seed: int) -> tuple[int, float]:
    """How many proofs came out of so many answers, and seconds. Raises Found."""
    with quiet_logs(), asyncio.Runner() as runner:
        return runner.run(_dialogues(cases, Random(seed)))


async def _dialogues(cases: int, random: Random) -> tuple[int, float]:
    told: Counter[int] = Counter()
    proofs = [0]

    def answered(call: int, result: Result) -> None:
        told[call] += 1
        proofs[0] += not type(result).__name__.startswith("Failed")

    loop, began = asyncio.get_running_loop(), time.process_time()
    post = PostServices(loop, answered, lambda: [(one, "x.key") for one in IDS], lambda: True, poll_s=0)
    left, given_up, call = cases, set[int](), 0

    async def service() -> AsyncIterator[pb.ServiceResponse]:
        nonlocal left
        while left > 0 and random.random() > 0.02:
            left -= 1
            yield random_response(random)

    async def talk() -> None:
        try:
            async for request in post.register(service()):
                request.SerializeToString()  # type: ignore[union-attr]
        except Failed:
            pass

    talking: set[asyncio.Task[None]] = set()
    while left > 0:
        talking = {one for one in talking if not one.done()}
        while len(talking) < 4:
            talking.add(asyncio.ensure_future(talk()))
        call += 1
        identity = random.choice(IDS)
        (
            post.describe(call, identity)
            if random.random() < 0.3
            else post.prove(call, identity, random.choice(CHALLENGES))
        )
        if random.random() < 0.2:
            wanted = random.randint(max(1, call - 5), call)
            if not told[wanted]:
                given_up.add(wanted)
                post.give_up(wanted)
        if random.random() < 0.05 and talking:
            random.choice(sorted(talking, key=id)).cancel()
        await asyncio.sleep(0)
    for one in talking:
        one.cancel()
    for result in await asyncio.gather(*talking, return_exceptions=True):
        if isinstance(result, Exception):
            raise Found(f"a dialogue has failed: {result!r}") from result
    for _ in range(5):
        await asyncio.sleep(0)
    wrong = [one for one in range(1, call + 1) if told[one] > 1 or (not told[one] and one not in given_up)]
    if wrong or post.connected():
        raise Found(f"calls {wrong[:5]} were answered {[told[one] for one in wrong[:5]]} times")
    return proofs[0], time.process_time() - began


# ---- over a socket ----


def sockets(cases: int, seed: int) -> tuple[int, float]:
    """How many answers of PoST services were taken, some of them damaged, and seconds. Raises Found."""
    with quiet_logs(), asyncio.Runner() as runner:
        return runner.run(_sockets(cases, Random(seed)))


async def _sockets(cases: int, random: Random) -> tuple[int, float]:
    loop, began, taken = asyncio.get_running_loop(), time.process_time(), 0
    open_calls = set[int]()
    post = PostServices(loop, lambda call, result: open_calls.discard(call), lambda: [], lambda: True, poll_s=0)

    async def want_proofs() -> None:
        """Of everybody, all the time, one after another."""
        while True:
            for number, identity in enumerate(IDS):
                if number not in open_calls:
                    open_calls.add(number)
                    post.prove(number, identity, random.choice(CHALLENGES))
            await asyncio.sleep(0.001)

    wanting = asyncio.ensure_future(want_proofs())
    server = GrpcServer({POST.full_name: methods(POST, post.register_calls())})
    port = await server.start("127.0.0.1", 0, "grpc-post-listener")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        while taken < cases:
            dialogue = channel.stream_stream(REGISTER)()
            try:
                async with asyncio.timeout(WAIT_S):
                    taken += await _talk(dialogue, random)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                taken += 1  # it was refused
            except TimeoutError:
                raise Found(f"after {taken} answers a dialogue hangs") from None
            finally:
                dialogue.cancel()
        last = channel.stream_stream(REGISTER)()
        try:
            async with asyncio.timeout(WAIT_S):
                if pb.NodeRequest.FromString(await last.read()).WhichOneof("kind") != "metadata":
                    raise Found("the node does not ask who a service is any more")
        except (TimeoutError, grpc.aio.AioRpcError) as error:
            raise Found(f"nobody is served any more: {error!r}") from error
        last.cancel()
    wanting.cancel()
    await server.stop(0)
    return taken, time.process_time() - began


async def _talk(dialogue: Any, random: Random) -> int:
    """How many answers a service gave until it had enough of it, or nobody would ask it anything."""
    for taken in range(1000):
        if await dialogue.read() is grpc.aio.EOF:
            return taken
        response = random_response(random)
        data = response.SerializeToString()
        is_damaged = random.random() < 0.3
        await dialogue.write(mutated(data, random) if is_damaged else data)
        is_known = taken > 0 or (not is_damaged and response.metadata.meta.node_id in IDS)
        if not is_known or random.random() < 0.05:
            return taken + 1
    return 1000


@contextmanager
def quiet_logs() -> Iterator[None]:
    """What is said of nonsense is not shown; what is a mistake of ours is raised elsewhere."""
    names = ("post", "postService", "api")
    levels = [logging.getLogger(name).level for name in names]
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in zip(names, levels):
            logging.getLogger(name).setLevel(level)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: nothing found, 1: found."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz.node_smeshing", description="Random requests to the services of smeshing."
    )
    parser.add_argument("--cases", type=int, default=100_000, metavar="N", help="of each method (default 10^5)")
    parser.add_argument("--seed", type=int, default=None, metavar="S", help="the same cases again (default: the time)")
    parser.add_argument("--only", default="", metavar="WORD", help="methods with this in their full name")
    options = parser.parse_args(argv)
    seed = time.time_ns() if options.seed is None else options.seed
    print(f"seed {seed}")
    try:
        for name, answered, seconds in calls(options.cases, seed, options.only):
            print(f"{name}: {options.cases:,} requests in {seconds:.0f} s, {answered:,} answered", flush=True)
        if options.only.lower() in REGISTER.lower():
            proofs, seconds = dialogues(options.cases, seed)
            print(f"{REGISTER}: {options.cases:,} answers in {seconds:.0f} s, {proofs:,} proofs", flush=True)
            taken, seconds = sockets(min(options.cases, SOCKET_CASES), seed)
            print(f"{REGISTER} over a socket: {taken:,} answers in {seconds:.0f} s", flush=True)
    except Found as found:
        print(f"found, with --seed {seed}: {found}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
