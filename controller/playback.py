"""Which URLs a media node may be asked to fetch: none that leads into a private network, as far as can be told here."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import gevent
from gevent.lock import BoundedSemaphore

from controller.commands import Play
from controller.errors import Refused
from controller.webhooks.addresses import is_public, literal, refusal
from controller.webhooks.connection import Network
from esl.commands import clean_url

# For all names of a request together. What is not resolved by then is let through: the node resolves it again anyway,
# and its own network has the last word.
RESOLVE_SECONDS = 1.0
SIDE_BY_SIDE = 8


class PlaybackGuard:
    """Checks the URLs of a `Play`. `network` resolves, in threads of its own."""

    def __init__(self, network: Network, *, allow_private: bool = False, seconds: float = RESOLVE_SECONDS) -> None:
        self._network = network
        self._allow_private = allow_private
        self._seconds = seconds

    def __call__(self, command: Play) -> dict[str, Any]:
        """Raises Refused `url_refused`, with the fields that are wrong."""
        if self._allow_private:
            return {}
        hosts = [urlsplit(clean_url(url)).hostname or "" for url in command.urls]
        problems = {host: problem for host in set(hosts) if (problem := refusal(host))}
        if not problems:
            problems = self._resolved([host for host in dict.fromkeys(hosts) if literal(host) is None])
        wrong = [place for place, host in enumerate(hosts) if host in problems]
        fields = [{"field": f"urls.{place}", "problem": problems[hosts[place]]} for place in wrong]
        if fields:
            raise Refused("url_refused", {"fields": fields})
        return {}

    def _resolved(self, names: list[str]) -> dict[str, str]:
        problems: dict[str, str] = {}
        places = BoundedSemaphore(SIDE_BY_SIDE)

        def look_up(name: str) -> None:
            try:
                with places:
                    found = self._network.threads.spawn(self._network.resolve, name, 0).get()
            except OSError:
                return
            if not all(map(is_public, found or ())):
                problems[name] = "leads to an address that is not public"

        looking = [gevent.spawn(look_up, name) for name in names]
        # Not joinall's own timeout: it counts from when the loop ran last, and what is busy would check nothing.
        with suppress(TimeoutError), gevent.Timeout(self._seconds, TimeoutError()):
            gevent.joinall(looking)
        gevent.killall(looking, block=False)
        return problems
