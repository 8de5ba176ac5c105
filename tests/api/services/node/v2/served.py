"""Calling services of the second generation without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from google.protobuf import message_factory

from api.edge.rpc import Failed
from api.services.node.v2.package import V2ALPHA1, Package
from api.services.node.v2.services import SERVICES
from tests.support.calling import Open
from tests.support.node_backend import StoresBackend


class Node:
    """A backend with the loop in which its clients are served."""

    def __init__(self, backend: StoresBackend, loop: asyncio.AbstractEventLoop) -> None:
        self.backend, self._loop = backend, loop

    def ask(self, name: str, package: Package = V2ALPHA1, **fields: Any) -> Any:
        """The answer to `Service.Method`. Raises Failed."""
        call, request = self._call(name, package, fields)
        return self._loop.run_until_complete(call(request))

    def refused(self, name: str, package: Package = V2ALPHA1, **fields: Any) -> tuple[int, str]:
        """Status and text of a call that fails."""
        try:
            answer = self.ask(name, package, **fields)
        except Failed as error:
            return error.status, error.message
        raise AssertionError(f"it was answered: {answer}")

    def walk(self, name: str, limit: int, **fields: Any) -> Iterator[Any]:
        """All elements of a list, page after page."""
        offset = 0
        while True:
            answer = self.ask(name, offset=offset, limit=limit, **fields)
            (page,) = [getattr(answer, field.name) for field in answer.DESCRIPTOR.fields]
            assert len(page) <= limit
            yield from page
            if not page:
                return
            offset += limit

    def stream(
        self, name: str, steps: Sequence[Callable[[], object]] = (), package: Package = V2ALPHA1, **fields: Any
    ) -> list[Any]:
        """What a stream says until it waits or ends; then after each step. Headers are told as "headers", an end as
        "end", a failure as its status and text."""
        call, request = self._call(name, package, fields)
        return self._loop.run_until_complete(_heard(Open({name: call}, name, request), steps))

    def run(self, work: Any) -> Any:
        """A coroutine to its end."""
        return self._loop.run_until_complete(work)

    def _call(self, name: str, package: Package, fields: dict[str, Any]) -> tuple[Callable[[Any], Any], Any]:
        service, _, method = name.partition(".")
        kind = package.services[service].methods_by_name[method].input_type
        call = SERVICES[service](self.backend, package)[method]
        return call, message_factory.GetMessageClass(kind)(**fields)


async def _heard(stream: Open, steps: Sequence[Callable[[], object]]) -> list[Any]:
    heard = await stream.more()
    for step in steps:
        step()
        heard += await stream.more()
    answered = stream.answered
    if answered.status:
        heard.append((answered.status, answered.text))
    elif not answered.is_open:
        heard.append("end")
    await stream.close()
    return ["headers", *heard] if answered.has_headers else heard
