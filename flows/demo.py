"""Run flows/demo.json for 20 seconds and say in words and numbers what happened."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

SECONDS = "20"


def main() -> int:
    """Return the exit code of the run, or 1 if messages were lost."""
    flow = Path(__file__).with_name("demo.json")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "flowbus.cli", "run", str(flow), "--for", SECONDS]
        command += ["--watch", "--log-level", "none", "--report", str(report), "--state-dir", str(Path(folder, "state"))]
        code = subprocess.run(command, check=False).returncode
        if not report.exists():
            return code or 1
        told = json.loads(report.read_text())
    print("\n" + "\n".join(words(told)))
    return code or int(told["ledger"]["in_flight"] > 0)


def words(report: dict[str, Any]) -> list[str]:
    """Return the story of the run."""
    nodes, ledger = report["nodes"], report["ledger"]
    nothing = dict.fromkeys(ledger, 0)  # a source that has emitted nothing has no line
    orders, bad_orders, telemetry = (
        ledger["sources"].get(name, nothing) for name in ("orders", "bad-orders", "telemetry")
    )
    writes = nodes["drive"]["taken"] - nodes["drive"]["rejected"]
    outages = {name: peer["restarts"] for name, peer in report["connections"].items() if peer["restarts"]}
    faults: Counter[str] = Counter()
    for node in nodes.values():
        faults.update(node["faults"])
    lines = [
        f"In {report['seconds']:.0f} seconds, in one process:",
        f"  {orders['emitted'] + bad_orders['emitted']:6} commands sent by the cloud over WebSocket",
        f"  {writes:6} PLC writes confirmed by the PLC",
        f"  {telemetry['confirmed']:6} telemetry values published and acknowledged by the broker",
        f"  {nodes['shown']['taken']:6} of them and alarms received back over MQTT",
        f"  {sum(faults.values()):6} errors, each counted, named and published as an alarm:",
        *(f"         {count:4} x {code}" for code, count in sorted(faults.items())),
    ]
    if outages:
        names = ", ".join(f"{name} ({count} attempts)" for name, count in outages.items())
        lines += [
            "The PLC was made to fall silent for 3 seconds; its nodes waited with a code of their own, the",
            f"others ran on, and it came back by itself: {names}.",
        ]
    ends = ", ".join(f"{ledger[end]} {end}" for end in ("confirmed", "rejected", "expired", "dropped"))
    lines.append(f"Of {ledger['emitted']} messages: {ends}, {ledger['in_flight']} still in flight.")
    return lines


if __name__ == "__main__":
    sys.exit(main())
