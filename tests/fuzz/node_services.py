"""Random requests to every service of a node, in process: each is answered, or refused with a status.

`python -m tests.fuzz.node_services` sends 10^5 to each method, or as many as it is told; exit code 1 on a find, with
what reproduces it. The node has the first layers of a recorded chain. Of a stream the first messages are taken.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from api.edge.rpc import Failed, Method
from api.services.node.operation.history import History
from api.services.node.operation.operation import Operation, OwnIdentity
from api.services.node.operation.services import SERVICES as OPERATION
from api.services.node.operation.services import calls as operation_calls
from api.services.node.v1 import activations, debug, global_state, mesh, node, transactions
from api.services.node.v2.package import V2ALPHA1, V2BETA1
from api.services.node.v2.services import SERVICES
from node.store.memory import MemoryBackend
from protocol.pb.spacemesh.v1 import activation_pb2, debug_pb2, global_state_pb2, mesh_pb2, node_pb2, tx_pb2
from protocol.types.address import to_text
from protocol.types.ids import NodeId
from tests.fuzz.mutate import mutated
from tests.support.calling import Open
from tests.support.imported_chain import SHORT, ImportedChain, imported_chain
from tests.support.node_backend import StoresBackend

FIRST = (
    (activation_pb2, activations),
    (debug_pb2, debug),
    (global_state_pb2, global_state),
    (mesh_pb2, mesh),
    (node_pb2, node),
    (tx_pb2, transactions),
)
"""Services of spacemesh.v1 that stand on a node alone and change nothing outside it."""
TAKEN = 5
"""Messages of a stream."""
NUMBERS = (0, 1, 2, 5, 15, 16, 17, 40, 63, 64, 100, 101, 1000, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
LARGE = (1 << 32, (1 << 53) + 1, (1 << 62), (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
GARBAGE = ("", "x", "sm1", "stest1qqqq", "0x00", "\0", "ä", "1" * 300, "stest1" + "q" * 60)
SIGNED = {FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_SINT32}
SMALL = {FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_SINT32}


class Found(Exception):
    """A request that was neither answered nor refused."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What a chain knows, so that requests mean something now and then."""

    ids: Sequence[bytes]
    texts: Sequence[str]
    raw: Sequence[bytes]
    """Signed transactions."""

    @classmethod
    def of(cls, chain: ImportedChain) -> Hints:
        """Of a recorded chain."""
        document, hrp, data = chain.document, chain.config.main.network_hrp, bytes.fromhex
        ids = [data(row["id"]) for name in ("transactions", "atxs", "blocks") for row in document[name]]
        smeshers = sorted({row["smesher"] for row in document["atxs"]})
        addresses = sorted({row["address"] for row in document["accounts"]})
        texts = [to_text(data(address), hrp) for address in addresses]
        raw = [data(row["encoded"]) for row in document["transactions"]]
        return cls([*ids, *map(data, smeshers)], [*texts, *smeshers], raw)


def random_message(kind: Descriptor, random: Random, hints: Hints) -> Message:
    """A message in which each field is set or not, to something likely or to nonsense."""
    message = message_factory.GetMessageClass(kind)()
    for field in kind.fields:
        if random.random() < 0.4:
            continue
        values = [
            _value(field, random, hints) for _ in range(random.choice((0, 1, 1, 2, 4)) if field.is_repeated else 1)
        ]
        if field.message_type is not None:
            for value in values:
                (getattr(message, field.name).add() if field.is_repeated else getattr(message, field.name)).CopyFrom(
                    value
                )
        elif field.is_repeated:
            getattr(message, field.name).extend(values)
        else:
            setattr(message, field.name, values[0])
    return message


def _value(field: FieldDescriptor, random: Random, hints: Hints) -> Any:
    if field.message_type is not None:
        return random_message(field.message_type, random, hints)
    match field.type:
        case FieldDescriptor.TYPE_BOOL:
            return random.random() < 0.7 if field.name != "watch" else random.random() < 0.3
        case FieldDescriptor.TYPE_ENUM:
            return random.choice((0, 1, 2, 77))
        case FieldDescriptor.TYPE_STRING:
            return random.choice(hints.texts) if random.random() < 0.6 else random.choice(GARBAGE)
        case FieldDescriptor.TYPE_BYTES:
            return _bytes(field, random, hints)
        case _:
            if field.name == "limit" and random.random() < 0.8:
                return random.randint(1, 100)
            number = random.choice(NUMBERS if field.type in SMALL else NUMBERS + LARGE)
            return number >> 1 if field.type in SIGNED else number


