"""Texts of moments: RFC 3339, and what Go reads beyond it."""

from __future__ import annotations

import pytest

from protocol.numbers.time import Time

MOMENT = 1_689_321_600


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2023-07-14T08:00:00,5Z", Time(MOMENT, 500_000_000)),
        ("2023-07-14T08:00:00.1234567899Z", Time(MOMENT, 123_456_789)),
        ("2023-07-15T08:00:00+24:00", Time(MOMENT, 0, 1440)),
    ],
)
def test_what_go_reads_beyond_the_standard_is_read_on_request_only(text: str, moment: Time) -> None:
    assert Time.parse(text, lax=True) == moment
    with pytest.raises(ValueError):
        Time.parse(text)


@pytest.mark.parametrize("lax", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "2023-07-14T08:00:00", "2023-07-14T24:00:00Z", "2023-07-14T08:00:60Z", "2023-02-29T08:00:00Z",
        "2023-07-14T08:00:00+00:60", "2023-07-14T08:00:00+25:00", "2023-07-14T08:00:00.Z", "0000-07-14T08:00:00Z",
        "2023-07-14 08:00:00Z", "٢023-07-14T08:00:00Z",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str, lax: bool) -> None:
    with pytest.raises(ValueError):
        Time.parse(text, lax=lax)
