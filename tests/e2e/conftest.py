"""One Switchroom and one node for all black-box tests: each test brings its own calls and rooms."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.gateway import EmulatedGateway, Gateway, open_gateway
from tests.e2e.nodes import PREFIX, REAL, Call, Node, open_node
from tests.e2e.site import Site
from tests.e2e.system import DIDS, Media, Receiver, Switchroom

_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("freeswitch") and not REAL:
            item.add_marker(pytest.mark.skip(reason="needs a real FreeSWITCH: make test-freeswitch"))


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    node = open_node()
    yield node
    node.close()


@pytest.fixture(scope="module")
def own_node() -> Iterator[Node]:
    """One that no other module's Switchroom drives."""
    if REAL not in ("", "boot"):
        pytest.skip("there is one FreeSWITCH, and others use it")
    node = open_node()
    yield node
    node.close()


@pytest.fixture(scope="session")
def hooks() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="session")
def media() -> Iterator[Media]:
    media = Media()
    yield media
    media.close()


@pytest.fixture(scope="session")
def gateway(node: Node) -> Iterator[Gateway | EmulatedGateway]:
    gateway = open_gateway(node)
    yield gateway
    gateway.close()


@pytest.fixture(scope="session")
def room_service(
    tmp_path_factory: pytest.TempPathFactory, node: Node, hooks: Receiver, gateway: Gateway | EmulatedGateway
) -> Iterator[Switchroom]:
    folder: Path = tmp_path_factory.mktemp("switchroom")
    system = Switchroom(folder, {PREFIX: node}, hooks.url, gateway=gateway.address)
    system.start()
    system.wait_up()
    yield system
    assert system.stop() == 0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, hooks: Receiver) -> Iterator[Site]:
    """Three nodes that no other module's Switchroom drives."""
    site = Site(tmp_path_factory.mktemp("bridged"), hooks)
    try:
        site.start()
        yield site
    finally:
        site.close()


@pytest.fixture
def unique() -> str:
    """A name that no other test of this run uses."""
    return f"t{next(_numbers)}"


Dial = Callable[..., tuple[str, Call]]


@pytest.fixture
def dial(node: Node, room_service: Switchroom, hooks: Receiver) -> Iterator[Dial]:
    """Places a call to an app's number: the session's id and the call. Calls still up are ended with the test."""
    calls: list[Call] = []

    def place(app: str = "alpha") -> tuple[str, Call]:
        caller_id = f"52712{next(_numbers):04d}"
        call = node.call(DIDS[app], caller_id)
        calls.append(call)
        return str(hooks.wait("session.started", caller_id=caller_id)["uuid"]), call

    yield place
    for call in calls:
        call.hang_up()


@pytest.fixture
def new_room(room_service: Switchroom, unique: str) -> Callable[[], str]:
    def create() -> str:
        answer = room_service.post("/api/v1/conferences", {"name": f"{unique}-{next(_numbers)}"})
        assert answer.status == 201, answer
        return str(answer.body["room_id"])

    return create


@pytest.fixture
def join(room_service: Switchroom, hooks: Receiver) -> Callable[[str, str], dict[str, object]]:
    """Joins and waits for the confirmation."""

    def join(session: str, room: str) -> dict[str, object]:
        answer = room_service.post(f"/api/v1/sessions/{session}/commands/conference/join", {"room_id": room})
        assert answer.status == 202, answer
        return hooks.wait("conference.member.joined", uuid=session, room_id=room)

    return join
