"""What the configuration says has its effect: the system as `switchroom serve` builds it, but for the API's sockets."""

from __future__ import annotations

import resource
from typing import Any

import pytest
from structlog.testing import capture_logs

from controller import commands
from controller.controller import Controller
from controller.errors import Refused
from switchroom.config import Config
from switchroom.processes import ApiOptions, System, allow_files
from tests.open_store import OpenStore

ROOM = "acW68-room-550e8400-e29b-41d4-a716-446655440000"
INSIDE = "http://127.0.0.1:8080/"
APP = {"id": "demo", "api_key": "0123456789abcdef", "webhook_url": "https://app.example.com/hooks"}


class NoApi:
    """Takes what an API would get."""

    address = ("127.0.0.1", 0)
    controller: Controller
    options: ApiOptions

    def __call__(self, controller: Controller, options: ApiOptions) -> NoApi:
        self.controller = controller
        self.options = options
        return self

    def start(self) -> None:
        pass

    def stop(self, timeout: float) -> None:
        pass


def refusals(url: str, **sections: Any) -> list[str | None]:
    """Why each URL that leads inside is refused, for webhooks and for audio."""
    config = Config.model_validate({"store": {"url": url}, "apps": [APP], **sections})
    api = NoApi()
    system = System(config, api, roles=["api"])
    system.start()
    try:
        found: list[str | None] = []
        for command in (
            commands.SetEndpoint(app_id="demo", url=INSIDE, types=("*",)),
            commands.Play(app_id="demo", room_id=ROOM, urls=(INSIDE,)),
        ):
            try:
                api.controller.execute(command)
                found.append(None)
            except Refused as refused:
                found.append(refused.code)
        return found
    finally:
        system.stop()


@pytest.mark.parametrize("webhooks", [False, True])
@pytest.mark.parametrize("playback", [False, True])
def test_private_networks_are_closed_unless_the_configuration_opens_them(
    store: OpenStore, server_url: str, webhooks: bool, playback: bool
) -> None:
    found = refusals(
        server_url,
        webhooks={"allow_private_networks": webhooks},
        playback={"allow_private_networks": playback},
    )
    assert found == [None if webhooks else "url_refused", "room_not_found" if playback else "url_refused"]


def test_the_api_gets_its_bounds(store: OpenStore, server_url: str) -> None:
    server = {"connections": 20, "connections_per_address": 5, "trusted_proxies": ["10.0.0.7"]}
    api = NoApi()
    system = System(Config.model_validate({"store": {"url": server_url}, "server": server}), api, roles=["api"])
    system.start()
    system.stop()
    options = api.options
    found = (options.connections, options.connections_per_address, options.trusted_proxies)
    assert found == (20, 5, ("10.0.0.7",))


def test_a_start_lets_as_many_files_be_open_as_may_be(store: OpenStore, server_url: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, hard - 1), hard))
    try:
        system = System(Config.model_validate({"store": {"url": server_url}}), NoApi(), roles=["api"])
        system.start()
        system.stop()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(("more", "told"), [(0, False), (1, True)])
def test_too_few_open_files_are_told(more: int, told: bool) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with capture_logs() as lines:
        allow_files(hard + more)
    assert [line["log_level"] for line in lines] == ["warning"] * told
