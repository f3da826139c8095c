"""Links to the portal: the console, cut to the application."""

from __future__ import annotations

import time
from typing import Any

from flask import request

from controller.errors import Refused
from controller.idempotency import HOLD_LONG_MS
from controller.operators import link_url
from controller.times import iso
from web import context
from web.auth import API_PREFIX
from web.problems import Forbidden
from web.resource import Resource, Returned
from web.schemas import PortalLink, PortalLinkBody

portal_links = Resource(
    "portal", "The console in a browser, cut to the application.", url_prefix=f"{API_PREFIX}/portal-links"
)


@portal_links.serves(
    "POST",
    "",
    responses={201: PortalLink},
    refuses=("no_console", "quota_exceeded"),
    details={"quota_exceeded": {"quota": "portal_links", "limit": 1000, "used": 1000}},
)
def create_portal_link(body: PortalLinkBody) -> Returned:
    """Make a link to the application's portal.

    It opens a page in a browser that shows the application's rooms, sessions and webhooks live, and acts on them. It
    is good once. Whoever has opened it stays logged in until an hour after the last request, or for as long as the
    operator lets anybody. A new API key ends all portals, also those whose link is not opened yet."""
    if context.actor():
        raise Forbidden("A portal link is made with the API key only.")

    def make() -> dict[str, Any]:
        return make_link(context.app_id(), body, actor="")

    # A link that nobody got does no harm: it may be made again.
    return context.execute_once("console.link", HOLD_LONG_MS, make), 201


def make_link(app_id: str, body: PortalLinkBody, actor: str) -> dict[str, Any]:
    """`actor`: who asks for it, if not the app."""
    console = context.console()
    if console is None:
        raise Refused("no_console")
    token = console.logins.portal_link(app_id, body.role, body.expires_in, actor)
    expires_at = iso(int(time.time()) + body.expires_in)
    return {"url": link_url(console.url or request.host_url, token), "expires_at": expires_at}
