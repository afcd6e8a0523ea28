"""pyads as a client of the simulated PLC: the cases of pyads_*cases.py, each file in a process of its own.

The library that pyads loads crashes its process now and then when notifications are deleted while
their callbacks run. That is no failure of the simulated PLC: a process ended by a signal is tried
again, twice; a case that fails is a failure at once.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

CASES = sorted(Path(__file__).parent.glob("pyads_*cases.py"))
TRIES = 3


@pytest.mark.parametrize("cases", CASES, ids=lambda path: path.stem)
def test_pyads_as_a_client(cases: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(cases)]
    for _ in range(TRIES):
        ended = subprocess.run(
            command, cwd=cases.parents[2], capture_output=True, text=True, timeout=120, check=False
        )
        if ended.returncode >= 0:
            break
    assert ended.returncode == 0, ended.stdout[-5000:]
    assert " passed" in ended.stdout
