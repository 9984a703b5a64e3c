"""``python -m manypose``: the command line."""

import sys

from manypose.cli.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
