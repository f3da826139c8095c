"""Where a tenant's URL leads."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from esl.commands import ascii_name

_DEFAULT_PORTS = {"http": 80, "https": 443}
# In a path and query, besides letters and digits: all of ASCII that can be seen. RFC 3986 allows less, but a URL may be
# signed as it is.
_SENT_AS_IT_IS = "".join(map(chr, range(0x21, 0x7F)))


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart. `host` as it is resolved, `authority` and `path` as they are sent."""

    scheme: str
    host: str
    port: int
    authority: str
    path: str


def parse_url(url: str) -> Target:
    """Raises ValueError for all but an http or https URL with a host and without user info. The error's
    text goes on after a name for the URL: "has no host".
    """
    if not url.isprintable() or " " in url:
        raise ValueError("has blanks or control characters")
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port
        if ":" not in host:
            host = ascii_name(host)
        host.encode("ascii")  # the zone of an IPv6 address may hold anything
    except ValueError:
        raise ValueError("has no valid host and port") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError("is not http or https")
    if not host:
        raise ValueError("has no host")
    if "@" in parts.netloc:
        raise ValueError("has user info")
    default = _DEFAULT_PORTS[parts.scheme]
    port = default if port is None else port
    authority = f"[{host}]" if ":" in host else host
    path = quote(parts.path or "/", safe=_SENT_AS_IT_IS)
    # Not `parts.query`: `/a?` is not the same resource as `/a`.
    _, mark, query = url.partition("#")[0].partition("?")
    query = mark + quote(query, safe=_SENT_AS_IT_IS)
    return Target(parts.scheme, host, port, authority if port == default else f"{authority}:{port}", path + query)
