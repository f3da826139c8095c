"""The controller as its callers see it: one `execute` for every command and query.

A command is a value that says how it is carried out (`controller.commands`). Its other arguments are prepared
first. Then one script of the store checks it, changes state, and leaves what follows for the node's worker, all in one
atomic step.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, TypedDict, TypeVar, cast

from controller.commands.base import ORIGIN, Args, Command, Listing, Parts
from controller.errors import OverRate, Refused, StoreUnavailable
from controller.idempotency import HOLD_FOR_GOOD_MS, IdempotencyKeys, Once, Work
from controller.ids import node_of
from controller.limits import Admission, Budget, Limits
from controller.media.relays import Relays
from controller.metrics import commands
from controller.outbound.network import Network, Resolve
from controller.registry import App, Registry
from controller.rooms.dialer import Dialer
from controller.rooms.placement import Placement
from controller.rooms.playback_guard import PlaybackGuard
from controller.store import keys
from controller.store.scripts import arguments
from controller.store.store import Kind, Store, emit_endings
from controller.webhooks.api import WebhookApi

Answer = TypeVar("Answer")

# So many bytes of its body make a request count as one more.
COUNTED_BYTES = 16 * 1024
# Rows of a listing that are read in one step, and the steps for a page: a narrowed one may end short.
STEP_ROWS = 100
MAX_STEPS = 10
# The refusals of what may be another app's, with its kind.
_MISSED: dict[str, Kind] = {"room_not_found": "room", "session_not_found": "session"}


class Health(TypedDict):
    """Whether the store answers, and by prefix whether each node is up."""

    store: bool
    nodes: dict[str, bool]


class Sender(Protocol):
    """Whose turn it is to send commands to a node: a worker of this process. `token`: that of its lease."""

    @property
    def node(self) -> str: ...

    @property
    def token(self) -> int: ...

    @property
    def send(self) -> Callable[[list[dict[str, Any]]], None]: ...


class Senders(Protocol):
    """The part of `controller.nodes.worker.Worker` that lets a command go to its node in the step that accepts it."""

    def turn(self, prefix: str, /) -> AbstractContextManager[Sender | None]: ...


class Controller:
    """Safe to share between greenlets.

    `allow_private_webhooks`, `allow_private_playback`, `allow_private_uploads`: whether URLs may lead into private
    networks. `relays`: which
    audio relays live; None when nodes fetch what they play by themselves. `resolve`: finds the addresses of URLs'
    names, in place of the system's resolver. `session_key`: that of the workers (`ids.SessionIds`), for calls that apps
    make. `senders`: the worker in this process, if there is one.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        placement: Placement,
        limits: Limits | None = None,
        *,
        allow_private_webhooks: bool = False,
        allow_private_playback: bool = False,
        allow_private_uploads: bool = False,
        relays: Relays | None = None,
        resolve: Resolve | None = None,
        session_key: bytes = b"",
        senders: Senders | None = None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._placement = placement
        self._limits = limits or Limits()
        self._idempotency = IdempotencyKeys(store, registry)
        self._relays = relays
        self._senders = senders
        self._parts = Parts(
            store=store,
            placement=placement,
            playback=PlaybackGuard(
                Network(resolve=resolve), direct=relays is None, allow_private=allow_private_playback
            ),
            webhooks=WebhookApi(store, registry, Network(allow_private=allow_private_webhooks, resolve=resolve)),
            dialer=Dialer(registry, session_key),
            allow_private_uploads=allow_private_uploads,
            execute=self._carry_out,
        )

    def authenticate(self, app_id: str, api_key: str) -> App | None:
        """The app when the key is its own. Constant time. Raises StoreUnavailable."""
        return self._registry.authenticate(app_id, api_key)

    def admit(self, admission: Admission) -> None:
        """Counts a request of an app; one with a large body, which is slow to read, counts as several. Raises OverRate,
        StoreUnavailable.
        """
        asked = self._rate_and_cost(admission)
        args = {"app_id": admission.app_id, **asked}
        self._admitted(admission, asked["rate"], self._store.run("admit", keys.partition_of(admission.app_id), args))

    def admit_each(self, app_id: str, count: int) -> list[Budget | OverRate]:
        """Counts so many requests of the app, each as one: what it has left after each, or why that is not let in.

        Raises StoreUnavailable.
        """
        rate = self._rate_of(app_id)
        step = ("admit", keys.partition_of(app_id), {"app_id": app_id, "rate": rate, "cost": 1})
        return [_admission(rate, reply) for reply in self._store.run_many([step] * count)]

    def execute(self, command: Command[Answer], admission: Admission | None = None) -> Answer:
        """`admission`: the request that asks for it, if it is yet to be counted. Raises Refused, OverRate among them,
        StoreUnavailable.
        """
        if not command.verb:
            return self._carry_out(command, admission)
        outcome = "failed"
        try:
            answer = self._carry_out(command, admission)
            outcome = "replayed" if command.once and command.once.is_replay else "accepted"
        except Refused as refused:
            outcome = refused.code
            raise
        except StoreUnavailable:
            outcome = "unavailable"
            raise
        finally:
            commands.labels(command.verb, outcome).inc()
        return answer

    def carry_out_once(self, app_id: str, once: Once, verb: str, hold_ms: int, work: Work) -> dict[str, Any]:
        """The answer to a request that is no command, with an idempotency key: `IdempotencyKeys.steps`."""
        return self._idempotency.steps(app_id, once, verb, hold_ms, work)

    def health(self) -> Health:
        """Never raises."""
        try:
            return {"store": self._store.ping(), "nodes": self._placement.state()}
        except StoreUnavailable:
            return {"store": False, "nodes": {}}

    def _rate_of(self, app_id: str) -> int:
        return self._registry.rate_of(app_id) or self._limits.requests_per_second

    def _rate_and_cost(self, admission: Admission) -> Args:
        rate = self._rate_of(admission.app_id)
        return {"rate": rate, "cost": min(1 + admission.size // COUNTED_BYTES, max(1, rate // 2))}

    def _admitted(self, admission: Admission, rate: int, reply: Args) -> None:
        """Raises OverRate."""
        found = _admission(rate, reply)
        if isinstance(found, OverRate):
            raise found
        admission.budget = found

    def _carry_out(self, command: Command[Answer], admission: Admission | None = None) -> Answer:
        if admission and not command.is_counted_in_step(self._parts):
            self.admit(admission)
            admission = None
        if command.once and not command.has_one_step:
            work = cast(Work, partial(self._carry_out, replace(command, once=None)))
            return cast(Answer, self.carry_out_once(command.app_id, command.once, command.verb, HOLD_FOR_GOOD_MS, work))
        args = {**self._common(command), **command.arguments()}
        if isinstance(command, Listing):
            return cast(Answer, self._page(command, args | command.prepare(self._parts)))

        def step() -> Args:
            args.update(command.prepare(self._parts))
            return self._step(command.script, args, admission)

        reply = self._idempotency.step(command.app_id, command.once, command.verb, step) if command.once else step()
        with suppress(StoreUnavailable):  # The rest is stored, and the node's worker emits it.
            emit_endings(self._store, keys.partition_of(command.app_id), reply)
        return command.answer(self._parts, args, reply)

    def _common(self, command: Command[Any]) -> Args:
        """What commands share, but queries do not need, as far as the script takes it."""
        if not command.verb:
            return {}
        taken = arguments(command.script)
        common: Args = {"command": command.verb, **{name: getattr(command, name) or None for name in ORIGIN}}
        if command.once:
            common["idempotency"] = command.once.argument()
        if "group" in taken:
            common |= {"group": command.group, "cooldown_ms": self._limits.cooldowns[command.group]}
        if "quotas" in taken:
            common["quotas"] = self._registry.quotas_of(command.app_id)
        if "relay_up" in taken and command.plays:
            common["relay_up"] = self._relays is None or bool(self._relays.live())
        if "relay_live" in taken:
            common["relay_live"] = self._relays is not None and bool(self._relays.keepers())
        if command.needs_node:
            node = node_of(command.target)
            common["nodes"] = {node: self._placement.known_of(node)} if node else {}
        return common

    def _page(self, listing: Listing[Any], args: Args) -> Any:
        rows: list[Any] = []
        after = listing.after
        for _ in range(MAX_STEPS):
            part = {"after": after, "limit": min(STEP_ROWS, listing.limit - len(rows))}
            page = listing.answer(self._parts, args, self._step(listing.script, {**args, **part}))
            rows += page["rows"]
            after = page["cursor"]
            if not after or len(rows) >= listing.limit:
                break
        return {"rows": rows, "cursor": after}

    def _step(self, script: str, args: Args, admission: Admission | None = None) -> Args:
        reply = self._counted(script, args, admission) if admission else self._run(script, args)
        # The room is on another node than its id says, or a session on another than its room.
        while reply.get("refused") == "unknown_node" and (node := reply["detail"]["node"]) not in args["nodes"]:
            args["nodes"][node] = self._placement.known_of(node)
            reply = self._run(script, args)
        if "refused" in reply:
            raise self._refusal(reply, args)
        return reply

    def _counted(self, script: str, args: Args, admission: Admission) -> Args:
        """The reply of a step that counts its request first. Raises OverRate, and then it did nothing else."""
        asked = self._rate_and_cost(admission)
        reply = self._run(script, {**args, "admission": asked})
        if "admission" in reply:
            self._admitted(admission, asked["rate"], reply.pop("admission"))
        else:
            self.admit(admission)  # The store is full: it has not run the step.
        return reply

    def _run(self, script: str, args: Args) -> Args:
        """A step. What it sends to a node that a worker of this process holds, that sends at once."""
        tag = keys.partition_of(args["app_id"])
        node = next(reversed(args.get("nodes") or {}), "")
        if not self._senders or not node:
            return self._store.run(script, tag, args)
        with self._senders.turn(node) as sender:
            if sender is None:
                return self._store.run(script, tag, args)
            reply = self._store.run(script, tag, {**args, "sender": {"node": sender.node, "token": sender.token}})
            sender.send(reply.pop("sent", []))
            return reply

    def _refusal(self, reply: Args, args: Args) -> Refused:
        code = reply["refused"]
        missed = _MISSED.get(code)
        # Asking every partition is cheap enough on a miss.
        if missed and self._store.is_known(missed, args[f"{missed}_id"]):
            return Refused(f"{missed}_forbidden")
        return Refused(code, reply.get("detail"))


def _admission(rate: int, reply: Args) -> Budget | OverRate:
    """What a request has left its app, or why it was not let in, from the reply of admit.lua."""
    budget = Budget(rate, reply["remaining"], reply["reset_ms"])
    return OverRate(budget, reply["detail"]) if "refused" in reply else budget
