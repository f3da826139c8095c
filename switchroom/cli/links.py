"""Links to the console, as commands make and show them."""

from __future__ import annotations

import re
import time

import click

from controller.operators import MAX_LINK_SECONDS, MIN_LINK_SECONDS, USUAL_LINK_SECONDS, link_url
from controller.times import iso
from switchroom.cli.base import print_fields
from switchroom.cli.times import UNITS
from switchroom.config import Config


def _seconds(_context: click.Context, option: click.Parameter, text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    seconds = int(found[1]) * UNITS[found[2]] if found else 0
    if not MIN_LINK_SECONDS <= seconds <= MAX_LINK_SECONDS:
        raise click.BadParameter(f"{text!r} is no time from 1m to 7d", param=option)
    return seconds


lifetime_option = click.option(
    "--expires",
    "seconds",
    default=f"{USUAL_LINK_SECONDS // 3600}h",
    show_default=True,
    callback=_seconds,
    help="For how long the link can be opened: 10m, 2h, 1d.",
)


def print_link(config: Config, token: str, seconds: int, as_json: bool) -> None:
    base = config.console.url or f"http://{config.server.listen}"
    print_fields({"url": link_url(base, token), "expires_at": iso(int(time.time()) + seconds)}, as_json)
