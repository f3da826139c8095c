"""What `freeswitch-conf/` makes of a real FreeSWITCH: closed where it should be, and the doctor's word on its faults."""

from __future__ import annotations

import json
import re
import shutil
import ssl
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.pywsgi import WSGIServer

from esl.connection import Connection
from esl.errors import AuthenticationError, EslError
from tests.e2e.freeswitch import FreeSwitch, find_binary, find_faketime
from tests.e2e.nodes import PREFIX
from tests.e2e.phone import Phone, Refused
from tests.e2e.system import Media

pytestmark = pytest.mark.freeswitch

ROOM = f"{PREFIX}-room-550e8400-e29b-41d4-a716-446655440000"
Boot = Callable[..., FreeSwitch]


@pytest.fixture(scope="module")
def boot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boot]:
    """Boots nodes with variables of their own; the same variables, the same node."""
    binary = find_binary()
    if binary is None:
        pytest.skip("boots nodes of its own: no freeswitch on the PATH nor in FREESWITCH_BIN")
    nodes: dict[str, FreeSwitch] = {}

    def boot(without: str = "", late: int = 0, **variables: str | None) -> FreeSwitch:
        key = json.dumps([without, late, variables], sort_keys=True)
        if key not in nodes:
            folder = tmp_path_factory.mktemp("freeswitch")
            nodes[key] = FreeSwitch(folder, binary, without, late, **{"PREFIX": PREFIX, **variables})
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
        connected(boot(CONTROLLERS="127.0.0.2/32,127.0.0.3/32", TRUNKS="127.0.0.2/32", PEERS="127.0.0.3/32"))


@pytest.mark.parametrize("command", ["system id", "bg_system id", "spawn id", "lua x", "python x", "jsrun x"])
def test_no_command_reaches_a_shell(esl: Connection, command: str) -> None:
    assert "Command not found" in esl.api(command)


def test_no_application_reaches_a_shell(esl: Connection) -> None:
    applications = {line.partition(",")[0] for line in esl.api("show application").splitlines()}
    assert {"park", "conference", "answer"} <= applications
    assert applications & {"system", "bgsystem", "spawn_stream", "lua", "python", "javascript"} == set()


def test_callers_come_from_trunks_and_legs_from_peers(boot: Boot) -> None:
    node = boot(CONTROLLERS="127.0.0.2/32,127.0.0.3/32", TRUNKS="127.0.0.2/32", PEERS="127.0.0.3/32")
    for sip, number, allowed, others in (
        (node.sip, "747713001", "127.0.0.2", ("127.0.0.1", "127.0.0.3")),
        (node.bridge, f"conf-{ROOM}", "127.0.0.3", ("127.0.0.1", "127.0.0.2")),
    ):
        for host in others:
            with pytest.raises(Refused, match="403"):
                Phone(sip, number, "5271", host=host)
        Phone(sip, number, "5271", host=allowed).hang_up()


@pytest.mark.parametrize("number", ["747713001", "conf-" + ROOM.replace("-", "_"), "conf-", f"conf-{ROOM}@x", ROOM])
def test_a_leg_reaches_rooms_only(boot: Boot, number: str) -> None:
    with pytest.raises(Refused, match="404"):
        Phone(boot().bridge, number.replace("@", "%40"), "5271")


def test_a_leg_joins_its_room(boot: Boot, esl: Connection) -> None:
    leg = Phone(boot().bridge, f"conf-{ROOM}", "5271")
    try:
        (room,) = json.loads(esl.api("conference json_list"))
        assert (room["conference_name"], room["member_count"], room["rate"]) == (ROOM, 1, 8000)
    finally:
        leg.hang_up()


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
    node = boot()
    leg = Phone(node.bridge, f"conf-{ROOM}", "5271")
    yield node
    leg.hang_up()


def test_a_wideband_room(boot: Boot) -> None:
    node = boot(PROFILE="wideband")
    leg = Phone(node.bridge, f"conf-{ROOM}", "5271")
    connection = connected(node)
    try:
        (found,) = json.loads(connection.api("conference json_list"))
        assert found["rate"] == 48000
    finally:
        connection.close()
        leg.hang_up()


