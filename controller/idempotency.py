"""Requests with an idempotency key: each is carried out once, and answered alike each time that it is sent.

A request first claims its key, for a while (`claim_key.lua`). Whoever finds it claimed is refused, whoever finds the
reply gets that. A command of one step keeps its reply in the very step that carries it out (`lib/once.lua`): so it is
kept if and only if the command was carried out, whatever process dies. What takes several steps keeps its answer at
its end; until then its claim stands for it.

A refusal changes nothing, so it gives the claim up, and the request may be tried again. The claim of a process that
died lapses.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

from controller.errors import Refused, StoreUnavailable
from controller.registry import Registry
from controller.store import keys
from controller.store.store import Store

MAX_KEY_LENGTH = 255  # characters

# How long a claim holds (ms). Of one step: it only keeps the same from being prepared twice, and for as long a request
# whose process died is refused.
HOLD_MS = 10_000
# Of what may be carried out again by then, since it does no harm.
HOLD_LONG_MS = 60_000
# Of what must never be carried out again, even if nobody knows whether it was: as long as a key stands for its request.
HOLD_FOR_GOOD_MS = 86_400_000

Work = Callable[[], dict[str, Any]]


@dataclass(slots=True)
class Once:
    """A request with an idempotency key. `id`, `request`: hashes of the key, and of what is asked for. `claim`: tells
    this attempt from others. `is_replay`: set once it has turned out that the request was carried out before.
    """

    id: str
    request: str
    claim: str = field(default_factory=lambda: secrets.token_hex(8))
    is_replay: bool = False

    def part(self, number: int) -> Once:
        """A part of the request that is carried out by itself. The same part of a repeated request is the same."""
        return Once(_hash(f"{self.id} {number}".encode()), self.request)

    def argument(self) -> dict[str, str]:
        """As the scripts take it."""
        return {"id": self.id, "request": self.request, "claim": self.claim}


def new_once(key: str, *request: bytes) -> Once:
    """`request`: all that makes it another request than others of the same app."""
    return Once(_hash(key.encode()), _hash(b"\0".join(request)))


class IdempotencyKeys:
    """The keys in the store. `verb`: what the event log calls the request when its key is refused."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    def step(self, app_id: str, once: Once, verb: str, work: Work) -> dict[str, Any]:
        """The reply of a command's one step, which keeps it. Raises Refused, also `idempotency_key_in_use`,
        `idempotency_key_reused`, `quota_exceeded`; StoreUnavailable.
        """
        found = self._claim(app_id, once, verb, HOLD_MS)
        return self._work(app_id, once, work) if found is None else found

    def steps(self, app_id: str, once: Once, verb: str, hold_ms: int, work: Work) -> dict[str, Any]:
        """As `step`, for what takes several steps: the answer that `work` gives is kept. `hold_ms`: for how long the
        key stays claimed when the process dies at that, or the store is away.
        """
        found = self._claim(app_id, once, verb, hold_ms)
        if found is not None:
            return found
        answer = self._work(app_id, once, work)
        self._run("keep_answer", app_id, once, answer=orjson.dumps(answer).decode())
        return answer

    def _claim(self, app_id: str, once: Once, verb: str, hold_ms: int) -> dict[str, Any] | None:
        """The reply to the request, if it was carried out before."""
        quotas = self._registry.quotas_of(app_id)
        found = self._run("claim_key", app_id, once, command=verb, quotas=quotas, hold_ms=hold_ms)
        if "refused" in found:
            raise Refused(found["refused"], found.get("detail"))
        if "reply" not in found:
            return None
        once.is_replay = True
        kept: dict[str, Any] = orjson.loads(found["reply"])
        return kept

    def _work(self, app_id: str, once: Once, work: Work) -> dict[str, Any]:
        try:
            return work()
        except Refused:
            with suppress(StoreUnavailable):  # It lapses.
                self._run("release_key", app_id, once)
            raise

    def _run(self, script: str, app_id: str, once: Once, **args: Any) -> dict[str, Any]:
        args |= {"app_id": app_id, "idempotency": once.argument()}
        return self._store.run(script, keys.partition_of(app_id), args)


def _hash(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
