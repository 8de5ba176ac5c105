"""How often one client may ask."""

from __future__ import annotations

from api.edge import rates
from api.edge.rates import Rates


def test_a_burst_at_once_then_an_even_pace_for_each_client_by_itself() -> None:
    now = [0.0]
    pace = Rates(2.0, 4, lambda: now[0])
    assert [pace.take("a") for _ in range(6)] == [True] * 4 + [False] * 2
    assert pace.take("b")
    now[0] = 0.5
    assert [pace.take("a") for _ in range(2)] == [True, False], "one came back, and refusals cost nothing"
    now[0] = 100.0
    assert [pace.take("a") for _ in range(5)] == [True] * 4 + [False]


def test_clients_who_are_not_ahead_are_forgotten() -> None:
    now = [0.0]
    pace = Rates(1.0, 1, lambda: now[0])
    for number in range(3 * rates.FORGOTTEN_ABOVE):
        now[0] += 0.01
        pace.take(str(number))
    assert len(pace._even) <= rates.FORGOTTEN_ABOVE + 1
    assert not pace.take(str(3 * rates.FORGOTTEN_ABOVE - 1)), "the last one is known"
