"""Clients by their address, behind proxies too, and delays for those that guess keys."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

logger = logging.getLogger(__name__)

FREE = 10  # failures of a client before there is a delay
FIRST_DELAY = 1.0  # seconds, doubled by each further failure
MAX_DELAY = 64.0
FORGOTTEN_SECONDS = 600.0  # after the last failure, or the delay that it caused
MAX_PROXIES = 16  # one behind the other, that are believed
MAX_CLIENTS = 10_000  # whose failures are kept; the oldest are dropped


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def block_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 that every customer with IPv6 has at least."""
    found = _parsed(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        return str(IPv6Network((int(found) >> 64 << 64, 64)))
    return str(found or address)


class Proxies:
    """The proxies that are trusted to name their clients: addresses and networks. Raises ValueError for other text."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._networks = [ip_network(text) for text in trusted]

    def trusts(self, address: str) -> bool:
        found = _parsed(address) if self._networks else None
        return found is not None and any(found in network for network in self._networks)

    def client(self, peer: str, forwarded: str) -> str:
        """The client's address. `forwarded`: X-Forwarded-For, to which each proxy adds its own client. So the last
        address that is no trusted proxy is the client's.
        """
        found, chain = peer, forwarded.rsplit(",", MAX_PROXIES)
        while chain and self.trusts(found):
            next_ = chain.pop().strip()
            if "%" in next_ or _parsed(next_) is None:
                break
            found = next_
        return found


class Failures:
    """Failed authentications by client, with a delay that grows. A correct key never waits: it is not counted."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # How many, and until when the delay lasts.
        self._known: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def count(self, address: str) -> float:
        """Counts a failure. Returns 0, or the seconds that are left of a delay, during which failures do not count."""
        now, client = self._clock(), block_of(address)
        failures, until = self._known.pop(client, (0, now))
        if now < until:
            self._known[client] = failures, until
            return until - now
        failures = 1 if now - until > FORGOTTEN_SECONDS else failures + 1
        delay = 0.0
        if failures > FREE:
            # Bounded before it is raised to the power: the count may be of any size.
            delay = min(MAX_DELAY, FIRST_DELAY * 2.0 ** min(failures - FREE - 1, 100))
            logger.warning("%s failed to authenticate %d times: the next get 429 for %.0f s", client, failures, delay)
        self._known[client] = failures, now + delay
        if len(self._known) > MAX_CLIENTS:
            self._known.popitem(last=False)
        return 0.0
