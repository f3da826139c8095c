"""What makes a URL of the relay and a question to it good: a signature, for a short time. Pure.

All relays and workers of a store have the same key. A link names one file, and nothing else can be had with it: one
that was decoded, or a recording, which it lets either be sent (PUT) or be fetched (GET).
"""

from __future__ import annotations

import hmac
import re
from typing import Any

import orjson

from controller.ids import RECORDING_ID

# A link is good for this long (seconds) at least, and at most for one STEP longer. The same file has the same link for
# a STEP, so a node that has cached it does not ask again.
MIN_SECONDS = 300
STEP_SECONDS = 300
# A question is good for this long.
QUESTION_SECONDS = 60
# The name of a file that every relay has: a tenth of a second of silence, for `switchroom doctor`.
TEST_FILE = "test-8000"

_PATH = re.compile(r"/audio/([A-Za-z0-9_-]{1,128})\.wav")
_RECORDING_PATH = re.compile(rf"/recordings/(p[0-9]{{2}})/({RECORDING_ID.pattern})\.wav")
_QUERY = re.compile("expires=([0-9]{1,12})&signature=([0-9a-f]{32})")


class Links:
    """Signs and checks with `key`. `now` is wall time in seconds."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def link(self, name: str, now: float) -> str:
        """Path and query of a file's URL. The path ends with `.wav`, by which a node knows the kind of sound; what
        makes the link good is in the query, which no access log shows.
        """
        expires = (int(now + MIN_SECONDS) // STEP_SECONDS + 1) * STEP_SECONDS
        return f"/audio/{name}.wav?expires={expires}&signature={self._link_mac(name, expires)}"

    def read_link(self, path: str, query: str, now: float) -> tuple[str, float] | None:
        """The name of the file, and for how many more seconds the link is good; None if it is not."""
        place, terms = _PATH.fullmatch(path), _QUERY.fullmatch(query)
        if not place or not terms:
            return None
        name, expires, mac = place[1], int(terms[1]), terms[2]
        if not hmac.compare_digest(mac, self._link_mac(name, expires)) or expires < now:
            return None
        return name, expires - now

    def recording_link(self, method: str, tag: str, recording_id: str, now: float) -> str:
        """Path and query of a recording of partition `tag`, for requests of that method."""
        path = f"/recordings/{tag.strip('{}')}/{recording_id}.wav"
        expires = int(now) + MIN_SECONDS
        return f"{path}?expires={expires}&signature={self._recording_mac(method, path, expires)}"

    def read_recording_link(self, method: str, path: str, query: str, now: float) -> tuple[str, str] | None:
        """The tag of the recording's partition, and its id; None if the link is not good."""
        place, terms = _RECORDING_PATH.fullmatch(path), _QUERY.fullmatch(query)
        if not place or not terms:
            return None
        expires = int(terms[1])
        if not hmac.compare_digest(terms[2], self._recording_mac(method, path, expires)) or expires < now:
            return None
        return f"{{{place[1]}}}", place[2]

    def question(self, fields: dict[str, Any], now: float) -> tuple[bytes, str]:
        """The body of a question to a relay, and its signature."""
        body = orjson.dumps({**fields, "expires": int(now) + QUESTION_SECONDS})
        return body, self._mac(b"question", body)

    def read_question(self, body: bytes, signature: str, now: float) -> dict[str, Any] | None:
        """The fields of a question; None unless it is signed, and for now."""
        if not hmac.compare_digest(signature.encode(), self._mac(b"question", body).encode()):
            return None
        fields: dict[str, Any] = orjson.loads(body)
        return fields if fields.pop("expires") >= now else None

    def _link_mac(self, name: str, expires: int) -> str:
        return self._mac(b"link", f"{name}/{expires}".encode())[:32]

    def _recording_mac(self, method: str, path: str, expires: int) -> str:
        return self._mac(b"recording", f"{method} {path}/{expires}".encode())[:32]

    def _mac(self, purpose: bytes, text: bytes) -> str:
        return hmac.digest(self._key, purpose + b"\0" + text, "sha256").hex()
