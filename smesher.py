"""What the command `smesher` starts: makes sure that the packages which Python finds are ours, then hands over to them.

Their names (`api`, `node`, …) are common: where another program's package of that name comes first on the path, ours
would be looked for in it. This module has a name that nobody else has.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

PACKAGES = ("api", "node", "prover", "protocol", "kernels")
EXIT_ENVIRONMENT = 3


def strangers() -> list[tuple[str, str]]:
    """Packages of ours in whose place Python finds something else, and where that is."""
    here = Path(__file__).resolve().parent
    found = []
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        places = list(spec.submodule_search_locations or [spec.origin or "?"]) if spec else []
        if not any(Path(place).resolve() == here / name for place in places[:1]):
            found.append((name, places[0] if places else "nowhere"))
    return found


def main() -> int:
    """Runs the command line and returns its exit code; 3 where something shadows our packages."""
    for name, place in strangers():
        sys.stderr.write(
            f"smesher: The package {name} that Python finds is not smesher's but {place}: install smesher in an "
            "environment of its own (a venv, pipx or uv), and unset PYTHONPATH.\n"
        )
        return EXIT_ENVIRONMENT
    from api.cli.main import main as run
    from api.edge import ending

    code = run()
    ending.leave(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
