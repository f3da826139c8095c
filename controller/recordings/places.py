"""Where recordings are: to which relay a node sends one, and from which it is fetched."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

from geventhttpclient import HTTPClient
from geventhttpclient.response import HTTPParseError

from controller.media.links import Links
from controller.media.relays import Relays
from controller.recordings.folder import CHUNK_BYTES
from controller.registry import split_address
from controller.store import keys

ANSWER_SECONDS = 5.0  # for the relay, and for each piece of a file


class NotReachable(Exception):
    """The relay that has the recording does not answer, or has it no more."""


class RecordingPlaces:
    """`links` has the key of all relays. `choose`: one of several."""

    def __init__(
        self,
        relays: Relays,
        links: Links,
        clock: Callable[[], float] = time.time,
        choose: Callable[[list[str]], str] = random.choice,
    ) -> None:
        self._relays = relays
        self._links = links
        self._clock = clock
        self._choose = choose

    def upload_url(self, app_id: str, recording_id: str) -> str | None:
        """Where a node may send the recording to; None while there is no relay. Another time it may be another relay,
        so what one cannot take another gets.
        """
        keepers = sorted(self._relays.keepers())
        if not keepers:
            return None
        return f"http://{self._choose(keepers)}{self._link('PUT', app_id, recording_id)}"

    def fetch(self, app_id: str, recording_id: str, holder: str, first: int, size: int) -> Iterator[bytes]:
        """So many bytes of a recording, from the relay whose folder is `holder`. Raises NotReachable, also while it is
        read.
        """
        link = self._link("GET", app_id, recording_id)
        headers = {"Range": f"bytes={first}-{first + size - 1}"}
        for address in self._relays.addresses_of(holder):
            client = HTTPClient(
                *split_address(address), connection_timeout=1.0, network_timeout=ANSWER_SECONDS, concurrency=1
            )
            with suppress(OSError, HTTPParseError):
                response = client.get(link, headers=headers)
                if response.status_code == 206:
                    return _pieces(client, response, size)
            client.close()
        raise NotReachable

    def _link(self, method: str, app_id: str, recording_id: str) -> str:
        return self._links.recording_link(method, keys.partition_of(app_id), recording_id, self._clock())


def _pieces(client: HTTPClient, response: Any, size: int) -> Iterator[bytes]:
    with closing(client):
        while size:
            try:
                data = bytes(response.read(min(CHUNK_BYTES, size)))
            except (OSError, HTTPParseError):
                data = b""
            if not data:
                raise NotReachable
            size -= len(data)
            yield data
