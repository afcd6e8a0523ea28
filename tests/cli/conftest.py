"""The plugin ``flowbus-stage``, and a state directory that is nobody's home."""

from __future__ import annotations

from pathlib import Path

import pytest

STAGE = Path(__file__).with_name("stage")


@pytest.fixture(autouse=True)
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the plugin, and work in a folder of the test."""
    monkeypatch.syspath_prepend(str(STAGE))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.chdir(tmp_path)
    return STAGE
