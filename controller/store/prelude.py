"""What Lua shares with Python, as the text before the Lua files.

`keys.room(id)` is a key of `keys`, under the tag of the step's partition. `STEPS.SESSION` is a table of `states`, and
`SESSION.joining` the name of one of its states. `FLAGS.muted` is a row of `flags`, `LEVELS.volume_in` one of `levels`;
`CHANGES.mute` is a change of a flag, `CHANGES.volume_in` that of a level.
`ROOM_OPTIONS.locked` is the kind of that option (`room_options.Kind`).
`DIAL_CAUSES.USER_BUSY` is the word for why a call was not answered, OTHER_DIAL_CAUSE that of a cause which has none.
"""

from __future__ import annotations

from typing import Any

from controller.room_options import OPTIONS
from controller.sessions.dialing import CAUSES, OTHER_CAUSE
from controller.sessions.flags import CHANGES, FLAGS, Change
from controller.sessions.levels import LEVELS, WEBHOOK, Level
from controller.store import keys, states

# What a session has of a command to change it that is pending. `value`: only of one to change a level.
PENDING = ("job", "uid", "operation", "value", "actor", "trace")


def prelude() -> str:
    """`tag` is that of the step's partition."""
    lines = ["local tag", "local keys = {}", *map(_key_function, keys.SUFFIXES)]
    lines += [f"local STEPS = {_lua(states.TABLES)}"]
    lines += [f"local {name} = {text}" for name, text in CONSTANTS.items()]
    return "\n".join(lines) + "\n"


def _key_function(name: str) -> str:
    suffix = keys.SUFFIXES[name]
    parameters = ("first", "second")[: suffix.count("%s")]
    text = ('tag .. ":' + suffix.replace("%s", '" .. %s .. "') + '"') % parameters
    return f"function keys.{name}({', '.join(parameters)}) return {text} end".replace(' .. ""', "")


def _flags() -> dict[str, Any]:
    return {
        flag.name: {
            "name": flag.name,
            "waits": flag.waits,
            "joins": flag.joins is not None,
            "on": _change(flag.on),
            "off": _change(flag.off),
        }
        for flag in FLAGS
    }


def _change(change: Change) -> dict[str, Any]:
    names = ("command", "done", "action", "webhook", "refused_already", "refused_pending")
    return {**{name: getattr(change, name) for name in names}, **_pending(change.command)}


def _level(level: Level) -> dict[str, Any]:
    return {"command": level.name, "action": level.action, "webhook": WEBHOOK, **_pending(level.name)}


def _pending(command: str) -> dict[str, str]:
    """The names of the session's fields for the command that is pending."""
    return {f"pending_{field}": f"pending_{command}_{field}" for field in PENDING}


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
    return f"setmetatable({_lua(names)}, {{ __index = {unknown}, __newindex = {unknown} }})"


# The other tables, by their names in Lua.
CONSTANTS = {
    **{name: _strict({state: state for state in table}) for name, table in states.TABLES.items()},
    "DELIVERY_STATUS": _strict(states.DELIVERY_STATUS),
    "LISTED_STATUSES": _lua(states.LISTED_STATUSES),
    "ROOM_OPTIONS": _lua({option.name: option.kind for option in OPTIONS}),
    "ROLES": _lua(states.ROLES),
    "DIAL_CAUSES": _lua(CAUSES),
    "OTHER_DIAL_CAUSE": _lua(OTHER_CAUSE),
    "FLAGS": _lua(_flags()),
    "LEVELS": _lua({level.name: _level(level) for level in LEVELS}),
    "CHANGES": _lua(
        {flag.change(on).command: _change(flag.change(on)) for flag, on in CHANGES}
        | {level.name: _level(level) for level in LEVELS}
    ),
}