def test_the_cache_is_bounded(boot: Boot, media: Media) -> None:
    node = boot(CACHE_FILES="3")
    leg = Phone(node.bridge, f"conf-{ROOM}", "5271")
    connection = connected(node)
    try:
        for number in range(8):
            assert connection.api(f"conference {ROOM} play {media.tone(0.1, str(number))}").startswith("+OK")
    finally:
        connection.close()
        leg.hang_up()
    kept = list((node.folder / "cache").rglob("*.wav"))
    assert 0 < len(kept) <= 3


def test_what_is_no_sound_fails_and_does_no_harm(room: FreeSwitch, esl: Connection, media: Media) -> None:
    more = {"rate": 8000, "hertz": 440}
    for url in (
        media.tone(0.2, "channels3", channels=3, **more),
        media.tone(0.2, "channels255", channels=255, **more),
        media.url("missing.wav"),
        "http://127.0.0.1:1/closed.wav",
        "https://127.0.0.1:1/closed.wav",
    ):
        assert esl.api(f"conference {ROOM} play {url}").startswith("-ERR")
    assert esl.api(f"conference {ROOM} play {media.tone(0.2)}").startswith("+OK")


def test_a_certificate_is_verified(boot: Boot, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate),
         "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def serve(_environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "audio/mpeg")])
        return [(Path(__file__).parent / "tone.mp3").read_bytes()]

    server = WSGIServer(("127.0.0.1", 0), serve, log=None, ssl_context=context)
    server.start()
    server.set_environ({"wsgi.errors": (tmp_path / "errors").open("w")})
    try:
        for trusted, answer in ((None, "-ERR"), (str(certificate), "+OK")):
            node = boot(CA_FILE=trusted) if trusted else boot()
            leg = Phone(node.bridge, f"conf-{ROOM}", "5271")
            connection = connected(node)
            said = connection.api(f"conference {ROOM} play https://127.0.0.1:{server.server_port}/a.mp3")
            connection.close()
            leg.hang_up()
            assert said.startswith(answer), said
    finally:
        server.stop()


# The doctor


@pytest.fixture
def doctor(tmp_path: Path, boot: Boot) -> Callable[..., dict[str, dict[str, str]]]:
    """The faults that `switchroom doctor` finds, by check, with something of the node's entry changed."""

    def doctor(without: str = "", late: int = 0, **changed: str) -> dict[str, dict[str, str]]:
        node = boot(without, late)
        entry = {"prefix": PREFIX, "esl": node.esl, "password": node.password, "sip": node.bridge} | changed
        lines = [
            "[store]",
            f'data_dir = "{tmp_path}/data"',
            "[[apps]]",
            'id = "demo"',
            'api_key = "0123456789abcdef"',
            "[[nodes]]",
        ]
        lines += [f'{name} = "{value}"' for name, value in entry.items()]
        (tmp_path / "doctor.toml").write_text("\n".join(lines))
        run = subprocess.run(
            [sys.executable, "-m", "switchroom", "doctor", "--config", str(tmp_path / "doctor.toml"), "--json"],
            capture_output=True, text=True, timeout=50, check=False,
        )  # fmt: skip
        assert run.returncode in (0, 1), run.stderr
        faults = {finding["check"]: finding for finding in json.loads(run.stdout) if not finding["ok"]}
        assert run.returncode == bool(faults)
        return faults

    return doctor


Doctor = Callable[..., dict[str, dict[str, str]]]


def test_the_doctor_finds_nothing(doctor: Doctor) -> None:
    assert doctor() == {}


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
        ("mod_http_cache", "playback", "http and https"),
        ("mod_shout", "playback", "mp3"),
        ("mod_sndfile", "playback", "wav"),
        ("mod_conference", "mod_conference", "not loaded"),
        ("mod_dptools", "mod_dptools", "not loaded"),
    ],
)
def test_the_doctor_finds_a_module_missing(doctor: Doctor, module: str, check: str, said: str) -> None:
    found = doctor(without=module)
    assert next(iter(found)) == check
    assert said in found[check]["detail"]
    assert all(module in finding["advice"] for finding in found.values())
