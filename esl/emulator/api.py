"""The api commands of the node, by name."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from xml.sax.saxutils import quoteattr

from esl.emulator import conference_api, legs, sip
from esl.emulator.conference import RATE
from esl.emulator.node import Node
from esl.emulator.recording import put
from esl.emulator.wire import split, split_params

NO_SUCH_CHANNEL = "-ERR No such channel!\n"
VERSION = "1.11.1-release git c2c5964 2026-05-26 20:41:26Z 64bit"
MAX_SESSIONS = 5000

# What a module brings: rows of `show modules` and `show file`, type and names
INTERFACES = {
    "mod_commands": ("api", "show status uuid_transfer uuid_kill"),
    "mod_conference": ("application", "conference"),
    "mod_http_cache": ("file", "http https"),
    "mod_local_stream": ("file", "local_stream"),
    "mod_native_file": ("file", "PCMU PCMA"),
    "mod_shout": ("file", "shout mp3"),
    "mod_sndfile": ("file", "wav au raw"),
    "mod_tone_stream": ("file", "tone_stream silence_stream"),
}


# Commands that come with another module than mod_commands
PROVIDERS = {
    "sofia": "mod_sofia",
    "conference": "mod_conference",
    "http_get": "mod_http_cache",
    "http_put": "mod_http_cache",
    "strepoch": "mod_dptools",
}

# mod_conference's own, and of each profile what `freeswitch-conf/` sets.
PROFILE = {
    "rate": str(RATE),
    "interval": "20",
    "channels": "1",
    "caller-controls": "none",
    "moderator-controls": "none",
    "comfort-noise": "false",
}


def run(node: Node, command: str, argument: str) -> str:
    """Run an api command and return what it prints."""
    handler = COMMANDS.get(command.lower())
    if PROVIDERS.get(command.lower(), "mod_commands") not in node.modules:
        handler = None
    return handler(node, argument) if handler else f"-ERR {command} Command not found!\n"


# Calls


def _uuid_transfer(node: Node, argument: str) -> str:
    given = [part for part in split(argument) if part not in ("-bleg", "-both", "-aleg")]
    if len(given) < 2:
        return "-USAGE: <uuid> [-bleg|-both] <dest-exten> [<dialplan>] [<context>]\n"
    channel = node.channels.get(given[0])
    if channel is None:
        return NO_SUCH_CHANNEL
    channel.transfer(*given[1:4])
    return "+OK\n"


def _uuid_kill(node: Node, argument: str) -> str:
    given = split(argument)
    if not given:
        return "-USAGE: <uuid> [cause]\n"
    channel = node.channels.get(given[0])
    if channel is None:
        return NO_SUCH_CHANNEL
    channel.kill(given[1] if len(given) > 1 else "NORMAL_CLEARING")
    return "+OK\n"


def _uuid_send_dtmf(node: Node, argument: str) -> str:
    given = split(argument)
    if len(given) < 2:
        return "-USAGE: <uuid> <dtmf_data>\n"
    channel = node.channels.get(given[0])
    if channel is None:
        return "-ERR Cannot locate session!\n"
    if not channel.send_dtmf(given[1]):
        return "-ERR Operation failed\n"
    return f"+OK {given[0]} sent DTMF {given[1]}.\n"


def _uuid_broadcast(node: Node, argument: str) -> str:
    """`UUID playback::FILE aleg`. Other applications, and both legs of a bridge, are not emulated."""
    given = split(argument)
    if len(given) < 2:
        return "-USAGE: <uuid> <path> [aleg|bleg|holdb|both]\n"
    channel = node.channels.get(given[0])
    if channel is None:
        return "-ERR invalid uuid\n"
    channel.play(given[1].removeprefix("playback::"))
    return "+OK Message sent\n"


def _uuid_break(node: Node, argument: str) -> str:
    given = split(argument)
    channel = node.channels.get(given[0]) if given else None
    if channel is None:
        return NO_SUCH_CHANNEL
    channel.stop_playing()
    return "+OK\n"


def _uuid_fileman(node: Node, argument: str) -> str:
    """Whatever is to be done with the file that plays."""
    channel = node.channels.get((split(argument) or [""])[0])
    if channel is None:
        return NO_SUCH_CHANNEL
    return "+OK\n" if channel.playing else "-ERR No file handle!\n"


def _uuid_record(node: Node, argument: str) -> str:
    given = split(argument)
    if len(given) < 3:
        return "-USAGE: <uuid> [start|stop|mask|unmask] <path> [<limit>] [<recording_vars>]\n"
    channel = node.channels.get(given[0])
    if channel is None:
        return "-ERR Cannot locate session!\n"
    action, path, *more = given[1:]
    if action == "start":
        variables, _ = split_params(more[1]) if len(more) > 1 else ({}, "")
        done = not node.is_full and channel.record(path, int(more[0]) if more else 0, variables)
    else:
        done = channel.control_recording(path, action)
    what = {"start": "record", "stop": "stop record"}.get(action, f"{action} recording")
    return "+OK Success\n" if done else f"-ERR Cannot {what} session!\n"


def _uuid_buglist(node: Node, argument: str) -> str:
    channel = node.channels.get(argument.strip())
    if channel is None:
        return "-ERR Cannot locate session!\n"
    bugs = "".join(
        f" <media-bug>\n  <function>session_record</function>\n  <target>{path}</target>\n"
        "  <thread-locked>0</thread-locked>\n </media-bug>\n"
        for path in channel.recordings
    )
    return f"<media-bugs>\n{bugs}</media-bugs>\n"


def _uuid_exists(node: Node, argument: str) -> str:
    return "true" if argument.strip() in node.channels else "false"


def _uuid_dump(node: Node, argument: str) -> str:
    channel = node.channels.get(argument.strip())
    if channel is None:
        return NO_SUCH_CHANNEL
    variables = ((f"variable_{name}", value) for name, value in channel.variables.items())
    return "".join(f"{name}: {value}\n" for name, value in [*channel.headers(), *variables])


def _uuid_getvar(node: Node, argument: str) -> str:
    given = split(argument)
    if len(given) < 2:
        return "-USAGE: <uuid> <var>\n"
    channel = node.channels.get(given[0])
    return channel.variables.get(given[1], "_undef_") if channel else NO_SUCH_CHANNEL


def _uuid_setvar(node: Node, argument: str) -> str:
    given = split(argument)
    if len(given) < 2:
        return "-USAGE: <uuid> <var> [value]\n"
    channel = node.channels.get(given[0])
    if channel is None:
        return NO_SUCH_CHANNEL
    if len(given) > 2:
        channel.set((given[1], given[2]))
    else:
        channel.variables.pop(given[1], None)
    return "+OK\n"


def _originate(node: Node, argument: str) -> str:
    variables, rest = split_params(argument)
    given = split(rest)
    if len(given) < 2:
        return "-USAGE: <call url> <exten>|&<application_name>(<app_args>)\n"
    made = legs.originate(node, given[0], variables, given[1])
    return f"-ERR {made}\n" if isinstance(made, str) else f"+OK {made.uuid}\n"


# Lists


def _module_rows(node: Node, only: str | None) -> list[dict[str, str]]:
    return [
        {"type": kind, "name": name, "ikey": module, "filename": f"/usr/lib/freeswitch/mod/{module}.so"}
        for module, (kind, names) in sorted(INTERFACES.items())
        if module in node.modules and only in (None, kind)
        for name in names.split()
    ]


TABLES: dict[str, Callable[[Node], list[dict[str, str]]]] = {
    "channels": lambda node: list(node.rows.values()),
    "calls": lambda node: list(node.rows.values()),
    "modules": lambda node: _module_rows(node, None),
    "file": lambda node: _module_rows(node, "file"),
    "files": lambda node: _module_rows(node, "file"),
    "application": lambda node: _module_rows(node, "application"),
    "api": lambda node: _module_rows(node, "api"),
}


def _show(node: Node, argument: str) -> str:
    table, *how = split(argument.lower()) or [""]
    if table not in TABLES:
        return "-USAGE: " + "|".join(TABLES) + "\n"
    rows = TABLES[table](node)
    if how == ["count"]:
        return f"\n{len(rows)} total.\n"
    if how == ["as", "json"]:
        return _json_rows(rows)
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)] if rows else []
    return "".join(f"{line}\n" for line in lines) + f"\n{len(rows)} total.\n"


def _json_rows(rows: list[dict[str, str]]) -> str:
    if not rows:
        return '{"row_count": 0}\n'
    return json.dumps({"row_count": len(rows), "rows": rows}, separators=(",", ":"), ensure_ascii=False)


# The node


def _status(node: Node, _argument: str) -> str:
    micros = round((node.clock.now() - node.booted) * 1_000_000)
    units = {
        "years": 365 * 86_400_000_000,
        "days": 86_400_000_000,
        "hours": 3_600_000_000,
        "minutes": 60_000_000,
        "seconds": 1_000_000,
        "milliseconds": 1000,
        "microseconds": 1,
    }
    parts = []
    for unit, size in units.items():
        number, micros = divmod(micros, size)
        parts.append(f"{number} {unit[:-1] if number == 1 else unit}")
    calls = len(node.channels)
    return (
        f"UP {', '.join(parts)}\n"
        f"FreeSWITCH (Version {VERSION}) is ready\n"
        f"{node.sessions_so_far} session(s) since startup\n"
        f"{calls} session(s) - peak {calls}, last 5min {calls} \n"
        "0 session(s) per Sec out of max 500, peak 0, last 5min 0 \n"
        f"{MAX_SESSIONS} session(s) max\n"
        "min idle cpu 0.00/99.83\n"
        "Current Stack Size/Max 240K/8192K\n"
    )


def _xml_locate(node: Node, argument: str) -> str:
    if argument.split() != ["configuration", "configuration", "name", "conference.conf"]:
        return "can't find anything\n"
    params = "".join(
        f'            <param name="{name}" value="{value}"></param>\n\n' for name, value in PROFILE.items()
    )
    profiles = "".join(
        f"        <profile name={quoteattr(name)}>\n{params[:-1]}\n    </profile>\n\n" for name in sorted(node.profiles)
    )
    return (
        '<configuration name="conference.conf">\n    <caller-controls></caller-controls>\n\n'
        f"    <profiles>\n    \n{profiles}  </profiles>\n\n</configuration>\n"
    )


def _sofia(node: Node, argument: str) -> str:
    """Only `status` (44)."""
    if argument.strip() != "status":
        return f"Unknown Command [{argument.partition(' ')[0]}]\n"
    rows = "".join(
        f"{name:>25}\tprofile\t{f'sip:mod_sofia@{node.addresses[name]}':>42}\tRUNNING (0)\n"
        for name in (sip.PUBLIC.name, sip.BRIDGE.name)
    )
    line = "=" * 97 + "\n"
    return f"{'Name':>25}\t   Type\t{'Data':>42}\tState\n{line}{rows}{line}2 profiles 0 aliases\n"


def _http_get(node: Node, argument: str) -> str:
    """A real node fetches whatever is there; here it must be a sound."""
    if not argument:
        return "USAGE: {param=val}<url>\n"
    if node.fetch(argument) is None:
        return "-ERR http_get Command not found!\n"
    copy = str(uuid.uuid4())
    return f"/var/cache/freeswitch/http/{copy[:2]}/{copy[2:]}.wav"


def _http_put(node: Node, argument: str) -> str:
    """A file that is sent to itself is empty then, and no success, as with everything that fails."""
    url, _, path = argument.partition(" ")
    data = node.files.get(path)
    if url == f"file://{path}" and data is not None:
        node.files[path] = b""
    elif data is not None and 200 <= (status := put(url, data)) < 205:
        return f"+OK {status}\n"
    return "-ERR http_put Command not found!\n"


def _uptime(node: Node, argument: str) -> str:
    unit = {"s": 1, "ms": 1000, "us": 1_000_000, "m": 1 / 60, "h": 1 / 3600, "d": 1 / 86400}
    return f"{int((node.clock.now() - node.booted) * unit.get(argument.strip(), 1))}\n"


def _global_getvar(node: Node, argument: str) -> str:
    name = argument.strip()
    return node.globals.get(name, "") if name else "".join(f"{key}={value}\n" for key, value in node.globals.items())


def _global_setvar(node: Node, argument: str) -> str:
    name, _, value = argument.partition("=")
    if value:
        node.variables[name] = value
    else:
        node.variables.pop(name, None)
    return "+OK"


COMMANDS: dict[str, Callable[[Node, str], str]] = {
    "conference": conference_api.run,
    "create_uuid": lambda _node, _argument: str(uuid.uuid4()),
    "echo": lambda _node, argument: argument,
    "global_getvar": _global_getvar,
    "global_setvar": _global_setvar,
    "hostname": lambda node, _argument: node.hostname,
    "file_exists": lambda node, argument: "true" if argument in node.files else "false",
    "http_get": _http_get,
    "http_put": _http_put,
    "module_exists": lambda node, argument: "true" if argument.strip() in node.modules else "false",
    "originate": _originate,
    "show": _show,
    "sofia": _sofia,
    "status": _status,
    "strepoch": lambda node, _argument: str(int(node.clock.now())),
    "switchname": lambda node, _argument: node.hostname,
    "uptime": _uptime,
    "uuid_break": _uuid_break,
    "uuid_broadcast": _uuid_broadcast,
    "uuid_buglist": _uuid_buglist,
    "uuid_dump": _uuid_dump,
    "uuid_exists": _uuid_exists,
    "uuid_fileman": _uuid_fileman,
    "uuid_getvar": _uuid_getvar,
    "uuid_kill": _uuid_kill,
    "uuid_record": _uuid_record,
    "uuid_send_dtmf": _uuid_send_dtmf,
    "uuid_setvar": _uuid_setvar,
    "uuid_transfer": _uuid_transfer,
    "version": lambda _node, _argument: f"FreeSWITCH Version {VERSION.partition(' git')[0]}~64bit (-release 64bit)\n",
    "xml_locate": _xml_locate,
}
