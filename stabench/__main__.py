"""`python -m stabench` is `stabench`."""

import sys

from stabench.harness.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
