"""The client on the real service, and on the fake that stands in for it: the same tests on both keep the fake true.

The client waits out cooldowns by itself, so these tests do not say so.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

import pytest

from switchroom.client import APIError, Client, Conflict, InvalidRequest, NotFound, TooManyRequests, Unauthenticated
from switchroom.client.fake import FakeSwitchroom
from switchroom.client.models import Playing
from switchroom.client.webhooks import (
    ConferenceDestroyed,
    ConferenceMemberJoined,
    ConferencePlayFinished,
    Data,
    SessionDigitsCollected,
    SessionDtmf,
    SessionPlayFinished,
    Verifier,
    Webhook,
    parse,
)
from tests import webhook_data
from tests.e2e.nodes import Call, Node
from tests.e2e.system import CALLER_ID, DIDS, KEYS, Media, Receiver, Switchroom

_numbers = itertools.count(1)

Given = TypeVar("Given")


class Service(Protocol):
    """The service, with what stands around it. `impatient`: a client that makes nothing again."""

    client: Client
    impatient: Client

    def call(self) -> str:
        """A call comes in: its session's id."""

    def hang_up(self, session: str) -> None: ...

    def is_busy(self, number: str) -> None:
        """A number that ends in 486."""

    def hold_answers(self, held: bool) -> None:
        """Whether a number that ends in 180 rings and is not answered."""

    def with_key(self, key: str) -> Client:
        """A client with another key."""

    def sound(self, seconds: int = 1) -> str:
        """The URL of a file that plays so long, another one each time."""

    def play_out(self, room: str) -> None:
        """What plays in the room comes to its end."""

    def wait(self, kind: str, **match: Any) -> Any:
        """The data of the first webhook of that type whose data holds `match`."""

    def about(self, **match: Any) -> list[Webhook]:
        """All webhooks whose data holds `match`, in their order."""


class Real:
    def __init__(self, system: Switchroom, node: Node, hooks: Receiver, media: Media) -> None:
        self._url = f"http://127.0.0.1:{system.port}"
        self.client = self.with_key(KEYS["alpha"])
        self.impatient = Client(self._url, app_id="alpha", api_key=KEYS["alpha"], retries=0)
        self._node = node
        self._hooks = hooks
        self._media = media
        self._calls: dict[str, Call] = {}

    def call(self) -> str:
        caller_id = f"52799{next(_numbers):04d}"
        call = self._node.call(DIDS["alpha"], caller_id)
        session = str(self._hooks.wait("session.started", caller_id=caller_id)["uuid"])
        self._calls[session] = call
        return session

    def hang_up(self, session: str) -> None:
        self._calls.pop(session).hang_up()

    def is_busy(self, number: str) -> None: ...

    def hold_answers(self, held: bool) -> None: ...

    def with_key(self, key: str) -> Client:
        return Client(self._url, app_id="alpha", api_key=key)

    def sound(self, seconds: int = 1) -> str:
        return self._media.tone(seconds, f"client-{next(_numbers)}")

    def play_out(self, room: str) -> None:
        operation = self.client.get_room(room).playback_operation_id
        self._hooks.wait("conference.play.finished", operation_id=operation)

    def wait(self, kind: str, **match: Any) -> Data:
        return parse("", {"type": kind, "timestamp": 0, "data": self._hooks.wait(kind, **match)}).data

    def about(self, **match: Any) -> list[Webhook]:
        return [parse("", hook) for hook in self._hooks.of(**match)]

    def close(self) -> None:
        for call in self._calls.values():
            call.hang_up()


class Fake:
    def __init__(self) -> None:
        self.fake = FakeSwitchroom()
        self.client = self.fake.client()
        self.impatient = self.fake.client(retries=0)

    def call(self) -> str:
        return self.fake.call(did=DIDS["alpha"], caller_id=f"52799{next(_numbers):04d}")

    def hang_up(self, session: str) -> None:
        self.fake.hang_up(session)

    def is_busy(self, number: str) -> None:
        self.fake.unanswered[number] = "busy"

    def hold_answers(self, held: bool) -> None:
        self.fake.confirms = not held

    def with_key(self, key: str) -> Client:
        return Client("http://fake", app_id=self.fake.app_id, api_key=key, transport=self.fake)

    def sound(self, seconds: int = 1) -> str:
        return f"http://127.0.0.1:1/tone/{next(_numbers)}.wav"

    def play_out(self, room: str) -> None:
        self.fake.finish_play(room)

    def wait(self, kind: str, **match: Any) -> Data:
        return next(webhook.data for webhook in self.about(**match) if webhook.type == kind)

    def about(self, **match: Any) -> list[Webhook]:
        for webhook in self.fake.webhooks:
            webhook_data.check(webhook.type, webhook.data.model_dump(exclude_unset=True))
        return [webhook for webhook in self.fake.webhooks if match.items() <= webhook.data.model_dump().items()]

    def close(self) -> None: ...


@pytest.fixture(params=["fake", "real"])
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    if request.param == "fake":
        yield Fake()
        return
    real = Real(*(request.getfixturevalue(name) for name in ("room_service", "node", "hooks", "media")))
    yield real
    real.close()


@pytest.fixture
def room(service: Service) -> str:
    return service.client.create_room(f"client-{next(_numbers)}").room_id


def joined(service: Service, room: str) -> str:
    """A session that is a member."""
    session = service.call()
    assert service.client.join(session, room).status == "joining"
    service.wait("conference.member.joined", uuid=session, room_id=room)
    return session


def types(service: Service, **match: Any) -> list[str]:
    return [webhook.type for webhook in service.about(**match)]


