"""Smeshing inside a test: the node's own supervisor, with scripts in place of the programs that it starts, and the
services of a node that PoST services connect to."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict

from api.grpc.methods import methods
from api.grpc.server import GrpcServer
from api.node.child import Hear
from api.node.identities import OwnIdentity
from api.node.ports.keys import NodeKeys
from api.node.supervisor import Supervised, Surroundings
from api.services.node.events import UserEvent
from api.services.node.post.service import PostServices
from api.services.node.smeshing import Provider, SetupOptions
from node.contract.demands import Result
from protocol.crypto import signing
from protocol.params.config import networks
from protocol.params.config.node import Config
from protocol.pb.spacemesh.v1 import post_pb2
from protocol.pb.spacemesh.v1 import post_types_pb2 as pb
from protocol.types.ids import Address, AtxId, NodeId
from prover.post.init.plan import Request
from tests.vector_cases.post_support import engine, initialise
from tests.vector_cases.post_verify import pow_hash

GOLDEN = AtxId(b"\x0b" * 32)
ME = Address(b"\x0c" * 24)
CPU = Provider(4294967295, "[CPU] scrypt-jane", 0)


def own(number: int = 1, name: str = "local.key") -> OwnIdentity:
    signer = signing.Signer(bytes([number]) * 32)
    return OwnIdentity(name, NodeId(signer.public_key), signer)


class Coinbase:
    """Where rewards go."""

    def __init__(self, address: Address | None = None) -> None:
        self.address, self.is_set = address or Address(bytes(24)), address is not None

    def __call__(self) -> Address:
        return self.address

    def set(self, new: Address) -> None:
        self.address, self.is_set = new, True


def small() -> Config:
    config = networks.BY_NAME["fastnet"]
    post = replace(config.post, min_numunits=1, max_numunits=8, labels_per_unit=64, k1=12, k2=4)
    smeshing = config.smeshing
    opts = replace(smeshing.opts, scrypt=replace(smeshing.opts.scrypt, n=2), numunits=2, maxfilesize=1024)
    proving = replace(smeshing.proving_opts, threads=1, nonces=64, randomx_mode="light")
    return replace(config, post=post, smeshing=replace(smeshing, opts=opts, proving_opts=proving))


async def devices(*, benchmark: bool) -> Sequence[Provider]:
    """Those of a machine without cards."""
    return [replace(CPU, labels_per_second=250 if benchmark else 0)]


class World:
    """A supervisor whose programs are scripts: each says what it was told to, and ends when it is told to."""

    def __init__(
        self,
        tmp_path: Path,
        config: Config | None = None,
        coinbase: Address | None = ME,
        identity: OwnIdentity | None = None,
    ) -> None:
        self.directory = tmp_path / "post"
        self.events: list[str] = []
        self.commands: list[list[str]] = []
        self.running: list[Script] = []
        self.started = asyncio.Semaphore(0)
        self.chosen: list[NodeId] = []
        self.coinbase = Coinbase(coinbase)
        self.own = identity or own()
        self.keys = NodeKeys([self.own], tmp_path / "identities")
        self.address = "127.0.0.1:1"
        self.failing: list[Exception] = []
        self.max_file_size = 1024
        self.around = Surroundings(
            config or small(), self.own, self.keys.smeshing, self.coinbase, self.choose, lambda: self.address, self.tell
        )
        self.supervised = Supervised(
            self.around, launch=self.launch, devices=devices, back_off_s=0.0, clock_ns=lambda: 5
        )

    async def choose(self, identity: NodeId) -> AtxId:
        self.chosen.append(identity)
        return GOLDEN

    def tell(self, event: UserEvent) -> None:
        assert event.event.timestamp.ToNanoseconds() == 5 and event.event.help.endswith(".")
        self.events.append(event.event.WhichOneof("details") or "")

    async def launch(self, words: Sequence[str], hear: Hear, hear_output: Hear | None) -> Any:
        self.commands.append(list(words))
        if self.failing:
            raise self.failing.pop(0)
        script = Script(self, hear, hear_output)
        self.running.append(script)
        self.started.release()
        return script

    async def next(self) -> Script:
        """The program that is started next."""
        await self.started.acquire()
        return self.running[-1]

    def options(self, **named: Any) -> SetupOptions:
        return replace(SetupOptions(str(self.directory), 2, 1024), **named)

    def make(self, identity: OwnIdentity | None = None) -> None:
        """Does what `smesher init` would do."""
        config = self.around.config
        initialise(
            self.directory,
            Request(
                (identity or self.own).node_id,
                GOLDEN,
                labels_per_unit=config.post.labels_per_unit,
                num_units=2,
                max_file_size=self.max_file_size,
                scrypt_n=config.smeshing.opts.scrypt.n,
                k1=config.post.k1,
            ),
        )

    def make_anew(self) -> None:
        """The same after whatever was there."""
        shutil.rmtree(self.directory)
        self.make()


class Script:
    """A program that runs until it is told to end."""

    pid = 77

    def __init__(self, world: World, hear: Hear, hear_output: Hear | None) -> None:
        self.hear, self.hear_output = hear, hear_output
        self.code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.stopped = False

    async def wait(self) -> int:
        return await asyncio.shield(self.code)

    async def stop(self) -> None:
        self.stopped = True

    def end(self, code: int) -> None:
        self.code.set_result(code)


class PostNode:
    """The services of a node, and what its port has been told."""

    def __init__(self, *, is_allowed: bool = True, poll_s: float = 0.0) -> None:
        self.results: asyncio.Queue[tuple[int, Result]] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def answered(call: int, result: Result) -> None:
            loop.call_soon_threadsafe(self.results.put_nowait, (call, result))

        self.names: list[tuple[NodeId, str]] = []
        self.post = PostServices(loop, answered, lambda: self.names, lambda: is_allowed, poll_s=poll_s)

    async def result(self) -> tuple[int, Result]:
        return await self.results.get()

    async def connected(self, count: int = 1) -> None:
        while len(self.post.connected()) < count:
            await asyncio.sleep(0)


class Recorded:
    """A service that says what was recorded, and hears what the node says to it."""

    def __init__(self, node: PostNode, entry: dict[str, Any]) -> None:
        said = [one["message"] for one in entry["log"] if one["dir"] == "service->node"]
        self.unsaid = [ParseDict(message, pb.ServiceResponse()) for message in said]
        self.heard: list[dict[str, Any]] = []
        self.ends = entry["ended_by"] == "node"
        self.dialogue: Any = node.post.register(self._answers())

    async def _answers(self) -> AsyncIterator[pb.ServiceResponse]:
        while self.unsaid:
            yield self.unsaid.pop(0)
        if not self.ends:
            await asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        async for request in self.dialogue:
            self.heard.append(MessageToDict(request))


async def serve(node: PostNode) -> tuple[GrpcServer, int]:
    services = post_pb2.DESCRIPTOR.services_by_name
    server = GrpcServer(
        {
            services[name].full_name: methods(services[name], calls)
            for name, calls in (
                ("PostService", node.post.register_calls()),
                ("PostInfoService", node.post.info_calls()),
            )
        }
    )
    return server, await server.start("127.0.0.1", 0, "grpc-post-listener")


class Shared:
    """What proofs of space are verified with: that of the test run, which is not closed."""

    full = False

    def __init__(self, scrypt_n: int) -> None:
        self.labels: Any = engine(scrypt_n)
        self.closed = 0

    def hash(self, data: bytes) -> bytes:
        return pow_hash(data)

    def close(self) -> None:
        self.closed += 1
