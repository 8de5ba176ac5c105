"""The description of a gateway for tools that make clients of it: OpenAPI 3.0, from the descriptors of its routes.

Names, types and routes are those that the gateway itself goes by. Methods that stream have no place there: over HTTP
they are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from api.http.routes import Route

Schema = dict[str, Any]

INT_32 = {"type": "integer", "format": "int32"}
INT_64 = {"type": "string", "format": "int64"}
UINT_32 = {"type": "integer", "format": "int64", "minimum": 0, "maximum": (1 << 32) - 1}
UINT_64 = {"type": "string", "format": "uint64"}
_SCALARS: dict[int, Schema] = {
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.TYPE_INT64: INT_64,
    FieldDescriptor.TYPE_SINT64: INT_64,
    FieldDescriptor.TYPE_SFIXED64: INT_64,
    FieldDescriptor.TYPE_UINT64: UINT_64,
    FieldDescriptor.TYPE_FIXED64: UINT_64,
    FieldDescriptor.TYPE_INT32: INT_32,
    FieldDescriptor.TYPE_SINT32: INT_32,
    FieldDescriptor.TYPE_SFIXED32: INT_32,
    FieldDescriptor.TYPE_UINT32: UINT_32,
    FieldDescriptor.TYPE_FIXED32: UINT_32,
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "format": "byte"},
}
_WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "example": "300s"},
    "google.protobuf.Empty": {"type": "object"},
}
ERROR = "Error"
_ERROR_SCHEMA: Schema = {
    "type": "object",
    "description": "A call that ended with a status other than OK.",
    "properties": {
        "code": {"type": "integer", "description": "The status of gRPC."},
        "message": {"type": "string"},
        "details": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["code", "message", "details"],
}


def document(title: str, version: str, routes: Iterable[Route]) -> Schema:
    """The whole document, as JSON takes it."""
    schemas = _Schemas()
    paths: dict[str, dict[str, Schema]] = {}
    for route in routes:
        if not route.streaming:
            paths.setdefault(route.path, {})[route.verb.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.0.3",
        "info": {"title": title, "version": version or "unknown"},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": {ERROR: _ERROR_SCHEMA, **schemas.made}},
    }


def _operation(route: Route, schemas: _Schemas) -> Schema:
    method = route.method
    operation: Schema = {
        "operationId": f"{method.containing_service.full_name}.{method.name}".replace(".", "_"),
        "tags": [method.containing_service.full_name],
        "responses": {
            "200": {
                "description": "OK",
                "content": {"application/json": {"schema": schemas.of_message(method.output_type)}},
            },
            "default": {
                "description": "The call failed.",
                "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{ERROR}"}}},
            },
        },
    }
    if route.has_body:
        operation["requestBody"] = {
            "content": {"application/json": {"schema": schemas.of_message(method.input_type)}},
        }
    elif parameters := list(_parameters(route, schemas)):
        operation["parameters"] = parameters
    return operation


def _parameters(route: Route, schemas: _Schemas) -> Iterator[Schema]:
    """Of the path and the query. A POST without a body takes neither."""
    taken = {name.replace("__", ".") for name in route.pattern.groupindex}
    for name in sorted(taken):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
    if route.verb != "GET":
        return
    for name, field in _leaves(route.method.input_type, "", 0):
        if field.name not in taken:  # those of a path are not nested
            yield {"name": name, "in": "query", "schema": schemas.of_field(field)}


MOST_NESTED = 3
"""Messages inside each other whose fields are named in a query."""


def _leaves(message: Descriptor, prefix: str, depth: int) -> Iterator[tuple[str, FieldDescriptor]]:
    for field in message.fields:
        inner = field.message_type
        if inner is None or inner.full_name in _WELL_KNOWN:
            yield prefix + field.json_name, field
        elif not field.is_repeated and depth < MOST_NESTED:
            yield from _leaves(inner, f"{prefix}{field.json_name}.", depth + 1)


class _Schemas:
    """Messages and enums that are named somewhere, each once."""

    def __init__(self) -> None:
        self.made: dict[str, Schema] = {}

    def of_message(self, message: Descriptor) -> Schema:
        """A schema, or a reference to it."""
        if message.full_name in _WELL_KNOWN:
            return _WELL_KNOWN[message.full_name]
        if message.full_name not in self.made:
            properties: Schema = {}
            # first, since messages name each other
            self.made[message.full_name] = {"type": "object", "properties": properties}
            properties.update({field.json_name: self.of_field(field) for field in message.fields})
        return {"$ref": f"#/components/schemas/{message.full_name}"}

    def of_enum(self, enum: EnumDescriptor) -> Schema:
        """A reference to its schema."""
        self.made.setdefault(enum.full_name, {"type": "string", "enum": [one.name for one in enum.values]})
        return {"$ref": f"#/components/schemas/{enum.full_name}"}

    def of_field(self, field: FieldDescriptor) -> Schema:
        """One value, a list of them, or names with values."""
        message = field.message_type
        if message is not None and message.GetOptions().map_entry:
            return {"type": "object", "additionalProperties": self.of_field(message.fields_by_name["value"])}
        if message is not None:
            one = self.of_message(message)
        elif field.enum_type is not None:
            one = self.of_enum(field.enum_type)
        else:
            one = _SCALARS[field.type]
        return {"type": "array", "items": one} if field.is_repeated else one
