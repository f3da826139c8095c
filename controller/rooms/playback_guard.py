"""Which URLs may be played: none that leads into a private network, as far as is known here.

An audio relay checks each address that it connects to, so here the text of a URL is judged, to tell a mistake early. A
node that fetches by itself checks nothing, so for one the names are looked up, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

import gevent

from controller.errors import Refused
from controller.outbound.addresses import is_public, literal, refusal
from controller.outbound.network import Network
from esl.commands import clean_url

# For all names of a request together. What is not resolved by then is refused.
RESOLVE_SECONDS = 3.0


class PlaybackGuard:
    """Checks URLs of a playback, whose forms are valid. `direct`: nodes fetch by themselves; then `network` resolves
    the names.
    """

    def __init__(
        self,
        network: Network,
        *,
        direct: bool = False,
        allow_private: bool = False,
        seconds: float = RESOLVE_SECONDS,
    ) -> None:
        self._network = network
        self._direct = direct
        self._allow_private = allow_private
        self._seconds = seconds

    def check(
        self, app_id: str, urls: Sequence[str], may_play: Callable[[], object], field: str = "urls.{place}"
    ) -> None:
        """Raises Refused: `url_refused` with the fields that are wrong, which are called `field`.

        `may_play` raises Refused if the playback would be refused anyway. It is called before names are resolved, which
        is the most costly part of any request.
        """
        if not self._allow_private:
            self._check(app_id, [urlsplit(clean_url(url)).hostname or "" for url in urls], may_play, field)

    def _check(self, app_id: str, hosts: list[str], may_play: Callable[[], object], field: str) -> None:
        problems = {host: problem for host in set(hosts) if (problem := refusal(host))}
        names = [host for host in dict.fromkeys(hosts) if literal(host) is None]
        if names and self._direct and not problems:
            may_play()
            problems = self._look_up(app_id, names)
        wrong = [place for place, host in enumerate(hosts) if host in problems]
        fields = [{"field": field.format(place=place), "problem": problems[hosts[place]]} for place in wrong]
        if fields:
            raise Refused("url_refused", {"fields": fields})

    def _look_up(self, app: str, names: list[str]) -> dict[str, str]:
        """What is wrong with each name, if anything."""
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
        # Not joinall's own timeout: it counts from the event loop's last turn, so a busy process would not wait.
        with suppress(TimeoutError), gevent.Timeout(self._seconds, TimeoutError()):
            gevent.joinall(looking)
        gevent.killall(looking, block=False)
        return problems
