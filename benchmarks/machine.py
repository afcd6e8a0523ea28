"""The machine line: what a figure must be read with. It names no path and no host."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import re
import subprocess
import timeit
from pathlib import Path
from typing import Any

from benchmarks import node_red

PACKAGES = ("flowbus", "trio", "msgspec", "orjson", "jsonatapy", "h11", "paho-mqtt")


def describe() -> dict[str, Any]:
    """Return date, processor, memory, and the versions of everything that takes part."""
    line = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cpu_count": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
        "python_call_ns": call_ns(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "mosquitto": _mosquitto(),
    }
    peer = node_red.find()
    if peer is not None:
        line |= {"node_red": peer.version, "node": peer.node_version}
    return line


def call_ns() -> float:
    """Return what the call of an empty function costs: how well this interpreter was compiled."""
    runs = timeit.repeat("f()", "def f(): pass", repeat=5, number=200_000)
    return round(min(runs) / 200_000 * 1e9, 1)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _cpu() -> str:
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else platform.processor()


def _mosquitto() -> str:
    try:
        # It prints its version and its options, and ends with 3 whatever it is asked.
        said = subprocess.run(["mosquitto", "-h"], capture_output=True, text=True, timeout=10)
    except OSError:
        return "not installed"
    found = re.search(r"version ([\d.]+)", said.stdout)
    return found.group(1) if found else "unknown"
