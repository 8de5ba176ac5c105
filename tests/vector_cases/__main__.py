"""`python -m tests.vector_cases --vectors DIR`: see runner.main."""

import sys

from tests.vector_cases.runner import main

if __name__ == "__main__":
    sys.exit(main())
