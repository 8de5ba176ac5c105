"""The words of a status, as the network's programs say them.

They are those of Go's net/http. Python's own change: 413, 414, 416 and 422 got other names in Python 3.13.
"""

from __future__ import annotations

from http import HTTPStatus

_OTHERWISE = {
    413: "Request Entity Too Large",
    414: "Request URI Too Long",
    416: "Requested Range Not Satisfiable",
    418: "I'm a teapot",
    422: "Unprocessable Entity",
}
"""Where Go's words are others than those of some Python."""


def words(status: int) -> str:
    """The usual words of a status, such as `Not Found`; `status code 499` for one that has none."""
    if status in _OTHERWISE:
        return _OTHERWISE[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"status code {status}"