def test_a_room_that_ends_with_a_member(service: Service, unique: str) -> None:
    client = service.client
    room = client.create_room(unique).room_id
    sessions = [service.call() for _ in range(3)]
    for number, session in enumerate(sessions):
        client.join(session, room, end_on_exit=number > 0)
        assert service.wait("conference.member.joined", uuid=session).end_on_exit is (number > 0)
    client.kick(sessions[1])
    service.wait("conference.member.left", uuid=sessions[1])
    client.leave(sessions[2])
    assert service.wait("conference.destroyed", room_id=room).reason == "end_on_exit"
    assert service.wait("conference.member.left", uuid=sessions[0]).reason == "room_destroyed"
    assert client.get_session(sessions[2]).end_on_exit is False


def test_tags_of_rooms(service: Service, unique: str) -> None:
    client, tag = service.client, f"naïve {unique}"
    rooms = [client.create_room(f"{unique}-{number}", tags=[tag, str(number)]).room_id for number in range(3)]
    found = list(client.list_rooms(limit=2, tag=tag))
    assert [(entry.room_id, entry.tags) for entry in found] == [
        (room, [tag, str(number)]) for number, room in enumerate(rooms)
    ]
    assert client.change_room(rooms[0], tags=[]).tags == []
    assert service.wait("conference.updated", room_id=rooms[0]).tags == []
    assert client.get_room(rooms[1]).tags == [tag, "1"]
    client.delete_room(rooms[1])
    assert [entry.room_id for entry in client.list_rooms(tag=tag)] == [rooms[2]]
    assert list(client.list_rooms(tag=tag, name=f"{unique}-0")) == []


def test_rooms(service: Service, room: str) -> None:
    name = service.client.get_room(room).name
    assert [(entry.room_id, entry.members) for entry in service.client.list_rooms(name=name)] == [(room, 0)]
    with pytest.raises(Conflict) as taken:
        service.client.create_room(name)
    assert (taken.value.code, taken.value.detail.room_id) == ("name_taken", room)
    assert service.client.get_room(room).created_at > datetime.now(UTC) - timedelta(minutes=1)
    assert service.client.delete_room(room).room_id == room
    with pytest.raises(NotFound) as gone:
        service.client.get_room(room)
    assert gone.value.code == "room_not_found"
    with pytest.raises(NotFound):
        service.client.delete_room(room)
    with pytest.raises(NotFound):
        list(service.client.list_members(room))
    assert [*service.client.list_rooms(name=name)] == []
    service.wait("conference.destroyed", room_id=room, name=name)
    assert types(service, room_id=room) == ["conference.created", "conference.destroyed"]


def test_a_session_from_its_call_to_its_end(service: Service, room: str) -> None:
    session = service.call()
    shown = service.client.get_session(session)
    assert (shown.state, shown.room_id, shown.member_id, shown.muted, shown.did) == (
        *("parked", "", None, False),
        DIDS["alpha"],
    )
    assert session in [each.uuid for each in service.client.list_sessions(state="parked", did=DIDS["alpha"])]
    first = service.client.join(session, room, command_uid=f"join-{session}")
    assert (first.status, first.room_id) == ("joining", room)
    service.wait("conference.member.joined", uuid=session, command_uid=f"join-{session}")
    assert service.client.join(session, room).status == "already_joined"
    shown = service.client.get_session(session)
    assert (shown.state, shown.room_id, shown.muted, shown.deaf) == ("joined", room, True, False)
    assert isinstance(shown.member_id, int)
    assert [member.uuid for member in service.client.list_members(room)] == [session]
    assert [each.uuid for each in service.client.list_sessions(room_id=room)] == [session]
    assert service.client.leave(session).status == "leaving"
    assert service.wait("conference.member.left", uuid=session).reason == "left"
    assert service.client.get_session(session).state == "parked"
    service.hang_up(session)
    ended = service.wait("session.ended", uuid=session)
    assert (ended.cause, ended.sequence) == ("NORMAL_CLEARING", 2)
    with pytest.raises(NotFound) as gone:
        service.client.get_session(session)
    assert gone.value.code == "session_not_found"
    assert types(service, uuid=session) == [
        "session.started",
        "conference.member.joined",
        "conference.member.left",
        "session.ended",
    ]


def test_flags(service: Service, room: str) -> None:
    session = joined(service, room)
    with pytest.raises(Conflict) as already:
        service.client.mute(session)
    assert already.value.code == "already_muted"
    assert service.client.unmute(session, command_uid=f"u-{session}").status == "unmuted"
    unmuted = service.wait("conference.member.unmuted", uuid=session)
    assert (unmuted.muted, unmuted.command_uid) == (False, f"u-{session}")
    assert service.client.mute(session).status == "muted"
    assert service.wait("conference.member.muted", uuid=session).muted is True
    assert service.client.deaf(session).status == "deafened"
    assert service.wait("conference.member.deafened", uuid=session).deaf is True
    (member,) = service.client.list_members(room)
    assert (member.muted, member.deaf) == (True, True)
    assert service.client.undeaf(session).status == "undeafened"
    service.wait("conference.member.undeafened", uuid=session)
    with pytest.raises(Conflict) as heard:
        service.client.undeaf(session)
    assert heard.value.code == "already_undeafened"


def test_coach(service: Service, room: str) -> None:
    coach, coached = joined(service, room), joined(service, room)
    assert service.client.coach(coach, coached, command_uid=f"c-{coach}").status == "coaching"
    told = service.wait("conference.member.coaching", uuid=coach)
    assert (told.coaching, told.command_uid) == (coached, f"c-{coach}")
    assert {member.uuid: member.coaching for member in service.client.list_members(room)} == {
        coach: coached,
        coached: None,
    }
    with pytest.raises((Conflict, TooManyRequests)):
        service.client.coach(coach, coached)
    assert service.client.uncoach(coach).status == "uncoached"
    assert service.wait("conference.member.uncoached", uuid=coach).coaching is None
    assert service.client.get_session(coach).coaching is None


