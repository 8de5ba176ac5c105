"""Nothing is collected while a program starts; afterwards it is, whatever came of the start."""

from __future__ import annotations

import gc

import pytest

from api.edge.collecting import started, starting


def test_nothing_is_collected_during_a_start_and_what_is_there_then_stays() -> None:
    before = gc.get_freeze_count()
    try:
        with starting():
            assert not gc.isenabled()
            started()
            assert gc.isenabled()
            assert gc.get_freeze_count() > before
        assert gc.isenabled()
    finally:
        gc.unfreeze()


def test_a_start_that_fails_leaves_nothing_switched_off() -> None:
    with pytest.raises(ValueError, match="a mistake"), starting():
        raise ValueError("a mistake")
    assert gc.isenabled()
