"""A command whose node the same process holds: it goes to the node in the step that accepts it, in its order, once."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import gevent
import pytest

from controller import commands
from controller.controller import Controller
from controller.errors import OverRate, Refused
from controller.limits import Admission, Limits
from controller.media.relays import Relays
from controller.nodes.node_worker import Turn
from controller.registry import Node, Registry, new_app
from controller.rooms.placement import Placement
from controller.sessions.flags import FLAGS
from controller.store import keys
from esl import commands as esl
from tests.integration.fake_link import DrivenNode, Wire
from tests.integration.world import NO_COOLDOWNS, NODE, World
from tests.open_store import OpenStore

MUTED = FLAGS[0]


class Api:
    """The API of a process that holds `node`, whose room has some members."""

    def __init__(self, store: OpenStore, world: World, node: DrivenNode) -> None:
        registry = Registry(store)
        registry.put_app(new_app("demo", "key"))
        registry.put_node(Node(prefix=NODE, esl="127.0.0.1:1", password="p"))
        self.world = world
        self.node = node
        self.room = world.create()
        self.members = [world.joined(self.room, number) for number in range(1, 21)]
        self.wire = self._up()
        limits = Limits(cooldowns=NO_COOLDOWNS)
        placement = Placement(store, registry, is_up_here=lambda prefix: prefix == NODE and node.worker.is_up)
        self.controller = Controller(store, registry, placement, limits, relays=Relays(store), senders=self)

    def _up(self) -> Wire:
        rows = [
            {
                "uuid": f"00000000-0000-4000-9000-{number:012d}", "direction": "inbound", "application": "conference",
                "initial_dest": "747713001", "initial_dialplan": "XML", "name": "sofia/public/1@192.0.2.7",
                "cid_num": f"caller{number}", "ip_addr": "192.0.2.7",
            }
            for number in range(1, len(self.members) + 1)
        ]  # fmt: skip
        there = [
            {"uuid": row["uuid"], "id": number, "flags": {"can_speak": False, "can_hear": True, "hold": False}}
            for number, row in enumerate(rows, 1)
        ]
        wire = self.node.up(*rows, members=[{"conference_name": self.room, "members": there}])
        wire.sent.clear()
        return wire

    def turn(self, prefix: str) -> AbstractContextManager[Turn | None]:
        assert prefix == NODE
        return self.node.worker.turn()

    def unmute(self, member: int = 0, admission: Admission | None = None) -> Any:
        command = commands.SetFlag(app_id="demo", session_id=self.members[member], flag=MUTED, on=False)
        return self.controller.execute(command, admission)

    def waiting(self) -> int:
        return len(self.world.store.read(keys.key(self.world.tag, "commands", NODE)))

    def counted_as_sent(self) -> list[str]:
        return sorted(job.decode() for job in self.world.store.client.hkeys(keys.key(self.world.tag, "sent", NODE)))


@pytest.fixture
def api(store: OpenStore, world: World, node: DrivenNode) -> Api:
    node.worker._lease.raise_fence()
    return Api(store, world, node)


def place(job: str) -> tuple[int, ...]:
    """Of a job, or of an entry of the stream."""
    return tuple(map(int, job.split("-")[-2:]))


def steps(store: OpenStore) -> int:
    return int(store.client.info("commandstats")["cmdstat_fcall"]["calls"])


def test_a_request_takes_one_step_until_it_is_sent(api: Api, store: OpenStore) -> None:
    before = steps(store)
    admission = Admission("demo")
    assert api.unmute(admission=admission)["status"] == "unmuted"
    assert steps(store) - before == 1
    assert admission.budget
    assert admission.budget.remaining == admission.budget.limit - 1
    assert [command.render() for command in api.wire.sent] == [f"conference {api.room} unmute 1"]
    assert (api.waiting(), len(api.counted_as_sent())) == (0, 1)


def test_hold_music_needs_a_relay(api: Api) -> None:
    hold = commands.Hold(app_id="demo", session_id=api.members[0], url="http://93.184.215.14/a.wav")
    with pytest.raises(Refused) as refused:
        api.controller.execute(hold)
    assert refused.value.code == "no_relay"


def test_the_store_is_not_asked_whether_a_node_is_up_whose_link_is_here(api: Api, store: OpenStore) -> None:
    store.client.delete(keys.key(keys.node_tag(NODE), "live"))
    assert api.unmute()["status"] == "unmuted"


@pytest.mark.parametrize("loses", ["link", "lease"])
def test_the_store_is_asked_about_a_node_that_has_been_lost_here(api: Api, node: DrivenNode, loses: str) -> None:
    if loses == "link":
        node.link.down()
    else:
        node.let_lease_lapse()
    api.world.store.client.delete(keys.key(keys.node_tag(NODE), "live"))
    with pytest.raises(Refused) as refused:
        api.unmute()
    assert refused.value.code == "node_down"


def test_a_request_above_the_rate_is_not_carried_out(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Controller, "_rate_of", lambda *_: 0.001)
    with pytest.raises(OverRate) as refused:
        api.unmute(admission=Admission("demo"))
    assert refused.value.budget.remaining == 0
    assert (api.wire.sent, api.waiting(), api.counted_as_sent()) == ([], 0, [])


def test_it_wakes_nobody_who_waits_for_commands(api: Api, store: OpenStore) -> None:
    stream = keys.key(api.world.tag, "commands", NODE)
    store.client.delete(stream)
    api.unmute()
    assert not store.client.exists(stream)


def test_its_place_is_before_that_of_a_later_one_that_waits(api: Api) -> None:
    api.unmute()
    api.world.set_flag(api.members[1], MUTED, False)
    (at_once,) = api.counted_as_sent()
    ((waiting, _),) = api.world.store.read(keys.key(api.world.tag, "commands", NODE))
    assert place(at_once) < place(waiting)


def test_jobs_are_in_order_when_the_clock_was_set_back(api: Api, store: OpenStore) -> None:
    last = keys.key(api.world.tag, "last_place", NODE)
    store.client.set(last, f"{10**13 - 1}-1999999")
    api.unmute()
    (job,) = api.counted_as_sent()
    assert place(job) == (10**13 - 1, 2000000)
    assert place(store.client.get(last).decode()) == place(job)


def test_the_letters_of_job_ids_are_in_the_order_of_their_places(api: Api) -> None:
    """Jobs that are due at once come in the order of their ids' letters."""
    api.unmute()
    (job,) = api.counted_as_sent()
    assert len(job.rpartition("-")[2]) == 7


