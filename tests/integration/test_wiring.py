"""What the configuration says has its effect: the system as `switchroom serve` builds it, but for the API's sockets."""

from __future__ import annotations

from typing import Any

import pytest

from controller import commands
from controller.bootstrap import ApiOptions, System
from controller.config import Config
from controller.errors import Refused
from controller.service import Controller
from controller.store.store import Store

ROOM = "acW68-room-550e8400-e29b-41d4-a716-446655440000"
INSIDE = "http://127.0.0.1:8080/"
APP = {"id": "demo", "api_key": "k", "webhook_url": "https://app.example.com/hooks"}


class NoApi:
    """Takes what an API would get."""

    address = ("127.0.0.1", 0)
    controller: Controller

    def __call__(self, controller: Controller, options: ApiOptions) -> NoApi:
        self.controller = controller
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
    store: Store, server_url: str, webhooks: bool, playback: bool
) -> None:
    found = refusals(
        server_url,
        webhooks={"allow_private_networks": webhooks},
        playback={"allow_private_networks": playback},
    )
    assert found == [None if webhooks else "url_refused", "room_not_found" if playback else "url_refused"]
