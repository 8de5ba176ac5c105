"""gRPC server reflection, v1 and v1alpha: which services there are and their descriptors.

Both versions have the same messages. Enough for grpcurl and other clients that know a server only by asking it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import Message

from api.edge.rpc import Dialogue, Failed, Status
from api.grpc.methods import Kind, Method, Services
from protocol.pb.grpc.reflection.v1 import reflection_pb2
from protocol.pb.grpc.reflection.v1alpha import reflection_pb2 as alpha_pb2

VERSIONS = (reflection_pb2, alpha_pb2)
IDLE_S = 60.0
"""Between two questions of a client."""


def reflection(services: Sequence[str], files: Sequence[FileDescriptor]) -> Services:
    """Both versions, which tell of these services and of themselves. files: what describes the services."""
    names = [version.DESCRIPTOR.services_by_name["ServerReflection"].full_name for version in VERSIONS]
    described = Described([*services, *names], [*files, *(version.DESCRIPTOR for version in VERSIONS)])
    return {
        name: {
            "ServerReflectionInfo": Method(
                version.ServerReflectionRequest, _dialogue(described, version.ServerReflectionResponse), Kind.DIALOGUE
            )
        }
        for name, version in zip(names, VERSIONS)
    }


def _dialogue(described: Described, answer: Callable[..., Any]) -> Dialogue:
    async def reflect(questions: AsyncIterator[Any]) -> AsyncIterator[Message]:
        while True:
            try:
                async with asyncio.timeout(IDLE_S):
                    question = await anext(questions, None)
            except TimeoutError:
                raise Failed(Status.DEADLINE_EXCEEDED, f"nothing was asked for {IDLE_S:g} s") from None
            if question is None:
                return
            yield described.answer(question, answer(valid_host=question.host, original_request=question))

    return reflect


class Described:
    """What a listener tells of itself."""

    def __init__(self, services: Sequence[str], files: Sequence[FileDescriptor]) -> None:
        self._services = sorted(services)
        self._files: dict[str, FileDescriptor] = {}
        """All that are told of, by their names: those given and what they import."""
        todo = list(files)
        while todo:
            one = todo.pop()
            if one.name not in self._files:
                self._files[one.name] = one
                todo.extend(one.dependencies)

    def answer(self, question: Any, response: Any) -> Message:
        """Fills the response to a question."""
        asked = question.WhichOneof("message_request")
        pool = descriptor_pool.Default()
        try:
            if asked == "list_services":
                for name in self._services:
                    response.list_services_response.service.add(name=name)
            elif asked == "file_by_filename":
                self._describe(response, question.file_by_filename)
            elif asked == "file_containing_symbol":
                self._describe(response, _file_of(question.file_containing_symbol))
            elif asked == "all_extension_numbers_of_type":
                kind = question.all_extension_numbers_of_type
                if pool.FindMessageTypeByName(kind).file.name not in self._files:
                    raise KeyError(f"there is no type {kind}")
                response.all_extension_numbers_response.base_type_name = kind
            else:
                raise KeyError("there are no extensions")
        except KeyError as error:
            response.error_response.error_code = Status.NOT_FOUND
            response.error_response.error_message = error.args[0]
        answered: Message = response
        return answered

    def _describe(self, response: Any, name: str) -> None:
        """The file and everything that it imports, each once. Raises KeyError."""
        if name not in self._files:
            raise KeyError(f"there is no file {name}")
        found = {name: self._files[name]}
        todo = [self._files[name]]
        while todo:
            for one in todo.pop().dependencies:
                if one.name not in found:
                    found[one.name] = one
                    todo.append(one)
        response.file_descriptor_response.file_descriptor_proto.extend(one.serialized_pb for one in found.values())


def _file_of(symbol: str) -> str:
    """The name of the file that has a symbol; for a method that of its service. Raises KeyError."""
    pool = descriptor_pool.Default()
    try:
        name: str = pool.FindFileContainingSymbol(symbol).name
    except KeyError:
        name = pool.FindFileContainingSymbol(symbol.rpartition(".")[0]).name
    return name
