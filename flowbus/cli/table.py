"""Plain text in aligned columns."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from flowbus.logs import printable


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Return the rows as lines; the columns in ``right`` are set flush right."""
    rows = [[printable(cell.replace("\n", " ")) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        sized = zip(range(len(row)), row, widths, strict=True)
        cells = [cell.rjust(width) if i in right else cell.ljust(width) for i, cell, width in sized]
        lines.append("  ".join(cells).rstrip())
    return lines


def age(seconds: float) -> str:
    """Return a span of time in its two largest units: ``3m 5s``."""
    left = max(0, math.floor(seconds))
    units = [("d", 86400), ("h", 3600), ("m", 60), ("s", 1)]
    first = next((i for i, (_, size) in enumerate(units) if left >= size), 3)
    parts: list[str] = []
    for unit, size in units[first : first + 2]:
        count, left = divmod(left, size)
        if count or not parts:
            parts.append(f"{count}{unit}")
    return " ".join(parts)


def rate(per_second: float) -> str:
    """Return a rate with as many digits as matter."""
    if per_second >= 99.95:
        return f"{per_second:,.0f}"
    return f"{per_second:.1f}" if per_second else "0"
