"""The generated protobuf code is what the files below protocol/pb/proto give now."""

from __future__ import annotations

from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "protocol" / "pb"


def test_the_generated_code_is_current(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools generates the code; it is in the dev extras")
    from tools.make_pb import generate

    written = generate(tmp_path)
    assert written, "nothing is generated"
    for path in written:
        committed = PACKAGE / path.relative_to(tmp_path)
        assert committed.is_file(), f"{committed} is missing; run make pb"
        assert committed.read_text() == path.read_text(), f"{committed} is not current; run make pb"
