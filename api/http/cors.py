"""Which sites may ask from a browser: the headers by which it decides. Specified in protocol 10-api, section 1.6."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import hdrs

from api.http.answers import Answer, Request

METHODS = ("GET", "POST", "HEAD")
HEADERS = ("accept", "content-type", "x-requested-with", "origin")
"""That a page may set; a browser sets Origin by itself, so asking for it is no harm."""
VARY_PREFLIGHT = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


class Cors:
    """The sites of one listener."""

    def __init__(self, origins: Sequence[str]) -> None:
        """origins: exact, or with one `*` in them; `*` alone, or none at all, stand for all sites."""
        lowered = [one.lower() for one in origins]
        self._all = not lowered or "*" in lowered
        self._exact = {one for one in lowered if "*" not in one}
        self._around = [one.split("*", 1) for one in lowered if "*" in one]

    def allows(self, origin: str) -> bool:
        """Whether pages of a site may ask."""
        origin = origin.lower()
        return (
            self._all
            or origin in self._exact
            or any(
                len(origin) >= len(before) + len(after) and origin.startswith(before) and origin.endswith(after)
                for before, after in self._around
            )
        )

    def preflight(self, request: Request) -> Answer | None:
        """The answer to a browser that asks whether it may ask, on whatever path; None for any other request."""
        method = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_METHOD)
        if request.method != "OPTIONS" or not method:
            return None
        named: dict[str, str] = {hdrs.VARY: VARY_PREFLIGHT}
        origin = request.headers.get(hdrs.ORIGIN)
        asked = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, "")
        wanted = [one.strip().lower() for one in asked.split(",") if one.strip()]
        may = origin is not None and self.allows(origin) and method in METHODS and all(one in HEADERS for one in wanted)
        if may and origin is not None:
            named[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = "*" if self._all else origin
            named[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = method
            if wanted:
                named[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = asked
        return Answer(204, headers=named)

    def mark(self, request: Request, answer: Answer) -> None:
        """The headers by which a browser gives an answer to the page that asked, or does not."""
        answer.headers[hdrs.VARY] = hdrs.ORIGIN
        origin = request.headers.get(hdrs.ORIGIN)
        if origin and self.allows(origin) and request.method in (*METHODS, "OPTIONS"):
            answer.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = "*" if self._all else origin
