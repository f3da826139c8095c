"""The Lua files as the store gets them, and which of them run when its memory is out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from controller.store.prelude import prelude

# Which scripts run when the store's memory is out, and why: so what was accepted goes on, ends, and makes room.
RUNS_WHEN_FULL = {
    "ends something": "delete_room leave stop tell_endings",
    "follows a node": "answered file_done jobs_lost member_joined member_left flag_changed overdue playback_lost"
    " session_ended snapshot take",
    "settles webhooks": "delivery_aside delivery_settle",
    "holds a lease": "delivery_lease fence lease release workers",
    "counts requests": "admit",
    "reads": "get_delivery get_endpoint get_room get_session list_deliveries list_members list_rooms list_sessions",
    "says where webhooks go": "set_endpoint",
    "is the operator's": "registry",
}
# Which are refused then, as `store_full`, since they would only add.
REFUSED_WHEN_FULL = {
    "begins something": "create_room join may_play play session_parked",
    "changes something": "set_flag pause volume rotate_secret",
    "sends once more": "redeliver redeliver_range test_endpoint",
}

# What a script begins with: it makes the server refuse keys of another hash slot than the partition's, and the whole
# script when memory is out, unless that is allowed. A script that is in neither table has none, and cannot be loaded.
_FIRST_LINES = {
    name: line
    for line, table in (("#!lua flags=allow-oom\n", RUNS_WHEN_FULL), ("#!lua\n", REFUSED_WHEN_FULL))
    for names in table.values()
    for name in names.split()
}
_LUA = Path(__file__).parent / "lua"
_INCLUDE = re.compile(r"^-- include: (.+)$", re.MULTILINE)


def script_names() -> list[str]:
    return [path.stem for path in _files()]


def script_text(name: str) -> str:
    """A script as the store gets it: the keys, the libraries that the file includes, the file itself."""
    text = next(path for path in _files() if path.stem == name).read_text()
    included = _INCLUDE.search(text)
    libraries = ["core", *(included.group(1).split() if included else [])]
    parts = [(_LUA / "lib" / f"{library}.lua").read_text() for library in libraries]
    return "".join([_FIRST_LINES[name], prelude(), *parts, text])


def _files() -> Iterator[Path]:
    return (path for path in sorted(_LUA.rglob("*.lua")) if path.parent.name != "lib")
