"""The embedded store: shared, taken over, started again, and never losing what it answered."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest
import redis

from switchroom import embedded
from switchroom.config import Config
from switchroom.embedded import EmbeddedStore, EmbeddedStoreError
from tests.open_store import opened

# Starts the store, counts one up, says so, and waits to be told to stop, or killed.
USER = """
from gevent import monkey; monkey.patch_all()
import sys, redis
from pathlib import Path
from switchroom.embedded import EmbeddedStore
store = EmbeddedStore(Path(sys.argv[1]))
store.start()
print(redis.Redis.from_url(store.url).incr("count"), flush=True)
sys.stdin.readline()
store.stop()
print("stopped", flush=True)
"""


class User:
    """Another process that uses the store."""

    def __init__(self, data_dir: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def says(self) -> str:
        assert self.process.stdout is not None
        with gevent.Timeout(40):
            return self.process.stdout.readline().strip()

    def stop(self) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        said = self.says()
        self.process.wait(30)
        return said

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """Whatever a test leaves running there is stopped."""
    folder = tmp_path / "data"
    yield folder
    if folder.exists():
        last = EmbeddedStore(folder)
        last.start()
        last.stop()


@pytest.fixture
def started(data_dir: Path) -> Iterator[EmbeddedStore]:
    store = EmbeddedStore(data_dir)
    store.start()
    yield store
    store.stop()


def client(store: EmbeddedStore) -> redis.Redis:
    return redis.Redis.from_url(store.url, socket_timeout=30, decode_responses=True)


def pid(store: EmbeddedStore) -> int:
    return int(client(store).info("server")["process_id"])


def wait_for(holds: Callable[[], bool]) -> None:
    with gevent.Timeout(40):
        while not holds():
            gevent.sleep(0.02)


def test_it_keeps_what_it_answered(started: EmbeddedStore) -> None:
    settings = client(started).config_get("*")
    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "always"
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["aof-load-truncated"] == "yes"


def test_it_may_use_as_much_memory_as_was_said_last(data_dir: Path) -> None:
    config = Config.model_validate({"store": {"data_dir": data_dir, "max_memory_mb": 200}})
    with opened(config) as store:
        assert store.client.config_get("maxmemory") == {"maxmemory": str(200 << 20)}
        raised = EmbeddedStore(data_dir, 300 << 20)
        raised.start()
        assert store.client.config_get("maxmemory") == {"maxmemory": str(300 << 20)}
        raised.stop()


def test_nobody_else_can_reach_it(started: EmbeddedStore, data_dir: Path) -> None:
    assert client(started).config_get("port") == {"port": "0"}
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE(started.socket.stat().st_mode) == 0o700
    for file in data_dir.rglob("*"):
        assert not stat.S_IMODE(file.stat().st_mode) & 0o077, file


def test_it_is_shared_and_the_last_to_stop_stops_it(started: EmbeddedStore, data_dir: Path) -> None:
    other = User(data_dir)
    assert other.says() == "1"
    server = pid(started)
    started.stop()
    second = EmbeddedStore(data_dir)
    second.start()
    assert pid(second) == server
    assert other.stop() == "stopped"
    assert client(second).get("count") == "1"
    second.stop()
    with pytest.raises(redis.ConnectionError):
        client(second).ping()


def test_a_server_left_behind_is_taken_over(data_dir: Path) -> None:
    first = User(data_dir)
    assert first.says() == "1"
    server = pid(EmbeddedStore(data_dir))
    first.kill()
    second = User(data_dir)
    assert second.says() == "2"
    assert pid(EmbeddedStore(data_dir)) == server
    assert second.stop() == "stopped"
    with pytest.raises(redis.ConnectionError):
        pid(EmbeddedStore(data_dir))


def test_all_killed_at_once(data_dir: Path) -> None:
    first = User(data_dir)
    assert first.says() == "1"
    os.kill(pid(EmbeddedStore(data_dir)), signal.SIGKILL)
    first.kill()
    second = User(data_dir)
    assert second.says() == "2"
    assert second.stop() == "stopped"


def test_a_server_that_dies_is_started_again(started: EmbeddedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "WATCH_SECONDS", 0.05)
    client(started).set("kept", "yes")
    died = pid(started)
    os.kill(died, signal.SIGKILL)

    def answers() -> bool:
        try:
            return pid(started) != died
        except redis.ConnectionError:
            return False

    wait_for(answers)
    assert client(started).get("kept") == "yes"


def test_processes_that_start_together_share_one_server(data_dir: Path) -> None:
    users = [User(data_dir) for _ in range(4)]
    assert sorted(user.says() for user in users) == ["1", "2", "3", "4"]
    assert [user.stop() for user in users] == ["stopped"] * 4


def test_a_tail_torn_by_a_power_cut_is_dropped(data_dir: Path) -> None:
    store = EmbeddedStore(data_dir)
    store.start()
    client(store).set("kept", "yes")
    store.stop()
    (log,) = (data_dir / "appendonlydir").glob("*.incr.aof")
    with log.open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$4\r\nto")
    store = EmbeddedStore(data_dir)
    store.start()
    assert client(store).keys() == ["kept"]
    store.stop()


def test_a_log_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path)
    store.start()
    client(store).set("a", "b")
    store.stop()
    (log,) = (tmp_path / "appendonlydir").glob("*.incr.aof")
    log.write_bytes(b"this is no log\r\n" + log.read_bytes())
    with pytest.raises(EmbeddedStoreError, match=r"did not start; .*valkey\.log ends with: .*file format"):
        EmbeddedStore(tmp_path).start()


def test_a_stale_socket_is_no_obstacle(data_dir: Path) -> None:
    data_dir.mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(data_dir / "valkey.sock"))
    user = User(data_dir)
    assert user.says() == "1"
    assert user.stop() == "stopped"


def test_a_folder_with_a_name_too_long_for_a_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("long name, with % and ?" * 6)
    store = EmbeddedStore(folder)
    store.start()
    assert not store.socket.is_relative_to(folder)
    assert stat.S_IMODE(store.socket.parent.stat().st_mode) == 0o700
    other = User(folder)
    assert other.says() == "1"
    assert client(store).get("count") == "1"
    assert other.stop() == "stopped"
    store.stop()
    assert not store.socket.parent.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="the folder of another user is made by root")
def test_a_private_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / ("x" * 120))
    store.start()
    taken = store.socket.parent
    store.stop()
    taken.mkdir(mode=0o700)
    os.chown(taken, 65534, 65534)
    try:
        with pytest.raises(EmbeddedStoreError, match="not private"):
            EmbeddedStore(tmp_path / ("x" * 120)).start()
    finally:
        taken.rmdir()


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedStoreError, match="set \\[store\\] data_dir"):
        EmbeddedStore(tmp_path / "file" / "data").start()
