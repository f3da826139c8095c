"""Which URLs a media node may be asked to fetch: none that leads into a private network, as far as can be told here."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import gevent

from controller.commands import Play
from controller.errors import Refused
from controller.outbound.addresses import is_public, literal, refusal
from controller.outbound.network import Network
from esl.commands import clean_url

# For all names of a request together. What is not resolved by then is refused.
RESOLVE_SECONDS = 3.0


class PlaybackGuard:
    """Checks the URLs of a `Play`, whose forms are valid. `network` resolves their names, but only once `may_play` has
    let the play pass: nothing else that a request asks for takes as much.
    """

    def __init__(
        self,
        network: Network,
        may_play: Callable[[Play], None],
        *,
        allow_private: bool = False,
        seconds: float = RESOLVE_SECONDS,
    ) -> None:
        self._network = network
        self._may_play = may_play
        self._allow_private = allow_private
        self._seconds = seconds

    def __call__(self, command: Play) -> dict[str, Any]:
        """-> `{"node_urls"}`, as a node gets them, if that differs. Raises Refused: `url_refused` with the fields that
        are wrong, or as `may_play` does.
        """
        node_urls = [clean_url(url) for url in command.urls]
        if not self._allow_private:
            self._check(command, [urlsplit(url).hostname or "" for url in node_urls])
        return {} if node_urls == list(command.urls) else {"node_urls": node_urls}

    def _check(self, command: Play, hosts: list[str]) -> None:
        problems = {host: problem for host in set(hosts) if (problem := refusal(host))}
        names = [host for host in dict.fromkeys(hosts) if literal(host) is None]
        if names and not problems:
            self._may_play(command)
            problems = self._look_up(command.app_id, names)
        wrong = [place for place, host in enumerate(hosts) if host in problems]
        fields = [{"field": f"urls.{place}", "problem": problems[hosts[place]]} for place in wrong]
        if fields:
            raise Refused("url_refused", {"fields": fields})

    def _look_up(self, app: str, names: list[str]) -> dict[str, str]:
        """What is wrong, by name."""
        problems = dict.fromkeys(names, "has a name that was not resolved in time")

        def look_up(name: str) -> None:
            try:
                found = self._network.look_up(app, name, 0).get()
            except OSError:
                problems[name] = "has a name that cannot be resolved"
                return
            if found and all(map(is_public, found)):
                del problems[name]
            else:
                problems[name] = "leads to an address that is not public"

        looking = [gevent.spawn(look_up, name) for name in names]
        # Not joinall's own timeout: it counts from when the loop ran last, and what is busy would check nothing.
        with suppress(TimeoutError), gevent.Timeout(self._seconds, TimeoutError()):
            gevent.joinall(looking)
        gevent.killall(looking, block=False)
        return problems
