"""``python -m flowbus``: the same as the command ``flowbus``."""

import sys

from flowbus.cli import main

if __name__ == "__main__":
    sys.exit(main())
