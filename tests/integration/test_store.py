"""How the store is found."""

from __future__ import annotations

import socket

import pytest

from controller.errors import StoreUnavailable
from controller.store.store import Store, each_host


@pytest.fixture
def nobody() -> str:
    """An address at which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{sock.getsockname()[1]}"


def test_a_cluster_is_found_by_any_host_that_is_there(server_url: str, nobody: str) -> None:
    there = server_url.removeprefix("redis://")
    for hosts in (f"{nobody},{there}", f"{there},{nobody}"):
        store = Store.connect(f"redis://{hosts}", cluster=True)
        assert store.ping()
        store.client.close()


def test_a_cluster_that_is_away_is_the_store_unavailable(nobody: str) -> None:
    with pytest.raises(StoreUnavailable):
        Store.connect(f"redis://{nobody},{nobody}", cluster=True)


def test_each_host_has_the_whole_url() -> None:
    assert each_host("rediss://me:a,b@[::1]:1,c:2/0?x=y,z") == [
        "rediss://me:a,b@[::1]:1/0?x=y,z",
        "rediss://me:a,b@c:2/0?x=y,z",
    ]
    assert [len(each_host(url)) for url in ("redis://a", "unix:///a,b/s")] == [1, 1]
