"""What `freeswitch-conf/` makes of a real FreeSWITCH: closed where it should be, and the doctor's word on its faults."""

from __future__ import annotations

import itertools
import json
import re
import socket
import ssl
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.pywsgi import WSGIServer

from controller.nodes.node_worker import read_rate
from esl.commands import FetchFile, LocateConfiguration
from esl.connection import Connection
from esl.errors import AuthenticationError, EslError
from tests.e2e.freeswitch import FreeSwitch, find_binary, find_faketime, self_signed
from tests.e2e.nodes import PREFIX
from tests.e2e.phone import SILENCE, Phone, Refused
from tests.e2e.system import Media, port_when_ready

pytestmark = pytest.mark.freeswitch

ROOM = f"{PREFIX}-room-550e8400-e29b-41d4-a716-446655440000"
Boot = Callable[..., FreeSwitch]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def boot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boot]:
    """Boots nodes with variables of their own; the same variables, the same node."""
    binary = find_binary()
    if binary is None:
        pytest.skip("boots nodes of its own: no freeswitch on the PATH nor in FREESWITCH_BIN")
    nodes: dict[str, FreeSwitch] = {}

    def boot(without: str = "", late: int = 0, direct: str = "", **variables: str | None) -> FreeSwitch:
        key = json.dumps([without, late, direct, variables], sort_keys=True)
        if key not in nodes:
            folder = tmp_path_factory.mktemp("freeswitch")
            nodes[key] = FreeSwitch(folder, binary, without, late, direct, **{"PREFIX": PREFIX, **variables})
        return nodes[key]

    yield boot
    for node in nodes.values():
        node.terminate()
    for node in nodes.values():
        node.stop()


def connected(node: FreeSwitch, password: str | None = None) -> Connection:
    host, _, port = node.esl.partition(":")
    connection = Connection(host, int(port), node.password if password is None else password, on_event=lambda _: None)
    connection.connect()
    return connection


@pytest.fixture
def esl(boot: Boot) -> Iterator[Connection]:
    connection = connected(boot())
    yield connection
    connection.close()


class Member:
    """A caller in ROOM, which its first member makes."""

    def __init__(self, node: FreeSwitch, profile: str = "default", tone: float = 0.0) -> None:
        # Of its own, as the node's list still has a call that has just ended.
        self.caller_id = f"52719{next(_numbers):04d}"
        self._esl = connected(node)
        self.phone = Phone(node.sip, "747713001", self.caller_id, tone)
        with gevent.Timeout(5):
            while not (parked := _parked(self._esl, self.caller_id)):
                gevent.sleep(0.02)
            self.channel = parked[0]["uuid"]
            self._esl.api(f"uuid_transfer {self.channel} conference:{ROOM}@{profile} inline")
            while self.channel not in self._esl.api("conference json_list"):
                gevent.sleep(0.02)

    def leave(self) -> None:
        """The room ends with its member."""
        self.phone.hang_up()
        with gevent.Timeout(5):
            while ROOM in self._esl.api("conference json_list"):
                gevent.sleep(0.02)
        self._esl.close()


def test_it_boots_without_a_complaint(boot: Boot) -> None:
    log = boot().log().splitlines()
    assert [line for line in log if "[ERR]" in line or "[CRIT]" in line or "[ALERT]" in line] == []


# Closed


@pytest.mark.parametrize("unset", [None, ""])
def test_without_a_password_of_its_own_nobody_gets_in(boot: Boot, unset: str | None) -> None:
    for guess in ("ClueCon", "tests-only-0123456789"):
        with pytest.raises(AuthenticationError):
            connected(boot(ESL_PASSWORD=unset), guess)


def test_the_event_socket_takes_controllers_only(boot: Boot) -> None:
    with pytest.raises(EslError):
        connected(boot(CONTROLLERS="127.0.0.2/32,127.0.0.3/32", TRUNKS="127.0.0.2/32"))


@pytest.mark.parametrize("command", ["system id", "bg_system id", "spawn id", "lua x", "python x", "jsrun x"])
def test_no_command_reaches_a_shell(esl: Connection, command: str) -> None:
    assert "Command not found" in esl.api(command)


