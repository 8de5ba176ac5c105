"""What is said of long jobs: shares that move, times in words, rates in the unit that fits, pauses left out."""

from __future__ import annotations

import contextlib
import io
import json

import pytest

from api.cli.common import DeviceRates
from api.cli.output import Output
from api.cli.progress import Progress, rate_text
from api.cli.units import byte_size, duration


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def bar(total: int | None, done: int = 0, *, as_json: bool = False, unit: str = "labels") -> tuple[Progress, Clock]:
    clock = Clock()
    return Progress(Output(json=as_json), "labels", total, done, clock, unit=unit), clock


def test_a_mainnet_job_moves_on_every_screen() -> None:
    """64 GiB by 1,000 labels a second: 50 days."""
    shown, clock = bar(1 << 32)
    shares = set()
    for _ in range(4):
        clock.now += 10
        shown.update(round((clock.now - 1000) * 1000))
        shares.add(shown.share())
    assert len(shares) == 4, shares
    assert shown.facts() == "40,000 of 4,294,967,296 labels, 1,000 labels/s, 15.62 KiB/s, 40 s taken, 49 d 17 h left"


def test_pauses_are_no_time_taken() -> None:
    shown, clock = bar(10_000)
    clock.now += 10
    shown.update(1000)
    shown.pause("paused")
    clock.now += 1_000_000
    assert shown.facts() == "1,000 of 10,000 labels, 100 labels/s, 1.56 KiB/s, 10 s taken, resting"
    shown.resume()
    clock.now += 10
    shown.update(2000)
    assert shown.rate == pytest.approx(100)
    assert shown.facts() == "2,000 of 10,000 labels, 100 labels/s, 1.56 KiB/s, 20 s taken, 1 min 20 s left"


def test_a_devices_line_agrees_with_the_jobs() -> None:
    class Report:
        labels = 500  # of an earlier phase

        class device:
            name, pci, id, handle = "card", None, 0, 0

    class Pool:
        def __init__(self) -> None:
            self.reports = [Report()]

    pool = Pool()
    rates = DeviceRates(pool)  # type: ignore[arg-type]
    shown, clock = bar(10_000)
    clock.now += 10
    shown.pause("paused")
    clock.now += 90
    shown.resume()
    pool.reports[0].labels += 1000
    shown.update(1000, rates.over(shown.worked_s))
    assert shown.device_lines() == ["card: 100 labels/s, 1.56 KiB/s"]
    assert shown.rate == pytest.approx(100)


def test_what_was_there_before_counts_for_the_share_alone() -> None:
    shown, clock = bar(1000, 900)
    clock.now += 10
    shown.update(950)
    assert (shown.share(), shown.rate, shown.seconds_left) == ("95 %", 5.0, 10.0)


def test_nothing_is_rounded_up_to_its_end() -> None:
    shown, clock = bar(1_000_000)
    clock.now += 1
    shown.update(999_999)
    assert shown.share() == "99 %" and shown.facts().endswith("about done")
    shown.update(1_000_000)
    assert shown.share() == "100 %"
    assert bar(0)[0].share() == "100 %" and bar(None)[0].share() == ""


def test_events_have_all_of_it() -> None:
    written = io.StringIO()
    shown, clock = bar(100, as_json=True, unit="groups")
    clock.now += 2
    shown.pause("paused")
    clock.now += 3
    with contextlib.redirect_stdout(written):
        shown.update(10)
        shown.update(11)
    (event,) = (json.loads(line) for line in written.getvalue().splitlines())
    assert (event["groups"], event["seconds"], event["seconds_paused"], event["seconds_left"]) == (10, 2, 3, 18)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (59.9, "59 s"),
        (61, "1 min 1 s"),
        (7300, "2 h 1 min"),
        (90_000, "1 d 1 h"),
        (1_170_976, "13 d 13 h"),
    ],
)
def test_times_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_sizes_and_rates_in_the_unit_that_fits() -> None:
    assert [byte_size(one) for one in (0, 1023, 1024, 5 << 20, 64 << 30)] == [
        "0 bytes", "1023 bytes", "1.00 KiB", "5.00 MiB", "64.00 GiB",
    ]  # fmt: skip
    assert rate_text(0.01, "labels") == "36.0 labels/h"
    assert rate_text(12.34, "labels") == "12.3 labels/s, 197 bytes/s"
    assert rate_text(3, "groups") == "3.0 groups/s"
