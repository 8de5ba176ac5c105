"""gRPC server reflection, v1 and v1alpha: which services there are and their descriptors.

Both versions have the same messages. Enough for grpcurl and other clients that know a server only by asking it.
"""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf import descriptor_pool

from api.edge.rpc import Status
from protocol.pb.grpc.reflection.v1 import reflection_pb2
from protocol.pb.rpc.api.v1 import api_pb2, internal_api_pb2

REFLECTION_SERVICES = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
DESCRIBED = (api_pb2, internal_api_pb2, reflection_pb2)
"""Importing them puts them into the pool that is asked."""


def reflect(data: bytes, services: Sequence[str]) -> bytes:
    """The answer to one request of the stream. Raises DecodeError for bytes that are none."""
    request = reflection_pb2.ServerReflectionRequest()
    request.ParseFromString(data)
    response = reflection_pb2.ServerReflectionResponse(valid_host=request.host, original_request=request)
    asked = request.WhichOneof("message_request")
    pool = descriptor_pool.Default()
    try:
        if asked == "list_services":
            for name in services:
                response.list_services_response.service.add(name=name)
        elif asked == "file_by_filename":
            _describe(response, pool.FindFileByName(request.file_by_filename))
        elif asked == "file_containing_symbol":
            symbol = request.file_containing_symbol.replace("reflection.v1alpha", "reflection.v1")
            _describe(response, pool.FindFileContainingSymbol(symbol))
        elif asked == "all_extension_numbers_of_type":
            kind = request.all_extension_numbers_of_type
            pool.FindMessageTypeByName(kind)
            response.all_extension_numbers_response.base_type_name = kind
        else:
            response.error_response.error_code = Status.NOT_FOUND
            response.error_response.error_message = "there are no extensions"
    except KeyError as error:
        response.error_response.error_code = Status.NOT_FOUND
        response.error_response.error_message = str(error)
    answer: bytes = response.SerializeToString()
    return answer


def _describe(response: reflection_pb2.ServerReflectionResponse, file: object) -> None:
    """The file and everything that it imports, each once."""
    seen: list[bytes] = []
    todo = [file]
    while todo:
        one = todo.pop()
        data: bytes = one.serialized_pb  # type: ignore[attr-defined]
        if data not in seen:
            seen.append(data)
            todo.extend(one.dependencies)  # type: ignore[attr-defined]
    response.file_descriptor_response.file_descriptor_proto.extend(seen)
