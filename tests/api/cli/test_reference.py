"""The reference of commands is what the commands say of themselves."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from api.cli.poet.serve import TOOLS
from api.services.poet.options import SETTINGS

ROOT = Path(__file__).resolve().parents[3]


def test_the_reference_of_commands_is_current() -> None:
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "tools" / "make_reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.TARGET.read_text() == module.reference(), "run python tools/make_reference.py"


def test_the_reference_reads_as_written_by_somebody_who_read_it() -> None:
    text = (ROOT / "docs" / "reference" / "commands.md").read_text()
    assert "%%" not in text and "%(" not in text
    doubled = [found[0] for found in re.finditer(r"\b([A-Za-z]{2,}) \1\b", text)]
    assert not doubled
    for line in text.splitlines():
        assert line.count("(default") <= 1 and line.count("repeatable") <= 1, line
        assert not re.search(r"\| *\|$", line), f"an option without a meaning: {line}"


def test_the_poets_settings_are_in_the_reference() -> None:
    text = (ROOT / "docs" / "reference" / "commands.md").read_text()
    section = text.partition("## smesher poet\n")[2].partition("\n## ")[0]
    for setting in SETTINGS:
        assert f"`{setting.shown_flag}" in section and setting.meaning() in section
    assert all(f"### smesher poet {tool}" in section for tool in TOOLS)