def test_no_application_reaches_a_shell(esl: Connection) -> None:
    applications = {line.partition(",")[0] for line in esl.api("show application").splitlines()}
    assert {"park", "conference", "answer"} <= applications
    assert applications & {"system", "bgsystem", "spawn_stream", "lua", "python", "javascript"} == set()


def test_callers_come_from_trunks(boot: Boot) -> None:
    node = boot(CONTROLLERS="127.0.0.2/32,127.0.0.3/32", TRUNKS="127.0.0.2/32")
    for host in ("127.0.0.1", "127.0.0.3"):
        with pytest.raises(Refused, match="403"):
            Phone(node.sip, "747713001", "5271", host=host)
    Phone(node.sip, "747713001", "5271", host="127.0.0.2").hang_up()


def asked_over(node: FreeSwitch, transport: str) -> str:
    """What it answers to OPTIONS over UDP, TCP or TLS; empty if nobody listens there."""
    host, _, port = node.sip.partition(":")
    kind = socket.SOCK_DGRAM if transport == "UDP" else socket.SOCK_STREAM
    plain = socket.socket(socket.AF_INET, kind)
    plain.settimeout(5)
    plain.connect((host, int(port)))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    with tls.wrap_socket(plain) if transport == "TLS" else plain as sock:
        us = "{}:{}".format(*sock.getsockname())
        request = (
            f"OPTIONS sip:{node.sip} SIP/2.0\r\nVia: SIP/2.0/{transport} {us};branch=z9hG4bK{uuid.uuid4().hex}\r\n"
            f"From: <sip:{us}>;tag=1\r\nTo: <sip:{node.sip}>\r\nCall-ID: {uuid.uuid4().hex}\r\nCSeq: 1 OPTIONS\r\n"
            f"Contact: <sip:{us}>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )
        try:
            sock.sendall(request.encode())
            return sock.recv(65535).decode().partition("\r\n")[0]
        except ConnectionRefusedError:
            return ""


@pytest.mark.parametrize(
    ("settings", "answers", "refuses"),
    [({"SIP_TRANSPORT": None}, ["TCP"], ["UDP"]), ({"SIP_TLS": "true"}, ["TLS"], ["UDP", "TCP"])],
)
def test_whoever_calls_has_an_address_of_his_own(
    boot: Boot, settings: dict[str, str | None], answers: list[str], refuses: list[str]
) -> None:
    """One UDP packet with a trunk's address as its source, which anybody can send, would be a call."""
    node = boot(**settings)
    assert [asked_over(node, transport) for transport in answers] == ["SIP/2.0 200 OK"]
    assert [asked_over(node, transport) for transport in refuses] == [""] * len(refuses)


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("REFER", "Refer-To: <sip:1@127.0.0.1:9>\r\n", 405),
        ("SUBSCRIBE", "Event: dialog\r\n", 405),
        ("PUBLISH", "Event: presence\r\n", 405),
        ("REGISTER", "Expires: 60\r\n", 405),
        ("INFO", "Record: on\r\n", 488),
    ],
)
def test_a_caller_moves_and_records_no_call_and_learns_of_none(
    boot: Boot, method: str, headers: str, status: int
) -> None:
    caller = Phone(boot().sip, "747713001", "5271")
    try:
        assert caller.ask(method, headers) == status
    finally:
        caller.hang_up()


def test_a_caller_can_only_leave_its_own_room(boot: Boot, esl: Connection) -> None:
    """By a NOTIFY that tells a telephone to answer: FreeSWITCH starts the dialplan again."""
    member = Member(boot())
    try:
        assert member.phone.ask("NOTIFY", "Event: talk\r\nSubscription-State: active\r\n") == 200
        with gevent.Timeout(5):
            while not (parked := _parked(esl, member.caller_id)):
                gevent.sleep(0.02)
        assert [(one["uuid"], one["context"], one["dialplan"]) for one in parked] == [(member.channel, "public", "XML")]
    finally:
        member.leave()


def test_more_about_a_call_is_no_way_into_another(boot: Boot, esl: Connection) -> None:
    """Call-Info alone is how telephones with a shared line ask for a call on it."""
    member = Member(boot())
    info = "Call-Info: <sip:127.0.0.1>;appearance-index=1\r\n"
    caller = Phone(boot().sip, member.caller_id, member.caller_id, headers=info)
    try:
        with gevent.Timeout(5):
            while not (parked := _parked(esl, member.caller_id)):
                gevent.sleep(0.02)
        assert [one["initial_dialplan"] for one in parked] == ["XML"]
    finally:
        caller.hang_up()
        member.leave()


