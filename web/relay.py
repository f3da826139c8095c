"""The audio relay over HTTP: workers ask it to prepare files, and nodes fetch them, and send it recordings.

Nothing is answered without a signature but 404, and a signature is good for one question or one file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from controller.media.links import Links
from controller.media.reasons import AudioFailed
from controller.media.relay import Relay
from web import context
from web.recording_files import RecordingFiles, read_part

MAX_QUESTION_BYTES = 16 * 1024
# How long a question is held for the file, so that whoever asks need not ask again at once.
WAIT_SECONDS = 1.0

Start = Callable[[str, list[tuple[str, str]]], Any]


class RelayApp:
    """A WSGI application. `links` has the key of all relays and workers. `recordings`: those that it keeps."""

    def __init__(
        self,
        relay: Relay,
        links: Links,
        clock: Callable[[], float] = time.time,
        recordings: RecordingFiles | None = None,
    ) -> None:
        self._relay = relay
        self._links = links
        self._recordings = recordings
        self._clock = clock

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if self._recordings and path.startswith("/recordings/"):
            return self._recordings(environ, start)
        if method == "POST" and path == "/prepare":
            environ[context.ROUTE] = path
            return self._prepare(environ, start)
        if method in ("GET", "HEAD"):
            environ[context.ROUTE] = "/<file>"
            return self._file(environ, start)
        return _nothing(start)

    def _prepare(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(MAX_QUESTION_BYTES)
        question = self._links.read_question(body, environ.get("HTTP_SIGNATURE", ""), self._clock())
        if question is None:
            return _nothing(start)
        return _json(start, self.answer(question["app_id"], question["url"], question["rate"], question["start"]))

    def answer(self, app_id: str, url: str, rate: int, start: int) -> dict[str, Any]:
        """What a worker is told that asks for a file from frame `start` on: a `link` and `details`, and if that file is
        not all, `rest`, the frame up to which it goes, and the `rest_link` of what follows; or the `reason` why there
        is none; nothing if that is not known within WAIT_SECONDS.
        """
        try:
            prepared = self._relay.prepare(app_id, url, rate, WAIT_SECONDS, start)
        except AudioFailed as failed:
            return {"reason": failed.reason, "http_status": failed.http_status}
        if prepared is None:
            return {}
        now = self._clock()
        answer = {"link": self._links.link(prepared.name, now), "details": prepared.details, "rest": prepared.rest}
        if prepared.rest:
            answer["rest_link"] = self._links.link(prepared.rest_name, now)
        return answer

    def _file(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        found = self._links.read_link(environ["PATH_INFO"], environ["QUERY_STRING"], self._clock())
        opened = self._relay.open(found[0]) if found else None
        if found is None or opened is None:
            return _nothing(start)
        head, file, size = opened
        start(
            "200 OK",
            [
                ("Content-Type", "audio/wav"),
                ("Content-Length", str(len(head) + size)),
                ("Cache-Control", f"private, max-age={int(found[1])}"),
            ],
        )
        if environ["REQUEST_METHOD"] == "HEAD":
            file.close()
            return []
        return read_part(file, size, head)


def _json(start: Start, fields: dict[str, Any]) -> list[bytes]:
    body = orjson.dumps(fields)
    start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def _nothing(start: Start) -> list[bytes]:
    start("404 Not Found", [("Content-Length", "0")])
    return [b""]
