"""The ids that tenants see, where they must not tell what they stand for."""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Iterable


class SessionIds:
    """Sessions of a node's channels: `{prefix}-{uuid}`, the uuid derived from the channel's and a secret `key`.

    Whoever knows a channel's uuid can take the call over by SIP, so an id must not tell it. The same channel has the
    same id in every process and after every restart, as long as the key is the same.
    """

    def __init__(self, prefix: str, key: bytes) -> None:
        self._prefix = prefix
        self._key = key
        self._stored: dict[str, str] = {}

    def of(self, channel: str) -> str:
        """The session id of a channel."""
        return self._stored.get(channel) or self._derived(channel)

    def keep(self, sessions: Iterable[tuple[str, str]]) -> None:
        """Channel and id of all sessions in the store: one that got its id in another way goes on under it.

        That is so when an older version stored it, or when the key was lost.
        """
        self._stored = {channel: session for channel, session in sessions if session != self._derived(channel)}

    def _derived(self, channel: str) -> str:
        digest = hmac.digest(self._key, f"{self._prefix}-{channel}".encode(), "sha256")
        return f"{self._prefix}-{uuid.UUID(bytes=digest[:16], version=4)}"