# The headers by which a caller asks for a call, from its channel's uuid.
ASKING = {
    "listens in": "Replaces: {};to-tag=x;from-tag=y\r\nCall-Info: <http://eve.example>;purpose=info\r\n",
    "intercepts": "Replaces: {};to-tag=x;from-tag=y;a-leg=true\r\n",
    "takes the place": "Replaces: {};to-tag=x;from-tag=y\r\n",
}


@pytest.mark.parametrize("asking", ASKING)
def test_a_caller_who_asks_for_another_call_is_hung_up(boot: Boot, esl: Connection, asking: str) -> None:
    """By the node alone: no controller is there."""
    member = Member(boot(), tone=440)
    try:
        eve = Phone(boot().sip, "999999999", "5274", tone=1000, headers=ASKING[asking].format(member.channel))
        eve.wait_ended()
        assert member.phone.level(1000) == SILENCE
        (room,) = json.loads(esl.api("conference json_list"))
        assert [one["uuid"] for one in room["members"]] == [member.channel]
    finally:
        member.leave()


def test_a_caller_joins_no_room(boot: Boot, esl: Connection) -> None:
    room = f"{PREFIX}-room-{uuid.uuid4()}"
    caller = Phone(boot().sip, f"conf-{room}", "5272")
    try:
        with gevent.Timeout(5):
            while not (parked := _parked(esl, "5272")):
                gevent.sleep(0.02)
        assert [channel["context"] for channel in parked] == ["public"]
        assert room not in esl.api("conference json_list")
    finally:
        caller.hang_up()


def _parked(esl: Connection, caller_id: str) -> list[dict[str, str]]:
    """The node writes its list of channels a moment after the fact."""
    channels = json.loads(esl.api("show channels as json")).get("rows", [])
    return [one for one in channels if (one["cid_num"], one["application"]) == (caller_id, "park")]


@pytest.mark.parametrize("number", ["a%20b", "a%24%7Bx%7D", "a%27b", "%2B%2B7"])
def test_a_number_that_is_none_is_refused(boot: Boot, number: str) -> None:
    with pytest.raises(Refused, match="404"):
        Phone(boot().sip, number, "5271")


# Rooms and sounds


@pytest.fixture
def room(boot: Boot) -> Iterator[FreeSwitch]:
    """A node with somebody in ROOM, so that there is one to play into."""
    member = Member(boot())
    yield boot()
    member.leave()


@pytest.mark.parametrize(("profile", "rate"), [("default", 8000), ("wideband", 48000)])
def test_rooms_are_of_two_kinds(boot: Boot, esl: Connection, profile: str, rate: int) -> None:
    member = Member(boot(), profile)
    try:
        (found,) = json.loads(esl.api("conference json_list"))
        assert (found["conference_name"], found["member_count"], found["rate"]) == (ROOM, 1, rate)
        # As the worker reads it.
        assert read_rate(esl.api(LocateConfiguration("conference.conf")), profile) == rate
    finally:
        member.leave()


def test_the_cache_is_bounded(boot: Boot, esl: Connection, media: Media) -> None:
    for number in range(220):
        assert esl.api(FetchFile(media.tone(0.1, str(number)))).endswith(".wav")
    kept = list((boot().folder / "cache").rglob("*.wav"))
    assert 200 <= len(kept) <= 201  # one is on its way out


def test_a_file_is_fetched_anew_and_a_fault_is_told(esl: Connection, media: Media) -> None:
    """By the doctor's command."""
    url = media.tone(0.1, "anew")
    first = esl.api(FetchFile(url))
    assert Path(first).read_bytes().startswith(b"RIFF")
    assert esl.api(FetchFile(url)) != first
    for missing in (media.url("missing.wav"), "http://127.0.0.1:1/closed.wav"):
        assert esl.api(FetchFile(missing)) == "-ERR http_get Command not found!\n"
    assert esl.api("http_get") == "USAGE: {param=val}<url>\n"


