"""Values that are made quickly are frozen dataclasses like any others."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, field, replace

import pytest

from node.contract.quick import quick


@quick
class Point:
    """Two numbers and a name."""

    x: int
    y: int = 2
    name: str | None = None


@quick(eq=False)
class Same:
    """Compared by identity."""

    x: int


@quick
class Positive:
    """Refuses what is below 1."""

    x: int

    def __post_init__(self) -> None:
        if self.x < 1:
            raise ValueError(f"x is {self.x}, expected 1 or more")


def test_they_are_made_by_position_by_name_and_by_default() -> None:
    assert Point(1) == Point(x=1, y=2, name=None) == Point(1, 2)
    assert (Point(1, 3).x, Point(1, 3).y, Point(1, name="p").name) == (1, 3, "p")
    assert type(Point(1)) is Point and repr(Point(1)) == "Point(x=1, y=2, name=None)"
    for wrong in ((), (1, 2, "p", 4)):
        with pytest.raises(TypeError):
            Point(*wrong)  # type: ignore[arg-type]


def test_they_cannot_be_changed_and_have_no_other_fields() -> None:
    point = Point(1)
    with pytest.raises(FrozenInstanceError):
        point.x = 2  # type: ignore[misc]
    with pytest.raises((FrozenInstanceError, TypeError, AttributeError)):
        point.z = 2  # type: ignore[attr-defined]
    assert not hasattr(point, "__dict__")


def test_they_are_compared_hashed_replaced_copied_and_matched_as_dataclasses_are() -> None:
    assert len({Point(1), Point(1, 2), Point(2)}) == 2
    assert replace(Point(1), y=5) == Point(1, 5)
    assert copy.deepcopy(Point(1)) == pickle.loads(pickle.dumps(Point(1))) == Point(1)
    match Point(1, 3):
        case Point(x, y):
            assert (x, y) == (1, 3)
    assert Same(1) != Same(1)


def test_what_is_looked_at_after_the_making_is_looked_at() -> None:
    assert Positive(1).x == 1
    with pytest.raises(ValueError, match="x is 0, expected 1 or more"):
        Positive(0)


def test_a_default_that_is_made_anew_each_time_is_refused() -> None:
    with pytest.raises(TypeError, match="default factory"):

        @quick
        class Lists:
            x: list[int] = field(default_factory=list)
