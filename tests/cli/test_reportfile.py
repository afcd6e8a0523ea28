"""The file of ``--report``."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from flowbus.cli import main
from flowbus.cli.reportfile import ReportFile


def test_it_replaces_the_file_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "r.json"
    target.write_text("old")
    target.chmod(0o640)
    report = ReportFile(str(target))
    assert target.read_text() == "old"
    report.write({"flow": "demo"})
    assert json.loads(target.read_text()) == {"flow": "demo"}
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_a_new_file_has_the_usual_mode(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        ReportFile(str(tmp_path / "r.json")).write({})
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "r.json").stat().st_mode) == 0o640


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    ReportFile(str(tmp_path / "link")).write({})
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").is_file()


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="No such device"):
        ReportFile(str(tmp_path / "pipe"))
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        ReportFile(str(tmp_path / "pipe")).write({"flow": "demo"})
        assert json.loads(os.read(reader, 1000)) == {"flow": "demo"}
    finally:
        os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_dev_stdout_is_no_file_to_replace() -> None:
    Path("a.json").write_text('{"flowbus": 1, "name": "demo", "nodes": {}}')
    code = "import sys, flowbus.cli as c; sys.exit(c.main(['run', 'a.json', '--report', '/dev/stdout']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert done.returncode == 0
    assert json.loads(done.stdout)["flow"] == "demo"


def test_a_failure_leaves_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "r.json"
    target.write_text("old")
    report = ReportFile(str(target))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        report.write({})
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize("name", ["missing/r.json", ".", "a\0b"])
def test_where_nothing_can_be_written_the_run_does_not_begin(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a.json").write_text('{"flowbus": 1, "nodes": {}}')
    assert main(["run", "a.json", "--report", name]) == 2
    assert "--report" in capsys.readouterr().err
    assert not Path("state").exists()
