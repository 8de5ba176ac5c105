"""Recorded calls of SmesherService and PostInfoService, and dialogues of PostService.Register, answered by ours.

The node's own supervisor answers, over data that is made here; its programs are scripts. Which
identity the recorded node has, which coinbase, and whether it smeshes, is taken from its own answers.

| rule | where | what holds |
|---|---|---|
| cause | a coinbase cannot be read | the text begins as recorded |
| rate | devices are measured | there is one, where one was recorded |
| refused | StartSmeshing without all that it needs; the original lets it through | INVALID_ARGUMENT, nothing starts |
| returns | a stop while a proof is made; that of the original does not return | it does; what follows differs |
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict

from api.edge.rpc import Failed, Status
from api.grpc.methods import Kind, methods
from api.node.identities import OwnIdentity
from api.node.ports.keys import NodeKeys
from api.node.smeshing import Remote
from api.services.node.post.service import PostServices
from api.services.node.smeshing import SetupOptions, Smeshing
from api.services.node.v1 import smesher
from node.contract.demands import Failed as NotMet
from node.contract.demands import ProvenPost
from protocol.crypto import signing
from protocol.params.config import networks
from protocol.params.config.node import Config
from protocol.pb.spacemesh.v1 import post_pb2, smesher_pb2, smesher_types_pb2
from protocol.pb.spacemesh.v1 import post_types_pb2 as pb
from protocol.types import address
from protocol.types.ids import Address, NodeId
from tests.support.node_backend import StoresBackend
from tests.support.smeshing_world import Coinbase, PostNode, Recorded, World
from tests.vector_cases.harness import Case, Context, vectors

SMESHER, POST_INFO = "spacemesh.v1.SmesherService", "spacemesh.v1.PostInfoService"
HRP = "stest"
ZEROS = bytes(32)
NO_KEY = signing.Signer(bytes(32))
"""Stands for keys that were not recorded: nothing is signed here."""

INVALID, FINE = {"code": int(Status.INVALID_ARGUMENT)}, {"code": 0}
OURS: Mapping[str, Mapping[str, Any]] = {
    "start smeshing: opts incomplete": INVALID,
    "start: no opts": INVALID,
    "is smeshing after the refused starts": {"code": 0, "response": {"isSmeshing": False}},
    "stop": {"code": int(Status.INTERNAL), "message": "failed to stop smeshing: not started"},
    "stop keep files": FINE,
    "is smeshing after stop": {"code": 0, "response": {"isSmeshing": False}},
    "start again after stop": FINE,
    "stop and delete files": FINE,
}
"""What ours answers where it is not as recorded, by the rules `refused` and `returns`."""


class Node:
    """Both services over one smeshing."""

    def __init__(self, folder: Path, config: Config, smeshing: Smeshing) -> None:
        self.folder, self.smeshing = folder, smeshing
        self.post = PostServices(
            asyncio.get_running_loop(), lambda call, result: None, smeshing.identities, lambda: True
        )
        parts = (
            (smesher_pb2, "SmesherService", smesher.calls(StoresBackend(config), smeshing)),
            (post_pb2, "PostInfoService", self.post.info_calls()),
        )
        self._methods = {
            part.DESCRIPTOR.services_by_name[name].full_name: methods(part.DESCRIPTOR.services_by_name[name], calls)
            for part, name, calls in parts
        }

    async def same(self, one: dict[str, Any]) -> None:
        """One recorded call, and what comes of it here."""
        expected = OURS.get(one["name"]) or {key: one[key] for key in ("code", "response", "message") if key in one}
        if one.get("responses"):
            expected = {"responses": [entry["response"] for entry in one["responses"]]}
        elif one.get("code") == Status.DEADLINE_EXCEEDED and one["name"] == "providers with benchmark":
            expected = FINE  # by the client's deadline, on a machine that was busy
        found = _comparable(await self._answer(one), one)
        for key, value in _comparable(dict(expected), one).items():
            assert found.get(key) == value, f"{key}: {found}, expected {expected}"

    async def _answer(self, one: dict[str, Any]) -> dict[str, Any]:
        method = self._methods[one["service"]][one["method"]]
        request = ParseDict(self._here(one.get("request", {}), one), method.request())
        try:
            if method.kind is Kind.STREAM:
                found = []
                async for answer in method.call(request):
                    found.append(_shown(answer))
                    if len(found) == len(one["responses"]):
                        break
                return {"responses": found}
            return {"code": 0, "response": _shown(await method.call(request))}
        except Failed as error:
            return {"code": int(error.status), "message": error.message}

    def _here(self, request: dict[str, Any], one: dict[str, Any]) -> dict[str, Any]:
        """The request, with the data in a folder of ours."""
        opts = request.get("opts")
        if opts and opts.get("data_dir", "").startswith("<"):
            return {**request, "opts": {**opts, "data_dir": str(self.folder)}}
        return request


def _shown(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = MessageToDict(message, always_print_fields_with_no_presence=True)
    return found


def _comparable(answer: dict[str, Any], one: dict[str, Any]) -> dict[str, Any]:
    """Without causes of bad addresses, rates and names of folders."""
    if "bech32" in answer.get("message", ""):
        answer["message"] = answer["message"].partition("bech32")[0]
    bodies = [answer.get("response", {}), *answer.get("responses", ())]
    for body in bodies:
        for provider in body.get("providers", ()):
            provider["performance"] = bool(int(provider["performance"]))
        opts = body.get("status", {}).get("opts")
        if opts:
            opts["dataDir"] = "a folder"
        body.get("states", []).sort(key=lambda state: state["id"])
        body.get("publicKeys", []).sort()
    return answer


def _config() -> Config:
    """Of the recorded networks, as far as these services tell of it."""
    config = networks.BY_NAME["fastnet"]
    post = replace(config.post, min_numunits=1, max_numunits=8, labels_per_unit=128, k1=12, k2=4)
    opts = replace(config.smeshing.opts, scrypt=replace(config.smeshing.opts.scrypt, n=2), provider=4294967295)
    return replace(
        config,
        post=post,
        main=replace(config.main, network_hrp=HRP),
        api=replace(config.api, smesherstreaminterval_ns=1_000_000),
        smeshing=replace(config.smeshing, opts=opts),
    )


def _ours(document: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for place, one in enumerate(document["transcripts"]):
        if one.get("kind") == "raw":
            _, service, method = one["path"].split("/")
            if service != SMESHER or one["code"] != Status.UNIMPLEMENTED or "unknown" in one["message"]:
                continue
            one = {**one, "service": service, "method": method}
        if one.get("service") in (SMESHER, POST_INFO):
            yield f"smeshing[{place}] {one['method']}: {one['name']}", one


def _own(id: bytes, name: str) -> OwnIdentity:
    return OwnIdentity(name, NodeId(id), NO_KEY)


def _address(text: str) -> Address | None:
    found = address.from_text(text, HRP)
    return None if found == Address(bytes(24)) else found


# ---- nodes that nobody controls ----


@vectors("api/grpc_static_*.json", "api/grpc_before_genesis*.json", "api/grpc_live_*.json", variants=False)
def recorded(document: Any, context: Context) -> Iterator[Case]:
    """A node that smeshes, or does not, by its own answers."""
    calls = list(_ours(document))
    with asyncio.Runner() as runner:
        world, node = runner.run(_as_recorded([one for _, one in calls], context.temporary("smeshing")))
        for name, one in calls:
            yield Case(name, lambda one=one: runner.run(node.same(one)))
        runner.run(world.supervised.close())


async def _as_recorded(calls: list[dict[str, Any]], folder: Path) -> tuple[World, Node]:
    answers = {one["method"]: one["response"] for one in reversed(calls) if "response" in one}
    ids = ParseDict(answers["SmesherIDs"], smesher_types_pb2.SmesherIDsResponse())
    own = _own(ids.public_keys[0] if ids.public_keys else b"\x01" * 32, "local.key")
    coinbase = _address(answers["Coinbase"]["accountId"]["address"])
    world = World(folder, _config(), coinbase, own)
    if ids.public_keys:
        world.max_file_size = 4 << 30
        world.make()
        assert coinbase is not None, "who smeshes is paid"
        await world.supervised.start(coinbase, SetupOptions(str(world.directory), 2, 4 << 30, 4294967295))
        await world.next()
    return world, Node(world.directory, world.around.config, world.supervised)


# ---- nodes that are controlled ----


@vectors("api/grpc_smeshing_control.json", variants=False)
def control(document: Any, context: Context) -> Iterator[Case]:
    """One supervised node from its start, one whose proofs are made elsewhere, and the dialogues."""
    with asyncio.Runner() as runner:
        calls = list(_ours(document))
        world, supervised = runner.run(_supervised(calls, context.temporary("supervised")))
        remote = runner.run(_remote(calls, context.temporary("remote")))
        is_remote = False
        for name, one in calls:
            is_remote |= one["name"].startswith("remote")
            if "is registered" in one["name"]:
                runner.run(_wanted(remote))
            node = remote if is_remote else supervised
            yield Case(name, lambda node=node, one=one: runner.run(node.same(one)))
            if one["name"] == "start: ok":
                runner.run(_made(world, supervised))
        runner.run(world.supervised.close())
    found = {one["name"]: one for one in document["register"]}
    for name, one in found.items():
        yield Case(f"register: {name}", lambda one=one: asyncio.run(_dialogue(one, found)))


async def _supervised(calls: list[tuple[str, dict[str, Any]]], folder: Path) -> tuple[World, Node]:
    by_name = {one["name"]: one for _, one in calls}
    (state,) = ParseDict(by_name["post states"]["response"], pb.PostStatesResponse()).states
    coinbase = _address(by_name["supervised, idle: coinbase"]["response"]["accountId"]["address"])
    world = World(folder, _config(), coinbase, _own(state.id, state.name))
    world.max_file_size = 4 << 30
    return world, Node(world.directory, world.around.config, world.supervised)


async def _remote(calls: list[tuple[str, dict[str, Any]]], folder: Path) -> Node:
    (answer,) = [one["response"] for _, one in calls if one["name"] == "remote: post states"]
    own = [_own(state.id, state.name) for state in ParseDict(answer, pb.PostStatesResponse()).states]
    return Node(folder, _config(), Remote(NodeKeys(own, folder).smeshing, Coinbase()))


async def _made(world: World, node: Node) -> None:
    """The labels are made, the PoST service is there, and a proof is wanted."""
    init = await world.next()
    world.make()
    init.end(0)
    await world.next()
    node.post.prove(1, world.own.node_id, ZEROS)
    await asyncio.sleep(0)


async def _wanted(node: Node) -> None:
    """Proofs of all are wanted."""
    for call, (identity, _) in enumerate(node.smeshing.identities()):
        node.post.prove(call, identity, ZEROS)
    await asyncio.sleep(0)


@contextmanager
def quiet() -> Iterator[None]:
    """What is said of bad answers is not part of the table."""
    log = logging.getLogger("post")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


async def _dialogue(one: dict[str, Any], others: Mapping[str, dict[str, Any]]) -> None:
    """What the node says, in order; how the stream ends; that a proof which is one comes out, and none else."""
    expected = [message["message"] for message in one["log"] if message["dir"] == "node->service"]
    node = PostNode(is_allowed=one["name"] != "no coinbase configured")
    with quiet():
        await _exchange(node, one, others, expected)


async def _exchange(
    node: PostNode, one: dict[str, Any], others: Mapping[str, dict[str, Any]], expected: list[Any]
) -> None:
    async with asyncio.timeout(60):
        first = None
        if one["name"].startswith("second stream"):
            earlier = Recorded(node, next(other for name, other in others.items() if name.startswith("first stream")))
            first = asyncio.ensure_future(earlier.run())
            await node.connected()
        service = Recorded(node, one)
        task = asyncio.ensure_future(service.run())
        is_proof_asked = any("genProof" in message for message in expected)
        if is_proof_asked:
            await node.connected()
            (identity,) = node.post.connected()
            node.post.prove(1, identity, ZEROS)
        if "code" in one:
            await asyncio.wait([task])
            error = task.exception()
            assert isinstance(error, Failed) and (error.status, error.message) == (one["code"], one["message"])
        else:
            await node.connected()
            while len(service.heard) < len(expected) or service.unsaid:
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        await service.dialogue.aclose()
        assert service.heard[: len(expected)] == expected, f"{service.heard}, expected {expected}"
        if first is not None:
            assert len(node.post.connected()) == 1 and not first.done(), "the first one goes on"
            first.cancel()
            await asyncio.wait([first])
        if is_proof_asked:
            _, result = await node.result()
            assert isinstance(result, ProvenPost if "complete answer" in one["name"] else NotMet)