def test_what_is_no_sound_fails_and_does_no_harm(room: FreeSwitch, esl: Connection, media: Media) -> None:
    more = {"rate": 8000, "hertz": 440}
    for url in (
        media.mp3,
        media.tone(0.2, "channels255", channels=255, **more),
        media.url("missing.wav"),
        "http://127.0.0.1:1/closed.wav",
        "https://127.0.0.1:1/closed.wav",
    ):
        assert esl.api(f"conference {ROOM} play {url}").startswith("-ERR")
    # It takes two channels, as recordings may have them, and mixes them.
    for url in (media.tone(0.2), media.tone(0.2, "channels2", channels=2, **more)):
        assert esl.api(f"conference {ROOM} play {url}").startswith("+OK")


def test_a_certificate_is_verified_where_nodes_fetch_by_themselves(boot: Boot, tmp_path: Path) -> None:
    key, certificate = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def serve(_environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "audio/mpeg")])
        return [(Path(__file__).parent / "tone.mp3").read_bytes()]

    server = WSGIServer(("127.0.0.1", 0), serve, log=None, ssl_context=context)
    server.start()
    server.set_environ({"wsgi.errors": (tmp_path / "errors").open("w")})
    try:
        for trusted, answer in ((CERTIFICATES, "-ERR"), (str(certificate), "+OK")):
            node = boot(direct=trusted)
            member = Member(node)
            connection = connected(node)
            said = connection.api(f"conference {ROOM} play https://127.0.0.1:{server.server_port}/a.mp3")
            connection.close()
            member.leave()
            assert said.startswith(answer), said
    finally:
        server.stop()


# The doctor


CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


class Doctor:
    """`switchroom doctor` on a node, with a configuration of its own."""

    def __init__(self, folder: Path, boot: Boot) -> None:
        self._file = folder / "doctor.toml"
        self._folder = folder
        self._boot = boot

    def __call__(
        self, without: str = "", late: int = 0, direct: bool = False, relay: str | None = None, **changed: str
    ) -> dict[str, dict[str, str]]:
        """The faults that it finds, by check, with something of the node's entry changed. `relay`: what an audio relay that
        runs says is its address, "" for the one that it has.
        """
        entry = _entry(self._boot(without, late, CERTIFICATES if direct else "")) | changed
        self._configure(entry, direct=direct, relay=relay)
        with nullcontext() if relay is None else self._relay():
            findings = self._run()
        return {finding["check"]: finding for finding in findings if not finding["ok"]}

    def bridges(self, *entries: dict[str, str]) -> list[dict[str, str]]:
        """What it finds about calls between nodes, by their entries."""
        self._configure(*entries)
        return [finding for finding in self._run() if finding["check"] == "bridge"]

    def _configure(self, *entries: dict[str, str], direct: bool = False, relay: str | None = None) -> None:
        lines = ["[store]", f'data_dir = "{self._folder}/data"', "[playback]", f"direct = {str(direct).lower()}"]
        lines += ["[media]", 'listen = "127.0.0.1:0"'] + [f'advertise = "{relay}"'] * bool(relay)
        lines += ["[[apps]]", 'id = "demo"', 'api_key = "0123456789abcdef"']
        for entry in entries:
            lines += ["[[nodes]]", *(f'{name} = "{value}"' for name, value in entry.items())]
        self._file.write_text("\n".join(lines))

    def _run(self) -> list[dict[str, str]]:
        run = subprocess.run(self._command("doctor", "--json"), capture_output=True, text=True, timeout=50, check=False)
        assert run.returncode in (0, 1), run.stderr
        findings: list[dict[str, str]] = json.loads(run.stdout)
        assert run.returncode == any(not finding["ok"] for finding in findings)
        return findings

    @contextmanager
    def _relay(self) -> Iterator[None]:
        process = subprocess.Popen(self._command("serve", "--role", "media"), stdout=subprocess.PIPE, text=True)
        try:
            port_when_ready(process, self._file, 30)
            yield
        finally:
            process.terminate()
            process.wait(15)

    def _command(self, name: str, *options: str) -> list[str]:
        return [sys.executable, "-m", "switchroom", name, "--config", str(self._file), *options]


def _entry(node: FreeSwitch, prefix: str = PREFIX) -> dict[str, str]:
    return {"prefix": prefix, "esl": node.esl, "password": node.password, "sip": node.sip, "bridge": node.bridge}


