"""Requests with an Idempotency-Key, on the real store: carried out once, whichever process dies at whichever step."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY
from werkzeug.test import TestResponse

from controller import idempotency
from controller.registry import new_app
from controller.store import keys
from tests.integration.api_process import A_DAY_MS, KEY, Api, Died, Watched, lapse, traces
from tests.integration.test_full_store import Memory
from tests.integration.webhook_fixtures import Receiver
from tests.integration.world import World
from tests.open_store import OpenStore

URL = "https://cdn.example.com/a.wav"

# Every command, to a room where one member is and something plays: its path, and its body.
COMMANDS: dict[str, tuple[str, Any]] = {
    "create_room": ("/conferences", {"name": "weekly"}),
    "play": ("/conferences/ROOM/play", {"urls": [URL]}),
    "pause": ("/conferences/ROOM/pause", None),
    "stop": ("/conferences/ROOM/stop", {}),
    "set_volume": ("/conferences/ROOM/volume", {"volume": 3}),
    "unmute_all": ("/conferences/ROOM/commands/unmute-all", {"exclude": []}),
    "kick_all": ("/conferences/ROOM/commands/kick-all", {"reason": "Over"}),
    "dial": ("/sessions", {"to": "+4930123456", "from": "+493098765432", "room_id": "ROOM"}),
    "transfer": ("/sessions/SESSION/commands/transfer", {"to": "+4930123456", "timeout": 30}),
    "join": ("/sessions/PARKED/commands/conference/join", {"room_id": "ROOM", "end_on_exit": True}),
    "leave": ("/sessions/SESSION/commands/conference/leave", None),
    "hold": ("/sessions/SESSION/commands/conference/hold", {"command_uid": "h-1"}),
    "set_member_volume": ("/sessions/SESSION/commands/conference/volume", {"direction": "in", "volume": 3}),
    "coach": ("/sessions/SESSION/commands/conference/coach", {"session_id": "MEMBER"}),
    "kick": ("/sessions/SESSION/commands/conference/kick", {"reason": "Off topic"}),
    "unmute": ("/sessions/SESSION/commands/conference/unmute", {"command_uid": "u-1"}),
    "deaf": ("/sessions/SESSION/commands/conference/deaf", None),
    "collect_digits": ("/sessions/SESSION/commands/collect-digits", {"max_digits": 4}),
    "play_to_session": ("/sessions/PARKED/commands/play", {"urls": [URL]}),
    "stop_session_play": ("/sessions/PARKED/commands/stop", {"command_uid": "s-1"}),
    "record_room": ("/conferences/ROOM/commands/record", {"upload_url": "https://storage.example.com/a.wav"}),
    "record_session": ("/sessions/SESSION/commands/record", {"channels": 2}),
    "pause_recording": ("/recordings/RECORDING/commands/pause", None),
    "stop_recording": ("/recordings/RECORDING/commands/stop", {"command_uid": "s-1"}),
    "send_dtmf": ("/sessions/SESSION/commands/dtmf", {"digits": "12w#"}),
    "rotate_secret": ("/webhooks/endpoint/rotate-secret", None),
    "redeliver_range": ("/webhooks/redeliver", {"since": "2026-01-01T00:00:00Z", "until": "2036-01-01T00:00:00Z"}),
}
OF_SEVERAL_STEPS: dict[str, tuple[str, Any]] = {
    "send_test": ("/webhooks/endpoint/test", None),
    "create_portal_link": ("/portal-links", {"role": "view"}),
}


@pytest.fixture
def fill(store: OpenStore, api: Api) -> Callable[[tuple[str, Any]], tuple[str, Any]]:
    """Puts ids into a command."""
    world = World(store)
    api.send_webhooks_to("http://127.0.0.1:9/")
    room = world.create()
    session, parked, member = world.joined(room, 1), world.park(2), world.joined(room, 3)
    world.play(room, URL)
    recording = str(world.record_session(parked)["recording_id"])
    world.sent()
    world.tell("recording_started", recording_id=recording)

    def fill(command: tuple[str, Any]) -> tuple[str, Any]:
        text = json.dumps(command).replace("ROOM", room).replace("SESSION", session).replace("PARKED", parked)
        text = text.replace("RECORDING", recording).replace("MEMBER", member)
        return cast(tuple[str, Any], tuple(json.loads(text)))

    return fill


Fill = Callable[[tuple[str, Any]], tuple[str, Any]]


@pytest.mark.parametrize(
    "command", [*COMMANDS.values(), *OF_SEVERAL_STEPS.values()], ids=[*COMMANDS, *OF_SEVERAL_STEPS]
)
def test_a_repeated_request_gets_its_first_answer_and_does_nothing(
    command: tuple[str, Any], fill: Fill, api: Api, store: OpenStore
) -> None:
    path, body = fill(command)
    first = api.post(path, body)
    assert first.status_code in (200, 201, 202), first.data
    assert "Idempotent-Replayed" not in first.headers
    before = traces(store)
    for other in (api, Api(store)):
        again = other.post(path, body)
        assert (again.status_code, again.data) == (first.status_code, first.data)
        assert again.headers["Idempotent-Replayed"] == "true"
    assert traces(store) == before


# The steps of a request with a key: admitted, claimed, carried out. A play is also asked for before its names are looked
# up.
STEPS = range(1, 5)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_whenever_the_process_is_killed_a_command_is_carried_out_once(
    command: tuple[str, Any], step: int, after: bool, fill: Fill, api: Api, store: OpenStore, watched: Watched
) -> None:
    path, body = fill(command)
    watched.at, watched.after = step, after
    before = traces(store)
    with suppress(Died):
        Api(watched).post(path, body)
    was_killed = watched.at == 0
    done = traces(store)
    assert was_killed or done != before
    lapse(store)
    answer = api.post(path, body)
    assert answer.status_code in (200, 201, 202), answer.data
    # It is a replay if and only if something had been done; then nothing more is.
    assert ("Idempotent-Replayed" in answer.headers) == (done != before) == (traces(store) == done)


@pytest.mark.parametrize(
    ("path", "body"),
    [("/conferences", {"name": "monthly"}), ("/webhooks/endpoint/rotate-secret", None)],
    ids=["another body", "another path"],
)
def test_a_key_of_another_request_is_refused(path: str, body: Any, api: Api, store: OpenStore) -> None:
    api.post("/conferences", {"name": "weekly"})
    before = traces(store)
    refused = api.post(path, body)
    assert (refused.status_code, refused.headers["X-Error-Code"]) == (422, "idempotency_key_reused")
    assert traces(store) == before


def test_a_body_is_the_same_however_it_is_written(api: Api) -> None:
    first = api.post("/conferences", {"name": "weekly"})
    headers = {"X-App-ID": "demo", "X-API-Key": KEY, "Idempotency-Key": "k-1", "Content-Type": "application/json"}
    again = api.http.post("/api/v1/conferences", data=b' { "name" : "week\\u006cy" } ', headers=headers)
    assert again.data == first.data


def test_an_app_s_keys_are_its_own(api: Api) -> None:
    rooms = {api.post("/conferences", {"name": "weekly"}, app=app).get_json()["room_id"] for app in ("demo", "other")}
    assert len(rooms) == 2


def test_two_at_once(watched: Watched, api: Api, fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    path, body = fill(COMMANDS["play"])
    found: list[TestResponse] = []
    monkeypatch.setattr(idempotency, "HOLD_MS", A_DAY_MS)  # however slow the machine is
    # After the first was admitted, and has claimed the key.
    watched.at, watched.happens = 3, lambda: found.append(api.post(path, body))
    first = Api(watched).post(path, body)
    (second,) = found
    assert first.status_code == 202
    assert (second.status_code, second.headers["X-Error-Code"]) == (409, "idempotency_key_in_use")
    # The first will have ended soon.
    assert 0 < second.get_json()["detail"]["retry_after_ms"] <= 1000
    assert second.headers["Retry-After"] == "1"
    assert api.post(path, body).data == first.data


def test_whose_claim_has_lapsed_carries_nothing_out(watched: Watched, store: OpenStore, api: Api, fill: Fill) -> None:
    path, body = fill(COMMANDS["pause"])
    found: list[TestResponse] = []

    def meanwhile() -> None:
        lapse(store)
        found.append(api.post(path, body))

    watched.at, watched.happens = 3, meanwhile
    late = Api(watched).post(path, body)
    (carried_out,) = found
    assert carried_out.status_code == 202
    assert (late.status_code, late.headers["X-Error-Code"]) == (409, "idempotency_key_in_use")
    assert api.post(path, body).data == carried_out.data


def test_what_was_refused_may_be_tried_again(store: OpenStore, api: Api) -> None:
    world = World(store)
    room, session = world.create(), world.park()
    path = f"/sessions/{session}/commands/conference/unmute"
    assert api.post(path).headers["X-Error-Code"] == "not_in_room"
    world.ask("join", session_id=session, room_id=room)
    assert api.post(path).headers["X-Error-Code"] == "still_joining"
    assert api.post("/conferences", {"name": "!"}).status_code == 400
    for command in world.sent():
        world.answer(command["job"])
    world.tell("member_joined", session_id=session, room_id=room, member_id=1, flags=["muted"])
    assert api.post(path).status_code == 202


@pytest.mark.parametrize("key", ["", "\x7f", "x" * 256, "a\u00e9"], ids=["empty", "control", "long", "not ASCII"])
def test_a_key_of_the_wrong_form(key: str, api: Api) -> None:
    refused = api.post("/conferences", {"name": "weekly"}, key=key.encode().decode("latin-1"))
    assert refused.status_code == 400
    (problem,) = refused.get_json()["detail"]["fields"]
    assert problem == {"field": "Idempotency-Key", "problem": "must be 1 to 255 printable ASCII characters"}


@pytest.mark.parametrize("key", ["~", "x" * 255, "a b:c {p01} %s"])
def test_a_key_may_be_any_printable_ascii(key: str, api: Api) -> None:
    first = api.post("/conferences", {"name": "weekly"}, key=key)
    assert first.status_code == 201
    assert api.post("/conferences", {"name": "weekly"}, key=key).data == first.data


def test_other_methods_ignore_it(api: Api) -> None:
    headers = {"X-App-ID": "demo", "X-API-Key": KEY, "Idempotency-Key": "x" * 300}
    assert api.http.get("/api/v1/conferences", headers=headers).status_code == 200


def test_a_test_whose_process_was_killed_is_not_sent_again(
    watched: Watched, store: OpenStore, api: Api, receiver: Receiver
) -> None:
    api.send_webhooks_to(receiver.url)
    # Admitted, claimed, sent; killed as the answer is kept.
    watched.at = 4
    with pytest.raises(Died):
        Api(watched).post("/webhooks/endpoint/test")
    assert len(receiver.received) == 1
    (claim,) = store.client.keys("*:idempotency:*")
    # Once it is clear that nobody is still at it.
    store.client.pexpire(claim, A_DAY_MS - 60_000)
    refused = api.post("/webhooks/endpoint/test")
    assert (refused.status_code, refused.headers["X-Error-Code"]) == (409, "idempotency_key_in_use")
    assert refused.get_json()["detail"]["retry_after_ms"] > A_DAY_MS - 600_000
    assert len(receiver.received) == 1


def test_what_is_kept_is_bounded_and_forgotten_after_a_day(store: OpenStore, api: Api) -> None:
    api.registry.put_app(new_app("demo", KEY, own_quotas={"idempotency_bytes": 1}))
    first = api.post("/conferences", {"name": "weekly"}, key="a")
    assert first.status_code == 201
    refused = api.post("/conferences", {"name": "monthly"}, key="b")
    assert refused.status_code == 409
    assert refused.get_json()["detail"]["quota"] == "idempotency_bytes"
    # What is known already gets its answer, and what has no key is not held up.
    assert api.post("/conferences", {"name": "weekly"}, key="a").data == first.data
    assert api.post("/conferences", {"name": "monthly"}, key=None).status_code == 201

    tag = keys.partition_of("demo")
    (record,) = store.client.keys("*:idempotency:*")
    assert A_DAY_MS - 600_000 < store.client.pttl(record) <= A_DAY_MS
    store.client.delete(record)
    (ends,) = store.client.zrange(keys.key(tag, "idempotency_ends", "demo"), 0, -1)
    store.client.zincrby(keys.key(tag, "idempotency_ends", "demo"), -A_DAY_MS, ends)
    assert api.post("/conferences", {"name": "yearly"}, key="a").status_code == 201
    usage = int(store.client.hget(keys.key(tag, "usage", "demo"), "idempotency_bytes"))
    (ends,) = store.client.zrange(keys.key(tag, "idempotency_ends", "demo"), 0, -1)
    assert usage == int(ends.split()[1])


@pytest.fixture
def memory(store: OpenStore) -> Iterator[Memory]:
    memory = Memory(store)
    yield memory
    memory.give()


def test_with_a_full_store_nothing_is_kept_and_nothing_carried_out(
    store: OpenStore, api: Api, fill: Fill, memory: Memory
) -> None:
    path, body = fill(COMMANDS["leave"])
    before = traces(store)
    memory.use_up()
    refused = api.post(path, body)
    assert (refused.status_code, refused.headers["X-Error-Code"]) == (503, "store_full")
    assert not store.client.keys("*:idempotency:*")
    assert traces(store) == before
    # Without a key it would have ended something, which a full store takes.
    assert api.post(path, body, key=None).status_code == 202


def test_a_replay_is_counted_as_such(api: Api) -> None:
    def replayed() -> float:
        labels = {"command": "create", "outcome": "replayed"}
        return REGISTRY.get_sample_value("switchroom_commands_total", labels) or 0.0

    before = replayed()
    for _ in range(3):
        api.post("/conferences", {"name": "weekly"})
    assert replayed() - before == 2
