"""Which addresses a tenant's URL may lead to: only those of the public internet.

A URL that this process connects to is judged by the address that is connected to (`network`). One that a media node
fetches can only be judged by its text and by what its name resolves to here; docs/security.md says what that leaves to
the node's network.

`ipaddress.is_global` will not do: it lets multicast, NAT64, 6to4 and IPv4-compatible addresses through, each
of which can carry a private IPv4 address.
"""

from __future__ import annotations

import re
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from controller.registry import split_address

# From the registries of special-purpose addresses (IANA; RFC 6890 and later), ranges that tunnel or translate, and
# those that clouds keep for what only their own machines reach.
NOT_PUBLIC_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; metadata services of some clouds
        "127.0.0.0/8",  # loopback
        "161.26.0.0/16",  # services within IBM's cloud
        "166.8.0.0/14",  # the same
        "168.63.129.16/32",  # of each machine in Azure: its agent's, with credentials
        "169.254.0.0/16",  # link-local; metadata services of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved; broadcast
    )
)

# Only 2000::/3 is given out for the public internet; the rest of IPv6 (unspecified, loopback, IPv4-compatible
# and -mapped, NAT64, discard, unique local, link-local, site-local, multicast) is not public as a whole.
PUBLIC_V6 = IPv6Network("2000::/3")
NOT_PUBLIC_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks, AS112
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3ffe::/16",  # 6bone, given back
        "3fff::/20",  # documentation
    )
)

# An IPv4 address written as IPv6 reaches the IPv4 address: it is as public as that one.
MAPPED = IPv6Network("::ffff:0:0/96")


def is_public(address: str) -> bool:
    """True when an address, as a resolver returns it, is of the public internet and not this host's own; False for any
    other text.
    """
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address):
        if parsed not in MAPPED:
            reserved = parsed not in PUBLIC_V6 or any(parsed in network for network in NOT_PUBLIC_V6)
            return not reserved and not _is_own(socket.AF_INET6, parsed)
        parsed = IPv4Address(int(parsed) & 0xFFFFFFFF)
    return not any(parsed in network for network in NOT_PUBLIC_V4) and not _is_own(socket.AF_INET, parsed)


def _is_own(family: int, address: IPv4Address | IPv6Address) -> bool:
    """Whether an interface of this host has the address: only then does the kernel use it as the source, too.
    Connecting a UDP socket sends no packet.
    """
    try:
        probe = socket.socket(family, socket.SOCK_DGRAM)
    except OSError:
        return family == socket.AF_INET  # without a free descriptor it may be; without IPv6 it cannot be
    with probe:
        try:
            probe.connect((str(address), 9))
        except OSError:
            return False
        return ip_address(probe.getsockname()[0]) == address


def is_of_this_host(host: str) -> bool:
    """Whether a name or address leads to this machine. Asks the DNS; False for what does not resolve."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return False
    addresses = [ip_address(str(each).partition("%")[0]) for each in found]
    return all(
        address.is_loopback
        or address.is_unspecified
        or _is_own(socket.AF_INET6 if address.version == 6 else socket.AF_INET, address)
        for address in addresses
    )


def is_seen_from_elsewhere(host: str) -> bool:
    """Whether other machines can mean this one by a name or address: not by that of the loopback interface, nor by the
    one that stands for all interfaces.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return host.lower() != "localhost"
    return not (address.is_loopback or address.is_unspecified)


# Names that never lead to the public internet (RFC 6761, 6762, 8375, and the one reserved for private use).
LOCAL_NAMES = ("localhost", "localdomain", "local", "internal", "home.arpa")
_NUMBER = re.compile("0x[0-9a-f]*|[0-9]+")


def literal(host: str) -> str | None:
    """The address that a URL's host is, in whatever notation: `127.1`, `0x7f000001`, `017700000001`, `2130706433` and
    `[::1]` are addresses too. None for a name.
    """
    plain = host.strip("[]").rstrip(".")
    if ":" in plain:
        return plain
    try:
        # As libcurl and the resolvers read it, unlike `ipaddress`.
        return socket.inet_ntoa(socket.inet_aton(plain)) if plain else None
    except (OSError, ValueError):
        return None


def refusal(host: str) -> str | None:
    """Why a URL with that host leads nowhere public, by its text alone; None when the text does not show that."""
    address = literal(host)
    if address is not None:
        return None if is_public(address) else "is not a public address"
    name = host.rstrip(".").lower()
    if any(name == local or name.endswith(f".{local}") for local in LOCAL_NAMES):
        return "is a name of a private network"
    # Resolvers differ on names that look like addresses, such as 0x7f.1.1.1.1.
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        return "is not a valid name"
    return None


def is_found_from(host: str, address: str) -> bool:
    """Whether a program on `host` can mean this machine by the `address` (`host:port`): not by one that every machine
    has for itself, unless it is on this machine. May ask the DNS.
    """
    return is_seen_from_elsewhere(split_address(address)[0]) or is_of_this_host(host)
