"""How processes end: by signals, with a store that others use or nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest
import redis

from switchroom.embedded import EmbeddedStore

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`switchroom` with arguments; what still runs at the end is killed, and the store with it."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: str, listen: str = "127.0.0.1:0") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "switchroom", *arguments],
            cwd=tmp_path,
            env={**os.environ, "SWITCHROOM_SERVER__LISTEN": listen},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait(40)
    last = EmbeddedStore(tmp_path / "data")
    last.start()
    last.stop()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    with gevent.Timeout(60):
        return process.stdout.readline()


def store_runs(folder: Path) -> bool:
    try:
        return bool(redis.Redis.from_url(EmbeddedStore(folder / "data").url).ping())
    except redis.ConnectionError:
        return False


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_serve_ends_cleanly(start: Start, tmp_path: Path, how: signal.Signals) -> None:
    process = start("serve")
    assert first_line(process).startswith("switchroom ready on http://127.0.0.1:")
    assert store_runs(tmp_path)
    process.send_signal(how)
    assert process.wait(40) == 0
    assert not store_runs(tmp_path)


def test_roles_share_the_embedded_store_until_the_last_one_ends(start: Start, tmp_path: Path) -> None:
    roles = ("api", "worker", "dispatcher")
    processes = []
    for role in roles:
        process = start("serve", "--role", role)
        assert f"(roles: {role})" in first_line(process)
        processes.append(process)
    first, second, third = processes
    first.kill()
    first.wait(40)
    second.terminate()
    assert second.wait(40) == 0
    assert store_runs(tmp_path)
    third.terminate()
    assert third.wait(40) == 0
    assert not store_runs(tmp_path)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_tail_ends_cleanly(start: Start, tmp_path: Path, how: signal.Signals) -> None:
    server = start("serve", "--role", "dispatcher")
    first_line(server)
    client = redis.Redis.from_url(EmbeddedStore(tmp_path / "data").url)
    client.xadd("{p00}:log", {"e": b'{"at":1,"kind":"event","type":"before"}'})
    process = start("tail", "--since", "1h", "--json")
    assert "before" in first_line(process)
    client.xadd("{p07}:log", {"e": b'{"at":2,"kind":"event","type":"after"}'})
    assert "after" in first_line(process)
    process.send_signal(how)
    assert process.wait(40) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert store_runs(tmp_path)


def test_tail_ends_when_nobody_reads(start: Start, tmp_path: Path) -> None:
    server = start("serve", "--role", "dispatcher")
    first_line(server)
    with redis.Redis.from_url(EmbeddedStore(tmp_path / "data").url).pipeline() as pipe:
        for _ in range(5000):
            pipe.xadd("{p00}:log", {"e": b'{"at":1,"kind":"event","type":"one of many, more than a pipe holds"}'})
        pipe.execute()
    for options in ([], ["--json"]):
        process = start("tail", "--no-follow", *options)
        assert "one of many" in first_line(process)
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(40) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_an_address_in_use_is_one_clear_line(start: Start) -> None:
    first = start("serve", "--role", "api")
    address = first_line(first).split()[3].removeprefix("http://")
    second = start("serve", "--role", "api", listen=address)
    said, complained = second.communicate(timeout=60)
    assert (second.returncode, said) == (1, "")
    assert complained.startswith(f"Error: cannot listen on {address}: Address already in use")
    assert complained.count("\n") == 1
