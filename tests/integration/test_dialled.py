"""A call that an app makes, from its command to what the node says of it, whoever dies in between."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from controller.commands import Dial, Transfer
from controller.errors import Refused
from controller.registry import Dialing, Gateway, Registry, new_app
from controller.store import keys
from tests.integration.api_process import KEY, Api
from tests.integration.fake_link import DrivenNode
from tests.integration.world import NODE, World, channel
from tests.open_store import OpenStore

TO, FROM = "+4930123456", "+493098765432"
SECRET = "the-password-of-the-gateway"
AN_HOUR_MS = 3_600_000


def ringing(world: World, number: int = 1, **more: Any) -> tuple[str, dict[str, Any]]:
    """A call that the node has been told to make: its session, and the command."""
    session = world.dial(number, **more)
    (sent,) = world.sent()
    assert (sent["op"], sent["session"], sent["to"]) == ("dial", session, TO)
    world.webhooks()
    return session, sent


def test_a_call_that_is_answered(world: World) -> None:
    session = world.dial(command_uid="d-1")
    assert world.webhooks() == [
        (
            "session.dialing",
            {
                **{"app_id": "demo", "uuid": session, "did": TO, "caller_id": FROM, "sequence": 1},
                **{"direction": "outbound", "command_uid": "d-1"},
            },
        )
    ]
    assert world.session(session)["state"] == "dialing"
    (sent,) = world.sent()
    assert (sent["gateway"], sent["timeout"], sent["max_seconds"]) == ("carrier", 60, 3600)
    assert sent["channel"]
    for _ in range(2):
        world.tell("session_ringing", session_id=session)
    assert world.tell("session_answered", session_id=session)["command"] == "dial"
    world.answer(sent["job"])
    assert world.tell("session_answered", session_id=session) == {"known": True}
    (rings, answers) = world.webhooks()
    assert (rings[0], answers[0]) == ("session.ringing", "session.answered")
    assert (rings[1]["command_uid"], answers[1]["command_uid"]) == ("d-1", "d-1")
    assert world.session(session)["state"] == "parked"
    assert not world.store.client.exists(keys.key(world.tag, "due", NODE))
    world.tell("session_ended", session_id=session, cause="NORMAL_CLEARING")
    assert world.types() == ["session.ended"]
    assert not world.store.client.exists(keys.key(world.tag, "dialled", "demo"))


@pytest.mark.parametrize(
    ("cause", "word"), [("USER_BUSY", "busy"), ("CALL_REJECTED", "rejected"), ("UNKNOWN", "failed"), ("X", "failed")]
)
@pytest.mark.parametrize("result_first", [False, True])
def test_a_call_that_is_not_answered(world: World, cause: str, word: str, result_first: bool) -> None:
    """The result of the command and the end of the call come in any order."""
    session, sent = ringing(world, command_uid="d-1")
    if result_first:
        world.answer(sent["job"], ok=False, reason="refused", text=f"-ERR {cause}")
    world.tell("session_ended", session_id=session, cause=cause)
    if not result_first:
        world.answer(sent["job"], ok=False, reason="refused", text=f"-ERR {cause}")
    ((kind, data),) = world.webhooks()
    assert (kind, data["cause"], data["hangup_cause"], data["command_uid"]) == ("session.failed", word, cause, "d-1")
    assert world.session(session)["refused"] == "session_not_found"
    assert not world.store.client.exists(keys.key(world.tag, "due", NODE))
    assert world.tell("session_answered", session_id=session) == {"unknown": True}


def test_one_that_the_node_could_not_be_told_of(world: World) -> None:
    session = world.dial()
    world.webhooks()
    world.overdue(kind="job")
    ((kind, data),) = world.webhooks()
    assert (kind, data["cause"]) == ("session.failed", "node_unreachable")
    assert world.sent() == []
    assert world.session(session)["refused"] == "session_not_found"


def test_one_of_which_the_result_is_lost_goes_on(world: World) -> None:
    session, _ = ringing(world)
    world.tell("jobs_lost")
    assert world.webhooks() == []
    world.tell("session_answered", session_id=session)
    assert world.types() == ["session.answered"]


def test_one_that_the_node_does_not_give_up_is_hung_up(world: World) -> None:
    session, _ = ringing(world)
    world.overdue(kind="dial:")
    (sent,) = world.sent()
    assert (sent["op"], sent["session"], sent["cause"]) == ("hang_up", session, "NO_ANSWER")
    world.tell("session_ended", session_id=session, cause="NO_ANSWER")
    ((kind, data),) = world.webhooks()
    assert (kind, data["cause"]) == ("session.failed", "no_answer")


def test_a_node_that_has_restarted(world: World) -> None:
    session, _ = ringing(world)
    world.tell("session_ended", session_id=session, cause="UNKNOWN", node_lost=True)
    ((_, data),) = world.webhooks()
    assert data["cause"] == "node_lost"


# Hanging up before the answer


def test_one_that_the_node_has_not_been_told_of_is_taken_back(world: World) -> None:
    session = world.dial(command_uid="d-1")
    world.webhooks()
    assert world.ask("hang_up", session_id=session, cause="NORMAL_CLEARING", command_uid="bye") == {
        "status": "hanging_up"
    }
    assert world.sent() == []
    ((kind, data),) = world.webhooks()
    assert (kind, data["cause"], data["command_uid"], data["cancelled_by"]) == (
        *("session.failed", "cancelled"),
        *("d-1", "bye"),
    )
    assert not world.store.client.exists(keys.key(world.tag, "due", NODE))


def test_one_that_rings_is_cancelled(world: World) -> None:
    session, _ = ringing(world)
    world.ask("hang_up", session_id=session, cause="NORMAL_CLEARING", command_uid="bye")
    (sent,) = world.sent()
    assert sent["op"] == "hang_up"
    world.answer(sent["job"])
    world.tell("session_ended", session_id=session, cause="NORMAL_CLEARING")
    ((_, data),) = world.webhooks()
    assert (data["cause"], data["cancelled_by"], data["hangup_cause"]) == ("cancelled", "bye", "NORMAL_CLEARING")


def test_a_hang_up_that_overtakes_the_call_is_tried_again(world: World) -> None:
    session, _ = ringing(world)
    world.ask("hang_up", session_id=session, cause="NORMAL_CLEARING")
    for _ in range(3):
        (sent,) = world.sent()
        assert sent["op"] == "hang_up"
        world.answer(sent["job"], ok=False, reason="hangup")
        assert world.webhooks() == []
        world.overdue(kind="hang_up:")
    for _ in range(20):
        for sent in world.sent():
            world.answer(sent["job"], ok=False, reason="hangup")
        world.overdue(kind="hang_up:")
    ((kind, data),) = world.webhooks()
    assert (kind, data["command"], data["reason"]) == ("session.command.failed", "hang_up", "not_confirmed")
    assert world.session(session)["state"] == "dialing"
    # The next one is tried as often.
    world.ask("hang_up", session_id=session, cause="NORMAL_CLEARING")
    for _ in range(3):
        (sent,) = world.sent()
        world.answer(sent["job"], ok=False, reason="hangup")
        world.overdue(kind="hang_up:")
    assert world.webhooks() == []


def test_one_that_is_answered_at_that_moment_is_hung_up_all_the_same(world: World) -> None:
    room = world.create()
    session, _ = ringing(world, room_id=room)
    world.ask("hang_up", session_id=session, cause="NORMAL_CLEARING", command_uid="bye")
    (sent,) = world.sent()
    world.answer(sent["job"], ok=False, reason="hangup")
    world.tell("session_answered", session_id=session)
    (sent,) = world.sent()
    assert sent["op"] == "hang_up"
    world.tell("session_ended", session_id=session, cause="NORMAL_CLEARING")
    (answered, ended) = world.webhooks()
    assert (answered[0], ended[0], ended[1]["command_uid"]) == ("session.answered", "session.ended", "bye")


# Rooms


def test_it_joins_its_room_when_it_is_answered(world: World) -> None:
    room = world.create()
    session, _ = ringing(world, room_id=room, flags=["deaf"], role="moderator", tags='["called"]', command_uid="d-1")
    world.tell("session_answered", session_id=session)
    (sent,) = world.sent()
    assert (sent["op"], sent["room"], sent["flags"]) == ("join", room, "deaf")
    world.tell("member_joined", session_id=session, room_id=room, member_id=1, flags=["deaf"])
    (answered, joined) = world.webhooks()
    assert (answered[0], joined[0]) == ("session.answered", "conference.member.joined")
    assert joined[1]["command_uid"] == "d-1"
    assert (joined[1]["deaf"], joined[1]["muted"], joined[1]["role"], joined[1]["tags"]) == (
        True,
        False,
        "moderator",
        ["called"],
    )


def test_where_it_will_go_is_shown_before(world: World) -> None:
    room, as_what = world.create(), {"role": "moderator", "end_on_exit": True}
    session, _ = ringing(world, room_id=room, flags=["deaf"], tags='["called"]', levels='[["volume_in",2]]', **as_what)
    world.dial(2)
    (shown,) = world.ask("list_sessions", limit=10, after=0, room=room)["rows"]
    assert {**shown, "playing": None} == world.session(session)
    assert (shown["state"], shown["direction"], shown["room_id"], shown["member_id"]) == (
        *("dialing", "outbound", room),
        None,
    )
    assert (shown["deaf"], shown["muted"], shown["volume_in"], shown["tags"]) == (True, False, 2, ["called"])
    assert shown.items() >= as_what.items()
    # What an older version has stored of them.
    world.store.client.hdel(keys.key(world.tag, "session", session), "direction")
    assert world.session(session)["direction"] == "outbound"


def test_one_whose_answer_was_missed_and_that_is_in_a_room(world: World) -> None:
    room = world.create()
    session, _ = ringing(world)
    world.tell("member_joined", session_id=session, room_id=room, member_id=1, flags=[])
    assert world.types() == ["session.answered", "conference.member.joined"]


@pytest.mark.parametrize("reason", ["room_locked", "room_full", "room_not_found"])
def test_a_room_that_may_not_be_joined_any_more(world: World, reason: str) -> None:
    room = world.create()
    session, _ = ringing(world, room_id=room, command_uid="d-1")
    if reason == "room_not_found":
        world.ask("delete_room", room_id=room)
    elif reason == "room_locked":
        world.ask("change_room", room_id=room, options={"locked": True})
    else:
        world.joined(room, 2)
        world.ask("change_room", room_id=room, options={"max_members": 1})
    world.webhooks()
    world.tell("session_answered", session_id=session)
    (answered, failed) = world.webhooks()
    assert (answered[0], failed[0]) == ("session.answered", "session.command.failed")
    assert (failed[1]["command"], failed[1]["reason"], failed[1]["command_uid"]) == ("join", reason, "d-1")
    assert world.session(session)["state"] == "parked"


@pytest.mark.parametrize("options", [{"locked": True}, {"max_members": 1}])
def test_a_room_that_may_not_be_joined_now(world: World, options: dict[str, Any]) -> None:
    room = world.create()
    world.joined(room, 2)
    world.ask("change_room", room_id=room, options=options)
    assert world.ask_dial(room_id=room)["refused"] in ("room_locked", "room_full")
    assert world.sent() == []


def test_a_room_on_another_node(world: World) -> None:
    room = world.create()
    session = world.dial(node="bcX79", room_id=room)
    world.sent("bcX79")
    world.tell("session_answered", node="bcX79", session_id=session)
    assert world.session(session)["state"] == "joining"
    world.overdue("bcX79", kind="leg:")
    assert [command["op"] for command in world.sent()] == ["announce_leg"]


def test_a_call_that_is_dialled_joins_no_room_before_its_answer(world: World) -> None:
    room = world.create()
    session, _ = ringing(world)
    assert world.ask("join", session_id=session, room_id=room)["refused"] == "still_dialing"
    for script in ("leave", "set_flag"):
        more = {"flag": "muted", "on": True} if script == "set_flag" else {}
        assert world.ask(script, session_id=session, **more)["refused"] == "not_in_room"


# What may be dialled


@pytest.mark.parametrize(
    ("permission", "code"),
    [
        ({"gateway": None}, "dialing_forbidden"),
        ({"to": False}, "destination_forbidden"),
        ({"caller_id": False}, "caller_id_forbidden"),
        ({"calls_at_once": 0}, "dial_limit_reached"),
    ],
)
def test_what_may_not_be_dialled(world: World, permission: dict[str, Any], code: str) -> None:
    assert world.ask_dial(permission=permission)["refused"] == code
    assert world.webhooks() == []
    assert world.sent() == []
    log = [orjson.loads(fields[b"e"]) for _, fields in world.store.client.xrange(keys.key(world.tag, "log"))]
    (line,) = [line for line in log if line["kind"] == "refused"]
    assert (line["type"], line["reason"], line["to"], line["caller_id"]) == ("dial", code, TO, FROM)


@pytest.mark.parametrize("limit", ["calls_at_once", "calls_per_minute", "calls_per_day"])
def test_how_many_calls_there_may_be(world: World, limit: str) -> None:
    sessions = [world.dial(number, permission={limit: 2}) for number in (1, 2)]
    refused = world.ask_dial(3, permission={limit: 2})
    ages = {"calls_at_once": 0, "calls_per_minute": 60_000, "calls_per_day": 24 * AN_HOUR_MS}
    wait = refused["detail"].pop("retry_after_ms", 0)
    assert (refused["refused"], refused["detail"]) == ("dial_limit_reached", {"quota": limit, "limit": 2, "used": 2})
    for session in sessions:
        world.tell("session_ended", session_id=session, cause="USER_BUSY")
    dials = keys.key(world.tag, "dials", "demo")
    # When the first of the two counts no more; of calls that go on nobody knows.
    assert wait == 0 if limit == "calls_at_once" else ages[limit] - 50_000 < wait <= ages[limit]
    for session in sessions:
        world.store.client.zincrby(dials, -ages[limit], session)
    assert world.ask_dial(3, permission={limit: 2})["status"] == "dialing"


def test_calls_that_have_failed_count(world: World) -> None:
    session = world.dial(permission={"calls_per_day": 1})
    world.tell("session_ended", session_id=session, cause="USER_BUSY")
    assert world.ask_dial(2, permission={"calls_per_day": 1})["refused"] == "dial_limit_reached"


def test_a_repeated_command_uid_calls_once(world: World) -> None:
    first = world.ask_dial(1, command_uid="d-1", body="x")
    assert world.ask_dial(2, command_uid="d-1", body="x") == first
    assert world.ask_dial(3, command_uid="d-1", body="y")["refused"] == "command_uid_taken"
    assert len(world.sent()) == 1


def test_what_keeps_it_back(world: World) -> None:
    world.nodes[NODE]["up"] = False
    assert world.ask_dial()["refused"] == "node_down"
    assert world.ask_dial(node=None)["refused"] == "no_node"
    world.nodes[NODE]["up"] = True
    world.limits["quotas"] = {**world.limits["quotas"], "sessions": 0}
    assert world.ask_dial()["refused"] == "quota_exceeded"
    assert world.webhooks() == []


def test_another_tenant_s_room(world: World) -> None:
    room = World(world.store, "other").create()
    assert world.ask_dial(room_id=room)["refused"] in ("room_forbidden", "room_not_found")


# The whole controller


@pytest.fixture
def dialing(api: Api) -> Api:
    dial = Dialing(gateway="carrier", destinations=("+4930*",), caller_ids=(FROM,))
    gateway = Gateway(name="carrier", host="127.0.0.1:5071", username="us", password=SECRET)
    node = api.registry.node(NODE)
    assert node
    api.registry.sync_file([new_app("demo", KEY, dial=dial)], [node], [gateway])
    return api


def test_the_permission_is_that_of_the_app_s_entry(dialing: Api, store: OpenStore) -> None:
    def dial(to: str = TO, caller_id: str = FROM, app: str = "demo") -> str:
        try:
            return dialing.controller.execute(Dial(app_id=app, to=to, caller_id=caller_id))["status"]
        except Refused as refused:
            return refused.code

    assert dial() == "dialing"
    assert dial("+4931123456") == "destination_forbidden"
    assert dial(caller_id="+4930") == "caller_id_forbidden"
    assert dial(app="other") == "dialing_forbidden"
    # Read anew by another process.
    again = Registry(store).app("demo")
    assert again
    assert again.dial == Dialing(gateway="carrier", destinations=("+4930*",), caller_ids=(FROM,))


@pytest.mark.parametrize("transport", ["udp", "tls"])
def test_a_uri_s_host_gets_no_credentials(transport: str) -> None:
    gateway = Gateway(
        name="carrier", host="carrier.example", prefix="00", username="us", password=SECRET, transport=transport
    )
    number = gateway.way_to("+4930123456")
    assert (number["user"], number["target"]["host"], number["target"]["password"]) == (
        "004930123456",
        "carrier.example",
        SECRET,
    )
    assert gateway.way_to("sip:+4930@pbx.example:5062") == {
        "user": "+4930",
        "target": {"host": "pbx.example:5062", "profile": "public", "transport": transport},
    }


def test_a_gateway_that_is_gone_from_the_file_is_dialled_no_more(dialing: Api) -> None:
    app, node = dialing.registry.app("demo"), dialing.registry.node(NODE)
    assert app
    assert node
    dialing.registry.sync_file([app], [node])
    with pytest.raises(Refused) as refused:
        dialing.controller.execute(Dial(app_id="demo", to=TO, caller_id=FROM))
    assert refused.value.code == "dialing_forbidden"


@pytest.mark.parametrize("transfers", [False, True])
def test_a_gateway_s_password_is_in_no_record(
    dialing: Api, store: OpenStore, node: DrivenNode, transfers: bool
) -> None:
    """But for the gateway's own; the node gets it with the command."""
    rows = []
    if transfers:
        dialing.controller.execute(Transfer(app_id="demo", session_id=World(store).park(), to=TO))
        there = {"uuid": channel(1), "direction": "inbound", "name": "sofia/public/1@192.0.2.7", "application": "park"}
        rows = [there | dict.fromkeys(("initial_dest", "cid_num", "ip_addr", "initial_dialplan"), "")]
    else:
        dialing.controller.execute(Dial(app_id="demo", to=TO, caller_id=FROM))
    (sent,) = node.up(*rows).sent
    assert SECRET in sent.render()
    assert SECRET not in repr(sent)
    for key in store.client.keys("*"):
        if key != keys.key(keys.REGISTRY, "gateways").encode():
            assert SECRET.encode() not in store.client.dump(key), key