def test_hold_and_volume(service: Service, room: str) -> None:
    session = joined(service, room)
    assert service.client.hold(session, url=service.sound(), command_uid=f"h-{session}").status == "held"
    held = service.wait("conference.member.held", uuid=session)
    assert (held.hold, held.command_uid) == (True, f"h-{session}")
    assert service.client.set_member_volume(session, "in", 3).status == "volume_changed"
    changed = service.wait("conference.member.volume_changed", uuid=session)
    assert (changed.volume_in, changed.volume_out, changed.hold) == (3, 0, True)
    (member,) = service.client.list_members(room)
    assert (member.hold, member.volume_in) == (True, 3)
    again = service.call()
    service.client.join(again, room, volume_out=-2, command_uid=f"j-{again}")
    assert service.wait("conference.member.joined", uuid=again).volume_out == 0
    changed = service.wait("conference.member.volume_changed", uuid=again)
    assert (changed.volume_out, changed.command_uid) == (-2, f"j-{again}")
    with pytest.raises((Conflict, TooManyRequests)):
        service.client.hold(session)
    assert service.client.unhold(session).status == "unheld"
    assert service.wait("conference.member.unheld", uuid=session).hold is False


def test_several_things_of_a_member_at_once(service: Service, room: str) -> None:
    session = joined(service, room)
    changing = service.client.change_member(
        room, session, muted=False, deaf=False, volume_out=-1, tags=["vip"], command_uid=f"c-{session}"
    )
    assert (changing.uuid, changing.status, changing.changing) == (session, "changing", ["muted", "volume_out"])
    assert service.wait("conference.member.updated", uuid=session).tags == ["vip"]
    assert service.wait("conference.member.unmuted", uuid=session).command_uid == f"c-{session}"
    assert service.wait("conference.member.volume_changed", uuid=session).volume_out == -1
    (member,) = service.client.list_members(room)
    assert (member.muted, member.volume_out, member.tags) == (False, -1, ["vip"])
    with pytest.raises(NotFound):
        service.client.change_member(room, service.call(), role="moderator")


def test_a_member_joins_as_what_it_is_to_be_and_is_kicked(service: Service, room: str) -> None:
    session = service.call()
    service.client.join(
        session, room, muted=False, deaf=True, role="moderator", tags=["agent"], command_uid=f"j-{session}"
    )
    joined = service.wait("conference.member.joined", uuid=session)
    assert (joined.muted, joined.deaf, joined.role, joined.tags) == (False, True, "moderator", ["agent"])
    (member,) = service.client.list_members(room)
    assert (member.muted, member.deaf, member.role, member.tags) == (False, True, "moderator", ["agent"])
    assert member.joined_at == service.client.get_session(session).joined_at is not None
    # The same command_uid with other options is another command.
    with pytest.raises(Conflict) as taken:
        service.client.join(session, room, command_uid=f"j-{session}")
    assert taken.value.code == "command_uid_taken"
    assert service.client.kick(session, reason="Off topic", command_uid=f"k-{session}").status == "leaving"
    left = service.wait("conference.member.left", uuid=session)
    assert (left.reason, left.kicked_by, left.kick_reason) == ("kicked", "app", "Off topic")
    assert (left.command_uid, left.role) == (f"k-{session}", "moderator")
    after = service.client.get_session(session)
    assert (after.state, after.role, after.tags, after.joined_at) == ("parked", "participant", [], None)


def too_soon(first: Callable[[], Given], then: Callable[[Given], object]) -> TooManyRequests:
    """What the second request is refused with, right after the first; anew if it came so late that it was accepted."""
    while True:
        given = first()
        try:
            then(given)
        except TooManyRequests as refused:
            return refused


def test_cooldowns(service: Service, room: str) -> None:
    soon = too_soon(lambda: joined(service, room), service.impatient.leave)
    assert (soon.code, soon.detail.group) == ("rate_limited", "conference")
    assert 0 < (soon.retry_after or 0) <= 2

    def unmuted() -> str:
        session = joined(service, room)
        service.client.unmute(session)
        return session

    assert too_soon(unmuted, service.impatient.mute).detail.group == "conference_mute"
    control = too_soon(lambda: service.client.set_volume(room, 1), lambda _: service.impatient.stop(room))
    assert control.detail.group == "conference_control"


def test_where_a_session_is(service: Service, room: str) -> None:
    session = service.call()
    for command in (service.client.leave, service.client.mute, service.client.undeaf):
        with pytest.raises(NotFound) as outside:
            command(session)
        assert outside.value.code == "not_in_room"
    service.client.join(session, room)
    service.wait("conference.member.joined", uuid=session)
    other = service.client.create_room(f"client-{next(_numbers)}").room_id
    with pytest.raises(Conflict) as elsewhere:
        service.client.join(session, other)
    assert (elsewhere.value.code, elsewhere.value.detail.room_id) == ("in_other_room", room)


def test_a_command_uid_names_one_command(service: Service, room: str) -> None:
    session, uid = joined(service, room), f"uid-{next(_numbers)}"
    assert service.client.unmute(session, command_uid=uid).status == "unmuted"
    service.wait("conference.member.unmuted", uuid=session)
    assert service.impatient.unmute(session, command_uid=uid).status == "unmuted"
    with pytest.raises(Conflict) as taken:
        service.impatient.mute(session, command_uid=uid)
    assert taken.value.code == "command_uid_taken"
    assert types(service, command_uid=uid) == ["conference.member.unmuted"]


def test_an_idempotency_key_stands_for_one_request(service: Service) -> None:
    name, key = f"once-{next(_numbers)}", f"key-{next(_numbers)}"
    room = service.impatient.create_room(name, idempotency_key=key).room_id
    assert service.impatient.create_room(name, idempotency_key=key).room_id == room
    with pytest.raises(APIError) as reused:
        service.impatient.create_room(f"{name}-b", idempotency_key=key)
    assert (reused.value.status, reused.value.code) == (422, "idempotency_key_reused")
    assert service.wait("conference.created", name=name).room_id == room
    assert types(service, room_id=room) == ["conference.created"]
    # What was refused may be tried again.
    later = f"key-{next(_numbers)}"
    with pytest.raises(Conflict):
        service.impatient.create_room(name, idempotency_key=later)
    service.client.delete_room(room)
    assert service.impatient.create_room(name, idempotency_key=later).room_id != room
    with pytest.raises(Unauthenticated):
        service.with_key("another").create_room(name, idempotency_key=later)


