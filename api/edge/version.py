"""Which program this is."""

from __future__ import annotations


def program_version() -> str:
    """The version of the installed package; "unknown" where it runs from a folder without being installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("smesher")
    except PackageNotFoundError:
        return "unknown"
