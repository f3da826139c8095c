"""The server from which tenants' files come, which may be slow or never come to an end."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import gevent

from tests.e2e.file_server import FileServer, Response, endless, head, status
from tests.e2e.system import tone_wav

SOUND = re.compile(r"/sound-(\d+)-(\d+)-\d+\.wav", re.IGNORECASE)
# Less than a file must have (`[playback] min_bytes_per_second`), and more than fits in its limit of size.
SLOW_CHUNK, SLOW_SECONDS = 256, 0.5
ENDLESS_BYTES_PER_SECOND = 4 << 20

sound_of = cache(tone_wav)


class Origin:
    """`mood`: "", "slow" or "endless", for what is asked for from now on. What is slow comes quickly once that is over.

    `whole`: the URLs of files that it has sent to their ends. `harmed`: of those that it has kept from coming.
    """

    def __init__(self) -> None:
        self.mood = ""
        self.whole: set[str] = set()
        self.harmed: set[str] = set()
        self._server = FileServer(otherwise=self._response)

    def url(self, wait: int, play: int, number: int, kind: str = ".wav") -> str:
        """Of a sound that the server sends after so many ms, and that plays for so many. `number`: tells files apart."""
        return self._server.url(f"/sound-{wait}-{play}-{number}{kind}")

    def close(self) -> None:
        self._server.close()

    def _response(self, target: str) -> Response:
        found = SOUND.match(target)
        if found is None:
            return status(404)
        wait, play = int(found[1]) / 1000, int(found[2]) / 1000
        url, mood, sound = self._server.url(target), self.mood, sound_of(play)

        def respond(sock: Any) -> None:
            if mood:
                self.harmed.add(url)
            gevent.sleep(wait)
            if mood == "endless":
                endless(sound, ENDLESS_BYTES_PER_SECOND)(sock)
            sock.sendall(head(200, f"Content-Length: {len(sound)}"))
            sent = 0
            while mood == self.mood == "slow" and sent < len(sound):
                sock.sendall(sound[sent : sent + SLOW_CHUNK])
                sent += SLOW_CHUNK
                gevent.sleep(SLOW_SECONDS)
            sock.sendall(sound[sent:])
            self.whole.add(url)

        return respond
