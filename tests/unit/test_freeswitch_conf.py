"""`freeswitch-conf/` as it can be judged without a FreeSWITCH: nothing more than a room needs, and nothing left open."""

from __future__ import annotations

import os
import re
import subprocess
import uuid
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from esl.guards import GUARDS

ROOT = Path(__file__).parents[2]
CONF = ROOT / "freeswitch-conf"
FILES = sorted(path for path in CONF.rglob("*") if path.is_file())
XML = [path for path in FILES if path.suffix == ".xml"]
DOCUMENTED = ROOT / "docs" / "freeswitch.md"

MODULES = {
    "mod_logfile",
    "mod_event_socket",
    "mod_commands",
    "mod_dptools",
    "mod_dialplan_xml",
    "mod_sndfile",
    "mod_tone_stream",
    "mod_http_cache",
    "mod_conference",
    "mod_sofia",
}


def xml(name: str) -> ET.Element:
    return ET.parse(CONF / name).getroot()


def params(element: ET.Element) -> dict[str, str]:
    return {param.attrib["name"]: param.attrib["value"] for param in element.iter("param")}


def instructions(command: str) -> list[tuple[str, str]]:
    """Of vars.xml, by kind: what is set, and to what."""
    found = [node.attrib["data"] for node in xml("vars.xml").iter("X-PRE-PROCESS") if node.attrib["cmd"] == command]
    return [(name, value) for name, _, value in (data.partition("=") for data in found)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_opens_with_who_reads_it(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    assert re.match(r"(<!--|#) Read by .*[.]( -->)?$", first)


@pytest.mark.parametrize("path", XML, ids=lambda path: path.name)
def test_a_file_is_xml_and_its_comments_hold_no_instruction(path: Path) -> None:
    """FreeSWITCH would follow one in a comment, too."""
    ET.parse(path)
    assert not any("X-PRE-PROCESS" in comment for comment in re.findall(r"<!--.*?-->", path.read_text(), re.DOTALL))


def test_the_modules_are_those_that_are_needed() -> None:
    loaded = [node.attrib["module"] for node in xml("autoload_configs/modules.conf.xml").iter("load")]
    assert set(loaded) == MODULES
    assert len(loaded) == len(MODULES)


def test_every_configuration_is_of_a_module_or_the_core() -> None:
    names = {path.name.removesuffix(".conf.xml") for path in (CONF / "autoload_configs").iterdir()}
    assert names - {module.removeprefix("mod_") for module in MODULES} == {"acl", "modules", "switch"}


# Variables


def test_every_variable_used_is_set_and_every_one_set_is_used() -> None:
    used = {name for path in XML for name in re.findall(r"\$\$\{(switchroom_\w+)\}", path.read_text())}
    set_ = {name for name, _ in instructions("set") + instructions("exec-set") if name.startswith("switchroom_")}
    # The prefix is for those who ask the node.
    assert set_ == used | {"switchroom_prefix"}


def test_every_variable_can_be_set_by_the_environment_after_its_default() -> None:
    lines = (CONF / "vars.xml").read_text()
    overlaid = dict(instructions("env-set"))
    for name, _ in instructions("set"):
        if name.startswith("switchroom_"):
            assert overlaid.pop(name) == "$SWITCHROOM_NODE_" + name.removeprefix("switchroom_").upper()
            assert lines.index(f'"set" data="{name}=') < lines.index(f'"env-set" data="{name}=')
    assert overlaid == {}


def test_every_variable_is_documented_with_its_default() -> None:
    told = dict(re.findall(r"^\| `SWITCHROOM_NODE_(\w+)` \| (?:`(.*?)`)? ?\|", DOCUMENTED.read_text(), re.MULTILINE))
    defaults = {
        name.removeprefix("switchroom_").upper(): value
        for name, value in instructions("set")
        if name.startswith("switchroom_")
    }
    for name in ("EXTERNAL_IP", "BRIDGE_IP"):
        assert defaults.pop(name) == "$${switchroom_sip_ip}"
        assert told.pop(name) == ""
    assert told.pop("ESL_PASSWORD") == ""
    assert told == defaults


@pytest.mark.parametrize(("given", "kept"), [("s3cret", True), ("", False), (None, False)])
def test_the_password_is_the_one_given_or_one_that_nobody_knows(given: str | None, kept: bool) -> None:
    ((name, command),) = instructions("exec-set")
    assert name == "switchroom_esl_password"
    environment = {"PATH": os.environ["PATH"]}
    if given is not None:
        environment["SWITCHROOM_NODE_ESL_PASSWORD"] = given
    said = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=True).stdout
    assert said == given if kept else uuid.UUID(said)


def test_nothing_but_the_password_takes_a_shell() -> None:
    for path in XML:
        for node in ET.parse(path).getroot().iter("X-PRE-PROCESS"):
            assert node.attrib["cmd"] in ("set", "env-set", "include") or path.name == "vars.xml"
    assert {"disable_system_api_commands", "disable_system_app_commands"} <= dict(instructions("set")).keys()


def test_defaults_are_loopback() -> None:
    defaults = dict(instructions("set"))
    assert {defaults[f"switchroom_{name}_ip"] for name in ("esl", "sip")} == {"127.0.0.1"}
    assert {defaults[f"switchroom_{name}"] for name in ("controllers", "trunks", "peers")} == {"127.0.0.0/8"}


def test_the_password_that_everyone_knows_is_nowhere() -> None:
    assert not any("cluecon" in path.read_text().lower() for path in FILES)


# Calls


def actions(context: str) -> tuple[str, list[tuple[str, str]]]:
    """The one extension of a context: its expression and what it does."""
    (extension,) = xml(f"dialplan/{context}.xml").iter("extension")
    (condition,) = extension.iter("condition")
    assert condition.attrib["field"] == "destination_number"
    return condition.attrib["expression"], [
        (action.attrib["application"], action.attrib.get("data", "")) for action in condition
    ]


def test_callers_are_answered_and_parked() -> None:
    expression, done = actions("public")
    assert done == [("answer", ""), ("park", "")]
    for number in ("747713001", "+747713001", "00747713001", "*100#", "sales"):
        assert re.search(expression, number)
    for number in ("", "a b", "${x}", "a'b", "++1", "1" * 80):
        assert not re.search(expression, number)


def test_callers_and_nodes_have_a_way_in_each() -> None:
    assert {path.name for path in (CONF / "sip_profiles").iterdir()} == {"public.xml", "bridge.xml"}
    assert {path.name for path in (CONF / "dialplan").iterdir()} == {"public.xml", "bridge.xml"}


@pytest.mark.parametrize(("name", "allowed"), [("public", "trunks"), ("bridge", "peers")])
def test_a_way_in_is_for_those_listed(name: str, allowed: str) -> None:
    root = xml(f"sip_profiles/{name}.xml")
    found = params(root)
    assert root.attrib["name"] == found["context"] == xml(f"dialplan/{name}.xml").attrib["name"] == name
    assert found["apply-inbound-acl"] == allowed
    # With presence a Call-Info header alone leads into another call.
    closed = {"disable-register": "true", "disable-transfer": "true", "manage-presence": "false", "auth-calls": "false"}
    assert closed.items() <= found.items()


def test_callers_come_by_tcp_or_tls_unless_told_otherwise() -> None:
    found, defaults = params(xml("sip_profiles/public.xml")), dict(instructions("set"))
    assert (found["bind-params"], found["tls"]) == ("transport=$${switchroom_sip_transport}", "$${switchroom_sip_tls}")
    assert found["tls-only"] == found["tls"]
    assert (defaults["switchroom_sip_transport"], defaults["switchroom_sip_tls"]) == ("tcp", "false")


def test_a_leg_needs_an_announcement_and_is_looked_at_no_further() -> None:
    assert params(xml("sip_profiles/bridge.xml"))["bind-params"] == "transport=tcp"
    (extension,) = xml("dialplan/bridge.xml").iter("extension")
    first, second = extension.iter("condition")
    # FreeSWITCH runs what a variable holds, and this one is the Call-ID: its form is judged without looking it up.
    assert first.attrib["field"] == "uuid"
    leg = "0d929670-46f9-4d22-a818-d6d9b118db11"
    assert re.search(first.attrib["expression"], leg)
    for other in (leg.upper(), leg + "x", " " + leg, "${x}", leg[:-1] + "}", ""):
        assert not re.search(first.attrib["expression"], other)
    said = {value for element in extension.iter() for value in element.attrib.values() if "${" in value}
    assert said == {"${switchroom_leg_${uuid}}", "switchroom_leg_${uuid}="}
    assert second.attrib["field"] == "${switchroom_leg_${uuid}}"
    room = re.search(second.attrib["expression"], "acW68-room-1@default")
    assert room
    assert room.groups() == ("acW68-room-1", "default")
    for other in ("", "room", "room@", "@default", "room@default+flags{moderator}", "a b@default", "${x}@default"):
        assert not re.search(second.attrib["expression"], other)
    done = [(action.attrib["application"], action.attrib["data"]) for action in second if "data" in action.attrib]
    assert done[0] == ("set_global", "switchroom_leg_${uuid}=")
    assert second[0].attrib["inline"] == "true", "used up before anything else happens"
    assert done[-1] == ("conference", "$1@$2+flags{nomoh}")


def test_callers_do_not_take_over_each_other_s_calls() -> None:
    assert GUARDS.items() <= dict(instructions("set")).items()
    assert not GUARDS.keys() & dict(instructions("env-set")).keys()


def test_lists_deny_whom_they_do_not_name() -> None:
    lists = {one.attrib["name"]: one for one in xml("autoload_configs/acl.conf.xml").iter("list")}
    assert lists.keys() == {"controllers", "trunks", "peers"}
    assert {one.attrib["default"] for one in lists.values()} == {"deny"}
    assert params(xml("autoload_configs/event_socket.conf.xml"))["apply-inbound-acl"] == "controllers"


# Rooms and sounds


def test_rooms_are_of_two_kinds_without_controls_noise_or_sounds() -> None:
    profiles = {one.attrib["name"]: params(one) for one in xml("autoload_configs/conference.conf.xml").iter("profile")}
    assert {name: profile["rate"] for name, profile in profiles.items()} == {"default": "8000", "wideband": "48000"}
    for profile in profiles.values():
        assert profile["caller-controls"] == profile["moderator-controls"] == "none"
        assert profile["comfort-noise"] == "false"
        assert not any("sound" in name or "announce" in name for name in profile)


def test_sounds_are_those_of_the_relay_and_come_by_http_bounded_and_in_time() -> None:
    found = params(xml("autoload_configs/http_cache.conf.xml"))
    assert found.pop("location") == "$${cache_dir}/http"
    bounds = {"max-urls": "200", "connect-timeout": "2", "download-timeout": "10"}
    assert found == {"enable-file-formats": "true", **bounds}
    # WAV, and mono.
    assert params(xml("autoload_configs/sndfile.conf.xml")) == {"allowed-extensions": "wav"}
    assert params(xml("autoload_configs/switch.conf.xml"))["max-audio-channels"] == "2"
    # What is told to set on another FreeSWITCH is what is set here.
    (told,) = re.findall(r"^5\. \*\*Sounds\*\*(.*?)^6\.", DOCUMENTED.read_text(), re.MULTILINE | re.DOTALL)
    assert [f"`{name}` {value}" in told for name, value in bounds.items()] == [True] * len(bounds)


def test_the_kinds_of_sounds_without_the_relay_are_those_that_the_emulator_knows() -> None:
    from esl.emulator.media import KINDS

    told = re.findall(r"^ +(audio/\S+)\t(\w+)$", DOCUMENTED.read_text(), re.MULTILINE)
    assert dict(told) == KINDS
