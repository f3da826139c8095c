"""Who asks, as far as the network tells: clients by address, behind proxies too, and those that guess keys."""

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
MAX_PROXIES = 16  # one behind the other, of which anything is believed
MAX_CLIENTS = 10_000  # of which failures are kept; the oldest go


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
    """The proxies whose word is taken on who asked them: addresses and networks. Raises ValueError for other text."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._networks = [ip_network(text) for text in trusted]

    def trusts(self, address: str) -> bool:
        found = _parsed(address) if self._networks else None
        return found is not None and any(found in network for network in self._networks)

    def client(self, peer: str, forwarded: str) -> str:
        """The client's address. `forwarded`: X-Forwarded-For, to which each proxy adds who asked it, so that the last
        of it that is no proxy of ours is the one to believe.
        """
        found, told = peer, forwarded.rsplit(",", MAX_PROXIES)
        while told and self.trusts(found):
            next_ = told.pop().strip()
            if "%" in next_ or _parsed(next_) is None:
                break
            found = next_
        return found


class Failures:
    """Failed authentications by client, with a delay that grows. A right key never waits: it does not come here."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # How many, and until when the delay lasts.
        self._known: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def count(self, address: str) -> float:
        """One more. -> 0, or the seconds that are left of the delay in which it comes, and then it does not count."""
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
            logger.warning("%s failed to authenticate %d times: more of it is 429 for %.0f s", client, failures, delay)
        self._known[client] = failures, now + delay
        if len(self._known) > MAX_CLIENTS:
            self._known.popitem(last=False)
        return 0.0
