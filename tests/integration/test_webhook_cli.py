"""Webhooks by the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from controller.errors import REASONS
from controller.webhooks.dispatcher import Dispatcher
from controller.webhooks.retry import Schedule
from switchroom.cli.main import cli
from tests.integration.webhook_fixtures import OK, Outbox, Receiver
from tests.open_store import OpenStore

ROOM = "acW68-room-550e8400-e29b-41d4-a716-446655440001"
BAD = b"HTTP/1.1 500 Oops\r\nContent-Length: 8\r\n\r\n\x1b[2J\nbad"

Switchroom = Callable[..., Result]


@pytest.fixture
def switchroom(server_url: str) -> Switchroom:
    def run(*arguments: str) -> Result:
        environ = {"SWITCHROOM_STORE__URL": server_url, "COLUMNS": "300"}
        return CliRunner().invoke(cli, arguments, env=environ)

    return run


def said(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_webhooks_are_listed_shown_and_sent_again(store: OpenStore, receiver: Receiver, switchroom: Switchroom) -> None:
    outbox = Outbox(store)
    app = outbox.app("demo", receiver.url)
    receiver.default = BAD
    dispatcher = Dispatcher(store, outbox.registry, owner="d1", allow_private_networks=True, schedule=Schedule(()))
    dispatcher.start()
    try:
        webhooks = outbox.put(app, *[ROOM] * 3)
        outbox.wait_until(lambda: not outbox.left(app))
        rows = said(switchroom("webhooks", "list", app, "--json"))
        assert [row["webhook_id"] for row in rows] == webhooks[::-1]
        assert {(row["status"], row["attempts"], row["room_id"]) for row in rows} == {("failed", 1, ROOM)}
        assert said(switchroom("webhooks", "list", app, "--limit", "1", "--room", ROOM, "--json")) == rows[:1]
        assert said(switchroom("webhooks", "list", app, "--status", "delivered", "--json")) == []
        assert said(switchroom("webhooks", "list", app, "--until", "1h", "--json")) == []
        assert webhooks[0] in switchroom("webhooks", "list", app, "--since", "1h").stdout

        found = said(switchroom("webhooks", "show", app, webhooks[0], "--json"))
        assert (found["data"]["sequence"], found["tried"][0]["answer"]) == (1, "\x1b[2J\nbad")
        shown = switchroom("webhooks", "show", app, webhooks[0])
        assert "\x1b" not in shown.stdout
        assert '"\\u001b[2J\\nbad"' in shown.stdout

        receiver.default = OK
        assert switchroom("webhooks", "redeliver", app, webhooks[0]).stdout == "1 will be sent again\n"
        outbox.wait_until(lambda: outbox.record(webhooks[0])["status"] == "delivered")
        assert switchroom("webhooks", "redeliver", app, "--since", "1h").stdout == "2 will be sent again\n"
        outbox.wait_until(lambda: {outbox.record(webhook)["status"] for webhook in webhooks} == {"delivered"})
    finally:
        dispatcher.stop(timeout=1)


def test_what_is_not_there_is_one_clear_line(store: OpenStore, switchroom: Switchroom) -> None:
    assert switchroom("webhooks", "list", "demo").stderr == "Error: app demo not found\n"
    Outbox(store).app("demo", "")
    columns = "webhook_id type room_id uuid created_at status attempts next_attempt_at"
    assert switchroom("webhooks", "list", "demo").stdout == columns.replace(" ", "\t") + "\n"
    assert switchroom("webhooks", "show", "demo", "msg_p00-1-0").stderr == f"Error: {REASONS['webhook_not_found']}\n"
    refused = switchroom("webhooks", "redeliver", "demo", "--since", "1h")
    assert (refused.exit_code, refused.stderr) == (1, f"Error: {REASONS['no_endpoint']}\n")


@pytest.mark.parametrize("times", [["--since", "1h", "--until", "2h"], ["--since", "9999-01-01T00:00:00Z"]])
def test_a_time_that_ends_before_it_begins(store: OpenStore, switchroom: Switchroom, times: list[str]) -> None:
    Outbox(store).app("demo", "http://127.0.0.1:1/hooks")
    refused = switchroom("webhooks", "redeliver", "demo", *times)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.endswith("Error: --since is after --until, which is now if not given\n")
