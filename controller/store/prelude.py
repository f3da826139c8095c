"""What Lua shares with Python, as the text that each script begins with.

`keys.room(id)` is a key of `keys`, under the tag in KEYS[1]. `STEPS.SESSION` is a table of `states`, and
`SESSION.joining` the name of one of its states. `FLAGS.muted` is a row of `flags`, `CHANGES.mute` one of its changes.
`ROOM_OPTIONS.locked` is the kind of that option (`room_options.Kind`).
"""

from __future__ import annotations

import re
from typing import Any

from controller.room_options import OPTIONS
from controller.sessions.flags import CHANGES, FLAGS, Change
from controller.store import keys, states


def prelude(code: str) -> str:
    """The part that `code` uses, since all of it runs with every call. Raises KeyError for an unknown key."""
    lines = ["local tag = KEYS[1]", "local keys = {}"]
    lines += [_key_function(name) for name in dict.fromkeys(re.findall(r"\bkeys\.(\w+)", code))]
    steps = {
        name: table for name, table in states.TABLES.items() if f'step("{name}"' in code or f"STEPS.{name}" in code
    }
    lines.append(f"local STEPS = {_lua(steps)}")
    names = set(re.findall(r"(?<![.\w])[A-Z_]+\b", code))
    lines += [f"local {name} = {text}" for name, text in CONSTANTS.items() if name in names]
    return "\n".join(lines) + "\n"


def _key_function(name: str) -> str:
    suffix = keys.SUFFIXES[name]
    parameters = ("first", "second")[: suffix.count("%s")]
    text = ('tag .. ":' + suffix.replace("%s", '" .. %s .. "') + '"') % parameters
    return f"function keys.{name}({', '.join(parameters)}) return {text} end".replace(' .. ""', "")


def _flags() -> dict[str, Any]:
    return {flag.name: {"name": flag.name, "on": _change(flag.on), "off": _change(flag.off)} for flag in FLAGS}


def _change(change: Change) -> dict[str, Any]:
    """With the names of the session's fields for the command that is pending."""
    names = ("command", "done", "action", "webhook", "refused_already", "refused_pending")
    return {
        **{name: getattr(change, name) for name in names},
        "pending_job": f"pending_{change.command}_job",
        "pending_uid": f"pending_{change.command}_uid",
        "pending_operation": f"pending_{change.command}_operation",
        "pending_actor": f"pending_{change.command}_actor",
        "pending_trace": f"pending_{change.command}_trace",
    }


def _lua(value: Any) -> str:
    """A table of texts, truth values and further tables."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_lua(inner)}" for name, inner in value.items()) + " }"
    if isinstance(value, tuple):
        return "{ " + ", ".join(map(_lua, value)) + " }"
    return str(value).lower() if isinstance(value, bool) else f'"{value}"'


def _strict(names: dict[str, str]) -> str:
    """A table that raises an error for an unknown name."""
    unknown = 'function(_, name) error("there is no state " .. tostring(name), 2) end'
    return f"setmetatable({_lua(names)}, {{ __index = {unknown} }})"


# The other tables, by their names in Lua.
CONSTANTS = {
    **{name: _strict({state: state for state in table}) for name, table in states.TABLES.items()},
    "DELIVERY_STATUS": _strict(states.DELIVERY_STATUS),
    "LISTED_STATUSES": _lua(states.LISTED_STATUSES),
    "ROOM_OPTIONS": _lua({option.name: option.kind for option in OPTIONS}),
    "ROLES": _lua(states.ROLES),
    "FLAGS": _lua(_flags()),
    "CHANGES": _lua({flag.change(on).command: _change(flag.change(on)) for flag, on in CHANGES}),
}