def test_a_batch(service: Service, room: str) -> None:
    first, second = joined(service, room), joined(service, room)
    path = "/api/v1/sessions/{}/commands/conference/{}"
    requests: list[dict[str, Any]] = [
        {"path": path.format(first, "unmute"), "body": {"command_uid": f"uid-{next(_numbers)}"}},
        {"path": path.format(second, "unmute")},
        {"path": path.format(second, "join"), "body": {"room_id": room}},
        {"path": path.format("nobody", "unmute")},
        {"path": "/api/v1/conferences", "body": {"name": "!"}},
    ]
    key = f"key-{next(_numbers)}"
    results = service.impatient.batch(requests, idempotency_key=key).results
    assert [(each.status, each.code) for each in results] == [
        (202, ""),
        (202, ""),
        (200, ""),
        (404, "session_not_found"),
        (400, "invalid"),
    ]
    assert results[0].body == {"status": "unmuted", "room_id": room}
    for session in (first, second):
        service.wait("conference.member.unmuted", uuid=session)
    assert service.impatient.batch(requests, idempotency_key=key).results == results
    assert service.client.batch([{"method": "DELETE", "path": f"/api/v1/conferences/{room}"}]).results[0].status == 200
    with pytest.raises(InvalidRequest):
        service.impatient.batch([{"path": "/api/v1/batch", "body": {}}])


def test_playback(service: Service, room: str) -> None:
    joined(service, room)
    first, second = service.sound(6), service.sound(5)
    with pytest.raises(Conflict) as nothing:
        service.client.pause(room)
    assert nothing.value.code == "nothing_playing"
    started = service.client.play(room, [first])
    assert started.status == "in_progress"
    waiting = service.client.play(room, [second])
    shown = service.client.get_room(room)
    assert (shown.playback_operation_id, shown.playback_urls) == (started.operation_id, [first])
    assert shown.playback_status == "playing"
    assert shown.playing == Playing(operation_id=started.operation_id, urls=[first], index=0)
    assert [(one.operation_id, one.urls) for one in shown.playback_queue] == [(waiting.operation_id, [second])]
    service.play_out(room)
    volume = service.client.set_volume(room, -3)
    assert (volume.operation_id, volume.status) == (waiting.operation_id, "volume_changed")
    assert service.client.pause(room).status == "paused"
    assert service.client.get_room(room).playback_status == "paused"
    assert service.client.pause(room).status == "resumed"
    service.play_out(room)
    finished = service.wait("conference.play.finished", operation_id=waiting.operation_id)
    assert isinstance(finished, ConferencePlayFinished)
    assert finished.status == "completed"
    assert [(result.url, result.status, result.reason) for result in finished.results] == [(second, "played", None)]
    shown = service.client.get_room(room)
    assert (shown.playback_status, shown.playback_operation_id, shown.playback_volume) == ("stopped", "", -3)
    assert [kind for kind in types(service, room_id=room) if "play" in kind] == [
        *["conference.play.started"] * 2,
        "conference.play.finished",
        "conference.play.volume_changed",
        *["conference.play.paused"] * 2,
        "conference.play.finished",
    ]


def test_stop_ends_what_plays_and_what_waits(service: Service, room: str) -> None:
    joined(service, room)
    assert service.client.stop(room).operation_id == ""
    service.wait("conference.play.stopped", room_id=room, operation_id="")
    operations = [service.client.play(room, [service.sound()] * 8).operation_id for _ in range(2)]
    assert service.client.stop(room).operation_id == operations[0]
    for operation in operations:
        service.wait("conference.play.stopped", operation_id=operation)
    assert service.client.get_room(room).playback_status == "stopped"


def test_nobody_hears_it(service: Service, room: str) -> None:
    operation = service.client.play(room, [service.sound()]).operation_id
    finished = service.wait("conference.play.finished", operation_id=operation)
    assert (finished.status, finished.results[0].reason) == ("failed", "no_members")


def test_a_call_that_ends_leaves_its_room_and_the_last_one_ends_what_plays(service: Service, room: str) -> None:
    session = joined(service, room)
    operation = service.client.play(room, [service.sound()] * 8).operation_id
    service.hang_up(session)
    left = service.wait("conference.member.left", uuid=session)
    assert (left.reason, left.cause) == ("hangup", "NORMAL_CLEARING")
    assert service.wait("conference.play.finished", operation_id=operation).status == "interrupted"
    service.wait("session.ended", uuid=session)


def test_a_call_that_the_app_makes(service: Service, room: str) -> None:
    number = f"+4930{next(_numbers):05d}200"
    session = service.client.dial(number, CALLER_ID, room_id=room, muted=False, command_uid=f"d-{number}").uuid
    answered = service.wait("session.answered", uuid=session)
    assert (answered.did, answered.caller_id, answered.command_uid) == (number, CALLER_ID, f"d-{number}")
    assert service.wait("conference.member.joined", uuid=session).muted is False
    assert types(service, uuid=session)[:3] == ["session.dialing", "session.ringing", "session.answered"]
    assert service.client.get_session(session).did == number
    service.client.hang_up(session)
    service.wait("session.ended", uuid=session)


def test_a_call_that_is_cancelled(service: Service) -> None:
    number = f"+4930{next(_numbers):05d}180"
    service.hold_answers(True)
    session = service.client.dial(number, CALLER_ID, command_uid=f"d-{number}").uuid
    assert [one.uuid for one in service.client.list_sessions(state="dialing")] == [session]
    room = service.client.create_room(f"dialled-{next(_numbers)}").room_id
    with pytest.raises(Conflict) as early:
        service.client.join(session, room)
    assert early.value.code == "still_dialing"
    service.hold_answers(False)
    service.client.hang_up(session, command_uid=f"h-{number}")
    failed = service.wait("session.failed", uuid=session)
    assert (failed.cause, failed.command_uid, failed.cancelled_by) == ("cancelled", f"d-{number}", f"h-{number}")