@pytest.fixture
def doctor(tmp_path: Path, boot: Boot) -> Doctor:
    return Doctor(tmp_path, boot)


def test_the_doctor_finds_nothing(doctor: Doctor) -> None:
    assert doctor() == {}


def test_the_doctor_has_the_node_fetch_from_the_relay(doctor: Doctor) -> None:
    assert doctor(relay="") == {}
    found = doctor(relay="127.0.0.1:1")
    assert list(found) == ["audio relay"]
    assert "127.0.0.1:1" in found["audio relay"]["advice"]


def test_the_doctor_warns_of_a_node_that_fetches_by_itself(doctor: Doctor) -> None:
    assert list(doctor(direct=True)) == ["direct"]


def test_the_doctor_finds_a_wrong_password(doctor: Doctor) -> None:
    assert list(doctor(password="not it")) == ["password"]


def test_the_doctor_finds_another_prefix(doctor: Doctor) -> None:
    found = doctor(prefix="bcX79")
    assert list(found) == ["prefix"]
    assert PREFIX in found["prefix"]["detail"]


def test_the_doctor_finds_a_profile_missing(doctor: Doctor) -> None:
    found = doctor(profile="narrow")
    assert list(found) == ["profile"]
    assert "default, wideband" in found["profile"]["detail"]
    assert doctor(profile="wideband") == {}


def test_the_doctor_finds_a_clock_off(doctor: Doctor) -> None:
    if find_faketime() is None:
        pytest.skip("no libfaketime (Debian and Ubuntu: apt install faketime)")
    found = doctor(late=60)
    assert list(found) == ["clock"]
    assert re.fullmatch(r"(59|60|61|62) s off ours", found["clock"]["detail"])


@pytest.mark.parametrize(
    ("module", "check", "said"),
    [
        ("mod_http_cache", "playback", "no file format http"),
        ("mod_sndfile", "playback", "wav"),
        ("mod_tone_stream", "playback", "no file format silence_stream"),
        ("mod_conference", "mod_conference", "not loaded"),
        ("mod_dptools", "mod_dptools", "not loaded"),
    ],
)
def test_the_doctor_finds_a_module_missing(doctor: Doctor, module: str, check: str, said: str) -> None:
    found = doctor(without=module)
    assert next(iter(found)) == check
    assert said in found[check]["detail"]
    assert all(module in finding["advice"] for finding in found.values())


def test_the_doctor_finds_a_module_missing_where_nodes_fetch_by_themselves(doctor: Doctor) -> None:
    found = doctor(without="mod_shout", direct=True)
    assert list(found) == ["direct", "playback"]
    assert "mod_shout" in found["playback"]["advice"]


OTHER = "bcX79"


def test_the_doctor_has_nodes_call_each_other(doctor: Doctor, boot: Boot) -> None:
    found = doctor.bridges(_entry(boot()), _entry(boot(PREFIX=OTHER), OTHER))
    assert [(finding["subject"], finding["detail"], finding["ok"]) for finding in found] == [
        (f"node {PREFIX}", f"gets through to {OTHER}", True),
        (f"node {OTHER}", f"gets through to {PREFIX}", True),
    ]


def test_the_doctor_finds_a_node_that_lets_no_other_in(doctor: Doctor, boot: Boot) -> None:
    first, second = doctor.bridges(_entry(boot()), _entry(boot(PREFIX=OTHER, PEERS="10.9.9.9/32"), OTHER))
    assert f"SWITCHROOM_NODE_PEERS of {OTHER}" in first["advice"]
    assert second["ok"]


@pytest.mark.parametrize(
    ("bridge", "detail"),
    [
        ("127.0.0.1:1", f"no connection to {OTHER} at 127.0.0.1:1"),
        # Its Event Socket and its port for callers.
        ("esl", f"no answer from {OTHER} at"),
        ("sip", f"is not the profile `bridge` of {OTHER}"),
    ],
)
def test_the_doctor_finds_a_bridge_that_is_none(doctor: Doctor, boot: Boot, bridge: str, detail: str) -> None:
    other = _entry(boot(PREFIX=OTHER), OTHER)
    first, second = doctor.bridges(_entry(boot()), other | {"bridge": other.get(bridge, bridge)})
    assert detail in first["detail"]
    assert first["advice"]
    assert second["ok"]
