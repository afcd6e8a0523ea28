"""Values that travel between Python and JavaScript: JSON, with bytes as ``{"hex": "00ff"}``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "javascript"


def to_js(value: Any) -> str:
    return json.dumps(value, default=lambda data: {"hex": data.hex()})


def from_js(text: str) -> Any:
    return json.loads(text, object_hook=_revived)


def _revived(value: dict[str, Any]) -> Any:
    return bytes.fromhex(value["hex"]) if value.keys() == {"hex"} else value


def script(*names: str) -> str:
    return "\n".join((FOLDER / name).read_text() for name in names)