def test_a_call_that_is_busy(service: Service) -> None:
    number = f"+4930{next(_numbers):05d}486"
    service.is_busy(number)
    session = service.client.dial(number, CALLER_ID).uuid
    assert service.wait("session.failed", uuid=session).cause == "busy"
    with pytest.raises(NotFound):
        service.client.get_session(session)


def test_a_call_that_is_transferred(service: Service, room: str) -> None:
    number, session = f"+4930{next(_numbers):05d}200", joined(service, room)
    asked = service.client.transfer(session, number, CALLER_ID, command_uid=f"t-{number}")
    assert (asked.uuid, asked.status) == (session, "transferring")
    assert service.wait("conference.member.left", uuid=session).reason == "transferring"
    told = service.wait("session.transferred", uuid=session)
    assert (told.to, told.shown_as, told.command_uid) == (number, CALLER_ID, f"t-{number}")
    shown = service.client.get_session(session)
    assert (shown.state, shown.transferred_to) == ("transferred", number)
    assert session in [each.uuid for each in service.client.list_sessions(state="transferred")]
    for again in (lambda: service.client.join(session, room), lambda: service.client.transfer(session, "+4930123200")):
        with pytest.raises(Conflict) as late:
            again()
        assert late.value.code == "transferred"
    service.client.hang_up(session)
    service.wait("session.ended", uuid=session)


def test_a_call_that_is_transferred_to_a_busy_number(service: Service, room: str) -> None:
    number, session = f"+4930{next(_numbers):05d}486", service.call()
    service.is_busy(number)
    service.client.transfer(session, number, CALLER_ID)
    failed = service.wait("session.transfer_failed", uuid=session)
    assert (failed.to, failed.cause) == (number, "busy")
    assert service.client.get_session(session).state == "parked"
    service.client.join(session, room)
    service.wait("conference.member.joined", uuid=session)


def test_a_call_that_the_app_hangs_up(service: Service, room: str) -> None:
    session = joined(service, room)
    hung_up = service.client.hang_up(session, cause="rejected", command_uid=f"bye-{session}")
    assert (hung_up.uuid, hung_up.status) == (session, "hanging_up")
    left = service.wait("conference.member.left", uuid=session)
    assert (left.reason, left.cause) == ("hangup", "CALL_REJECTED")
    ended = service.wait("session.ended", uuid=session)
    assert (ended.cause, ended.command_uid) == ("CALL_REJECTED", f"bye-{session}")
    with pytest.raises(NotFound):
        service.client.hang_up(session)


def test_digits_are_sent(service: Service) -> None:
    session = service.call()
    # So long that the next have to wait.
    sending = service.client.send_dtmf(session, "9876w12#", duration=2000, command_uid=f"pin-{session}")
    assert (sending.uuid, sending.status) == (session, "sending")
    sent = service.wait("session.dtmf.sent", uuid=session)
    assert (sent.length, sent.command_uid) == (8, f"pin-{session}")
    with pytest.raises(TooManyRequests) as refused:
        service.impatient.send_dtmf(session, "1")
    assert refused.value.code == "rate_limited"


def test_a_recording_of_a_room(service: Service, room: str) -> None:
    with pytest.raises(Conflict) as empty:
        service.client.record_room(room)
    assert empty.value.code == "room_empty"
    joined(service, room)
    recording = service.client.record_room(room, command_uid=f"record-{room}").recording_id
    started = service.wait("conference.recording.started", recording_id=recording)
    assert (started.room_id, started.channels, started.command_uid) == (room, 1, f"record-{room}")
    with pytest.raises(Conflict) as already:
        service.client.record_room(room)
    assert (already.value.code, already.value.detail.recording_id) == ("already_recording", recording)
    named = service.client.get_room(room).recording
    assert named
    assert (named.recording_id, named.state) == (recording, "recording")
    with pytest.raises(Conflict) as early:
        service.client.get_recording_content(recording)
    assert early.value.code == "recording_not_available"
    assert service.client.pause_recording(recording).status == "paused"
    service.wait("conference.recording.paused", recording_id=recording)
    with pytest.raises(Conflict) as paused:
        service.client.pause_recording(recording)
    assert paused.value.code == "already_paused"
    assert service.client.resume_recording(recording).status == "resumed"
    service.wait("conference.recording.resumed", recording_id=recording)
    assert service.client.stop_recording(recording, command_uid=f"stop-{room}").status == "stopping"
    stopped = service.wait("conference.recording.stopped", recording_id=recording)
    assert (stopped.reason, stopped.command_uid) == ("asked", f"stop-{room}")
    available = service.wait("conference.recording.available", recording_id=recording)
    assert available.uploaded is False
    assert types(service, recording_id=recording) == [
        f"conference.recording.{step}" for step in ("started", "paused", "resumed", "stopped", "available")
    ]
    assert service.client.get_room(room).recording is None
    with pytest.raises(Conflict) as over:
        service.client.stop_recording(recording)
    assert over.value.code == "recording_over"
    shown = service.client.get_recording(recording)
    assert (shown.state, shown.room_id, shown.uuid, shown.reason) == ("available", room, "", "asked")
    assert (shown.size, shown.duration) == (available.size, available.duration)
    assert [each.recording_id for each in service.client.list_recordings(room_id=room)] == [recording]
    assert list(service.client.list_recordings(room_id=room, state="failed")) == []
    with service.client.get_recording_content(recording) as content:
        file = b"".join(content)
    assert (file[:4], len(file)) == (b"RIFF", available.size)
    with service.client.get_recording_content(recording, range="bytes=44-143") as part:
        assert b"".join(part) == file[44:144]
    with pytest.raises(APIError) as beyond:
        service.client.get_recording_content(recording, range=f"bytes={len(file)}-")
    assert (beyond.value.status, beyond.value.code) == (416, "no_such_range")
    assert service.client.delete_recording(recording).recording_id == recording
    with pytest.raises(NotFound) as gone:
        service.client.get_recording(recording)
    assert gone.value.code == "recording_not_found"


