"""What commands leave in the event log: those that are accepted, and those that are refused."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from controller import commands
from controller.commands import Command
from controller.controller import Controller
from controller.errors import Fenced, Refused
from controller.limits import Admission, Limits
from controller.metrics import commands as commands_metric
from controller.registry import Node, Registry, new_app
from controller.rooms.placement import Placement
from controller.sessions.flags import CHANGES, FLAGS
from controller.sessions.levels import LEVELS
from controller.store import keys
from tests.integration.world import NO_COOLDOWNS, NODE, World
from tests.open_store import OpenStore

NOWHERE = f"{NODE}-room-00000000-0000-4000-8000-999999999999"
MUTED, DEAF, *_ = FLAGS
NOBODY = f"{NODE}-00000000-0000-4000-9000-999999999999"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Office:
    """The controller of one app on one node that is up."""

    def __init__(self, store: OpenStore) -> None:
        self.store = store
        self.world = World(store)
        registry = Registry(store)
        registry.put_app(new_app("demo", "key"))
        registry.put_node(Node(prefix=NODE, esl="127.0.0.1:1", password="p"))
        store.client.hset(keys.key(keys.node_tag(NODE), "live"), mapping={"load": 0, "at": 1})
        limits = Limits(cooldowns=NO_COOLDOWNS)
        self.controller = Controller(store, registry, Placement(store, registry), limits)

    def ask(self, kind: type[Command], **fields: Any) -> dict[str, Any]:
        return self.controller.execute(kind(app_id="demo", **fields))

    def refused(self, kind: type[Command], **fields: Any) -> str:
        with pytest.raises(Refused) as refused:
            self.ask(kind, **fields)
        return refused.value.code

    def log(self, kind: str) -> list[dict[str, Any]]:
        lines = [orjson.loads(fields[b"e"]) for _, fields in self.store.client.xrange(keys.key(self.world.tag, "log"))]
        return [{name: value for name, value in line.items() if name != "at"} for line in lines if line["kind"] == kind]


@pytest.fixture
def office(store: OpenStore) -> Office:
    return Office(store)


def test_a_refused_command_says_what_was_asked_and_why_not(office: Office) -> None:
    room = office.ask(commands.CreateRoom, name="standup")["room_id"]
    session = office.world.park()
    assert office.refused(commands.CreateRoom, name="standup") == "name_taken"
    assert office.refused(commands.DeleteRoom, room_id=NOWHERE) == "room_not_found"
    assert office.refused(commands.TogglePause, room_id=room) == "nothing_playing"
    assert office.refused(commands.SetFlag, session_id=session, flag=MUTED, on=True) == "not_in_room"
    assert office.refused(commands.Join, session_id=NOBODY, room_id=room, command_uid="u1") == "session_not_found"
    assert office.refused(commands.Redeliver, webhook_id=f"msg_{office.world.tag[1:-1]}-1-0") == "webhook_not_found"
    common = {"kind": "refused", "app": "demo"}
    assert office.log("refused") == [
        {**common, "type": "create", "name": "standup", "reason": "name_taken", "detail": {"room_id": room}},
        {**common, "type": "delete", "room": NOWHERE, "reason": "room_not_found"},
        {**common, "type": "pause", "room": room, "reason": "nothing_playing"},
        {**common, "type": "mute", "session": session, "reason": "not_in_room"},
        {
            **{**common, "type": "join", "session": NOBODY, "room": room},
            **{"command_uid": "u1", "reason": "session_not_found"},
        },
        {
            **{**common, "type": "webhook.redeliver", "reason": "webhook_not_found"},
            "webhook": f"msg_{office.world.tag[1:-1]}-1-0",
        },
    ]


def test_a_query_is_not_in_the_log(office: Office) -> None:
    assert office.refused(commands.GetRoom, room_id=NOWHERE) == "room_not_found"
    assert office.refused(commands.GetSession, session_id=NOBODY) == "session_not_found"
    assert office.log("refused") == []


def test_whoever_asks_too_often_does_not_fill_the_log(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    room = office.ask(commands.CreateRoom, name="standup")["room_id"]
    office.store.client.set(keys.key(office.world.tag, "cooldown", "conf_play", room), 60_000, px=60_000)
    assert office.refused(commands.Play, room_id=room, urls=("http://93.184.215.14/a.wav",)) == "rate_limited"
    monkeypatch.setattr(Controller, "_rate_of", lambda *_: 0.001)
    with pytest.raises(Refused):
        office.controller.admit(Admission("demo"))
    assert office.log("refused") == []


def test_what_a_worker_is_refused_is_not_in_the_log(office: Office) -> None:
    office.world.tell("fence", token=2)
    with pytest.raises(Fenced):
        office.world.tell("session_ended", session_id=NOBODY, cause="X")
    assert office.log("refused") == []


def test_a_command_says_who_sent_it_with_which_trace(office: Office) -> None:
    origin = {"actor": "operator:ann", "trace": TRACE}
    office.ask(commands.CreateRoom, name="standup", **origin)
    assert office.refused(commands.CreateRoom, name="standup", **origin) == "name_taken"
    # Refused before the names in its URLs are looked up, which asks in another way.
    assert (
        office.refused(commands.Play, room_id=NOWHERE, urls=("http://a.example/a.wav",), **origin) == "room_not_found"
    )
    found = [*office.log("command"), *office.log("webhook"), *office.log("refused")]
    assert len(found) == 4
    assert all(line.items() >= origin.items() for line in found)


def test_a_query_takes_both_and_needs_neither(office: Office) -> None:
    assert office.ask(commands.ListRooms, limit=1, actor="operator:ann", trace=TRACE)["rows"] == []


def test_a_command_has_one_name_whether_accepted_or_refused(office: Office) -> None:
    room, empty = (office.ask(commands.CreateRoom, name=name)["room_id"] for name in ("standup", "empty"))
    session = office.world.joined(room)
    asked: list[tuple[type[Command], dict[str, Any]]] = [
        (commands.SetFlag, {"session_id": session, "flag": MUTED, "on": False}),
        (commands.SetFlag, {"session_id": session, "flag": MUTED, "on": True}),
        (commands.Play, {"room_id": room, "urls": ("http://93.184.215.14/a.wav",)}),
        (commands.SetFlagOfAll, {"room_id": room, "flag": DEAF, "on": True}),
        (commands.TogglePause, {"room_id": room}),
        (commands.SetVolume, {"room_id": room, "volume": 1}),
        (commands.StopPlayback, {"room_id": room}),
        (commands.Leave, {"session_id": session}),
        (commands.KickAll, {"room_id": empty}),
        (commands.DeleteRoom, {"room_id": room}),
        (commands.SetEndpoint, {"url": "https://93.184.215.14/", "types": ("*",)}),
        (commands.RotateSecret, {}),
        (commands.RedeliverRange, {"since": 0, "till": 1}),
    ]
    for kind, fields in asked:
        office.ask(kind, **fields)
    accepted = [line["type"] for line in office.log("command")]
    assert accepted == ["create", "create", "join", *(kind(app_id="demo", **fields).verb for kind, fields in asked)]


def test_commands_are_counted_by_outcome_and_queries_are_not(office: Office) -> None:
    def counted() -> dict[tuple[str, str], float]:
        (family,) = commands_metric.collect()
        return {
            (sample.labels["command"], sample.labels["outcome"]): sample.value
            for sample in family.samples
            if sample.name.endswith("_total")
        }

    before = counted()
    room = office.ask(commands.CreateRoom, name="standup")["room_id"]
    assert office.refused(commands.CreateRoom, name="standup") == "name_taken"
    office.world.joined(room)
    office.ask(commands.Play, room_id=room, urls=("http://93.184.215.14/a.wav",))
    # Is refused by the step before, too.
    assert office.refused(commands.Play, room_id=NOWHERE, urls=("http://93.184.215.14/a.wav",)) == "room_not_found"
    office.ask(commands.ListRooms, limit=1)
    after = counted()
    assert {key: value - before.get(key, 0) for key, value in after.items() if value != before.get(key, 0)} == {
        ("create", "accepted"): 1,
        ("create", "name_taken"): 1,
        ("play", "accepted"): 1,
        ("play", "room_not_found"): 1,
    }


def test_every_command_has_a_name_and_no_query() -> None:
    kinds = [getattr(commands, name) for name in commands.__all__]
    of_members = (commands.SetFlag, commands.Hold, commands.SetFlagOfAll, commands.SetLevel)
    of_members = (*of_members, commands.ControlRecording)
    asked = [kind for kind in kinds if hasattr(kind, "script") and kind not in of_members]
    queries = [kind.__name__ for kind in asked if not kind.logged_as]
    assert queries == [kind.__name__ for kind in asked if kind.__name__.startswith(("Get", "List"))]
    assert all(flag.change(on).command for flag, on in CHANGES)
    assert all(level.name for level in LEVELS)
