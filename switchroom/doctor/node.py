"""Checks of a node: is it the one that was meant, and has it what a conference needs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

import orjson

from controller.outbound.addresses import is_found_from
from controller.registry import Node
from esl import commands as esl
from esl.connection import Connection
from esl.errors import AuthenticationError, EslError, JobTimeout
from esl.guards import GUARDS
from switchroom.doctor.finding import Finding, Verdict
from switchroom.logs import escaped

WELL_KNOWN_PASSWORD = "ClueCon"  # noqa: S105 (the one that FreeSWITCH ships with)
MODULES = ("mod_conference", "mod_sofia", "mod_event_socket", "mod_dptools", "mod_commands")
MAX_SKEW_SECONDS = 5
# How long a node may take to fetch the relays' test files: longer than mod_http_cache does with `freeswitch-conf/`.
FETCH_SECONDS = 12.0


def examine_node(node: Node, test_files: Sequence[str] | None, profiles: Sequence[str] = ()) -> list[Finding]:
    """`test_files`: the URL of one of each audio relay; None if the node is to fetch what it plays by itself.
    `profiles`: those SIP profiles from which gateways are called.
    """
    subject = f"node {node.prefix}"
    plays = _plays(DIRECT_FORMATS if test_files is None else RELAYED_FORMATS)
    connection = Connection(node.host, node.port, node.password, on_event=lambda _: None)
    try:
        connection.connect()
        findings = [
            Finding(subject, "reachable", node.esl),
            Finding(subject, "password", *_judge_password(node)),
        ]
        for check, command, judge in _CHECKS:
            findings.append(Finding(subject, check, *judge(node, connection.api(command))))
        if profiles:
            findings.append(Finding(subject, "gateways", *_judge_sip(profiles, connection.api(esl.SipStatus()))))
        playback = Finding(subject, "playback", *plays(connection.api(esl.ShowFileFormats())))
        findings.append(playback)
        if playback.ok:
            findings += _fetch(node, connection, test_files or [])
    except AuthenticationError as error:
        return [Finding(subject, "password", str(error), "correct the node's password, or its apply-inbound-acl")]
    except (EslError, ValueError) as error:
        return [Finding(subject, "reachable", str(error), _UNREACHABLE)]
    finally:
        connection.close()
    return findings


_UNREACHABLE = "start FreeSWITCH, let mod_event_socket listen there, and open the port to this machine only"


def _judge_password(node: Node) -> Verdict:
    if node.password != WELL_KNOWN_PASSWORD:
        return "accepted", ""
    return "the one that FreeSWITCH ships with", "set another in event_socket.conf.xml and here"


def _loaded(module: str) -> Callable[[Node, str], Verdict]:
    def judge(_node: Node, reply: str) -> Verdict:
        if reply.strip() == "true":
            return "loaded", ""
        return "not loaded", f"add {module} to modules.conf.xml and `load {module}`"

    return judge


def _guarded(value: str) -> Callable[[Node, str], Verdict]:
    def judge(_node: Node, reply: str) -> Verdict:
        if reply.strip() == value:
            return "callers keep to their own calls", ""
        return "callers can take over each other's calls", f"set it to `{value}` in vars.xml and `reloadxml`"

    return judge


def _judge_prefix(node: Node, reply: str) -> Verdict:
    """A node that is not of our making may not say; one that does must be the one that was meant."""
    said = reply.strip()
    if said == node.prefix:
        return "the node says the same", ""
    if not said or said.startswith("-ERR"):
        return "the node does not say", ""
    return (
        f"the node says that it is {escaped(said[:64])}",
        f"correct the address of {node.prefix}, or SWITCHROOM_NODE_PREFIX there",
    )


def _judge_profile(node: Node, reply: str) -> Verdict:
    names = re.findall(r'<profile\s+name="([^"]*)"', reply)
    if node.profile in names:
        return f"{node.profile} is there", ""
    advice = "add it to conference.conf.xml and `reloadxml`, or set the node's profile"
    return f"{node.profile} is not among {', '.join(names) or 'none'}", advice


def _judge_sip(profiles: Sequence[str], reply: str) -> Verdict:
    """Whether the SIP profiles are there from which gateways are called (44)."""
    rows = [line.split("\t") for line in reply.splitlines()]
    names = [row[0].strip() for row in rows if len(row) > 1 and row[1] == "profile"]
    missing = [profile for profile in profiles if profile not in names]
    if not missing:
        return f"SIP profile {' and '.join(profiles)}", ""
    advice = "set the profile of [[gateways]] to one of these, or see in the node's log why it did not start"
    return f"no SIP profile {' and '.join(missing)}, only {escaped(', '.join(names)) or 'none'}", advice


# What is played, and what plays it: of the audio relay, and without one.
HTTP_CACHE = "mod_http_cache with enable-file-formats"
RELAYED_FORMATS = {"http": HTTP_CACHE, "wav": "mod_sndfile", "silence_stream": "mod_tone_stream"}
DIRECT_FORMATS = {**RELAYED_FORMATS, "https": HTTP_CACHE, "mp3": "mod_shout"}


def _plays(needed: Mapping[str, str]) -> Callable[[str], Verdict]:
    def judge(reply: str) -> Verdict:
        try:
            rows = orjson.loads(reply).get("rows", [])
            formats = {str(row["name"]).lower(): str(row.get("ikey", "")) for row in rows}
        except (orjson.JSONDecodeError, AttributeError, TypeError, KeyError):
            formats = {}
        missing = [name for name in needed if name not in formats]
        if missing:
            advice = " and ".join(dict.fromkeys(needed[name] for name in missing))
            return f"no file format {' and '.join(missing)}", f"load {advice}"
        if "mod_httapi" in (formats[name] for name in needed):
            return "by mod_httapi, which a stereo file makes crash FreeSWITCH", f"load {HTTP_CACHE} in its place"
        return " and ".join(needed), ""

    return judge


def _fetch(node: Node, connection: Connection, test_files: Sequence[str]) -> Iterator[Finding]:
    """From all relays at once, as each takes long if a firewall drops what the node sends."""
    connection.send("event plain BACKGROUND_JOB")
    jobs = {urlsplit(url).netloc: connection.bgapi(esl.FetchFile(url)) for url in test_files}
    give_up_at = time.monotonic() + FETCH_SECONDS
    for relay, job in jobs.items():
        try:
            fetched = job.result(max(0.0, give_up_at - time.monotonic()))
        except JobTimeout:
            fetched = ""
        yield Finding(f"node {node.prefix}", "audio relay", *_judge_fetch(node, relay, fetched))


def _judge_fetch(node: Node, relay: str, fetched: str) -> Verdict:
    if fetched.startswith("/"):
        return f"a test file came from {relay}", ""
    if not is_found_from(node.host, relay):
        return (
            f"no test file came from {relay}, which to the node is its own machine",
            "set [media] listen to an address that the node reaches, and [media] advertise if that differs",
        )
    return (
        f"no test file came from {relay}",
        f"let FreeSWITCH connect to {relay}, in the firewalls of both machines and of the network; if it has to use"
        " another address, set [media] advertise",
    )


def _judge_clock(_node: Node, reply: str) -> Verdict:
    if not reply.strip().isdecimal():
        return "its time is not known", "load mod_dptools"
    return judge_time(int(reply))


def judge_time(told: float) -> Verdict:
    """Of another machine's clock, in epoch seconds, as it was told just now."""
    skew = abs(told - time.time())
    if skew <= MAX_SKEW_SECONDS:
        return "within seconds of ours", ""
    return f"{skew:.0f} s off ours", "run NTP on both machines"


# What is asked of a node: the check, the command, the judge of its reply.
_CHECKS: tuple[tuple[str, esl.Command, Callable[[Node, str], Verdict]], ...] = (
    ("prefix", esl.GlobalVariable("switchroom_prefix"), _judge_prefix),
    *((module, esl.ModuleExists(module), _loaded(module)) for module in MODULES),
    ("profile", esl.LocateConfiguration("conference.conf"), _judge_profile),
    ("clock", esl.Epoch(), _judge_clock),
    *((name, esl.GlobalVariable(name), _guarded(value)) for name, value in GUARDS.items()),
)
