"""Calling services of the second generation without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from google.protobuf import message_factory

from api.edge.rpc import Failed, Headers
from api.services.node.v2.package import V2ALPHA1, Package
from api.services.node.v2.services import SERVICES
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
        return self._loop.run_until_complete(_heard(call(request), steps))

    def run(self, work: Any) -> Any:
        """A coroutine to its end."""
        return self._loop.run_until_complete(work)

    def _call(self, name: str, package: Package, fields: dict[str, Any]) -> tuple[Callable[[Any], Any], Any]:
        service, _, method = name.partition(".")
        kind = package.services[service].methods_by_name[method].input_type
        call = SERVICES[service](self.backend, package)[method]
        return call, message_factory.GetMessageClass(kind)(**fields)


async def _heard(stream: Any, steps: Sequence[Callable[[], object]]) -> list[Any]:
    heard: list[Any] = []
    coming: asyncio.Future[Any] | None = None
    for step in (lambda: None, *steps):
        step()
        while True:
            coming = coming or asyncio.ensure_future(anext(stream))
            for _ in range(6):  # what is handed from one callback to another has arrived then
                await asyncio.sleep(0)
            if not coming.done():
                break
            coming, ended = None, coming
            try:
                found = ended.result()
            except StopAsyncIteration:
                return [*heard, "end"]
            except Failed as error:
                return [*heard, (error.status, error.message)]
            heard.append("headers" if found is Headers.NOW else found)
    if coming is not None:
        coming.cancel()
        await asyncio.wait([coming])
    await stream.aclose()
    return heard
