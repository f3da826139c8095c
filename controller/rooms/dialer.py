"""What has to be known before an app's call is made: whether it may, by which gateway, and the call's own ids."""

from __future__ import annotations

import uuid
from typing import Any

from controller.ids import SessionIds
from controller.registry import Registry
from controller.sessions.dialing import matches


class Dialer:
    """`session_key`: see `SessionIds`."""

    def __init__(self, registry: Registry, session_key: bytes) -> None:
        self._registry = registry
        self._session_key = session_key

    def permission(self, app_id: str, to: str, caller_id: str) -> dict[str, Any]:
        """What dial_permission.lua judges by; empty if the app may not dial at all."""
        app = self._registry.app(app_id)
        dialing = app.dial if app else None
        if dialing is None or self._registry.gateway(dialing.gateway) is None:
            return {}
        return {
            "gateway": dialing.gateway,
            "to": any(matches(pattern, to) for pattern in dialing.destinations),
            "caller_id": caller_id in dialing.caller_ids,
            "calls_at_once": dialing.calls_at_once,
            "calls_per_minute": dialing.calls_per_minute,
            "calls_per_day": dialing.calls_per_day,
            "max_seconds": dialing.max_seconds,
        }

    def usual_caller_id(self, app_id: str) -> str:
        """The first number that the app may show; "" if there is none."""
        app = self._registry.app(app_id)
        return next(iter(app.dial.caller_ids if app and app.dial else ()), "")

    def new_call(self, node: str) -> dict[str, str]:
        """The channel that the node is to make, by a uuid of our choice, and the id of its session."""
        channel = str(uuid.uuid4())
        return {"channel": channel, "new_session": SessionIds(node, self._session_key).of(channel)}
