"""Every case of the finished vector files holds, on the CPU variant that this machine chooses by itself.

`make vectors` runs the same cases on every variant.
"""

from pathlib import Path

import pytest

from tests.vector_cases.harness import load_checks
from tests.vector_cases.runner import FINISHED, run


@pytest.mark.parametrize("file", FINISHED)
def test_the_references_answers_hold(file: str, vectors_root: Path) -> None:
    registry = load_checks()
    assert not registry.problems, "\n".join(registry.problems)
    present = sorted({found for name in (file, f"{file}.gz") for found in vectors_root.glob(name)})
    if not present:
        pytest.skip(f"NOT CHECKED: {file} is not below {vectors_root}")
    for path in present:
        (row,) = run(vectors_root, registry, only=path.relative_to(vectors_root).as_posix())
        notes = "\n".join(row.notes)
        assert not notes, f"{row.file}: {row.failed} failed, {row.not_understood} not understood:\n{notes}"
        assert (row.failed, row.not_understood) == (0, 0)
        assert row.passed > 0
