"""Words of a status are the network's, with every Python."""

from __future__ import annotations

import pytest

from api.http.status import words


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, "OK"),
        (404, "Not Found"),
        (413, "Request Entity Too Large"),
        (414, "Request URI Too Long"),
        (416, "Requested Range Not Satisfiable"),
        (418, "I'm a teapot"),
        (422, "Unprocessable Entity"),
        (431, "Request Header Fields Too Large"),
        (499, "status code 499"),
        (504, "Gateway Timeout"),
        (599, "status code 599"),
    ],
)
def test_the_words_are_those_of_the_networks_programs(status: int, expected: str) -> None:
    assert words(status) == expected
