"""Apps and nodes by the command line, and what the file has to say about them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from gevent.event import Event as Flag
from structlog.testing import capture_logs

from controller.limits import QUOTAS
from controller.nodes.removal import Left, left_behind
from controller.registry import App, Dialing, Gateway, Node, Registry, new_app
from controller.store import keys
from controller.store.store import Store
from switchroom.config import Config
from switchroom.doctor.examine import examine
from switchroom.processes import System
from tests.integration.conftest import Switchroom
from tests.integration.world import World
from tests.open_store import OpenStore, opened

# What `app set` shows of an app that has nothing of its own.
SHOWN = {**QUOTAS, "requests_per_second": 100}


def stored(config: Config, look: Callable[[Registry], Any]) -> Any:
    with opened(config) as store:
        return look(Registry(store))


def said(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_quotas_of_an_app(switchroom: Switchroom, config: Config) -> None:
    switchroom("app", "add", "demo")
    assert said(switchroom("app", "set", "demo", "--json")) == SHOWN
    shown = said(switchroom("app", "set", "demo", "--quota", "rooms=5", "--quota", "url_bytes=0", "--json"))
    assert shown == {**SHOWN, "rooms": 5, "url_bytes": 0}
    assert said(switchroom("app", "set", "demo", "--quota", "sessions=7", "--json"))["rooms"] == 5
    assert stored(config, lambda registry: registry.app("demo")).quotas == {
        **QUOTAS,
        "rooms": 5,
        "url_bytes": 0,
        "sessions": 7,
    }


def test_an_app_gets_a_rate_of_its_own(switchroom: Switchroom, config: Config) -> None:
    switchroom("app", "add", "demo")
    shown = said(switchroom("app", "set", "demo", "--requests-per-second", "500", "--json"))
    assert shown == {**SHOWN, "requests_per_second": 500}
    assert stored(config, lambda registry: registry.rate_of("demo")) == 500
    assert switchroom("app", "set", "demo", "--requests-per-second", "0").exit_code == 2
    assert switchroom("app", "set", "demo", "--requests-per-second", "many").exit_code == 2
    shown = said(switchroom("app", "set", "demo", "--requests-per-second", "default", "--json"))
    assert shown == SHOWN
    assert stored(config, lambda registry: registry.rate_of("demo")) is None


def test_quotas_go_back_to_their_defaults(switchroom: Switchroom, config: Config) -> None:
    switchroom("app", "add", "demo")
    switchroom("app", "set", "demo", "--quota", "rooms=5", "--quota", "sessions=7")
    shown = said(switchroom("app", "set", "demo", "--quota", "rooms=default", "--json"))
    assert shown == {**SHOWN, "sessions": 7}
    assert stored(config, lambda registry: registry.app("demo")).own_quotas == {"sessions": 7}
    assert switchroom("app", "set", "demo", "--quota", "chairs=default").exit_code == 2


DIAL = {
    "gateway": "carrier",
    "destinations": ["+4930*", "sip:2*@pbx.example:5062"],
    "caller_ids": ["+493098765432"],
    "calls_at_once": 3,
    "calls_per_minute": 10,
    "calls_per_day": 100,
    "max_seconds": 600,
}


def test_what_an_app_may_dial(switchroom: Switchroom, config: Config) -> None:
    stored(config, lambda registry: registry.sync_file([], [], [Gateway(name="carrier", host="192.0.2.1")]))
    switchroom("app", "add", "demo", "--did", "747713001")
    assert said(switchroom("app", "show", "demo", "--json")) == {
        "id": "demo", "dids": ["747713001"], "webhook_url": "", "source": "cli", "quotas": QUOTAS, "dial": None,
    }  # fmt: skip
    numbers = [
        "--dial-destination",
        "+4930*",
        "--dial-destination",
        "sip:2*@pbx.example:5062",
        "--dial-caller-id",
        "+493098765432",
    ]
    limits = ["--dial-calls-at-once", "3", "--dial-max-seconds", "600"]
    assert said(switchroom("app", "set", "demo", "--dial-gateway", "carrier", *numbers, *limits, "--json")) == SHOWN
    shown = said(switchroom("app", "show", "demo", "--json"))
    assert shown["dial"] == DIAL
    assert "dial calls_at_once" in switchroom("app", "show", "demo").stdout
    # What is not given stays, a list is replaced as a whole, and quotas are something else.
    more = ["--dial-destination", "+43*", "--dial-calls-per-day", "7", "--quota", "rooms=5"]
    assert said(switchroom("app", "set", "demo", *more, "--json"))["rooms"] == 5
    dialing = stored(config, lambda registry: registry.app("demo")).dial
    assert dialing == Dialing(
        **{**DIAL, "destinations": ("+43*",), "caller_ids": ("+493098765432",), "calls_per_day": 7}
    )
    assert switchroom("app", "set", "demo", "--no-dial").exit_code == 0
    app = stored(config, lambda registry: registry.app("demo"))
    assert (app.dial, app.quotas["rooms"], app.dids) == (None, 5, ("747713001",))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--dial-calls-at-once", "3"], "gateway"),
        (["--dial-gateway", "other"], "no gateway other"),
        (["--dial-gateway", "carrier", "--dial-destination", "*"], "destinations"),
        (["--dial-gateway", "carrier", "--dial-destination", "sip:*@*"], "destinations"),
        (["--dial-gateway", "carrier", "--dial-destination", "sip:anna@PBX.example"], "destinations"),
        (["--dial-gateway", "carrier", "--dial-caller-id", "anna"], "caller_ids"),
        (["--dial-gateway", "carrier", "--dial-max-seconds", "0"], "max_seconds"),
        (["--dial-gateway", "carrier", "--no-dial"], "--no-dial"),
    ],
)
def test_what_no_app_may_dial(switchroom: Switchroom, config: Config, options: list[str], why: str) -> None:
    stored(config, lambda registry: registry.sync_file([], [], [Gateway(name="carrier", host="192.0.2.1")]))
    switchroom("app", "add", "demo")
    result = switchroom("app", "set", "demo", *options)
    assert result.exit_code in (1, 2)
    assert why in result.stderr
    assert "Traceback" not in result.output
    assert stored(config, lambda registry: registry.app("demo")).dial is None


@pytest.mark.parametrize("quota", ["rooms", "rooms=", "rooms=-1", "rooms=many", "chairs=4", "requests_per_second=0"])
def test_a_quota_that_is_none(switchroom: Switchroom, quota: str) -> None:
    switchroom("app", "add", "demo")
    result = switchroom("app", "set", "demo", "--quota", quota)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_a_quota_is_at_most_what_lua_can_count(switchroom: Switchroom) -> None:
    switchroom("app", "add", "demo")
    assert said(switchroom("app", "set", "demo", "--quota", f"rooms={2**53 - 1}", "--json"))["rooms"] == 2**53 - 1
    for number in (str(2**53), "99999999999999999999", "9" * 5000):
        refused = switchroom("app", "set", "demo", "--quota", f"rooms={number}")
        assert refused.exit_code == 2
        assert "rooms must be at most 9007199254740991" in refused.stderr


def test_the_life_of_an_app(switchroom: Switchroom, config: Config) -> None:
    url = "https://app.example.com/hooks"
    added = said(switchroom("app", "add", "demo", "--did", "747713001", "--did", "+44", "--webhook-url", url, "--json"))
    assert len(base64.b64decode(added["webhook_secret"].removeprefix("whsec_"))) == 32
    app = stored(config, lambda registry: registry.authenticate("demo", added["api_key"]))
    assert (app.dids, app.webhook_url, app.webhook_secret) == (("747713001", "+44"), url, added["webhook_secret"])

    listed = switchroom("app", "list", "--json")
    assert said(listed) == [{"id": "demo", "dids": ["747713001", "+44"], "webhook_url": url, "source": "cli"}]
    assert added["api_key"] not in listed.stdout + switchroom("app", "list").stdout

    again = switchroom("app", "add", "demo")
    assert (again.exit_code, again.stdout) == (1, "")
    assert "already exists" in again.stderr

    rotated = said(switchroom("app", "rotate-key", "demo", "--json"))
    assert stored(config, lambda registry: registry.authenticate("demo", added["api_key"])) is None
    assert stored(config, lambda registry: registry.authenticate("demo", rotated["api_key"])).dids == app.dids

    assert switchroom("app", "remove", "demo").exit_code == 0
    assert said(switchroom("app", "list", "--json")) == []
    for verb in ("remove", "rotate-key"):
        assert switchroom("app", verb, "demo").stderr == "Error: app demo not found\n"


def test_a_number_belongs_to_one_app(switchroom: Switchroom) -> None:
    assert switchroom("app", "add", "one", "--did", "1").exit_code == 0
    refused = switchroom("app", "add", "two", "--did", "1")
    assert (refused.exit_code, refused.stderr) == (1, "Error: number 1 belongs to app one\n")
    assert [app["id"] for app in said(switchroom("app", "list", "--json"))] == ["one"]


def test_the_life_of_a_node(switchroom: Switchroom, config: Config) -> None:
    added = switchroom("node", "add", "acW68", "[::1]:8021", "--sip", "[::1]:5060", input="hidden-word\n")
    assert added.exit_code == 0
    assert "hidden-word" not in added.output
    assert stored(config, lambda registry: registry.node("acW68")).password == "hidden-word"
    listed = switchroom("node", "list", "--json")
    assert said(listed) == [
        {
            "prefix": "acW68",
            "state": "down",
            "rooms": 0,
            "calls": 0,
            "drained": False,
            "region": "",
            "weight": 1,
            "capacity": 0,
            "esl": "[::1]:8021",
            "sip": "[::1]:5060",
            "bridge": "[::1]:5090",
            "profile": "default",
            "source": "cli",
        }
    ]
    assert switchroom("node", "drain", "acW68").exit_code == 0
    # A change is no reason to give it rooms again.
    assert switchroom("node", "add", "acW68", "[::1]:8022", "--password", "x").exit_code == 0
    assert [node["drained"] for node in said(switchroom("node", "list", "--json"))] == [True]
    assert switchroom("node", "drain", "acW68", "--undo").exit_code == 0
    assert [node["drained"] for node in said(switchroom("node", "list", "--json"))] == [False]
    assert switchroom("node", "remove", "acW68").exit_code == 0
    assert switchroom("node", "drain", "acW68").stderr == "Error: node acW68 not found\n"


def test_how_a_node_gets_rooms(switchroom: Switchroom) -> None:
    options = {"--bridge": "10.0.0.5:5091", "--weight": "3", "--capacity": "500", "--region": "eu"}
    arguments = ["acW68", "127.0.0.1:8021", "--password", "x", *(word for option in options.items() for word in option)]
    assert switchroom("node", "add", *arguments).exit_code == 0
    (node,) = said(switchroom("node", "list", "--json"))
    assert [str(node[option.removeprefix("--")]) for option in options] == list(options.values())


def test_the_version_before_can_read_a_node_with_nothing_new(switchroom: Switchroom, config: Config) -> None:
    """Processes of both run side by side while they are replaced one by one."""
    known_before = {"prefix", "esl", "password", "sip", "profile", "drained", "source"}
    switchroom("node", "add", "acW68", "127.0.0.1:8021", "--password", "x")
    switchroom("node", "drain", "acW68")
    with opened(config) as store:
        _, (record,), _ = store.registry_entries()
    assert json.loads(record).keys() <= known_before
    assert said(switchroom("node", "list", "--json"))[0]["drained"]


def test_what_is_on_a_node(switchroom: Switchroom, config: Config) -> None:
    switchroom("node", "add", "acW68", "127.0.0.1:8021", "--password", "x")
    with opened(config) as store:
        # Of apps in two partitions.
        for world in (World(store, "demo"), World(store, "second")):
            world.create()
        world.park(1)
        store.client.hset(keys.key(keys.node_tag("acW68"), "live"), "load", 3)
    (node,) = said(switchroom("node", "list", "--json"))
    assert (node["state"], node["rooms"], node["calls"]) == ("up", 2, 1)


def test_a_node_with_calls_is_removed_by_force_only(switchroom: Switchroom, config: Config) -> None:
    switchroom("node", "add", "acW68", "127.0.0.1:8021", "--password", "x")
    with opened(config) as store:
        world = World(store, "demo")
        room = world.create()
        world.joined(room, 1)
        World(store, "second").park(2)
    refused = switchroom("node", "remove", "acW68")
    assert refused.exit_code == 1
    assert "node acW68 has calls (2)" in refused.stderr
    assert switchroom("node", "remove", "acW68", "--force").stdout == (
        "node acW68 removed; sessions ended: 2; rooms left, as there is no other node: 1\n"
    )
    with opened(config) as store:
        world = World(store, "demo")
        assert [(kind, body.get("reason")) for kind, body in world.webhooks()[-2:]] == [
            ("conference.member.left", "node_lost"),
            ("session.ended", None),
        ]
        # Nothing is left that would wait for the node.
        world.ask("delete_room", room_id=room)
        assert store.count_on("acW68") == (0, 0)
        assert store.holders(["acW68"]) == {}


def test_recordings_on_a_node_that_is_removed_are_lost_and_the_app_is_told(
    switchroom: Switchroom, config: Config
) -> None:
    switchroom("node", "add", "acW68", "127.0.0.1:8021", "--password", "x")
    with opened(config) as store:
        world = World(store, "demo")
        room = world.create()
        session = world.joined(room)
        recordings = [world.record(room)["recording_id"], world.record_session(session)["recording_id"]]
        for recording in recordings:
            world.tell("recording_started", recording_id=recording)
        world.tell("recording_ended", recording_id=recordings[0])
    assert switchroom("node", "remove", "acW68", "--force").stdout.endswith("; recordings lost: 2\n")
    with opened(config) as store:
        world = World(store, "demo")
        assert {(kind, data["reason"]) for kind, data in world.webhooks() if kind.endswith("recording.failed")} == {
            ("conference.recording.failed", "node_lost"),
            ("session.recording.failed", "node_lost"),
        }
        assert {world.recording(recording)["state"] for recording in recordings} == {"failed"}
        assert not store.client.exists(keys.key(world.tag, "node_recordings", "acW68"))


def test_a_node_with_files_of_recordings_is_removed_by_force_only(switchroom: Switchroom, config: Config) -> None:
    switchroom("node", "add", "acW68", "127.0.0.1:8021", "--password", "x")
    with opened(config) as store:
        world = World(store, "demo")
        recording = world.record_session(world.park())["recording_id"]
        world.tell("recording_started", recording_id=recording)
        world.tell("session_ended", session_id=world.recording(recording)["session"], cause="NORMAL_CLEARING")
    refused = switchroom("node", "remove", "acW68")
    assert refused.exit_code == 1
    assert "node acW68 has recordings that no relay has yet (1)" in refused.stderr
    with opened(config) as store:
        # The node is gone from the file: it is in the registry no more.
        Registry(store).remove_node("acW68")
    assert switchroom("node", "remove", "acW68", "--force").stdout == "node acW68 removed; recordings lost: 1\n"
    assert switchroom("node", "remove", "acW68", "--force").stderr == "Error: node acW68 not found\n"


def test_rooms_of_a_node_that_is_removed_move_to_another_one(switchroom: Switchroom, config: Config) -> None:
    switchroom("node", "add", "acW68", "127.0.0.1:8021", "--password", "x")
    with opened(config) as store:
        world = World(store, "demo")
        for name in ("standup", "retro"):
            world.create(name)
    assert switchroom("node", "remove", "acW68").stdout.endswith("; rooms left, as there is no other node: 2\n")
    switchroom("node", "add", "fra02", "127.0.0.1:8022", "--password", "x")
    assert switchroom("node", "remove", "acW68", "--force").stdout == "node acW68 removed; rooms moved: 2\n"
    with opened(config) as store:
        assert (store.count_on("acW68"), store.count_on("fra02")) == ((0, 0), (2, 0))


def test_calls_of_a_node_that_is_gone_already_end_by_force(switchroom: Switchroom, config: Config) -> None:
    switchroom("node", "add", "acW68", "127.0.0.1:8021", "--password", "x")
    with opened(config) as store:
        World(store, "demo").park(1)
        Registry(store).remove_node("acW68")
    assert switchroom("node", "remove", "acW68").stderr == "Error: node acW68 not found\n"
    assert switchroom("node", "remove", "acW68", "--force").exit_code == 0
    assert switchroom("node", "remove", "acW68", "--force").stderr == "Error: node acW68 not found\n"


def test_an_event_socket_belongs_to_one_node(switchroom: Switchroom, config: Config) -> None:
    assert switchroom("node", "add", "acW68", "127.0.0.1:8021", "--password", "x").exit_code == 0
    refused = switchroom("node", "add", "bcX79", "127.0.0.1:8021", "--password", "x")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == "Error: 127.0.0.1:8021 is the Event Socket of node acW68 already\n"
    assert [node.prefix for node in stored(config, lambda registry: registry.nodes())] == ["acW68"]
    # The node itself may be changed.
    assert switchroom("node", "add", "acW68", "127.0.0.1:8021", "--password", "y").exit_code == 0


@pytest.mark.parametrize(("esl", "relay", "told"), [
    ("127.0.0.1:8021", "127.0.0.1:8090", False),
    ("203.0.113.9:8021", "192.0.2.1:8090", False),
    ("203.0.113.9:8021", "127.0.0.1:8090", True),
])  # fmt: skip
def test_a_node_that_will_not_find_the_relay(
    switchroom: Switchroom, monkeypatch: pytest.MonkeyPatch, esl: str, relay: str, told: bool
) -> None:
    monkeypatch.setenv("SWITCHROOM_MEDIA__LISTEN", relay)
    added = switchroom("node", "add", "acW68", esl, "--password", "x")
    assert added.exit_code == 0
    assert ("would look for the audio relay at 127.0.0.1:8090" in added.stderr) is told


READING = (
    *("app list", "app rotate-key demo", "app remove demo"),
    *("node list", "node drain acW68", "node remove acW68"),
    *(
        "webhooks list demo",
        "webhooks show demo msg_p00-1-0",
        "webhooks redeliver demo msg_p00-1-0",
        "tail --no-follow",
    ),
)


@pytest.mark.parametrize("command", READING)
def test_a_store_that_is_not_there_is_not_created_by_looking(
    switchroom: Switchroom, config: Config, command: str
) -> None:
    result = switchroom(*command.split())
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: there is no store in {config.store.data_dir}: `switchroom serve`")
    assert not config.store.data_dir.exists()


@pytest.fixture
def serve(switchroom: Switchroom, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """What it says after its first line, asked to stop as soon as it is up."""
    stop = Flag()
    stop.set()
    monkeypatch.setattr("switchroom.cli.serve.stop_signal", lambda: stop)

    def serve(*arguments: str) -> list[str]:
        result = switchroom("serve", "--role", "dispatcher", *arguments)
        assert result.exit_code == 0, result.output
        return result.stdout.splitlines()[1:]

    return serve


def test_serve_says_that_there_is_no_file_and_what_to_do(serve: Callable[..., list[str]], tmp_path: Path) -> None:
    assert serve() == [
        f"configuration: no switchroom.toml in {tmp_path}, and none named by --config or SWITCHROOM_CONFIG",
        "no nodes yet: add [[nodes]] to the configuration file, or `switchroom node add`",
        "no apps yet: add [[apps]] to the configuration file, or `switchroom app add`",
    ]


def test_serve_names_the_file_that_it_read(serve: Callable[..., list[str]], tmp_path: Path) -> None:
    app = '[[apps]]\nid = "filed"\napi_key = "0123456789abcdef"\n'
    (tmp_path / "switchroom.toml").write_text(app)
    assert serve()[0] == f"configuration: {tmp_path}/switchroom.toml"
    (tmp_path / "other.toml").write_text(app + '[[nodes]]\nprefix = "acW68"\nesl = "127.0.0.1:8021"\npassword = "p"\n')
    assert serve("--config", "other.toml") == [f"configuration: {tmp_path}/other.toml"]


def at_the_same_time(store: OpenStore, monkeypatch: pytest.MonkeyPatch, change: Callable[[Registry], Any]) -> None:
    """Somebody else makes a change once the registry has been read the next time."""
    read = store.registry_entries

    def read_before_it() -> Any:
        entries = read()
        monkeypatch.undo()
        change(Registry(store))
        return entries

    monkeypatch.setattr(store, "registry_entries", read_before_it)


def test_a_number_that_two_apps_get_at_the_same_time_belongs_to_one(
    store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_the_same_time(store, monkeypatch, lambda other: other.put_app(new_app("first", "key", dids=("747713001",))))
    with pytest.raises(ValueError, match="number 747713001 belongs to app first"):
        Registry(store).put_app(new_app("second", "key", dids=("747713001",)))


def test_a_change_of_an_app_takes_nothing_back_of_what_is_set_at_the_same_time(
    store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, rotated = new_app("demo", "key"), new_app("demo", "another")
    Registry(store).put_app(app)
    at_the_same_time(store, monkeypatch, lambda other: other.put_app(rotated))

    def change(known: App | None) -> App:
        assert known
        return replace(known, own_quotas={"rooms": 5})

    Registry(store).change_app("demo", change)
    assert Registry(store).app("demo") == replace(rotated, own_quotas={"rooms": 5})


def test_a_drain_takes_nothing_back_of_what_is_set_at_the_same_time(
    store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(prefix="acW68", esl="127.0.0.1:8021", password="x")
    Registry(store).put_node(node)
    at_the_same_time(store, monkeypatch, lambda other: other.put_node(replace(node, weight=7)))
    assert Registry(store).drain("acW68", drained=True)
    assert Registry(store).node("acW68") == replace(node, weight=7, drained=True)


def test_a_node_that_is_drained_while_it_is_changed_stays_drained(
    switchroom: Switchroom, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = ("node", "add", "acW68", "127.0.0.1:8021", "--password", "x")
    switchroom(*add)
    read = Store.registry_entries
    stored_at = []

    def drained_once_it_is_read(store: Store) -> Any:
        entries = read(store)
        if not stored_at:
            stored_at.append("drained")
            assert Registry(store).drain("acW68", drained=True)
        return entries

    monkeypatch.setattr(Store, "registry_entries", drained_once_it_is_read)
    assert switchroom(*add, "--weight", "7").exit_code == 0
    (node,) = said(switchroom("node", "list", "--json"))
    assert (node["weight"], node["drained"]) == (7, True)


FILE = {
    "nodes": [{"prefix": "acW68", "esl": "127.0.0.1:8021", "password": "p"}],
    "apps": [{"id": "filed", "api_key": "0123456789abcdef", "dids": ["1", "2"]}],
}


def sync(config: Config, **entries: Any) -> bytes:
    """As a start does. -> the registry's version."""
    filed = Config.model_validate({"store": config.store, **entries})
    with opened(config) as store:
        registry = Registry(store)
        registry.sync_file(filed.to_apps(registry.apps()), filed.to_nodes())
        return bytes(store.client.get(keys.key(keys.REGISTRY, "version")) or b"0")


