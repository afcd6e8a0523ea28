"""``python -m flowbus.cli``."""

import sys

from flowbus.cli import main

sys.exit(main())
