"""The controller as its callers see it: one `execute` for every command and query."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import Any

import orjson

from controller.commands import (
    LOGGED,
    SCRIPTS,
    Command,
    CreateRoom,
    GetRoom,
    ListMembers,
    ListRooms,
    ListSessions,
    Mute,
    Play,
    Unmute,
)
from controller.errors import Refused, StoreUnavailable
from controller.outbound.network import Network
from controller.registry import App, Registry
from controller.rooms.placement import Placement
from controller.rooms.playback import PlaybackGuard
from controller.store import keys
from controller.store.store import Kind, Store, tell_endings
from controller.webhooks.api import Desk

PREFIX_LENGTH = 5
# A request counts as one more for each so many bytes of its body.
COUNTED_BYTES = 16 * 1024
# Rows of a listing that are read in one step, and steps for a page at the most: one that is narrowed may end short.
STEP_ROWS = 100
MOST_STEPS = 10


@dataclass(frozen=True, slots=True)
class Limits:
    """How often. `cooldowns`: milliseconds by group, from the API reference; `requests_per_second`: for each app."""

    requests_per_second: int = 100
    cooldowns: dict[str, int] = field(
        default_factory=lambda: {
            "conf_play": 2000,
            "conference_control": 200,
            "conference": 2000,
            "conference_mute": 2000,
        }
    )


class Controller:
    """Checks, changes and enqueues in one atomic step of the store. Safe to share between greenlets.

    `allow_private_webhooks`, `allow_private_playback`: whether URLs may lead into private networks.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        nodes: Placement,
        limits: Limits | None = None,
        *,
        allow_private_webhooks: bool = False,
        allow_private_playback: bool = False,
    ) -> None:
        self._store = store
        self._registry = registry
        self._nodes = nodes
        limits = limits or Limits()
        self._rate = limits.requests_per_second
        self._cooldowns = limits.cooldowns
        desk = Desk(store, registry, Network(allow_private=allow_private_webhooks))
        # What happens outside the store, by type of command.
        self._before: dict[type[Command], Callable[[Any], dict[str, Any]]] = {
            **desk.before,
            Play: PlaybackGuard(Network(), self._may_play, allow_private=allow_private_playback),
        }
        # What is made of the script's answer.
        self._after: dict[type[Command], Callable[[Any, dict[str, Any], dict[str, Any]], dict[str, Any]]] = {
            **desk.after,
            GetRoom: lambda command, _, answer: with_playback(store, command.app_id, answer),
        }

    def authenticate(self, app_id: str, api_key: str) -> App | None:
        """The app when the key is its own. Constant time. Raises StoreUnavailable."""
        return self._registry.authenticate(app_id, api_key)

    def admit(self, app_id: str, size: int = 0) -> None:
        """Counts a request of the app, whatever it asks: with a large body (`size` bytes), which takes long to read, as
        several. Raises Refused `rate_limited`, StoreUnavailable.
        """
        cost = min(1 + size // COUNTED_BYTES, max(1, self._rate // 2))
        self._step("admit", {"app_id": app_id, "rate": self._rate, "cost": cost})

    def execute(self, command: Command) -> dict[str, Any]:
        """The command's answer, as its class says. Raises Refused, StoreUnavailable."""
        kind = type(command)
        found = self._before[kind](command) if kind in self._before else {}
        args = {**self._arguments(command), **found}
        extra = _EXTRA.get(kind)
        if extra:
            args.update(extra(command, self._nodes))
        answer = self._page(kind, args) if kind in _PAGED else self._step(SCRIPTS[kind], args)
        with suppress(StoreUnavailable):  # It is stored, and the node's worker goes on with it.
            tell_endings(self._store, keys.partition_of(command.app_id), answer)
        after = self._after.get(kind)
        return after(command, args, answer) if after else answer

    def _page(self, kind: type[Command], args: dict[str, Any]) -> dict[str, Any]:
        """A page of a listing, in steps that do not hold the store for long."""
        rows: list[dict[str, Any]] = []
        after = args["after"]
        for _ in range(MOST_STEPS):
            part = {"after": after, "limit": min(STEP_ROWS, args["limit"] - len(rows))}
            answer = self._step(SCRIPTS[kind], {**args, **part})
            rows += answer.get("rows", [])
            after = answer["cursor"]
            if not after or len(rows) >= args["limit"]:
                break
        return {"rows": rows, "cursor": after}

    def health(self) -> dict[str, Any]:
        """-> `{"store": bool, "nodes": {prefix: bool}}`; never raises."""
        try:
            return {"store": self._store.ping(), "nodes": self._nodes.state()}
        except StoreUnavailable:
            return {"store": False, "nodes": {}}

    def _may_play(self, command: Play) -> None:
        args = self._arguments(command)
        # With commas between, as they are kept.
        args["url_bytes"] = len(b",".join(map(orjson.dumps, args.pop("urls"))))
        self._step("may_play", args)

    def _arguments(self, command: Command) -> dict[str, Any]:
        """What the scripts of all commands need; queries need their fields only."""
        args = {name: getattr(command, name) for name in _FIELDS[type(command)]}
        name = LOGGED.get(type(command))
        if name is None:
            return args
        target = args.get("session_id") or args.get("room_id")
        if target:
            args["node_up"] = self._nodes.is_up(target[:PREFIX_LENGTH])
        quotas = self._registry.quotas_of(command.app_id)
        return {**args, "command": name, "cooldowns": self._cooldowns, "quotas": quotas}

    def _step(self, script: str, args: dict[str, Any]) -> dict[str, Any]:
        answer = self._store.run(script, keys.partition_of(args["app_id"]), args)
        if "refused" in answer:
            raise self._refusal(answer, args)
        return answer

    def _refusal(self, answer: dict[str, Any], args: dict[str, Any]) -> Refused:
        code, detail = answer["refused"], answer.get("detail")
        missed: Kind | None = _MISSED.get(code)
        # Asking every partition is cheap enough on a miss.
        if missed and self._store.is_known(missed, args[f"{missed}_id"]):
            return Refused(f"{missed}_forbidden")
        return Refused(code, detail)


def _new_room(_command: CreateRoom, nodes: Placement) -> dict[str, Any]:
    node = nodes.choose()
    return {"node": node, "room_id": f"{node}-room-{uuid.uuid4()}"}


def _new_operation(command: Play, _nodes: Placement) -> dict[str, Any]:
    return {
        "operation_id": str(uuid.uuid4()),
        "urls": [orjson.dumps(url).decode() for url in command.urls],
    }


# What a command's script needs besides the command's own fields.
_EXTRA: dict[type[Command], Callable[[Any, Placement], dict[str, Any]]] = {
    Mute: lambda _command, _nodes: {"flag": "muted", "on": True},
    Unmute: lambda _command, _nodes: {"flag": "muted", "on": False},
    CreateRoom: _new_room,
    Play: _new_operation,
}


def with_playback(store: Store, app_id: str, answer: dict[str, Any]) -> dict[str, Any]:
    """The answer of get_room.lua as GetRoom's: the first of the operations is the current one, the others wait."""
    ids = answer.pop("operations", [])
    found = zip(ids, store.urls_of(app_id, ids), strict=True)
    # One that has ended since is left out.
    operations = [{"operation_id": operation, "urls": urls} for operation, urls in found if urls]
    current = operations[0] if operations else {"operation_id": "", "urls": []}
    return {
        **answer,
        "playback_urls": current["urls"],
        "playback_operation_id": current["operation_id"],
        "playback_queue": operations[1:],
    }


# What may be another app's when this app has none.
_MISSED: dict[str, Kind] = {"room_not_found": "room", "session_not_found": "session"}

# Listings whose pages are put together from several steps.
_PAGED: frozenset[type[Command]] = frozenset({ListRooms, ListMembers, ListSessions})

_FIELDS = {kind: tuple(item.name for item in fields(kind)) for kind in SCRIPTS}