def test_a_start_with_an_unchanged_file_changes_nothing(config: Config) -> None:
    assert sync(config, **FILE) == sync(config, **FILE)


def test_entries_of_the_file_come_and_go_with_it(switchroom: Switchroom, config: Config) -> None:
    switchroom("app", "add", "added")
    sync(config, **FILE)
    assert [app["id"] for app in said(switchroom("app", "list", "--json"))] == ["added", "filed"]
    assert switchroom("node", "drain", "acW68").exit_code == 0
    sync(config, **FILE)
    assert [node["drained"] for node in said(switchroom("node", "list", "--json"))] == [True]
    # A number moves from one app of the file to another.
    apps = [
        {"id": "filed", "api_key": "0123456789abcdef", "dids": ["1"]},
        {"id": "other", "api_key": "0123456789abcdef", "dids": ["2"]},
    ]
    sync(config, apps=apps)
    assert stored(config, lambda registry: registry.app_of_did("2")).id == "other"
    assert said(switchroom("node", "list", "--json")) == []
    sync(config)
    assert [app["id"] for app in said(switchroom("app", "list", "--json"))] == ["added"]


def test_what_is_left_of_a_node_that_is_taken_out_of_the_file_is_told(
    config: Config,
) -> None:
    sync(config, **FILE)
    with opened(config) as store:
        world = World(store, "filed")
        recording = world.record_session(world.joined(world.create()))["recording_id"]
        world.tell("recording_started", recording_id=recording)
        assert left_behind(store) == {}
    sync(config)
    with opened(config) as store:
        assert left_behind(store) == {"acW68": Left(rooms=1, sessions=1, recordings=1)}
    told = {
        (finding.subject, finding.detail): finding.advice
        for finding in examine(config, None)
        if finding.subject != "nodes"
    }
    assert told["node acW68", "nobody looks after what is left of it: rooms: 1, sessions: 1, recordings: 1"] == (
        "run `switchroom node remove acW68 --force`, or return it to the configuration file"
    )
    system = System(config, roles=["dispatcher"])
    with capture_logs() as logged:
        system.start()
        system.stop()
    (line,) = [line for line in logged if line.get("node") == "acW68"]
    assert (line["log_level"], line["sessions"], line["rooms"], line["recordings"]) == ("warning", 1, 1, 1)
    # Returned to the file it has its workers again.
    sync(config, **FILE)
    with opened(config) as store:
        assert left_behind(store) == {}


def test_entries_of_the_file_are_changed_in_the_file(switchroom: Switchroom, config: Config) -> None:
    sync(config, **FILE)
    for command in ("app rotate-key filed", "app remove filed", "node remove acW68"):
        refused = switchroom(*command.split())
        assert refused.exit_code == 1
        assert "comes from the configuration file" in refused.stderr


def test_a_number_of_the_file_that_is_taken_is_refused(switchroom: Switchroom, config: Config) -> None:
    switchroom("app", "add", "added", "--did", "1")
    with pytest.raises(ValueError, match="number 1 belongs to app added"):
        sync(config, **FILE)


def test_no_store_is_one_clear_line(switchroom: Switchroom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("switchroom.store.STORE_SECONDS", 0)
    monkeypatch.setenv("SWITCHROOM_STORE__URL", "redis://:hidden-word@127.0.0.1:1/0")
    result = switchroom("app", "list")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("Error: no store at redis://127.0.0.1:1/0")
    assert "hidden-word" not in result.output