def test_a_recording_of_a_session_that_hangs_up(service: Service) -> None:
    session = service.call()
    recording = service.client.record_session(session, channels=2).recording_id
    started = service.wait("session.recording.started", recording_id=recording)
    assert (started.uuid, started.channels) == (session, 2)
    named = service.client.get_session(session).recording
    assert named
    assert (named.recording_id, named.state) == (recording, "recording")
    service.hang_up(session)
    assert service.wait("session.recording.stopped", recording_id=recording).reason == "hangup"
    service.wait("session.recording.available", recording_id=recording)
    (shown,) = service.client.list_recordings(uuid=session)
    assert (shown.recording_id, shown.state, shown.channels) == (recording, "available", 2)


def test_a_room_that_is_recorded_from_its_first_member_on(service: Service, unique: str) -> None:
    room = service.client.create_room(unique, record=True).room_id
    session = joined(service, room)
    recording = service.wait("conference.recording.started", room_id=room).recording_id
    service.client.leave(session)
    assert service.wait("conference.recording.stopped", recording_id=recording).reason == "room_emptied"
    service.wait("conference.recording.available", recording_id=recording)


def test_a_room_that_is_to_be_recorded_from_now_on_and_one_that_is_no_more(service: Service, room: str) -> None:
    joined(service, room)
    service.client.change_room(room, record=True)
    recording = service.wait("conference.recording.started", room_id=room).recording_id
    service.client.stop_recording(recording)
    service.wait("conference.recording.available", recording_id=recording)
    joined(service, room)
    assert service.client.get_room(room).recording is None
    service.client.change_room(room, record=False)
    service.client.change_room(room, record=True)
    assert service.client.get_room(room).recording is not None


def test_a_deleted_room_lets_its_members_go(service: Service, room: str) -> None:
    session = joined(service, room)
    operation = service.client.play(room, [service.sound()] * 8).operation_id
    service.client.delete_room(room)
    assert service.wait("conference.member.left", uuid=session).reason == "room_destroyed"
    assert types(service, room_id=room) == [
        "conference.created",
        "conference.member.joined",
        "conference.play.started",
        "conference.destroyed",
        "conference.play.finished",
        "conference.member.left",
    ]
    assert [hook.data.sequence for hook in service.about(room_id=room)] == [1, 2, 3, 4, 5, 6]
    assert service.wait("conference.play.finished", operation_id=operation).status == "interrupted"
    assert service.client.get_session(session).state == "parked"


def test_pages(service: Service, room: str) -> None:
    sessions = [joined(service, room) for _ in range(5)]
    pages = [*service.client.list_members(room, limit=2).pages()]
    assert [member.uuid for page in pages for member in page.members] == sessions
    assert all(len(page.members) <= 2 for page in pages)
    assert {*sessions} <= {session.uuid for session in service.client.list_sessions(limit=3)}
    members = service.client.list_members(room, limit=2)
    begun = iter(members)
    seen = [next(begun).uuid]
    service.hang_up(sessions[0])
    service.wait("session.ended", uuid=sessions[0])
    assert seen + [member.uuid for member in begun] == sessions
    with pytest.raises(InvalidRequest):
        list(service.client.list_members(room, cursor="made-up"))


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        (lambda client, room: client.create_room("a room"), "name"),
        (lambda client, room: client.create_room(""), "name"),
        (lambda client, room: client.get_room("weekly-standup"), "room_id"),
        (lambda client, room: client.set_volume(room, 8), "volume"),
        (lambda client, room: client.set_volume(room, -51), "volume"),
        (lambda client, room: client.play(room, []), "urls"),
        (lambda client, room: client.play(room, ["ftp://example.com/a.wav"]), "urls.0"),
        (lambda client, room: client.play(room, ["https://example.com/a.wav"] * 129), "urls"),
        (lambda client, room: list(client.list_rooms(limit=0)), "limit"),
        (lambda client, room: client.join("fake1-x", "weekly-standup"), "room_id"),
        (lambda client, room: client.leave("fake1-x", command_uid=""), "command_uid"),
        (lambda client, room: list(client.list_sessions(state="gone")), "state"),
    ],
)
def test_what_is_invalid(service: Service, room: str, ask: Callable[[Client, str], object], field: str) -> None:
    with pytest.raises(InvalidRequest) as invalid:
        ask(service.client, room)
    assert invalid.value.code == "invalid"
    assert [problem.field for problem in invalid.value.detail.fields] == [field]


def test_a_wrong_key(service: Service) -> None:
    with pytest.raises(Unauthenticated) as raised:
        service.with_key("a-wrong-key-0123456").get_endpoint()
    assert raised.value.code == "unauthenticated"


def test_the_webhook_endpoint(service: Service) -> None:
    before = service.client.get_endpoint()
    assert (before.status, before.types) == ("active", ["*"])
    assert service.client.set_endpoint(before.url).url == before.url
    assert service.client.send_test().delivered
    soon = too_soon(service.client.send_test, lambda _: service.impatient.send_test())
    assert soon.detail.group == "webhook_test"


def test_a_sample_of_each_type(service: Service) -> None:
    for type_ in ("conference.member.left", "conference.play.finished", "session.ended"):
        assert service.client.send_test(type_).delivered
    with pytest.raises(InvalidRequest):
        service.client.send_test("conference.vanished")


def test_a_link_to_the_portal(service: Service) -> None:
    link = service.client.create_portal_link(role="view", expires_in=600)
    assert "/console/#link=" in link.url
    assert timedelta(seconds=500) < link.expires_at - datetime.now(UTC) < timedelta(seconds=700)
    with pytest.raises(InvalidRequest) as invalid:
        service.client.create_portal_link(expires_in=0)
    assert [problem.field for problem in invalid.value.detail.fields] == ["expires_in"]


