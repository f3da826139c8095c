"""Every id: its form, and what makes it. Nothing else in Python spells one, and in Lua only what makes the ids of jobs
(lib/node_commands.lua), recordings (lib/recordings.lua) and webhooks (lib/outbox.lua).

    node        acW68                       its prefix; the operator gives it
    room        acW68-room-{uuid4}          begins with the prefix of the node that mixes the room
    session     acW68-{uuid}                begins with the prefix of the node that has the call; see `SessionIds`
    operation   {uuid4}                     a request to play
    recording   {32 hex digits}             also the name of its file
    job         p07-1795374235886-0         a command to a node: partition, and place among its commands
    webhook     msg_p07-1795374235886-0     partition, and place in the outbox

The patterns are for `fullmatch`, and plain enough to stand in a JSON schema too.
"""

from __future__ import annotations

import hmac
import re
import uuid
from collections.abc import Iterable
from functools import lru_cache

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

NODE_PREFIX = re.compile("[A-Za-z0-9]{5}")
ROOM_ID = re.compile(f"{NODE_PREFIX.pattern}-room-{_UUID}")
SESSION_ID = re.compile(f"{NODE_PREFIX.pattern}-{_UUID}")
RECORDING_ID = re.compile("[0-9a-f]{32}")
JOB_ID = re.compile("p[0-9]{2}-[0-9]+-[0-9]+")
EVENT_ID = re.compile("p[0-9]{2}-[0-9]{1,15}-[0-9]{1,15}")
WEBHOOK_ID = re.compile("msg_p[0-9]{2}-[0-9]{1,15}-[0-9]{1,15}")

# Session ids that are kept, so that not each event derives its own: of more calls than most nodes have.
MAX_DERIVED = 16_384


def new_room_id(prefix: str) -> str:
    return f"{prefix}-room-{uuid.uuid4()}"


def node_of(identifier: str) -> str:
    """The prefix of the node that a room or session is on."""
    return identifier.partition("-")[0]


def is_room_id(identifier: str) -> bool:
    """Which of the two it is, of the id of a room or a session."""
    return "-room-" in identifier


def new_operation_id() -> str:
    return str(uuid.uuid4())


def job_id(tag: str, entry: str) -> str:
    """From the partition's tag and the entry of its stream of commands."""
    return _join(tag, entry)


def tag_of_job(job: str) -> str:
    """The tag of a job's partition."""
    return _split(job)[0]


def event_id(tag: str, entry: str) -> str:
    """From the partition's tag and the entry of its event log."""
    return _join(tag, entry)


def parse_event_id(identifier: str) -> tuple[str, str]:
    """Returns the partition's tag and the entry. Raises ValueError for a text that `event_id` cannot have made."""
    if not EVENT_ID.fullmatch(identifier):
        raise ValueError("is not the id of an event")
    return _split(identifier)


def webhook_id(tag: str, entry: str) -> str:
    """From the partition's tag and the entry of its outbox, so it is the same at every attempt."""
    return f"msg_{_join(tag, entry)}"


def webhook_id_of_test(tag: str, entry: str) -> str:
    """Of a test, which is in no outbox. `entry`: of the form of one."""
    return f"msg_test-{_join(tag, entry)}"


def parse_webhook_id(identifier: str) -> tuple[str, str] | None:
    """Returns the partition's tag and the entry; None for a text that `webhook_id` cannot have made."""
    if not WEBHOOK_ID.fullmatch(identifier):
        return None
    return _split(identifier.removeprefix("msg_"))


def _join(tag: str, entry: str) -> str:
    return f"{tag.strip('{}')}-{entry}"


def _split(identifier: str) -> tuple[str, str]:
    partition, _, entry = identifier.partition("-")
    return f"{{{partition}}}", entry


class SessionIds:
    """The session ids of a node's channels. Their uuid is derived from the channel's and a secret `key`.

    Whoever knows a channel's uuid can take the call over by SIP, so an id must not tell it. The same channel has the
    same id in every process and after every restart, as long as the key is the same.
    """

    def __init__(self, prefix: str, key: bytes) -> None:
        self._prefix = prefix
        self._key = key
        self._stored: dict[str, str] = {}
        self._derived = lru_cache(MAX_DERIVED)(self._derive)

    def of(self, channel: str) -> str:
        """The session id of a channel."""
        return self._stored.get(channel) or self._derived(channel)

    def keep(self, sessions: Iterable[tuple[str, str]]) -> None:
        """Let sessions keep the ids that they have in the store. `sessions`: channel and id of each that is there.

        An id is not the derived one if version 0.1 stored it, or if the key was lost since.
        """
        self._stored = {channel: session for channel, session in sessions if session != self._derived(channel)}

    def _derive(self, channel: str) -> str:
        digest = hmac.digest(self._key, f"{self._prefix}-{channel}".encode(), "sha256")
        return f"{self._prefix}-{uuid.UUID(bytes=digest[:16], version=4)}"
