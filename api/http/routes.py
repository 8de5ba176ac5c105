"""Which requests mean which method: routes from the `google.api.http` annotations of descriptors."""

from __future__ import annotations

import re
from dataclasses import dataclass

from google.api import annotations_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message


@dataclass(frozen=True, slots=True)
class Route:
    """One method of a service, and the requests that mean it."""

    verb: str
    pattern: re.Pattern[str]
    """Of the decoded path; its groups are fields of the request."""
    path: str
    """The template."""
    has_body: bool
    method: MethodDescriptor
    streaming: bool
    request: type[Message]

    @property
    def name(self) -> str:
        """`package.Service/Method`."""
        return f"{self.method.containing_service.full_name}/{self.method.name}"


def routes_of(service: ServiceDescriptor, *, unannotated: bool = False) -> list[Route]:
    """The routes of a service; `unannotated`: also those of methods without an annotation.

    Raises ValueError for an annotation that is not understood here.
    """
    found = []
    for method in service.methods:
        rule = method.GetOptions().Extensions[annotations_pb2.http]
        verb = rule.WhichOneof("pattern")
        if verb is not None:
            if verb == "custom" or rule.body not in ("", "*"):
                raise ValueError(f"the annotation of {method.full_name} is not understood: {rule}")
            found.append(_route(method, verb.upper(), getattr(rule, verb), rule.body == "*"))
        elif unannotated:
            found.append(_route(method, "POST", f"/{service.full_name}/{method.name}", True))
    return found


_VARIABLE = re.compile(r"\{([a-z_0-9.]+)\}")


def _route(method: MethodDescriptor, verb: str, template: str, has_body: bool) -> Route:
    pieces = _VARIABLE.split(template)
    if any(one in piece for piece in pieces[::2] for one in "{}*:"):
        raise ValueError(f"the path of {method.full_name} is not understood: {template}")
    names = [name.replace(".", "__") for name in pieces[1::2]]
    pattern = "".join(
        f"(?P<{names[place // 2]}>[^/]*)" if place % 2 else re.escape(piece) for place, piece in enumerate(pieces)
    )
    streaming = method.client_streaming or method.server_streaming
    kind = message_factory.GetMessageClass(method.input_type)
    return Route(verb, re.compile(pattern, re.DOTALL), template, has_body, method, streaming, kind)
