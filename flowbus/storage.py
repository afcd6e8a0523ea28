"""The state directory of a flow: where it is, who owns it, and where its control socket is."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

import msgspec

from flowbus.errors import ConfigError

if sys.platform != "win32":
    import fcntl

LOCK = "lock"
SOCKET = "control.sock"
#: Bytes that the path of a Unix socket may have on every system (Linux 107, macOS 103).
LONGEST_SOCKET_PATH = 103
ELSEWHERE = "name another one with --state-dir"


class StateInUseError(Exception):
    """Another process owns the state directory; ``pid`` is 0 where it has not said so yet."""

    def __init__(self, path: Path, pid: int) -> None:
        self.path = path
        self.pid = pid
        who = f"process {pid}" if pid else "another process"
        super().__init__(
            f"the state directory {path} is in use by {who}: the flow runs already. Stop that one, "
            "or give this one a directory of its own with --state-dir"
        )


class Owner(msgspec.Struct, frozen=True):
    """What the owner of a state directory writes into its lock file."""

    pid: int = 0
    flow: str = ""
    file: str = ""
    socket: str = ""


def state_root(environ: Mapping[str, str]) -> Path:
    """Return the folder under which flows keep their state where nobody chose another."""
    base = environ.get("XDG_STATE_HOME", "")
    if Path(base).is_absolute():  # the XDG specification has relative ones ignored
        return Path(base) / "flowbus"
    try:
        return Path.home() / ".local" / "state" / "flowbus"
    except RuntimeError:
        raise ConfigError(
            "there is no home directory to keep state in; set XDG_STATE_HOME, or use --state-dir"
        ) from None


def state_path(flow: str, environ: Mapping[str, str], chosen: str | None = None) -> Path:
    """Return the state directory of the flow of this name, absolute; it may not exist yet.

    The first of: ``chosen``, ``$STATE_DIRECTORY`` (systemd's; of several the first), a folder named
    like the flow under :func:`state_root`.
    """
    path = chosen or environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(path).absolute() if path else state_root(environ) / flow


class StateDirectory:
    """A state directory that this process owns until it is closed, or until the process is gone."""

    def __init__(self, path: Path, lock: int, owner: Owner) -> None:
        self.path = path
        self.owner = owner
        self._lock = lock

    @classmethod
    def take(
        cls, path: Path, flow: str, environ: Mapping[str, str], file: str = ""
    ) -> StateDirectory:
        """Create the directory where it is missing (mode 0700), and own it.

        Sockets that a killed process left are removed. Raises StateInUseError where another
        process owns it, ConfigError where the directory cannot be used.
        """
        if sys.platform == "win32":
            raise ConfigError("flows run on Linux and macOS; on Windows flowbus only checks them")
        try:
            make_private(path)
            lock = _lock(path / LOCK)
        except OSError as error:
            why = error.strerror or error
            raise ConfigError(
                f"cannot use the state directory {path}: {why}; {ELSEWHERE}"
            ) from error
        if lock is None:
            raise StateInUseError(path, owner_of(path).pid)
        socket = socket_path(path, environ)
        for stale in {owner_of(path).socket, str(socket)}:
            _remove_socket(stale)
        owner = Owner(os.getpid(), flow, str(Path(file).absolute()) if file else "", str(socket))
        directory = cls(path, lock, owner)
        directory._write(msgspec.json.encode(owner))
        return directory

    @property
    def socket(self) -> Path:
        """Where the control socket belongs; its path is short enough for one."""
        return Path(self.owner.socket)

    def close(self) -> None:
        """Remove the control socket and let go of the directory; the lock file stays, empty."""
        if self._lock < 0:
            return
        _remove_socket(self.owner.socket)
        with contextlib.suppress(OSError):  # a full or vanished disk must not spoil a good end
            self._write(b"")
        os.close(self._lock)
        self._lock = -1

    def __enter__(self) -> StateDirectory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self, data: bytes) -> None:
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, data, 0)


def make_private(path: Path) -> None:
    """Create a directory and its missing parents with mode 0700; OSError says why not.

    One that exists keeps the mode that somebody gave it.
    """
    if path.is_dir():
        return
    if path.parent != path:
        make_private(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    if not path.is_dir():
        raise NotADirectoryError(20, "it is not a directory", str(path))


def _lock(path: Path) -> int | None:
    """Return a file descriptor that holds the lock, None where another process has it.

    The kernel frees the lock with the process, however that ends.
    """
    if sys.platform == "win32":
        return None
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Somebody may have removed the file meanwhile: a lock on it would keep nobody out.
            current = path.exists() and os.path.samestat(path.stat(), os.fstat(descriptor))
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:
            os.close(descriptor)
            raise
        if current:
            return descriptor
        os.close(descriptor)


def owner_of(path: Path) -> Owner:
    """Return what the lock file of a state directory says: the process that owns it, or did.

    Empty where nobody does. Raises PermissionError where this user may not look.
    """
    try:
        return msgspec.json.decode((path / LOCK).read_bytes(), type=Owner)
    except PermissionError:
        raise
    except (OSError, msgspec.DecodeError):
        return Owner()


def owned(root: Path) -> Iterator[tuple[Path, Owner]]:
    """Yield the state directories under ``root`` whose lock file names an owner, by name."""
    try:
        paths = sorted(root.iterdir())
    except OSError:
        return
    for path in paths:
        with contextlib.suppress(PermissionError):
            owner = owner_of(path)
            if owner.pid:
                yield path, owner


def socket_path(directory: Path, environ: Mapping[str, str]) -> Path:
    """Return where the control socket of a state directory belongs.

    In the directory itself where that path is not too long for a socket; else in a private
    directory under ``$XDG_RUNTIME_DIR``, or in the folder for temporary files, under a name that
    follows from the path of the state directory. The lock file tells which it is.
    """
    path = directory / SOCKET
    if _fits(path):
        return path
    name = hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:16] + ".sock"
    for folder in _short_folders(environ):
        if _fits(folder / name):
            return folder / name
    raise ConfigError(f"the path of the state directory {directory} is too long; {ELSEWHERE}")


def _short_folders(environ: Mapping[str, str]) -> Iterator[Path]:
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if Path(runtime).is_absolute() and _is_private(Path(runtime)):
        yield Path(runtime) / "flowbus"
    for base in (tempfile.gettempdir(), "/tmp"):  # noqa: S108  it is made private below
        yield Path(base) / f"flowbus-{os.getuid()}"


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= LONGEST_SOCKET_PATH


def _is_private(path: Path) -> bool:
    """Tell whether ``path`` is a directory of this user that nobody else can enter."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def prepare_socket(path: Path, directory: Path) -> None:
    """Make the folder of a control socket ready; OSError where it cannot be trusted."""
    if path.parent == directory:
        return
    make_private(path.parent)
    if not _is_private(path.parent):
        raise PermissionError(13, "other users can write there", str(path.parent))


def _remove_socket(name: str) -> None:
    if not name:
        return
    with contextlib.suppress(OSError):
        path = Path(name)
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
