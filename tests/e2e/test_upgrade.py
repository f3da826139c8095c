"""A store that an older version left behind loses nothing: not what the API shows, nor anything that was under way.

`upgrade/README.md` says what the recording is, and how it was made.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import gevent
import pytest
import redis

from esl.emulator import Emulator
from tests import webhook_data
from tests.e2e.nodes import PREFIX
from tests.e2e.stores import StoreServer
from tests.e2e.system import Switchroom
from tests.e2e.upgrade.recording import (
    ENDPOINT_URL,
    FILE,
    SHORT,
    App,
    Endpoint,
    load,
    new_node,
    rebuild,
    service,
    tell,
)

# What becomes of each caller's command, by what the caller is called in the recording.
OUTCOMES: dict[str, tuple[str, dict[str, Any]]] = {
    "mute-done": ("conference.member.muted", {"command_uid": "uid-mute-done", "resynced": True}),
    "mute-lost": (
        "conference.command.failed",
        {"command": "mute", "command_uid": "uid-mute-lost", "reason": "no_answer", "muted": False},
    ),
    "unmute-waiting": ("conference.member.unmuted", {"command_uid": "uid-unmute-waiting"}),
    "leave-done": ("conference.member.left", {"command_uid": "uid-leave-done", "reason": "left", "resynced": True}),
    "leave-waiting": ("conference.member.left", {"command_uid": "uid-leave-waiting", "reason": "left"}),
    "join-done": ("conference.member.joined", {"command_uid": "uid-join-done", "resynced": True}),
    "join-waiting": ("conference.member.joined", {"command_uid": "uid-join-waiting"}),
    "put-out": ("conference.member.left", {"reason": "room_destroyed"}),
    "put-out-too": ("conference.member.left", {"reason": "room_destroyed"}),
    "hangs-up": ("session.ended", {"resynced": True}),
    "came": ("session.started", {"resynced": True}),
}
# The rooms of the callers who are in one when all that was under way has come to its end.
MEMBERS = {
    "talk": {"stays", "mute-done", "mute-lost", "unmute-waiting", "join-done", "join-waiting"},
    "paused": {"listens"},
    "fetching": {"hears-the-second"},
    "stopped": {"hears-no-more"},
    "waiting": {"hears-later"},
}
# Names of keys that are about something that can end.
ENDING = {
    *("room", "members", "present", "operations", "ending", "operation", "urls", "node-urls", "rooms", "names"),
    *("session", "sessions", "node-rooms", "node-sessions", "sent", "due", "held", "aside", "redeliveries"),
}


class Stage:
    """The recorded store, node and endpoint. Nothing of Switchroom runs yet."""

    def __init__(self, folder: Path) -> None:
        self.recording = json.loads(FILE.read_text())
        self.folder = folder
        self.node: Emulator | None = None
        self.endpoint: Endpoint | None = None
        self.services: list[Switchroom] = []
        self.server = StoreServer(folder / "store")
        self.server.start()
        self.store: redis.Redis = self.server.client

    def surround(self) -> tuple[Emulator, Endpoint]:
        self.node, self.endpoint = new_node(), Endpoint()
        rebuild(self.node, self.recording["node"])
        self.node.start()
        self.endpoint.secrets = self.recording["secrets"]
        return self.node, self.endpoint

    def start(self, *roles: str) -> dict[str, App]:
        started = service(self.folder, self.server.url, *roles)
        # As before there were relays: the node has the sounds that were recorded, and there is no server of them.
        text = started.config.read_text()
        started.config.write_text(text.replace("[playback]\n", "[playback]\ndirect = true\n"))
        self.services.append(started)
        started.start()
        return {app_id: App(started, app_id, key) for app_id, key in self.recording["keys"].items()}

    def unfinished(self) -> list[str]:
        """What the store has of anything that can end: keys, and streams with entries."""
        found = [key.decode() for key in self.store.scan_iter()]
        streams = [key for key in found if key.split(":")[1] in ("commands", "outbox")]
        return [key for key in found if key.split(":")[1] in ENDING] + list(filter(self.store.xlen, streams))

    def event_log(self) -> list[dict[str, Any]]:
        command = [sys.executable, "-m", "switchroom", "tail", "--no-follow", "--json"]
        command += ["--config", str(self.services[0].config)]
        told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=30).stdout
        return [json.loads(line) for line in told.splitlines()]

    def close(self) -> None:
        for started in self.services:
            started.stop(signal.SIGKILL)
        if self.node:
            self.node.stop()
        if self.endpoint:
            self.endpoint.close()
        self.server.kill()


NEW_OF_MEMBERS = {
    "deaf": False,
    "hold": False,
    "volume_in": 0,
    "volume_out": 0,
    "role": "participant",
    "tags": [],
    "end_on_exit": False,
    "waiting": False,
    "coaching": None,
}


def with_new_fields(value: Any) -> Any:
    """What the version before has shown, or put into a webhook, with the fields that members and rooms have got since."""
    if isinstance(value, list):
        return [with_new_fields(each) for each in value]
    if not isinstance(value, dict):
        return value
    new: dict[str, Any] = dict(NEW_OF_MEMBERS) if "muted" in value else {}
    if "playback_status" in value:
        new = dict.fromkeys(
            (
                "max_members",
                "end_when_empty",
                "max_duration",
                "end_on_exit",
                "hold_music",
                "beep_enter",
                "beep_exit",
                "started_at",
            )
        )
        new |= {"locked": False, "wait_for_moderator": False, "begun": True, "record": False, "speaker_events": False}
        new |= {"duration": 0, "peak_members": 0}
    if {"name", "created_at"} <= value.keys():
        new["tags"] = []
    return new | {name: with_new_fields(each) for name, each in value.items()}


def with_nodes(value: Any) -> Any:
    """The same of what the API has shown: members and rooms say where they are, members since when they are, and
    rooms and sessions what plays, and what records them."""
    value = with_new_fields(value)
    if "playback_status" in value:
        playing = {"operation_id": value["playback_operation_id"], "urls": value["playback_urls"], "index": 0}
        nodes = [{"prefix": PREFIX, "members": value["members"], "bridge": "source"}]
        playing = playing if playing["operation_id"] else None
        return {**value, "nodes": nodes, "playing": playing, "recording": None}
    for room in value.get("conferences", ()):
        room["recording"] = None
    if "state" in value and "muted" in value:
        value["playing"] = None
    listed = value.get("sessions") or value.get("members") or [value]
    for member in listed:
        if "muted" in member:
            member |= {"node": PREFIX, "joined_at": None, "recording": None, "speaking": False}
        if "muted" in member and "state" in member:
            member |= {"direction": "inbound", "transferred_to": None}
    return value


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.close()


def test_a_room_of_the_version_before_is_found_by_its_name_and_gets_tags(stage: Stage) -> None:
    load(stage.store, stage.recording)
    alpha = stage.start("api")["alpha"]
    rooms = alpha.get("/conferences")["conferences"]
    for room in rooms:
        assert alpha.get(f"/conferences?name={room['name']}")["conferences"] == [room]
    assert alpha.get("/conferences?tag=old")["conferences"] == []
    room = rooms[0]
    assert alpha.ask("PATCH", f"/conferences/{room['room_id']}", {"tags": ["old"]}).status == 200
    assert alpha.get("/conferences?tag=old")["conferences"] == [{**room, "tags": ["old"]}]


def test_the_api_shows_and_refuses_what_it_did_before(stage: Stage) -> None:
    load(stage.store, stage.recording)
    cooldowns = list(stage.store.scan_iter("*:cooldown:*"))
    for cooldown in cooldowns:
        stage.store.expire(cooldown, 60)
    apps = stage.start("api")

    for app_id, app in apps.items():
        for path, before in stage.recording["answers"][app_id].items():
            now = app.get(path)
            if before.get("old_secret_until"):
                assert now.pop("old_secret_until") > before.pop("old_secret_until")
            assert now == with_nodes(before), path
    # A repeat is no command of its own.
    for repeat in stage.recording["repeats"]:
        answer = apps["alpha"].ask("POST", repeat["path"], repeat["body"])
        assert (answer.status, answer.body) == (202, repeat["answer"])
    assert len(cooldowns) == 5
    unmuted, played = stage.recording["sessions"]["unmute-waiting"], stage.recording["rooms"]["waiting"]
    for path, body, group in (
        (f"/sessions/{unmuted}/commands/conference/mute", None, "conference_mute"),
        (f"/conferences/{played}/play", {"urls": SHORT}, "conf_play"),
    ):
        answer = apps["alpha"].ask("POST", path, body)
        assert (answer.status, answer.body["detail"]["group"]) == (429, group)


def test_all_that_was_under_way_comes_to_its_end(stage: Stage) -> None:
    # A slow machine must not count as a node that does not answer.
    load(stage.store, stage.recording, spare=20)
    node, endpoint = stage.surround()
    apps = stage.start()
    alpha = apps["alpha"]
    rooms = stage.recording["rooms"]
    finish_commands(alpha, endpoint)
    finish_playback(alpha, node, endpoint, rooms)
    send_the_failed_again(alpha, apps["beta"], endpoint)
    end_everything(apps.values(), node)

    with suppress(gevent.Timeout), gevent.Timeout(20):
        while stage.unfinished():
            gevent.sleep(0.05)
    assert stage.unfinished() == []
    for key in stage.store.scan_iter("*:usage:*"):
        used = {name.decode(): int(count) for name, count in stage.store.hgetall(key).items()}
        assert [used.get(name, 0) for name in ("operations", "url_bytes", "webhook_bytes", "failed_bytes")] == [0] * 4

    # None but those of before: neither has anything moved, nor has a secret been made anew.
    shared = {key for key in stage.recording["store"] if key.startswith("{registry}")}
    # What processes count was not stored then.
    assert {key.decode() for key in stage.store.scan_iter("{registry}*")} - {"{registry}:stats"} == shared

    assert endpoint.problems == []
    for webhook_id, payload in endpoint.taken:
        old = int(webhook_id.split("-")[1]) <= stage.recording["recorded_at"]
        data = with_new_fields(payload["data"]) if old else payload["data"]
        if old and payload["type"] == "conference.destroyed":
            data = {"reason": "deleted", "duration": 0, "peak_members": 0, **data}
        if old and payload["type"] in ("session.started", "session.ended"):
            data = {"direction": "inbound", **data}
        webhook_data.check(payload["type"], data)
    written = {line["webhook"] for line in stage.event_log() if line["kind"] == "webhook"}
    ids = [*stage.recording["delivered"], *(webhook_id for webhook_id, _ in endpoint.taken)]
    assert sorted(ids) == sorted(written)
    in_order(stage, endpoint)


def finish_commands(alpha: App, endpoint: Endpoint) -> None:
    for caller, (kind, data) in OUTCOMES.items():
        told = endpoint.wait(kind, caller_id=caller)
        assert data.items() <= told.items()
    here = {}
    for room in alpha.get("/conferences")["conferences"]:
        found = alpha.get(f"/conferences/{room['room_id']}/members")["members"]
        here[room["name"]] = {member["caller_id"] for member in found}
        muted = {member["caller_id"] for member in found if member["muted"]}
        assert here[room["name"]] - muted == {"mute-lost", "unmute-waiting"} & here[room["name"]]
    assert {room: callers for room, callers in here.items() if callers} == MEMBERS
    sessions = alpha.get("/sessions")["sessions"]
    parked = {session["caller_id"] for session in sessions if session["state"] == "parked"}
    assert parked == {"parked", "leave-done", "leave-waiting", "put-out", "put-out-too", "came"}
    assert len(sessions) == len(parked) + sum(map(len, MEMBERS.values()))


def finish_playback(alpha: App, node: Emulator, endpoint: Endpoint, rooms: dict[str, str]) -> None:
    def finished(room: str) -> list[str]:
        return [data["status"] for data in endpoint.of("conference.play.finished", room_id=rooms[room])]

    def wait(room: str, *statuses: str) -> None:
        endpoint.wait_until(lambda: finished(room) == [*statuses], f"{room}: {finished(room)}")

    endpoint.wait("conference.play.stopped", room_id=rooms["stopped"])
    wait("waiting", "completed")
    # Nobody knows what became of the file that the node was fetching. What was behind it is played.
    endpoint.wait("conference.command.failed", room_id=rooms["fetching"], command="play", reason="no_answer")
    wait("fetching", "partial", "completed")
    talk = node.conferences[rooms["talk"]]
    assert talk.playing is not None
    node.wait_for(lambda: talk.playing and talk.playing.volume == 2)
    assert finished("talk") == []
    tell(node, f"conference {rooms['talk']} stop")
    wait("talk", "completed", "completed")
    paused = node.conferences[rooms["paused"]]
    assert paused.playing is not None
    assert paused.playing.paused
    path = f"/conferences/{rooms['paused']}"
    assert alpha.do("POST", f"{path}/pause")["status"] == "resumed"
    node.wait_for(lambda: paused.playing and not paused.playing.paused)
    alpha.do("POST", f"{path}/stop")
    endpoint.wait("conference.play.stopped", room_id=rooms["paused"])
    alpha.do("POST", f"/conferences/{rooms['stopped']}/play", {"urls": SHORT[:1]})
    wait("stopped", "completed")


def send_the_failed_again(alpha: App, beta: App, endpoint: Endpoint) -> None:
    def failed(app: App) -> list[dict[str, Any]]:
        return list(app.get("/webhooks/deliveries?status=failed&limit=200")["deliveries"])

    # The range that was asked for before had the first of alpha's. What stepped aside, or was held, came by itself.
    for name in ("failed", "gamma", "held"):
        endpoint.wait("conference.created", name=name)
    for left in failed(alpha):
        alpha.do("POST", f"/webhooks/deliveries/{left['webhook_id']}/redeliver")
    endpoint.wait("conference.created", name="failed-too")
    # Beta's endpoint is disabled: what was in the outbox has failed as well.
    assert beta.get("/webhooks/endpoint")["status"] == "disabled"
    endpoint.wait_until(lambda: len(failed(beta)) == 4, "beta's webhooks")
    assert endpoint.of("conference.created", name="beta") == []
    beta.do("PUT", "/webhooks/endpoint", {"url": f"{ENDPOINT_URL}/beta", "types": ["*"]})
    times = {"since": "2001-01-01T00:00:00Z", "until": "2101-01-01T00:00:00Z"}
    assert beta.do("POST", "/webhooks/redeliver", times) == {"webhooks": 4}
    endpoint.wait("conference.created", name="beta-too")


def end_everything(apps: Iterable[App], node: Emulator) -> None:
    for call in list(node.channels.values()):
        call.hangup()
    for app in apps:
        for room in app.get("/conferences")["conferences"]:
            app.do("DELETE", f"/conferences/{room['room_id']}")


def in_order(stage: Stage, endpoint: Endpoint) -> None:
    """Alpha's webhooks of a room, or of a session outside rooms, except those that were sent again by themselves."""
    failed = stage.recording["answers"]["alpha"]["/webhooks/deliveries?limit=200&status=failed"]["deliveries"]
    alone = {delivery["webhook_id"] for delivery in failed}
    last: dict[str, int] = {}
    for webhook_id, payload in endpoint.taken:
        data = payload["data"]
        if webhook_id not in alone and data["app_id"] == "alpha":
            subject = data.get("room_id") or data["uuid"]
            assert data["sequence"] > last.get(subject, 0), payload
            last[subject] = data["sequence"]
