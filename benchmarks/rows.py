"""The rows of the result, their ratio, the table and the JSON file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HEADER = (
    "ratio > 1 always means that flowbus is better: more a second, or less time, memory, CPU, loss"
)

# Units of which less is better; of everything that ends in "/s" more is better.
LESS_IS_BETTER = frozenset({"s", "ms", "µs", "MB", "KB", "% of a core", "messages", "µs CPU/msg"})


def more_is_better(unit: str) -> bool:
    """Tell which way is better; ValueError for a unit that nobody has decided upon."""
    if unit in LESS_IS_BETTER:
        return False
    if unit.endswith("/s"):
        return True
    raise ValueError(f"unit {unit!r}: add it to LESS_IS_BETTER, or use one that ends in '/s'")


def ratio_of(unit: str, flowbus: float | None, peer: float | None) -> float | None:
    """Return how many times better flowbus is, or None where there is nothing to divide by."""
    if flowbus is None or peer is None:
        return None
    better, worse = (flowbus, peer) if more_is_better(unit) else (peer, flowbus)
    return None if worse == 0 else round(better / worse, 3)


@dataclass(frozen=True)
class Row:
    """One figure of flowbus, beside a peer's where there is one."""

    name: str
    unit: str
    flowbus: float | None
    peer: float | None
    peer_name: str
    ratio: float | None


def row(
    name: str, unit: str, flowbus: float | None, peer: float | None = None, peer_name: str = ""
) -> Row:
    """Return a row with its ratio; a peer without a figure is not named."""
    return Row(
        name, unit, _round(flowbus), _round(peer), peer_name if peer is not None else "",
        ratio_of(unit, flowbus, peer),
    )  # fmt: skip


def from_dict(value: Mapping[str, Any]) -> Row:
    """Return the row that another module gave as a dict; only name, unit and flowbus must be there."""
    return row(
        str(value["name"]),
        str(value["unit"]),
        value["flowbus"],
        value.get("peer"),
        str(value.get("peer_name") or ""),
    )


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table for people, with the header that says how to read the ratio."""
    cells = [("", "unit", "flowbus", "peer", "ratio", "peer is")]
    cells += [
        (r.name, r.unit, show(r.flowbus), show(r.peer), _ratio(r.ratio), r.peer_name) for r in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(6)]
    lines = []
    for line in cells:
        left = f"{line[0]:<{widths[0]}}  {line[1]:<{widths[1]}}"
        right = "  ".join(f"{line[column]:>{widths[column]}}" for column in (2, 3, 4))
        lines.append(f"{left}  {right}  {line[5]}".rstrip())
    return "\n".join([HEADER, "", *lines])


def show(value: float | None) -> str:
    """Return a figure with three significant digits, or all of them before the point."""
    if value is None:
        return "–"
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def write(
    path: Path, machine: Mapping[str, Any], rows: Iterable[Row], notes: Sequence[str]
) -> None:
    """Write the rows as a JSON list, and beside it (see :func:`circumstances`) where they come from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"header": HEADER, "machine": dict(machine), "notes": list(notes)}
    for file, value in ((path, [asdict(r) for r in rows]), (circumstances(path), about)):
        file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def circumstances(path: Path) -> Path:
    """Return the file that has the header, the machine and the notes to the rows in ``path``."""
    return path.with_name(f"{path.stem}-machine.json")


def _ratio(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.2f}"


def _round(value: float | None) -> float | None:
    """Four significant digits: no benchmark is more exact than that."""
    if value is None:
        return None
    rounded = float(f"{value:.4g}")
    return int(rounded) if rounded == int(rounded) else rounded
