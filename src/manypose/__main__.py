"""``python -m manypose``: the command line."""

import os
import sys

if __name__ == "__main__":
    # `python -m` looks for modules in the working folder first, which may hold somebody else's files.
    if sys.path and sys.path[0] in ("", os.getcwd()):
        del sys.path[0]
    from manypose.cli.__main__ import main

    sys.exit(main())
