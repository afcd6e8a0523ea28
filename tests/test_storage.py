"""The state directory: where it is, who owns it, and what a killed owner leaves behind."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from flowbus.errors import ConfigError
from flowbus.storage import (
    LONGEST_SOCKET_PATH,
    StateDirectory,
    StateInUseError,
    make_private,
    owned,
    owner_of,
    prepare_socket,
    socket_path,
    state_path,
)


def take(path: Path) -> StateDirectory:
    return StateDirectory.take(path, "demo", {}, "demo.json")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("environ", "chosen", "found"),
    [
        ({"XDG_STATE_HOME": "/x"}, "/chosen", "/chosen"),
        ({"XDG_STATE_HOME": "/x", "STATE_DIRECTORY": "/s1:/s2"}, None, "/s1"),
        ({"XDG_STATE_HOME": "/x", "STATE_DIRECTORY": "/s1"}, "/chosen", "/chosen"),
        ({"XDG_STATE_HOME": "/x"}, None, "/x/flowbus/demo"),
        ({"XDG_STATE_HOME": "relative"}, None, "/home/me/.local/state/flowbus/demo"),
        ({}, None, "/home/me/.local/state/flowbus/demo"),
    ],
)
def test_the_state_directory_is_the_first_that_somebody_chose(
    environ: dict[str, str], chosen: str | None, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert state_path("demo", environ, chosen) == Path(found)


def test_a_relative_choice_becomes_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert state_path("demo", {}, "here") == tmp_path / "here"


def test_without_a_home_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(ConfigError, match="--state-dir"):
        state_path("demo", {})


def test_it_is_created_for_its_owner_only(tmp_path: Path) -> None:
    with take(tmp_path / "a" / "b") as state:
        assert mode(tmp_path / "a") == mode(state.path) == 0o700
        assert mode(state.path / "lock") == 0o600


def test_one_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o755)
    with take(tmp_path / "a"):
        assert mode(tmp_path / "a") == 0o755


def test_only_one_process_owns_it_and_the_message_says_which(tmp_path: Path) -> None:
    with take(tmp_path), pytest.raises(StateInUseError) as caught:
        take(tmp_path)
    assert caught.value.pid == os.getpid()
    assert f"process {os.getpid()}" in str(caught.value)
    assert "--state-dir" in str(caught.value)


def test_an_owner_that_has_not_said_who_it_is_yet(tmp_path: Path) -> None:
    with take(tmp_path):
        (tmp_path / "lock").write_bytes(b'{"pid": 1')
        with pytest.raises(StateInUseError, match="another process"):
            take(tmp_path)


def test_after_closing_it_is_free(tmp_path: Path) -> None:
    take(tmp_path).close()
    assert owner_of(tmp_path).pid == 0
    state = take(tmp_path)
    state.close()
    state.close()


def test_the_owner_is_written_down(tmp_path: Path) -> None:
    with take(tmp_path):
        owner = owner_of(tmp_path)
        assert (owner.pid, owner.flow) == (os.getpid(), "demo")
        assert owner.file == str(Path("demo.json").absolute())
        assert owner.socket == str(tmp_path / "control.sock")


HOLDER = """
import socket, sys, time
from pathlib import Path
from flowbus.storage import StateDirectory
state = StateDirectory.take(Path(sys.argv[1]), "demo", {})
peer = socket.socket(socket.AF_UNIX)
peer.bind(str(state.socket))
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_killed_process_leaves_nothing_that_blocks(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        assert process.stdout.readline() == b"ready\n"
        with pytest.raises(StateInUseError, match=f"process {process.pid}"):
            take(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    assert (tmp_path / "control.sock").is_socket()
    with take(tmp_path) as state:
        assert not state.socket.exists()


def test_a_socket_that_was_elsewhere_the_last_time_is_removed_too(tmp_path: Path) -> None:
    other = tmp_path / "other.sock"
    with socket.socket(socket.AF_UNIX) as peer:
        peer.bind(str(other))
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "lock").write_text(f'{{"pid": 1, "socket": "{other}"}}')
    with take(tmp_path / "state"):
        assert not other.exists()


def test_a_file_in_the_socket_s_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "control.sock").write_text("mine")
    take(tmp_path).close()
    assert (tmp_path / "control.sock").read_text() == "mine"


def test_a_lock_file_that_was_removed_keeps_nobody_out(tmp_path: Path) -> None:
    with take(tmp_path):
        (tmp_path / "lock").unlink()
        with take(tmp_path), pytest.raises(StateInUseError):
            take(tmp_path)


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_in_its_place_is_an_error_that_names_it(tmp_path: Path, below: str) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match=r"taken.*--state-dir"):
        take(tmp_path / "taken" / below)


def test_what_is_owned_is_listed_by_name(tmp_path: Path) -> None:
    assert list(owned(tmp_path / "missing")) == []
    with take(tmp_path / "b"), take(tmp_path / "a"):
        (tmp_path / "file").write_text("")
        take(tmp_path / "c").close()
        assert [path.name for path, _ in owned(tmp_path)] == ["a", "b"]


def test_a_short_path_keeps_the_socket_in_the_directory() -> None:
    assert socket_path(Path("/var/lib/demo"), {}) == Path("/var/lib/demo/control.sock")


def test_a_long_path_moves_the_socket_to_a_private_place(tmp_path: Path) -> None:
    runtime = tmp_path / "r"
    runtime.mkdir(mode=0o700)
    long = tmp_path / ("x" * 120)
    environ = {"XDG_RUNTIME_DIR": str(runtime)}
    found = socket_path(long, environ)
    assert found == socket_path(long, environ)
    assert found != socket_path(tmp_path / ("y" * 120), environ)
    assert len(os.fsencode(found)) <= LONGEST_SOCKET_PATH
    with StateDirectory.take(long, "demo", environ) as state:
        prepare_socket(state.socket, state.path)
        assert mode(state.socket.parent) == 0o700
        assert owner_of(long).socket == str(found)


def test_a_runtime_directory_that_others_can_enter_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r").chmod(0o755)
    found = socket_path(tmp_path / ("x" * 120), {"XDG_RUNTIME_DIR": str(tmp_path / "r")})
    assert found.parent.name == f"flowbus-{os.getuid()}"


def test_a_folder_that_others_can_write_to_is_not_trusted(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(PermissionError):
        prepare_socket(folder / "a.sock", tmp_path)


def test_a_dangling_link_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(NotADirectoryError):
        make_private(tmp_path / "link")
