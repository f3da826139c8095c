"""The forms of values. Each check gives the value back, or says in plain words what is expected."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

from controller.ids import NODE_PREFIX
from controller.limits import check_quotas
from controller.sessions.dialing import NUMBER, PATTERN
from controller.signing import SECRET_PREFIX, parse_secret
from controller.store.store import each_host
from esl.commands import SIP_PASSWORD, SIP_USER, Hold

MAX_PORT = 65535

_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+(%[\w.-]+)?\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"


def _form(pattern: str, expected: str) -> Callable[[str], str]:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(expected)
        return value

    return check


def _address(lowest_port: int, example: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        found = _HOST_PORT.fullmatch(value)
        if not found or not lowest_port <= int(found[3]) <= MAX_PORT:
            raise ValueError(f'must be host:port, such as "{example}" or "[::1]:{example.rpartition(":")[2]}"')
        return value

    return check


def _bridge(value: str) -> str:
    found = _HOST_PORT.fullmatch(value)
    # Legs have no IPv6: freeswitch-conf/ has no profile for it.
    if not found or value.startswith("[") or not 1 <= int(found[3]) <= MAX_PORT:
        raise ValueError('must be host:port with a name or an IPv4 address, such as "127.0.0.1:5090"')
    return value


def _sip_host(value: str) -> str:
    found = _HOST_PORT.fullmatch(value if ":" in value else f"{value}:5060")
    # As for bridges.
    if not found or value.startswith("[") or not 1 <= int(found[3]) <= MAX_PORT:
        raise ValueError('must be a name or an IPv4 address, or host:port, such as "sip.example.com:5060"')
    return value


def _network(value: str) -> str:
    try:
        ip_network(value)
    except ValueError:
        raise ValueError('must be an address or a network, such as "10.0.0.7" or "10.0.0.0/24"') from None
    return value


def _url(schemes: tuple[str, ...]) -> Callable[[str], str]:
    expected = "must be a URL that begins with " + " or ".join(f"{scheme}://" for scheme in schemes)

    def check(value: str) -> str:
        try:
            parts = urlsplit(value)
            parts.port  # noqa: B018 (raises when the port is no number)
        except ValueError:
            raise ValueError(expected) from None
        where = parts.path if parts.scheme == "unix" else parts.hostname
        if parts.scheme not in schemes or not where or re.search(r"[\x00-\x20\x7f]", value):
            raise ValueError(expected)
        return value

    return check


_ONE_STORE = _url(("redis", "rediss", "unix"))


def _store_url(value: str) -> str:
    try:
        urls = each_host(value)
    except ValueError:
        urls = [value]
    for url in urls:
        _ONE_STORE(url)
    return value


def _hold_music(value: str) -> str:
    try:
        Hold("room", 1, music=value).render()
    except ValueError:
        raise ValueError('must be the path of a file, or "local_stream://" and a name') from None
    return value


def _webhook_secret(value: str) -> str:
    try:
        if value.startswith(SECRET_PREFIX) and parse_secret(value):
            return value
    except ValueError:
        pass
    raise ValueError(f'must be "{SECRET_PREFIX}" and then base64, as `switchroom app add` makes it')


def _secretly(check: Callable[[str], str]) -> Callable[[SecretStr], SecretStr]:
    def checked(value: SecretStr) -> SecretStr:
        check(value.get_secret_value())
        return value

    return checked


_LABEL = _form(_NAME, "must be 1 to 64 letters, digits, - and _, a letter or digit first")
AppId = Annotated[str, AfterValidator(_LABEL)]
Prefix = Annotated[str, AfterValidator(_form(NODE_PREFIX.pattern, "must be exactly 5 letters and digits"))]
Did = Annotated[str, AfterValidator(_form(r"\+?[A-Za-z0-9*#._-]{1,64}", "must be a number as it is dialled"))]
Listen = Annotated[str, AfterValidator(_address(0, "127.0.0.1:8080"))]
Esl = Annotated[str, AfterValidator(_address(1, "127.0.0.1:8021"))]
Sip = Annotated[str, AfterValidator(_address(1, "127.0.0.1:5060"))]
Bridge = Annotated[str, AfterValidator(_bridge)]
Region = Annotated[str, AfterValidator(_LABEL)]
HoldMusic = Annotated[str, AfterValidator(_hold_music)]
WebhookUrl = Annotated[str, AfterValidator(_url(("http", "https")))]
Profile = Annotated[str, AfterValidator(_form(_NAME, "must be the name of a conference profile"))]
Password = Annotated[SecretStr, AfterValidator(_secretly(_form(r"[^\x00-\x1f\x7f]+", "must not be empty")))]
ApiKey = Annotated[
    SecretStr,
    AfterValidator(_secretly(_form(r"[\x21-\x7e]{16,256}", "must be 16 to 256 ASCII characters without spaces"))),
]
Network = Annotated[str, AfterValidator(_network)]
WebhookSecret = Annotated[SecretStr, AfterValidator(_secretly(_webhook_secret))]
StoreUrl = Annotated[SecretStr, AfterValidator(_secretly(_store_url))]


def _quotas(own: dict[str, int]) -> dict[str, int]:
    check_quotas(own)
    return own


GatewayName = Annotated[str, AfterValidator(_LABEL)]
SipHost = Annotated[str, AfterValidator(_sip_host)]
SipProfile = Annotated[str, AfterValidator(_form(_NAME, "must be the name of a SIP profile"))]
SipUser = Annotated[str, AfterValidator(_form(SIP_USER.pattern, "must be 1 to 64 letters, digits and any of .+_-"))]
SipPassword = Annotated[
    SecretStr,
    AfterValidator(_secretly(_form(SIP_PASSWORD.pattern, "must be 1 to 128 letters, digits and any of !#%*+./=?@_~-"))),
]
DialPrefix = Annotated[str, AfterValidator(_form(r"\+?[0-9]{0,16}", "must be digits, with a + before them if any"))]
Number = Annotated[
    str,
    AfterValidator(_form(NUMBER.pattern, 'must be 2 to 15 digits, with a + before them if any, such as "+493012345"')),
]
Destination = Annotated[
    str,
    AfterValidator(
        _form(
            PATTERN.pattern,
            'must be 1 to 15 digits, with a + before them if any, and * at the end, such as "+4930*", or a SIP URI'
            ' whose user may end in *, such as "sip:*@pbx.example.com"',
        )
    ),
]
Quotas = Annotated[dict[str, int], AfterValidator(_quotas)]
