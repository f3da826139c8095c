"""Where an app's webhooks go: as the API has set it, or else as it is configured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TypedDict

import orjson

from controller.registry import App, Registry
from controller.signing import fingerprint
from controller.store.store import Store
from controller.webhooks.types import ONLY_IF_NAMED

EVERYTHING = ("*",)


class EndpointStatus(StrEnum):
    UNSET = "unset"  # there is no URL
    ACTIVE = "active"
    FAILING = "failing"  # nothing was delivered of late
    DISABLED = "disabled"  # nothing is sent any more


# Field of the record that tells since when it is so; the first that is there counts.
_JUDGED_BY = {EndpointStatus.DISABLED: "disabled_at", EndpointStatus.FAILING: "failing_since"}


class Settings(TypedDict):
    """`status`: one of EndpointStatus; `since`: since when (epoch ms) it is failing or disabled, and `reason` why.
    `old_secret_until`: epoch ms.
    """

    url: str
    types: list[str]
    status: str
    since: int | None
    reason: str
    old_secret_until: int | None


def matches(pattern: str, type_: str) -> bool:
    """`pattern`: a type, a beginning with `.*` for all below it, or `*`."""
    return pattern in ("*", type_) or (pattern.endswith(".*") and type_.startswith(pattern[:-1]))


@dataclass(frozen=True, eq=False)
class Endpoint:
    """`app`: what is configured; `record`: the app's `endpoint` hash, texts, empty when nothing was set."""

    app: App
    record: Mapping[str, str]

    @cached_property
    def _is_set(self) -> bool:
        return self.record.get("url_base") == fingerprint(self.app.webhook_url)

    @cached_property
    def url(self) -> str:
        """Empty when there is none."""
        return self.record["url"] if self._is_set else self.app.webhook_url

    @cached_property
    def types(self) -> tuple[str, ...]:
        return tuple(orjson.loads(self.record["types"])) if self._is_set else EVERYTHING

    @cached_property
    def mark(self) -> str:
        """Names this URL since it was last set: what the store says of failures is about one mark."""
        return fingerprint(f"{self.record.get('generation', 0)} {self.url}")

    @cached_property
    def old_secret_until(self) -> int:
        """Ms; 0 when the secret was not rotated."""
        return int(self.record["old_until"]) if self._is_rotated else 0

    @cached_property
    def disabled(self) -> str:
        """Why the endpoint is disabled; empty when it is not."""
        return self._judged("reason") if self._judged("disabled_at") else ""

    def secrets(self, now: float) -> tuple[str, ...]:
        """What to sign with at `now` (epoch seconds)."""
        if not self._is_rotated:
            return (self.app.webhook_secret,)
        if now * 1000 < self.old_secret_until:
            return self.record["secret"], self.record["old_secret"]
        return (self.record["secret"],)

    def wants(self, type_: str) -> bool:
        if type_ in ONLY_IF_NAMED:
            return type_ in self.types
        return self.types == EVERYTHING or any(matches(pattern, type_) for pattern in self.types)

    def describe(self, now: float) -> Settings:
        """`now`: epoch seconds."""
        status, since = EndpointStatus.ACTIVE, ""
        for name, field in _JUDGED_BY.items():
            if since := self._judged(field):
                status = name
                break
        until = self.old_secret_until
        return {
            "url": self.url,
            "types": list(self.types),
            "status": status if self.url else EndpointStatus.UNSET,
            "since": int(since) if since else None,
            "reason": self._judged("reason"),
            "old_secret_until": until if until > now * 1000 else None,
        }

    @cached_property
    def _is_rotated(self) -> bool:
        return self.record.get("secret_base") == fingerprint(self.app.webhook_secret)

    def _judged(self, field: str) -> str:
        return self.record.get(field, "") if self.record.get("mark") == self.mark else ""


class Endpoints:
    """The endpoints of a partition's apps, each kept until the store says that some have changed. `version`: the
    store's count of changes.
    """

    def __init__(self, store: Store, registry: Registry) -> None:
        self.version = 0
        self._store = store
        self._registry = registry
        self._known: dict[str, Endpoint] = {}

    def of(self, app_id: str) -> Endpoint | None:
        """None for an app that is gone. Raises StoreUnavailable."""
        app = self._registry.app(app_id)
        if app is None:
            return None
        known = self._known.get(app_id)
        if known is not None and known.app is app:
            return known
        version = self.version
        endpoint = Endpoint(app, self._store.endpoint_of(app_id))
        if version == self.version:  # else it may have changed while it was read
            self._known[app_id] = endpoint
        return endpoint

    def refresh(self, version: int) -> None:
        """Forgets them all, if the store's version is another by now."""
        if version != self.version:
            self.version = version
            self._known.clear()

    def forget(self, app_id: str) -> None:
        self._known.pop(app_id, None)
