"""`smesher gen-p2p-identity`: made once, told ever after. What files hold is in the vectors of p2p/identity.json."""

from __future__ import annotations

from pathlib import Path

from tests.support.cli import smesher


def test_a_key_is_made_once_and_closed(tmp_path: Path) -> None:
    first = smesher("gen-p2p-identity", tmp_path / "data" / "p2p", "--json").ok().last
    second = smesher("gen-p2p-identity", tmp_path / "data" / "p2p", "--json").ok().last
    assert first["made"] and not second["made"] and first["id"] == second["id"]
    assert smesher("gen-p2p-identity", tmp_path / "data" / "p2p").ok().out == f"{first['id']}\n"
    assert (tmp_path / "data" / "p2p" / "p2p.key").stat().st_mode & 0o777 == 0o600


def test_a_damaged_one_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "p2p.key").write_text("{}")
    smesher("gen-p2p-identity", tmp_path).refused(1, "p2p.key is damaged", "delete it, and a new one is made")
    assert (tmp_path / "p2p.key").read_text() == "{}"