def test_deliveries(service: Service, room: str) -> None:
    session = joined(service, room)
    found = delivered(service, room)
    assert [one.type for one in found] == ["conference.member.joined", "conference.created"]
    detail = service.client.get_delivery(found[0].webhook_id)
    assert detail.data["uuid"] == session
    assert [attempt.number for attempt in detail.tried] == [1]
    again = service.client.redeliver(detail.webhook_id)
    assert (again.webhook_id, again.status) == (detail.webhook_id, "retrying")
    with pytest.raises(NotFound) as unknown:
        service.client.get_delivery("msg_p00-1-0")
    assert unknown.value.code == "webhook_not_found"
    now = datetime.now(UTC)
    assert service.client.redeliver_range(now - timedelta(hours=1), now - timedelta(minutes=59)).webhooks == 0


def delivered(service: Service, room: str) -> list[Any]:
    """Deliveries of a room, once both are stored as delivered."""
    while True:
        found = [*service.client.list_deliveries(room_id=room, status="delivered")]
        if len(found) == 2:
            return found


def test_health(service: Service) -> None:
    assert service.client.healthz().status == "ok"
    assert all(service.client.readyz().nodes.values())


# Of the service alone


def test_events(room_service: Switchroom, node: Node, hooks: Receiver, media: Media) -> None:
    real = Real(room_service, node, hooks, media)
    room = real.client.create_room(f"client-{next(_numbers)}").room_id
    events = real.client.events(room=[room], type=["conference.member.*"])
    session = joined(real, room)
    seen = next(events)
    assert isinstance(seen.data, ConferenceMemberJoined)
    assert (seen.data.uuid, seen.data.muted) == (session, True)
    events.close()
    real.client.unmute(session)
    real.client.leave(session)
    hooks.wait("conference.member.left", uuid=session)
    with real.client.events(room=[room], type=["conference.member.*"], last_event_id=seen.id) as rest:
        assert [next(rest).type for _ in range(2)] == ["conference.member.unmuted", "conference.member.left"]
    real.close()


# Of the fake alone: what a test makes happen


@pytest.fixture
def fake() -> FakeSwitchroom:
    return FakeSwitchroom()


def test_the_node_may_take_its_time(fake: FakeSwitchroom) -> None:
    client, session = fake.client(), fake.call()
    room = client.create_room("standup").room_id
    fake.confirms = False
    client.join(session, room)
    assert client.get_session(session).state == "joining"
    with pytest.raises(Conflict) as early:
        client.mute(session)
    assert early.value.code == "still_joining"
    fake.confirm()
    assert client.get_session(session).state == "joined"
    client.unmute(session, command_uid="u")
    fake.advance(2)
    with pytest.raises(Conflict) as twice:
        client.unmute(session)
    assert twice.value.code == "unmute_pending"
    fake.refuse("not_confirmed")
    failed = fake.webhooks[-1]
    assert (failed.type, failed.data.model_dump()["reason"]) == ("conference.command.failed", "not_confirmed")
    assert client.get_session(session).muted


def test_the_node_refuses_what_is_over_already(fake: FakeSwitchroom) -> None:
    client = fake.client()
    room = client.create_room("standup").room_id
    sessions = [fake.call() for _ in range(4)]
    for session in sessions:
        client.join(session, room)
    muted, loud, leaving, digits = sessions
    fake.confirms = False
    client.unmute(muted)
    client.set_member_volume(loud, "in", 2)
    client.leave(leaving)
    client.send_dtmf(digits, "1")
    fake.advance(2)
    client.hang_up(muted)
    for session in sessions:
        fake.hang_up(session)
    before = fake.types()
    fake.refuse()
    assert fake.types() == before


def test_a_recording_can_be_fetched_for_a_while(fake: FakeSwitchroom) -> None:
    client = fake.client()
    recording = client.record_session(fake.call()).recording_id
    client.stop_recording(recording)
    fake.advance(73 * 3600)
    assert [each.state for each in client.list_recordings()] == ["expired"]
    assert list(client.list_recordings(state="available")) == []


@pytest.mark.parametrize("is_empty", [True, False])
def test_rooms_end_when_their_time_is_over(fake: FakeSwitchroom, is_empty: bool) -> None:
    client, session = fake.client(), fake.call()
    room = client.create_room("standup", end_when_empty=60, max_duration=3600).room_id
    fake.advance(30)
    client.join(session, room)
    fake.advance(600)
    if is_empty:
        client.leave(session)
        fake.advance(59)
    else:
        fake.advance(2999)
    assert client.get_room(room).room_id == room
    fake.advance(1)
    destroyed = next(hook.data for hook in fake.webhooks if isinstance(hook.data, ConferenceDestroyed))
    assert (destroyed.reason, destroyed.peak_members) == ("empty" if is_empty else "max_duration", 1)
    assert client.get_session(session).state == "parked"
    with pytest.raises(NotFound):
        client.get_room(room)


def test_a_call_that_ends_a_room_with_it(fake: FakeSwitchroom) -> None:
    client, first, second = fake.client(), fake.call(), fake.call()
    room = client.create_room("standup").room_id
    client.join(first, room, end_on_exit=True)
    client.join(second, room)
    fake.hang_up(first)
    left = fake.webhooks[-1].data.model_dump()
    assert (fake.types()[-1], left["uuid"], left["reason"]) == ("conference.member.left", second, "room_destroyed")


def test_a_join_that_the_node_refuses(fake: FakeSwitchroom) -> None:
    client, session = fake.client(), fake.call()
    room = client.create_room("standup").room_id
    fake.confirms = False
    client.join(session, room, command_uid="j")
    fake.refuse("bridge_failed")
    data = fake.webhooks[-1].data.model_dump()
    assert (fake.webhooks[-1].type, data["reason"], data["command_uid"]) == (
        "conference.member.join_failed",
        "bridge_failed",
        "j",
    )
    assert client.get_session(session).state == "parked"


