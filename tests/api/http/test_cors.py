"""Which sites may ask from a browser."""

from __future__ import annotations

from collections.abc import Sequence
from logging import getLogger

import pytest

from api.http.answers import Answer, Request
from api.http.cors import VARY_PREFLIGHT, Cors
from api.http.server import HttpServer
from tests.support.served import Served


class Page:
    """Says yes, with the headers of its sites."""

    def __init__(self, origins: Sequence[str]) -> None:
        self.cors = Cors(origins)
        self.server = HttpServer(self.handle, log=getLogger("tests.http"))

    def close(self) -> None:
        """Nothing is held."""

    async def handle(self, request: Request) -> Answer:
        asked_first = self.cors.preflight(request)
        if asked_first is not None:
            return asked_first
        answer = Answer(200, b"{}", kind="text/plain")
        self.cors.mark(request, answer)
        return answer


def headers(origins: Sequence[str], method: str = "POST", **given: str) -> dict[str, str]:
    """Of an answer, without those that every one has."""
    with Served(lambda: Page(origins)) as served:
        reply = served.ask(method, "/", **given)
    assert reply.status == (204 if "access_control_request_method" in given else 200)
    return {name: value for name, value in reply.headers if name not in ("Date", "Connection", "Content-Length")}


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ([""], "http://a.org", None),
        ([""], "", None),
        ([], "http://a.org", "*"),
        (["*"], "http://a.org", "*"),
        (["http://A.org"], "http://a.org", "http://a.org"),
        (["http://a.org"], "http://a.org.evil", None),
        (["http://a.org"], "null", None),
        (["https://*.a.org"], "https://b.a.org", "https://b.a.org"),
        (["https://*.a.org"], "https://a.org", None),
        (["https://a*a"], "https://a", None),
    ],
)
def test_an_answer_is_given_to_pages_of_these_sites(origins: list[str], origin: str, allowed: str | None) -> None:
    expected = {"Vary": "Origin", **({"Access-Control-Allow-Origin": allowed} if allowed else {})}
    assert headers(origins, Origin=origin) == {**expected, "Content-Type": "text/plain"}


@pytest.mark.parametrize(
    ("method", "wanted", "origin", "allowed"),
    [
        ("POST", None, "http://a.org", True),
        ("GET", "content-type", "http://a.org", True),
        ("POST", "Content-Type, accept,x-requested-with", "http://a.org", True),
        ("POST", "x-foo", "http://a.org", False),
        ("PUT", None, "http://a.org", False),
        ("POST", None, "http://b.org", False),
    ],
)
def test_a_browser_that_asks_first_is_told(method: str, wanted: str | None, origin: str, allowed: bool) -> None:
    more = {} if wanted is None else {"access_control_request_headers": wanted}
    found = headers(["http://a.org"], "OPTIONS", Origin=origin, access_control_request_method=method, **more)
    expected = {"Vary": VARY_PREFLIGHT}
    if allowed:
        expected |= {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Methods": method}
        expected |= {} if wanted is None else {"Access-Control-Allow-Headers": wanted}
    assert found == expected