def _bytes(field: FieldDescriptor, random: Random, hints: Hints) -> bytes:
    if field.name == "transaction":
        raw = random.choice(hints.raw)
        return mutated(raw, random) if random.random() < 0.8 else raw
    return (
        random.choice(hints.ids) if random.random() < 0.6 else random.randbytes(random.choice((0, 1, 20, 31, 32, 33)))
    )


class Services:
    """All services of a node, without a socket."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, is_synced: bool) -> None:
        files = MemoryBackend(), MemoryBackend()
        self.chain = imported_chain(SHORT, files)
        backend = self.backend = StoresBackend(self.chain.config, files, loop=loop)
        backend.at_layer(64)
        facts = backend.facts
        backend.told = type(facts)(is_synced, is_synced, facts.latest, facts.applied, facts.processed, facts.verified)
        own = [OwnIdentity(NodeId(bytes.fromhex(row["smesher"])), "key") for row in self.chain.document["atxs"][:1]]
        operation = Operation(lambda: own, History(backend.bus, backend.now))
        self.methods: dict[str, tuple[MethodDescriptor, Method]] = {}
        for pb, module in FIRST:
            (service,) = pb.DESCRIPTOR.services_by_name.values()
            self._add(service, module.calls(backend))
        for package in (V2ALPHA1, V2BETA1):
            for name, make in SERVICES.items():
                self._add(package.services[name], make(backend, package))
        made = operation_calls(backend, operation)
        for name, service in OPERATION.items():
            self._add(service, made[name])

    def _add(self, service: ServiceDescriptor, calls: Mapping[str, Method]) -> None:
        for method in service.methods:
            self.methods[method.full_name] = method, calls[method.name]


async def asked(descriptor: MethodDescriptor, method: Any, request: Message) -> bool:
    """Whether a request is answered; False where it is refused. Raises whatever else comes of it."""
    try:
        if not descriptor.server_streaming:
            (await method(request)).SerializeToString()
            return True
        stream = Open({descriptor.name: method}, descriptor.name, request)
    except Failed:
        return False
    await stream.more(TAKEN)
    await stream.close()
    return not stream.answered.status


def fuzz(cases: int, seed: int, only: str = "") -> Iterator[tuple[str, int, float]]:
    """Name, number of answers and seconds of each method that was asked so often. Raises Found, ValueError."""
    loop = asyncio.new_event_loop()
    try:
        services = Services(loop, is_synced=True)
        hints = Hints.of(services.chain)
        wanted = {name: entry for name, entry in services.methods.items() if only.lower() in name.lower()}
        if not wanted:
            raise ValueError(f"no method has {only!r} in its name")
        for name, (descriptor, method) in wanted.items():
            random, began = Random(f"{seed} {name}"), time.process_time()
            answered = 0
            for _ in range(cases):
                request = random_message(descriptor.input_type, random, hints)
                try:
                    answered += loop.run_until_complete(asked(descriptor, method, request))
                except Exception as error:
                    raise Found(f"{name} with {request.SerializeToString().hex()}: {error!r}") from error
            yield name, answered, time.process_time() - began
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: nothing found, 1: found, 2: usage."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz.node_services", description="Random requests to a node."
    )
    parser.add_argument("--cases", type=int, default=100_000, metavar="N", help="of each method (default 10^5)")
    parser.add_argument("--seed", type=int, default=None, metavar="S", help="the same cases again (default: the time)")
    parser.add_argument(
        "--only", default="", metavar="WORD", help="methods with this in their full name: v2alpha1.Reward"
    )
    options = parser.parse_args(argv)
    seed = time.time_ns() if options.seed is None else options.seed
    print(f"seed {seed}")
    try:
        for name, answered, seconds in fuzz(options.cases, seed, options.only):
            print(f"{name}: {options.cases:,} requests in {seconds:.0f} s, {answered:,} answered", flush=True)
    except ValueError as error:
        parser.error(str(error))
    except Found as found:
        print(f"found, with --seed {seed}: {found}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
