"""A worker's questions to the relays: may a node play this URL now, and where is it?

How it works: a relay that is asked for a file begins to fetch it, and says within a second whether it is ready. So it
is asked again and again. The relay that a file belongs to (`Relays.choose`) is asked first. One that does not answer is
avoided for a while, and the next one begins anew, as it does when a relay cannot store the file.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import gevent
import orjson
import structlog
from gevent.lock import BoundedSemaphore
from geventhttpclient import HTTPClient
from geventhttpclient.response import HTTPParseError

from controller.media.links import Links
from controller.media.reasons import AudioFailed
from controller.media.relays import Relays
from controller.registry import split_address
from esl.commands import clean_url

# Within how long a relay must answer. It waits for the file for a second before it says that it has none yet.
ANSWER_SECONDS = 3.0
# For which a relay is avoided.
AVOID_SECONDS = 5.0
# At a time, at one relay.
MAX_QUESTIONS = 512
# Between two questions while all relays are avoided.
PAUSE_SECONDS = 0.25

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A file that a node can play at `url`. `relay`: the address of the one that has it, empty if none has. `details`:
    what the event log tells of it. `rest`: the frame up to which it goes, 0 if it is all that there is, and `rest_url`
    what is to be played behind it as if it were one file.
    """

    relay: str
    url: str
    details: dict[str, Any]
    rest: int = 0
    rest_url: str = ""


class Preparer(Protocol):
    """Has files prepared for nodes: a RelayClient, or Direct."""

    def prepare(self, app_id: str, url: str, rate: int, seconds: float, start: int, /) -> Prepared: ...

    def avoid(self, relay: str, /) -> None: ...


class Direct:
    """Where nodes fetch the URLs of apps by themselves, there is nothing to prepare, and no relay."""

    def prepare(self, _app_id: str, url: str, *_: int | float) -> Prepared:
        with suppress(ValueError):  # The node is not sent such a URL.
            url = clean_url(url)
        return Prepared("", url, {})

    def avoid(self, _relay: str) -> None:
        pass


class _Refused(Exception):
    """The relay did not take the question for one of now, signed with its own key."""


class Answers(Protocol):
    """A relay, as it is asked."""

    def answer(self, app_id: str, url: str, rate: int, start: int) -> dict[str, Any]: ...


class RelayClient:
    """`links` has the key of all relays. `own`: the relay of this process and its address, if it has one. That relay
    is asked without a connection.
    """

    def __init__(
        self,
        relays: Relays,
        links: Links,
        own: tuple[str, Answers] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._relays = relays
        self._links = links
        self._own_address = own[0] if own else ""
        self._own = own[1] if own else None
        self._clock = clock
        self._wall_clock = wall_clock
        self._connections: dict[str, HTTPClient] = {}
        self._turns = defaultdict[str, BoundedSemaphore](lambda: BoundedSemaphore(MAX_QUESTIONS))
        self._avoided_until: dict[str, float] = {}

    def prepare(self, app_id: str, url: str, rate: int, seconds: float, start: int = 0) -> Prepared:
        """Have a relay fetch and decode a tenant's `url`, for rooms mixed at `rate` samples a second. Waits `seconds`
        at most. `start`: the frame to begin with. Raises AudioFailed: `timeout` also if no relay answered.
        """
        give_up_at = self._clock() + seconds
        failed: set[str] = set()
        while self._clock() < give_up_at:
            relay = self._choose(app_id, url, failed)
            if relay is None:
                if failed:
                    raise AudioFailed("relay_failed")
                gevent.sleep(PAUSE_SECONDS)
                continue
            answer = self._ask(relay, app_id, url, rate, start, give_up_at)
            if answer is None:
                self.avoid(relay)
            elif (reason := answer.get("reason")) == "relay_failed":
                failed.add(relay)
            elif reason:
                raise AudioFailed(reason, answer.get("http_status"))
            elif link := answer.get("link"):
                rest = answer.get("rest_link")
                rest_url = f"http://{relay}{rest}" if rest else ""
                return Prepared(relay, f"http://{relay}{link}", answer["details"], answer["rest"], rest_url)
        raise AudioFailed("timeout")

    def avoid(self, relay: str) -> None:
        """Ask others for a while: it did not answer, or a node did not get a file from it."""
        self._avoided_until[relay] = self._clock() + AVOID_SECONDS

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    def _choose(self, app_id: str, url: str, failed: set[str]) -> str | None:
        now = self._clock()
        for relay in self._relays.choose(app_id, url):
            if relay not in failed and self._avoided_until.get(relay, 0.0) <= now:
                return relay
        return None

    def _ask(
        self, address: str, app_id: str, url: str, rate: int, start: int, give_up_at: float
    ) -> dict[str, Any] | None:
        """The relay's answer; None if there is none. Raises AudioFailed if it is not one's turn to ask in time."""
        if self._own and address == self._own_address:
            return self._own.answer(app_id, url, rate, start)
        fields = {"app_id": app_id, "url": url, "rate": rate, "start": start}
        problem = ""
        for _ in range(2):
            # The second time over a new connection: the relay may have closed one that was kept.
            try:
                return self._exchange(address, fields, give_up_at)
            except _Refused:
                self._drop(address)
                log.warning("an audio relay refused a question: its clock or its store may differ", relay=address)
                return None
            except (OSError, ValueError, HTTPParseError) as error:
                problem = str(error)
                self._drop(address)
                if isinstance(error, TimeoutError):
                    break
        log.warning("an audio relay did not answer", relay=address, reason=problem)
        return None

    def _exchange(self, address: str, fields: dict[str, Any], give_up_at: float) -> dict[str, Any]:
        # Waiting for one's turn to ask says nothing of the relay.
        turns = self._turns[address]
        if not turns.acquire(timeout=max(0.0, give_up_at - self._clock())):
            raise AudioFailed("timeout")
        try:
            with gevent.Timeout(ANSWER_SECONDS, TimeoutError("no answer in time")):
                body, signature = self._links.question(fields, self._wall_clock())
                response = self._connection(address).post(
                    "/prepare", body=body, headers={"Signature": signature, "Content-Type": "application/json"}
                )
                # Only an answer has a body that can be read as one.
                if response.status_code == 404:
                    raise _Refused
                if response.status_code != 200:
                    raise OSError(f"status {response.status_code}")
                answer: dict[str, Any] = orjson.loads(response.read())
        finally:
            turns.release()
        return answer

    def _connection(self, address: str) -> HTTPClient:
        if address not in self._connections:
            host, port = split_address(address)
            self._connections[address] = HTTPClient(
                host,
                port,
                concurrency=MAX_QUESTIONS,
                connection_timeout=1.0,
                network_timeout=ANSWER_SECONDS,
            )
        return self._connections[address]

    def _drop(self, address: str) -> None:
        if (connection := self._connections.pop(address, None)) is not None:
            connection.close()
