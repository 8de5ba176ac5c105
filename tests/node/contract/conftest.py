"""Stores for the walks, on both backends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from node.store.stores import Stores

from .world import stores_on

OpenStores = Callable[..., Callable[[], Stores]]


@pytest.fixture(params=["memory", "leveldb"])
def open_stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStores]:
    """`open_stores(TABLE, …)()` opens stores of these tables; called again, the same ones as after a kill."""
    with ExitStack() as stack:

        def of(*tables: Any) -> Callable[[], Stores]:
            return stack.enter_context(stores_on(request.param, tmp_path, *tables))

        yield of