def test_commands_are_accepted_when_the_clock_was_set_back(api: Api, store: OpenStore) -> None:
    stream, later = keys.key(api.world.tag, "commands", NODE), f"{10**15}-7"
    store.client.xadd(stream, {"c": "{}"}, id=later)
    api.unmute()
    assert [entry for entry, _ in api.world.store.read(stream)] == [later, f"{10**15}-8"]


def test_its_result_and_its_event_are_those_of_any_other(api: Api) -> None:
    api.unmute()
    api.world.webhooks()
    (job,) = api.counted_as_sent()
    api.world.answer(job)
    api.world.tell("flag_changed", session_id=api.members[0], room_id=api.room, member_id=1, flag="muted", on=False)
    assert api.world.types() == ["conference.member.unmuted"]
    assert api.counted_as_sent() == []


def test_it_goes_behind_what_waits(api: Api) -> None:
    api.world.set_flag(api.members[0], MUTED, False)
    api.unmute(1)
    assert (api.wire.sent, api.waiting()) == ([], 2)
    api.node.worker.take(api.world.tag, api.world.store.read(keys.key(api.world.tag, "commands", NODE)))
    assert [command.render().split()[-1] for command in api.wire.sent] == ["1", "2"]


def test_it_waits_while_others_are_being_sent(api: Api) -> None:
    with api.node.worker.turn() as turn:
        assert turn
        api.unmute()
    assert (api.wire.sent, api.waiting()) == ([], 1)


def test_it_waits_while_there_is_no_link(api: Api, node: DrivenNode) -> None:
    node.link.down()
    # As long as nobody has noticed.
    api.world.store.client.hset(keys.key(keys.node_tag(NODE), "live"), mapping={"load": 0, "at": 1})
    api.unmute()
    assert api.waiting() == 1


def test_it_waits_for_the_worker_that_has_taken_over(api: Api) -> None:
    api.world.store.client.set(keys.key(api.world.tag, "fence", NODE), 2)
    api.unmute()
    assert (api.wire.sent, api.waiting(), api.counted_as_sent()) == ([], 1, [])


def test_a_play_waits_for_its_file(api: Api) -> None:
    api.controller._relays = None
    url = "http://93.184.215.14/a.wav"
    api.controller.execute(commands.Play(app_id="demo", room_id=api.room, urls=(url,)))
    assert (api.wire.sent, api.waiting()) == ([], 1)


def test_a_lease_that_ends_in_the_step_fails_it_with_the_next_link(
    api: Api, node: DrivenNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = api.world.store.run

    def slowly(*step: Any) -> Any:
        reply = run(*step)
        node.let_lease_lapse()
        return reply

    with monkeypatch.context() as patch:
        patch.setattr(api.world.store, "run", slowly)
        assert api.unmute()["status"] == "unmuted"
    assert (api.wire.sent, api.wire.closed, len(api.counted_as_sent())) == ([], True, 1)
    api.world.webhooks()
    assert not api.world.tell("jobs_lost")["more"]
    assert api.world.types() == ["conference.command.failed"]


def test_many_at_once_get_to_the_node_in_the_order_of_their_steps(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs: list[str] = []
    send = api.wire.bgapi

    def slowly(command: esl.Command, *, job_uuid: str = "") -> None:
        gevent.sleep(0)
        send(command)
        jobs.append(job_uuid)

    monkeypatch.setattr(api.wire, "bgapi", slowly)
    stream = keys.key(api.world.tag, "commands", NODE)

    def take() -> None:
        while entries := api.world.store.read(stream):
            api.node.worker.take(api.world.tag, entries)

    asked = [gevent.spawn(api.unmute, member) for member in range(len(api.members))]
    taking = [gevent.spawn(take) for _ in range(3)]
    gevent.joinall([*asked, *taking], raise_error=True)
    take()
    assert len(jobs) == len(api.members)
    order = list(map(place, jobs))
    assert order == sorted(order)
