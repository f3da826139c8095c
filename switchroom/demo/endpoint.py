"""The tenant's side of the demo: an endpoint that takes webhooks, and has the audio that is played."""

from __future__ import annotations

import io
import json
import math
import re
import time
import wave
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gevent.event import Event as Flag
from gevent.pywsgi import WSGIServer

from switchroom.client import InvalidWebhook, Verifier
from switchroom.demo.story import Story

WEBHOOK_SECONDS = 10.0  # in which a webhook must come
SAMPLE_RATE = 8000
TONE_HERTZ = 440
AMPLITUDE = 4000  # of 32,767: quiet

QUIET = "/quiet"  # the path of webhooks that are taken and not shown

Data = Mapping[str, Any]


class Differed(Exception):
    """Something was not as expected; the text says what."""


class Endpoint:
    """Takes webhooks and verifies each; serves the audio that is played."""

    def __init__(self, story: Story, secret: str) -> None:
        self._story = story
        self._verifier = Verifier(secret)
        self._waiting: list[tuple[str, Data]] = []
        self._seen: set[str] = set()
        self._unsigned: list[str] = []
        self._arrived = Flag()
        self._server = WSGIServer(("127.0.0.1", 0), self._serve, log=None)
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def tone(self, seconds: int) -> str:
        """The URL of a sound of that length."""
        return f"{self.url}/tone-{seconds}s.wav"

    def stop(self) -> None:
        self._server.stop(timeout=1)

    def expect(self, expected: str, match: Data) -> Data:
        """The next webhook of that type whose data holds `match`. Raises Differed."""
        deadline = time.monotonic() + WEBHOOK_SECONDS
        while True:
            self._arrived.clear()
            if self._unsigned:
                raise Differed(f"a webhook's signature is wrong: {self._unsigned[0]}")
            for index, (webhook_type, data) in enumerate(self._waiting):
                if webhook_type == expected and match.items() <= data.items():
                    del self._waiting[index]
                    return data
            if not self._arrived.wait(max(0.0, deadline - time.monotonic())):
                raise Differed(f"no webhook {expected} with {json.dumps(match)} within {WEBHOOK_SECONDS:.0f} s")

    def expect_no_more(self) -> None:
        if self._waiting:
            raise Differed(f"nobody expected the webhook {self._waiting[0][0]}")

    def _serve(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == QUIET:
            status, content_type, content = "204 No Content", "text/plain", b""
        elif environ["REQUEST_METHOD"] == "POST":
            status, content_type, content = self._take(environ), "text/plain", b""
        else:
            status, content_type, content = _audio(environ["PATH_INFO"])
        start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(content)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [content]

    def _take(self, environ: dict[str, Any]) -> str:
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        headers = {name: environ.get("HTTP_" + name.upper().replace("-", "_"), "") for name in names}
        try:
            webhook = self._verifier.verify(environ["wsgi.input"].read(), headers)
        except InvalidWebhook as error:
            self._unsigned.append(str(error))
            self._arrived.set()
            return "400 Bad Request"
        # At least once: an id that came before is the same webhook again.
        if webhook.id not in self._seen:
            self._seen.add(webhook.id)
            data = webhook.data.model_dump(exclude_unset=True)
            self._waiting.append((webhook.type, data))
            shown = {name: value for name, value in data.items() if name not in ("app_id", "room_id")}
            self._story.line("webhook", "magenta", f"{webhook.type} {json.dumps(shown, sort_keys=True)}")
            self._arrived.set()
        return "204 No Content"


_TONE = re.compile(r"/tone-([1-9])s\.wav")


def _audio(path: str) -> tuple[str, str, bytes]:
    """Status, content type and body: a sound of as many seconds as the path says, one quiet tone, mono."""
    found = _TONE.fullmatch(path)
    if not found:
        return "404 Not Found", "text/plain", b""
    content = io.BytesIO()
    with wave.open(content, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(SAMPLE_RATE)
        second = b"".join(
            int(AMPLITUDE * math.sin(2 * math.pi * TONE_HERTZ * frame / SAMPLE_RATE)).to_bytes(2, "little", signed=True)
            for frame in range(SAMPLE_RATE)
        )
        sound.writeframes(second * int(found[1]))
    return "200 OK", "audio/wav", content.getvalue()
