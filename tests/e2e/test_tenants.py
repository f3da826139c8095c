"""Every endpoint of the API with every id of another tenant: no answer tells anything, and nothing changes."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.e2e.conftest import Dial
from tests.e2e.system import DIDS, Receiver, Switchroom

# A valid body for each operation that takes one; the ids in it are filled in.
BODIES: dict[str, dict[str, Any]] = {
    "play": {"urls": ["http://media.example/a.wav"]},
    "members/{uuid}": {"muted": False, "tags": ["mine"]},
    "conference/volume": {"direction": "in", "volume": 1},
    "volume": {"volume": 1},
    "join": {"room_id": "ROOM"},
    "sessions": {"to": "+4940123456", "from": "+493098765432", "room_id": "ROOM"},
    "{room_id}": {"locked": True, "beep_enter": "http://media.example/a.wav", "beep_exit": "tone"},
    "coach": {"session_id": "SESSION"},
    "dtmf": {"digits": "1"},
    "transfer": {"to": "+4940123456"},
}


def body_of(path: str) -> dict[str, Any] | None:
    return next((body for end, body in BODIES.items() if path.endswith(f"/{end}")), None)


def state(service: Switchroom, room: str, session: str) -> list[Any]:
    paths = (f"/api/v1/conferences/{room}", f"/api/v1/conferences/{room}/members", f"/api/v1/sessions/{session}")
    found = [service.get(path).body for path in (*paths, f"/api/v1/recordings?room_id={room}")]
    del found[0]["duration"]  # of a room, which only grows
    return found


def begin_recording(service: Switchroom, hooks: Receiver, room: str) -> str:
    answer = service.post(f"/api/v1/conferences/{room}/commands/record", {})
    recording = str(answer.body["recording_id"])
    hooks.wait("conference.recording.started", recording_id=recording)
    return recording


def test_every_endpoint_with_another_tenant_s_ids(
    room_service: Switchroom, hooks: Receiver, dial: Dial, new_room: Any, join: Any
) -> None:
    session, _ = dial("alpha")
    room = new_room()
    join(session, room)
    joined = next(at for at, hook in enumerate(hooks.received) if hook["data"].get("uuid") == session)
    webhook = hooks.ids[joined]
    recording = begin_recording(room_service, hooks, room)
    theirs, _ = dial("beta")
    before = state(room_service, room, session)
    own_room = room_service.post("/api/v1/conferences", {"name": "beta-own"}, app="beta").body["room_id"]
    document = room_service.get("/openapi.json", app=None).body
    tried = 0
    for path, methods in document["paths"].items():
        if not path.startswith("/api/v1/"):
            continue
        for method in {"get", "post", "put", "patch", "delete"} & set(methods):
            for mine in ({}, {"session": theirs}, {"room": own_room}):
                ids = {"ROOM": mine.get("room", room), "SESSION": mine.get("session", session)}
                takes = (body_of(path) if method in ("post", "put", "patch") else None) or {}
                # Whose session is to be coached is theirs always.
                body = json.loads(json.dumps(takes).replace("ROOM", ids["ROOM"]).replace("SESSION", session))
                filled = re.sub(r"\{room_id\}", ids["ROOM"], path)
                filled = re.sub(r"\{(session_id|uuid)\}", ids["SESSION"], filled)
                filled = re.sub(r"\{webhook_id\}", webhook, filled)
                filled = re.sub(r"\{recording_id\}", recording, filled)
                if not any(each in filled + str(body) for each in (room, session, webhook, recording)):
                    continue
                answer = room_service.request(
                    method.upper(), filled, body if method in ("post", "put", "patch") else None, app="beta"
                )
                if answer.status == 429:
                    answer = room_service.post(filled, body, app="beta")
                assert answer.status in (403, 404), (method, filled, answer)
                assert set(answer.body) <= {"success", "error", "detail"}
                assert DIDS["alpha"] not in str(answer.body)
                tried += 1
    assert tried >= 15
    assert state(room_service, room, session) == before
    assert not [hook for hook in hooks.received if hook["data"]["app_id"] == "beta" and room in str(hook)]


def test_a_batch_with_another_tenant_s_ids(
    room_service: Switchroom, hooks: Receiver, dial: Dial, new_room: Any, join: Any
) -> None:
    session, _ = dial("alpha")
    room = new_room()
    join(session, room)
    theirs, _ = dial("beta")
    recording = begin_recording(room_service, hooks, room)
    before = state(room_service, room, session)
    document = room_service.get("/openapi.json", app=None).body
    requests: list[dict[str, Any]] = []
    for path, methods in document["paths"].items():
        for method in {"post", "patch", "delete"} & set(methods):
            if re.match("/api/v1/(conferences|sessions|recordings)", path):
                taken = None if method == "delete" else body_of(path)
                body = json.loads(json.dumps(taken).replace("ROOM", room))
                for mine in (session, theirs):
                    filled = re.sub(r"\{room_id\}", room, path)
                    filled = re.sub(r"\{(session_id|uuid)\}", mine, filled)
                    filled = re.sub(r"\{recording_id\}", recording, filled)
                    if room in filled + str(body) or session in filled or recording in filled:
                        request = {"method": method.upper(), "path": filled} | ({} if body is None else {"body": body})
                        requests += [] if request in requests else [request]
    answer = room_service.post("/api/v1/batch", {"requests": requests}, app="beta")
    assert answer.status == 200
    assert len(answer.body["results"]) == len(requests) >= 10
    for request, result in zip(requests, answer.body["results"], strict=True):
        assert result["status"] in (403, 404), (request, result)
        assert set(result["body"]) <= {"success", "error", "detail"}
    assert DIDS["alpha"] not in str(answer.body)
    assert state(room_service, room, session) == before
    assert not [hook for hook in hooks.received if hook["data"]["app_id"] == "beta" and room in str(hook)]


def test_an_idempotency_key_of_another_tenant(room_service: Switchroom) -> None:
    bodies = {
        app: room_service.request(
            "POST", "/api/v1/conferences", {"name": "once"}, app, **{"Idempotency-Key": "same"}
        ).body
        for app in ("alpha", "beta")
    }
    assert bodies["alpha"]["room_id"] != bodies["beta"]["room_id"]


def test_lists_hold_what_is_one_s_own(room_service: Switchroom, dial: Dial, new_room: Any) -> None:
    session, _ = dial("alpha")
    room = new_room()
    for path in ("/api/v1/conferences?limit=200", "/api/v1/sessions?limit=200"):
        listed = str(room_service.get(path, app="beta").body)
        assert room not in listed
        assert session not in listed
        assert listed != str(room_service.get(path, app="alpha").body)


def test_a_tag_is_one_s_own(room_service: Switchroom, unique: str) -> None:
    body = {"name": unique, "tags": [unique]}
    rooms = {app: room_service.post("/api/v1/conferences", body, app=app).body["room_id"] for app in ("alpha", "beta")}
    for app, room in rooms.items():
        found = room_service.get(f"/api/v1/conferences?tag={unique}", app=app).body["conferences"]
        assert [each["room_id"] for each in found] == [room]


def test_another_tenant_s_cursor(room_service: Switchroom, new_room: Any) -> None:
    new_room(), new_room()
    cursor = room_service.get("/api/v1/conferences?limit=1").body["cursor"]
    assert room_service.get(f"/api/v1/conferences?limit=1&cursor={cursor}").status == 200
    assert room_service.get(f"/api/v1/conferences?limit=1&cursor={cursor}", app="beta").status == 400