def test_a_node_that_is_down(fake: FakeSwitchroom) -> None:
    client, session = fake.client(retries=0), fake.call()
    room = client.create_room("standup").room_id
    fake.node_up = False
    for ask in (lambda: client.join(session, room), lambda: client.create_room("b"), client.readyz):
        with pytest.raises(Exception, match="503"):
            ask()
    client.delete_room(room)


def test_webhooks_come_as_over_http() -> None:
    received: list[Webhook] = []

    def receiver(headers: dict[str, str], body: bytes) -> int | None:
        received.append(Verifier(fake.secret).verify(body, headers))
        return 500 if received[-1].type == "conference.destroyed" else None

    fake = FakeSwitchroom(receiver=receiver)
    client = fake.client()
    room = client.create_room("standup").room_id
    client.delete_room(room)
    assert [webhook.type for webhook in received] == ["conference.created", "conference.destroyed"]
    assert received == fake.webhooks
    (failed,) = client.list_deliveries(status="failed")
    assert failed.type == "conference.destroyed"
    assert client.redeliver_range(datetime.fromtimestamp(0, UTC), datetime.now(UTC) + timedelta(hours=1)).webhooks == 1
    assert client.send_test().delivered
    assert received[-1].type == "webhook.test"


def test_files_that_cannot_be_played(fake: FakeSwitchroom) -> None:
    client, session = fake.client(), fake.call()
    room = client.create_room("standup").room_id
    client.join(session, room)
    urls = ["https://cdn.example.com/a.wav", "https://cdn.example.com/b.wav"]
    client.play(room, urls)
    fake.finish_play(room, **{urls[1]: "not_found"})
    finished = fake.webhooks[-1].data
    assert isinstance(finished, ConferencePlayFinished)
    assert (finished.status, [result.reason for result in finished.results]) == ("partial", [None, "not_found"])


def test_keys_that_a_caller_presses(fake: FakeSwitchroom) -> None:
    client, session = fake.client(), fake.call()
    room = client.create_room("standup").room_id
    fake.press(session, "1")
    client.set_endpoint("https://app.example.com/v2", types=["*", "session.dtmf"])
    fake.press(session, "2")
    client.join(session, room)
    fake.press(session, "#", duration_ms=90)
    told = [webhook.data for webhook in fake.webhooks if isinstance(webhook.data, SessionDtmf)]
    assert [(one.digit, one.duration_ms, one.in_room) for one in told] == [("2", 160, None), ("#", 90, room)]


def test_keys_that_are_collected(fake: FakeSwitchroom) -> None:
    client, session = fake.client(), fake.call()

    def collect(keys: str, **wanted: Any) -> None:
        client.collect_digits(session, command_uid=f"collect-{next(_numbers)}", **wanted)
        for key in keys:
            fake.press(session, key)

    collect("4711", max_digits=4)
    collect("12*", terminators="#*")
    collect("3")
    fake.press_nothing(session)
    collect("4")
    collect("5")
    fake.hang_up(session)
    told = [webhook.data for webhook in fake.webhooks if isinstance(webhook.data, SessionDigitsCollected)]
    assert [(one.digits, one.reason, one.terminator) for one in told] == [
        ("4711", "max_digits", None),
        ("12", "terminator", "*"),
        ("3", "timeout", None),
        ("4", "cancelled", None),
        ("5", "hangup", None),
    ]
    assert fake.types()[-1] == "session.ended"


def test_what_is_played_to_one_session(service: Service, room: str) -> None:
    session = service.call()
    played = service.client.play_to_session(session, [service.sound()], command_uid=f"play-{session}")
    assert (played.uuid, played.status) == (session, "in_progress")
    started = service.wait("session.play.started", uuid=session)
    assert (started.operation_id, started.command_uid) == (played.operation_id, f"play-{session}")
    with pytest.raises((Conflict, TooManyRequests)):
        service.client.play_to_session(session, [service.sound()])
    stopped = service.client.stop_session_play(session, command_uid=f"stop-{session}")
    assert (stopped.operation_id, stopped.status) == (played.operation_id, "stopped")
    assert service.wait("session.play.stopped", uuid=session).command_uid == f"stop-{session}"


def test_plays_to_one_session_that_end(fake: FakeSwitchroom) -> None:
    client, session = fake.client(), fake.call()
    client.play_to_session(session, ["https://cdn.example.com/a.wav", "https://cdn.example.com/b.wav"])
    fake.finish_session_play(session, **{"https://cdn.example.com/b.wav": "not_found"})
    room = client.create_room(f"room-{next(_numbers)}").room_id
    fake.advance(1)
    client.play_to_session(session, ["https://cdn.example.com/a.wav"])
    client.join(session, room)
    fake.advance(3)
    client.hold(session)
    with pytest.raises(Conflict) as refused:
        client.play_to_session(session, ["https://cdn.example.com/a.wav"])
    assert refused.value.code == "on_hold"
    told = [webhook.data for webhook in fake.webhooks if isinstance(webhook.data, SessionPlayFinished)]
    assert [one.status for one in told] == ["partial", "interrupted"]
    assert [result.reason for result in told[0].results] == [None, "not_found"]


def test_a_collection(service: Service) -> None:
    session = service.call()
    collecting = service.client.collect_digits(session, timeout=600, command_uid=f"collect-{session}")
    assert (collecting.uuid, collecting.status) == (session, "collecting")
    service.hang_up(session)
    told = service.wait("session.digits.collected", uuid=session)
    assert (told.digits, told.reason, told.command_uid) == ("", "hangup", f"collect-{session}")


def test_types_that_the_endpoint_does_not_want(fake: FakeSwitchroom) -> None:
    client = fake.client()
    client.set_endpoint("https://app.example.com/v2", types=["session.*"])
    client.create_room("standup")
    fake.call()
    assert fake.types() == ["session.started"]
