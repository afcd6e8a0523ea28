"""The Autobahn test suite as a process: where it is, how it is started, what it has found."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
FOLDER = Path(os.environ.get("AUTOBAHN", ROOT / ".venv" / "autobahn"))
WSTEST = FOLDER / "venv" / "bin" / "wstest"
HOW_TO = "the Autobahn test suite is not installed: make autobahn (see CONTRIBUTING.md)"

#: What a case may come to. FAILED is none of it, nor is a wrong close code or an unclean end.
FINE = {"OK", "NON-STRICT", "INFORMATIONAL"}


def chosen() -> dict[str, Any]:
    """Return which cases to run: all, unless AUTOBAHN_CASES or AUTOBAHN_EXCLUDE say less."""
    cases = os.environ.get("AUTOBAHN_CASES", "*").split(",")
    exclude = os.environ.get("AUTOBAHN_EXCLUDE", "")
    return {
        "cases": cases,
        "exclude-cases": exclude.split(",") if exclude else [],
        "exclude-agent-cases": {},
    }


@contextlib.contextmanager
def wstest(mode: str, spec: dict[str, Any], folder: Path, *options: str) -> Iterator[Any]:
    """Run the suite in a mode of its own; yields the process."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.json").unlink(missing_ok=True)  # nobody shall read that of an earlier run
    path = folder / f"{mode}.json"
    path.write_text(json.dumps({"outdir": str(folder), **spec, **chosen()}))
    with (folder / f"{mode}.log").open("wb") as log:
        command = [str(WSTEST), "-m", mode, "-s", str(path), *options]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
        try:
            yield process
        finally:
            process.kill()
            process.wait(10)


def is_open(port: int) -> bool:
    """Tell whether somebody listens on a port of 127.0.0.1."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


class Findings:
    """What the suite has found about one agent; ``behaviors`` counts the cases by how they ended."""

    def __init__(self, folder: Path) -> None:
        (self.cases,) = json.loads((folder / "index.json").read_text()).values()
        self.behaviors = Counter(case["behavior"] for case in self.cases.values())
        self.closes = Counter(case["behaviorClose"] for case in self.cases.values())

    @property
    def bad(self) -> dict[str, tuple[str, str]]:
        """The cases that did not end well: how they behaved, and how they closed."""
        return {
            number: (case["behavior"], case["behaviorClose"])
            for number, case in sorted(self.cases.items(), key=lambda item: _order(item[0]))
            if not {case["behavior"], case["behaviorClose"]} <= FINE
        }

    def __str__(self) -> str:
        return f"{len(self.cases)} cases: {dict(self.behaviors)}; closed: {dict(self.closes)}"


def _order(number: str) -> list[int]:
    return [int(part) for part in number.split(".")]
