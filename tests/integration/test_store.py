"""How the store is found, and what is said when it refuses."""

from __future__ import annotations

import socket

import pytest

from controller.errors import StoreUnavailable
from controller.registry import Node, Registry
from controller.store.store import Store, each_host
from tests.open_store import OpenStore


@pytest.fixture
def nobody() -> str:
    """An address at which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{sock.getsockname()[1]}"


def test_a_cluster_is_found_by_any_host_that_is_there(server_url: str, nobody: str) -> None:
    there = server_url.removeprefix("redis://")
    for hosts in (f"{nobody},{there}", f"{there},{nobody}"):
        store = OpenStore.connect(f"redis://{hosts}", cluster=True)
        assert store.ping()
        store.client.close()


def test_a_cluster_that_is_away_is_the_store_unavailable(nobody: str) -> None:
    with pytest.raises(StoreUnavailable):
        OpenStore.connect(f"redis://{nobody},{nobody}", cluster=True)


def test_each_host_has_the_whole_url() -> None:
    assert each_host("rediss://me:a,b@[::1]:1,c:2/0?x=y,z") == [
        "rediss://me:a,b@[::1]:1/0?x=y,z",
        "rediss://me:a,b@c:2/0?x=y,z",
    ]
    assert [len(each_host(url)) for url in ("redis://a", "unix:///a,b/s")] == [1, 1]


def test_a_change_that_is_refused_shows_no_password(store: Store) -> None:
    store.client.config_set("min-replicas-to-write", 1)
    try:
        with pytest.raises(StoreUnavailable) as caught:
            Registry(store).put_node(Node(prefix="acW68", esl="127.0.0.1:8021", password="hidden-word"))
    finally:
        store.client.config_set("min-replicas-to-write", 0)
    assert "not enough good replicas" in str(caught.value).lower()
    assert "hidden" not in str(caught.value)
