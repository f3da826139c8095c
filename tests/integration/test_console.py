"""The console over HTTP, with the real store: who is let in, as what, and what each may ask."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gevent
import pytest
from flask import Flask
from flask.testing import FlaskClient
from gevent.event import Event as Flag
from werkzeug.routing import Rule

from controller import overview, passwords
from controller.controller import Controller, Limits
from controller.errors import Refused
from controller.live import Feed
from controller.operators import COMMAND_LINE, IDLE_SECONDS, OPERATE, VIEW, Logins, Operators
from controller.overview import LogFilter, Overview
from controller.registry import Registry, new_app
from controller.rooms.placement import Placement
from controller.speaking import Speaking
from controller.statistics import Statistics
from controller.store import keys
from tests.integration.world import NODE, World
from tests.open_store import OpenStore
from web.app import create_app
from web.context import Console

NAME, PASSWORD = "alice", "correct horse battery staple"
APP, OTHER = "demo", "other"
HOURS = 12.0
ORIGIN = "http://localhost"
EVIL = "https://evil.example"
ROOMS = "/api/v1/conferences"


@dataclass
class Page:
    """A page of the console in a browser, logged in or not."""

    client: FlaskClient
    csrf: str = ""

    def ask(self, method: str, path: str, app: str = "", csrf: str | None = None, **options: Any) -> Any:
        headers = {"Origin": ORIGIN, **options.pop("headers", {})}
        if sent := self.csrf if csrf is None else csrf:
            headers["X-CSRF-Token"] = sent
        if app:
            headers["X-App-ID"] = app
        return self.client.open(path, method=method, headers=headers, **options)

    def get(self, path: str, app: str = "", **options: Any) -> Any:
        return self.ask("GET", path, app, **options)

    def post(self, path: str, json: Any = None, app: str = "", **options: Any) -> Any:
        return self.ask("POST", path, app, json={} if json is None else json, **options)

    def open(self, token: str) -> Page:
        response = self.post("/console/api/open", {"token": token})
        assert response.status_code == 200, response.data
        self.csrf = response.json["csrf"]
        return self

    @property
    def is_in(self) -> bool:
        return self.get("/console/api/me").status_code == 200


class Site:
    """One API process with its console."""

    def __init__(self, store: OpenStore, rate: int = 1000) -> None:
        self.store = store
        self.registry = Registry(store)
        for app_id in (APP, OTHER):
            self.registry.put_app(new_app(app_id, f"key-of-{app_id}-0123"))
        placement = Placement(store, self.registry)
        controller = Controller(store, self.registry, placement, Limits(requests_per_second=rate))
        self.operators = Operators(store)
        self.logins = Logins(store, self.registry, hours=HOURS)
        self.overview = Overview(store, self.registry, placement, controller.execute)
        self.feed = Feed(store, store, self.registry)
        console = Console(self.logins, self.overview, Statistics(store), Speaking(store, controller.execute))
        self.app: Flask = create_app(controller, self.feed, console=console)

    def page(self) -> Page:
        return Page(self.app.test_client())

    def operator(self, role: str = OPERATE, name: str = NAME) -> Page:
        self.operators.add(name, role)
        token = self.logins.operator_link(name, 60)
        assert token is not None
        return self.page().open(token)

    def portal(self, app_id: str = APP, role: str = OPERATE) -> Page:
        return self.page().open(self.logins.portal_link(app_id, role, 60, ""))

    def log_in(self, password: str = PASSWORD, name: str = NAME, address: str = "192.0.2.1", **options: Any) -> Any:
        login = {"name": name, "password": password}
        environ = {"REMOTE_ADDR": address}
        return self.page().post("/console/api/login", login, environ_overrides=environ, **options)

    def rules(self, prefix: str) -> Iterator[tuple[str, str, Rule]]:
        """Every method and path that is served, with ids of the right form."""
        values = {
            "room_id": f"{NODE}-room-00000000-0000-4000-8000-000000000001",
            "uuid": f"{NODE}-00000000-0000-4000-8000-000000000001",
            "webhook_id": "msg_p07-1795374235886-0",
            "recording_id": "0f8fad5bd9cb469fa16570867728950e",
            "prefix": NODE,
            "app_id": OTHER,
        }
        for rule in self.app.url_map.iter_rules():
            if rule.rule.startswith(prefix):
                path = re.sub(r"<(\w+)>", lambda part: values[part[1]], rule.rule)
                yield from ((method, path, rule) for method in (rule.methods or set()) - {"OPTIONS", "HEAD"})


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "LOG2_COST", 4)


@pytest.fixture
def site(store: OpenStore) -> Iterator[Site]:
    site = Site(store)
    yield site
    site.feed.stop()


def logged(page: Page, **query: Any) -> list[dict[str, Any]]:
    return list(page.get("/console/api/log", query_string=query).json["entries"])


# Logging in


def test_an_operator_logs_in_and_out(site: Site) -> None:
    site.operators.add(NAME, OPERATE, PASSWORD)
    page = site.page()
    response = page.post("/console/api/login", {"name": NAME, "password": PASSWORD})
    me = response.json
    page.csrf = me["csrf"]
    assert {**me, "csrf": "", "version": ""} == {
        "kind": "operator", "name": NAME, "role": OPERATE, "app_id": None, "apps": [APP, OTHER], "csrf": "", "version": "",
    }  # fmt: skip
    assert page.get("/console/api/me").json == me
    assert page.get("/console/api/overview").status_code == 200
    assert page.post("/console/api/logout").status_code == 200
    assert not page.is_in


def test_a_logout_is_one_for_whoever_has_kept_the_cookie(site: Site) -> None:
    page = site.operator()
    (cookie,) = page.client._cookies.values()
    page.post("/console/api/logout")
    page.client.set_cookie(cookie.key, cookie.value)
    assert not page.is_in


def test_a_page_that_was_open_before_a_new_login_ends_the_new_session(site: Site) -> None:
    """Whoever sees that he is logged out, is: nobody goes on with the cookie."""
    page = site.operator()
    (cookie,) = page.client._cookies.values()
    assert page.ask("POST", "/console/api/logout", csrf="0" * 64).status_code == 200
    page.client.set_cookie(cookie.key, cookie.value)
    assert not page.is_in


def test_whether_there_is_such_an_operator_shows_in_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong password, an unknown name and an account without a password: the same answer, and the same work."""
    compared: list[str] = []
    compare = passwords.password_matches
    monkeypatch.setattr(
        passwords, "password_matches", lambda stored, given: bool(compared.append(stored)) or compare(stored, given)
    )
    site.operators.add(NAME, OPERATE, PASSWORD)
    site.operators.add("bob", OPERATE)
    answers, work = [], []
    for number, name in enumerate((NAME, "nobody", "bob", "\N{PILE OF POO}")):
        site.store.client.config_resetstat()
        answer = site.log_in("another password", name, f"192.0.2.{number}")
        answers.append((answer.status_code, answer.data, answer.headers.get("Set-Cookie")))
        stats = site.store.client.info("commandstats")
        work.append(
            {
                command: stats[command]["calls"]
                for command in stats
                if command not in ("cmdstat_info", "cmdstat_config|resetstat")
            }
        )
    assert answers == [(401, b'{"success":false,"error":"Wrong name or password"}', None)] * 4
    assert work == [work[0]] * 4
    # All with the same cost.
    assert len(compared) == 4
    assert len({stored.rpartition("$")[0].rpartition("$")[0] for stored in compared}) == 1


def test_an_account_without_a_password_is_not_logged_in_by_an_empty_one(site: Site) -> None:
    site.operators.add(NAME, OPERATE)
    assert site.log_in("").status_code == 401


def test_nothing_that_was_typed_is_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """A password is easily typed in place of the name."""
    caplog.set_level(logging.DEBUG)
    assert site.log_in("typed-as-password", "typed-as-name").status_code == 401
    assert "typed-as" not in caplog.text
    found = site.store.client.keys()
    assert not any(b"typed-as" in each for key in found for each in (key, site.store.client.dump(key) or b""))


def test_attempts_are_limited_by_name_whatever_the_address(site: Site) -> None:
    answers = [site.log_in("wrong password", address=f"192.0.2.{number}").status_code for number in range(12)]
    assert answers == [401] * 10 + [429] * 2
    refused = site.log_in(address="198.51.100.1")
    assert refused.json["detail"]["retry_after_ms"] > 0
    assert site.log_in("wrong password", "another", "198.51.100.1").status_code == 401


def test_attempts_are_limited_by_address_whatever_the_name(site: Site) -> None:
    answers = [site.log_in("wrong password", f"name{number}").status_code for number in range(11)]
    assert answers == [401] * 10 + [429]
    assert site.log_in("wrong password", "name11", "192.0.2.2").status_code == 401


def test_strangers_do_not_lock_an_operator_out_from_where_he_has_logged_in(site: Site) -> None:
    site.operators.add(NAME, OPERATE, PASSWORD)
    assert site.log_in(address="192.0.2.7").status_code == 200
    while site.log_in("wrong password", address="198.51.100.1").status_code != 429:
        pass
    assert site.log_in(address="198.51.100.1").status_code == 429
    assert site.log_in(address="192.0.2.7").status_code == 200


def test_a_refused_attempt_is_not_compared(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    while site.log_in("wrong password").status_code != 429:
        pass
    monkeypatch.setattr(passwords, "password_matches", lambda *_: pytest.fail("was compared"))
    assert site.log_in("wrong password").status_code == 429


def test_addresses_of_a_network_of_ipv6_are_one(site: Site) -> None:
    answers = [
        site.log_in("wrong password", f"name{number}", f"2001:db8:0:7::{number}").status_code for number in range(11)
    ]
    assert answers[-1] == 429


def test_a_customer_s_networks_of_ipv6_do_not_count_one_by_one(site: Site) -> None:
    """Each has a /48, with more networks than there are places to wait in."""

    def attempt(number: int, prefix: str = "2001:db8:7") -> int:
        status: int = site.log_in("wrong password", f"name{number}", f"{prefix}:{number:x}::1").status_code
        return status

    assert next(number for number in range(100) if attempt(number) == 429) >= 30
    assert attempt(99, "2001:db8:8") == 401
    site.operators.add(NAME, OPERATE, PASSWORD)
    assert site.log_in(address="2001:db8:8:1::1").status_code == 200


# Sessions


def test_a_login_begins_a_session_of_its_own(site: Site) -> None:
    """Whoever has put a cookie into the browser does not get into the session (fixation), and the one before ends."""
    site.operators.add(NAME, OPERATE, PASSWORD)
    before = site.operator(name="mallory")
    (planted,) = before.client._cookies.values()
    response = before.post("/console/api/login", {"name": NAME, "password": PASSWORD})
    (fresh,) = before.client._cookies.values()
    assert fresh.value != planted.value
    assert response.json["name"] == NAME
    other = site.page()
    other.client.set_cookie(planted.key, planted.value)
    assert not other.is_in


def test_a_token_that_nobody_gave_is_no_session(site: Site) -> None:
    page = site.page()
    page.client.set_cookie("switchroom_console", "A" * 43)
    assert not page.is_in
    assert site.page().post("/console/api/open", {"token": "A" * 43}).status_code == 401


@pytest.mark.parametrize(
    "change",
    [
        lambda site: site.operators.set_password(NAME, "another good password"),
        lambda site: site.operators.set_role(NAME, VIEW),
        lambda site: site.operators.remove(NAME),
    ],
    ids=["password", "role", "removal"],
)
def test_a_change_of_an_operator_ends_all_sessions_and_links(site: Site, change: Any) -> None:
    first, other = site.operator(), site.operator(name="bob")
    again = site.page().open(site.logins.operator_link(NAME, 60) or "")
    unopened = site.logins.operator_link(NAME, 60)
    change(site)
    assert (first.is_in, again.is_in, other.is_in) == (False, False, True)
    assert site.page().post("/console/api/open", {"token": unopened}).status_code == 401


def test_an_operator_who_is_made_anew_does_not_get_the_old_sessions(site: Site) -> None:
    page = site.operator()
    site.operators.remove(NAME)
    site.operators.add(NAME, OPERATE)
    assert not page.is_in


def test_a_new_key_ends_the_portals_of_an_app_and_its_links(site: Site) -> None:
    page, other = site.portal(), site.portal(OTHER)
    unopened = site.logins.portal_link(APP, OPERATE, 60, "")
    site.registry.put_app(new_app(APP, "another-key-0123"))
    assert (page.is_in, other.is_in) == (False, True)
    assert site.page().post("/console/api/open", {"token": unopened}).status_code == 401


def test_a_removed_app_has_no_portal(site: Site) -> None:
    page = site.portal()
    site.registry.remove_app(APP)
    assert not page.is_in


def test_a_session_is_idle_for_an_hour_at_most_and_ends_after_its_hours(site: Site) -> None:
    page = site.operator()
    (key,) = site.store.client.keys("*console-session*")
    assert 0 < site.store.client.pttl(key) <= IDLE_SECONDS * 1000
    site.store.client.pexpire(key, 60_000)
    assert page.is_in
    assert site.store.client.pttl(key) > 60_000
    # At the end of its time a request makes it no longer.
    short = Logins(site.store, site.registry, hours=30 / 3600)
    opened = short.open(site.logins.operator_link(NAME, 60) or "")
    assert opened
    token, _ = opened
    assert short.find(token)
    (young,) = set(site.store.client.keys("*console-session*")) - {key}
    assert 0 < site.store.client.pttl(young) <= 30_000


def test_a_session_whose_time_is_over_is_none_though_the_store_has_it_still(site: Site) -> None:
    opened = Logins(site.store, site.registry, hours=0).open("")
    assert opened is None
    page = site.operator()
    (key,) = site.store.client.keys("*console-session*")
    record = site.store.client.get(key)
    site.store.client.set(key, re.sub(rb'"ends":[0-9]+', b'"ends":1', record))
    assert not page.is_in


def test_the_store_holds_no_token(site: Site) -> None:
    page = site.operator()
    link = site.logins.portal_link(APP, OPERATE, 60, "")
    (cookie,) = page.client._cookies.values()
    found = site.store.client.keys()
    for secret in (cookie.value, link, page.csrf):
        assert not any(secret.encode() in each for key in found for each in (key, site.store.client.dump(key) or b""))


# Links


def test_a_link_is_good_once(site: Site) -> None:
    token = site.logins.portal_link(APP, OPERATE, 60, "")
    assert site.page().post("/console/api/open", {"token": token}).status_code == 200
    used = site.page().post("/console/api/open", {"token": token})
    assert (used.status_code, used.headers.get("Set-Cookie")) == (401, None)


def test_of_many_who_open_a_link_at_the_same_moment_one_gets_in(site: Site) -> None:
    token = site.logins.portal_link(APP, OPERATE, 60, "")
    opening = [gevent.spawn(site.logins.open, token) for _ in range(20)]
    gevent.joinall(opening, raise_error=True)
    assert sum(each.value is not None for each in opening) == 1


def test_a_link_ends(site: Site) -> None:
    token = site.logins.portal_link(APP, OPERATE, 60, "")
    (key,) = site.store.client.keys("*console-link:*")
    assert 0 < site.store.client.pttl(key) <= 60_000
    site.store.client.pexpire(key, 1)
    while site.store.client.exists(key):
        pass
    assert site.page().post("/console/api/open", {"token": token}).status_code == 401


def test_an_app_makes_a_link_to_its_portal(site: Site) -> None:
    client = site.app.test_client()
    headers = {"X-App-ID": APP, "X-API-Key": f"key-of-{APP}-0123"}
    made = client.post("/api/v1/portal-links", json={"role": "view", "expires_in": 60}, headers=headers)
    assert made.status_code == 201
    base, _, token = made.json["url"].partition("#link=")
    assert base == "http://localhost/console/"
    me = site.page().post("/console/api/open", {"token": token}).json
    assert (me["kind"], me["app_id"], me["role"], me["apps"]) == ("portal", APP, VIEW, [APP])


def test_an_app_has_so_many_links_that_nobody_has_opened(site: Site) -> None:
    site.registry.put_app(new_app(APP, f"key-of-{APP}-0123", own_quotas={"portal_links": 2}))
    client = site.app.test_client()

    def make(app_id: str = APP) -> Any:
        headers = {"X-App-ID": app_id, "X-API-Key": f"key-of-{app_id}-0123"}
        return client.post("/api/v1/portal-links", json={"expires_in": 60}, headers=headers)

    links = [make().json["url"].partition("#link=")[2] for _ in range(2)]
    refused = make()
    assert (refused.status_code, refused.json["detail"]) == (409, {"quota": "portal_links", "limit": 2, "used": 2})
    # Neither another app nor the command line is kept from making one.
    assert make(OTHER).status_code == 201
    assert site.logins.portal_link(APP, OPERATE, 60, COMMAND_LINE)
    # One that is opened, or whose time is over, counts no more.
    site.page().open(links[0])
    assert make().status_code == 201
    held = keys.key(keys.REGISTRY, "console_links", APP)
    assert 0 < site.store.client.pttl(held) <= 60_000
    site.store.client.zadd(held, dict.fromkeys(site.store.client.zrange(held, 0, 0), 1))
    assert make().status_code == 201


@pytest.mark.parametrize("body", [{"role": "admin"}, {"expires_in": 59}, {"expires_in": 8 * 86400}, {"app_id": OTHER}])
def test_a_link_that_cannot_be_made(site: Site, body: dict[str, Any]) -> None:
    headers = {"X-App-ID": APP, "X-API-Key": f"key-of-{APP}-0123"}
    assert site.app.test_client().post("/api/v1/portal-links", json=body, headers=headers).status_code == 400


def test_an_operator_makes_a_link_to_a_portal(site: Site) -> None:
    page = site.operator()
    response = page.post("/console/api/portal-links", {"app": APP, "role": "view", "expires_in": 600})
    assert response.status_code == 201
    visitor = site.page().open(response.json["url"].partition("#link=")[2])
    assert visitor.get(ROOMS, APP).status_code == 200
    assert visitor.get(ROOMS, OTHER).status_code == 403
    assert visitor.post(ROOMS, {"name": "standup"}, APP).status_code == 403
    (link,) = logged(page, type="console.link", app=APP)
    assert (link["actor"], link["opened_by"], link["role"]) == (f"operator:{NAME}", f"portal:{APP}", "view")
    assert page.post("/console/api/portal-links", {"app": "nobody"}).status_code == 404
    assert page.post("/console/api/portal-links", {"app": APP, "expires_in": 1}).status_code == 400


def test_a_portal_makes_no_more_portals(site: Site) -> None:
    assert site.portal().post("/api/v1/portal-links", app=APP).status_code == 403
    assert site.operator().post("/api/v1/portal-links", app=APP).status_code == 403


# From other sites


def test_every_request_needs_the_csrf_token_of_its_session(site: Site) -> None:
    """Reads too: another site could have the browser make them, and see how long they take."""
    page, other = site.operator(), site.portal()
    for prefix in ("/api/v1", "/console/api"):
        for method, path, _ in site.rules(prefix):
            if path in ("/console/api/login", "/console/api/open", "/console/api/logout", "/console/api/me"):
                continue
            for csrf in ("", "0" * 64, other.csrf, "\N{LATIN SMALL LETTER E WITH ACUTE}"):
                answer = page.ask(method, path, APP, csrf=csrf)
                assert answer.status_code == 401, (method, path, csrf)
                assert answer.json["error"] == "You are not logged in to the console. Log in, then try again."


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": EVIL},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_another_site_gets_nobody_logged_in_or_out(site: Site, headers: dict[str, str]) -> None:
    token = site.logins.portal_link(APP, OPERATE, 60, "")
    page = site.operator()
    for path, body in (
        ("login", {"name": NAME, "password": PASSWORD}),
        ("open", {"token": token}),
        ("logout", {}),
    ):
        assert page.post(f"/console/api/{path}", body, headers=headers).status_code == 403
    assert page.get("/console/api/me", headers=headers).status_code == 403
    assert page.get("/console/api/overview", headers=headers).status_code == 401
    assert page.get(ROOMS, APP, headers=headers).status_code == 401
    assert page.is_in
    assert site.page().open(token).is_in


def test_a_post_that_does_not_say_where_it_comes_from_logs_nobody_in(site: Site) -> None:
    answer = site.app.test_client().post("/console/api/login", json={"name": NAME, "password": PASSWORD})
    assert answer.status_code == 403


def test_a_form_of_another_site_is_no_login(site: Site) -> None:
    answer = site.page().ask(
        "POST", "/console/api/login", data='{"name": "a", "password": "b"}', content_type="text/plain"
    )
    assert answer.status_code == 400


def test_the_cookie_is_for_this_host_and_for_no_script(site: Site) -> None:
    site.operators.add(NAME, OPERATE)
    plain = site.page().post("/console/api/open", {"token": site.logins.operator_link(NAME, 60)})
    secure = site.page().post(
        "/console/api/open",
        {"token": site.logins.operator_link(NAME, 60)},
        base_url="https://localhost",
        headers={"Origin": "https://localhost"},
    )
    assert re.fullmatch(
        "switchroom_console=[A-Za-z0-9_-]{43}; HttpOnly; Path=/; SameSite=Strict", plain.headers["Set-Cookie"]
    )
    assert re.fullmatch(
        "__Host-switchroom_console=[A-Za-z0-9_-]{43}; Secure; HttpOnly; Path=/; SameSite=Strict",
        secure.headers["Set-Cookie"],
    )


def test_by_https_only_the_cookie_of_https_counts(site: Site) -> None:
    """A cookie without the prefix may have been set by anybody on the way."""
    page = site.operator()
    assert (
        page.get("/console/api/me", base_url="https://localhost", headers={"Origin": "https://localhost"}).status_code
        == 401
    )


def test_everything_under_the_console_has_the_headers(site: Site) -> None:
    page = site.operator()
    for path in (
        "/console",
        "/console/",
        "/console/api/me",
        "/console/api/log",
        "/console/api/login",
        "/console/static/x/y.js",
    ):
        headers = page.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in headers


# What each may ask

FOR_ALL = {"/console/api/login", "/console/api/open", "/console/api/logout", "/console/api/me"}
OF_THE_OWN_ACCOUNT = {"/console/api/password"}
OF_PORTALS = {"/console/api/log"}


def test_a_portal_gets_at_no_other_app_on_any_path(site: Site) -> None:
    page = site.portal()
    asked = 0
    for method, path, _ in site.rules("/api/v1"):
        for app_id in (OTHER, "nobody", f"{APP} ", APP.upper()):
            asked += 1
            assert page.ask(method, path, app_id).status_code == 403, (method, path, app_id)
        assert page.ask(method, path).status_code == 400, (method, path)
    for method, path, _ in site.rules("/console/api"):
        if path not in FOR_ALL | OF_PORTALS:
            asked += 1
            assert page.ask(method, path).status_code == 403, (method, path)
            assert page.ask(method, path, APP).status_code == 403, (method, path)
    assert page.get("/console/api/log?app=other").status_code == 403
    assert asked > 50


def recorded(site: Site, app: str) -> str:
    """A recording of the app's whose file is at a relay. -> the path of what the console has of it."""
    world = World(site.store, app)
    room = world.create("recorded")
    world.joined(room)
    recording = world.record(room)["recording_id"]
    world.tell("recording_started", recording_id=recording)
    world.tell("recording_ended", recording_id=recording, length_ms=100, size=1644)
    world.tell("recording_stored", recording_id=recording, holder="here", size=1644, length_ms=100, keep_ms=60_000)
    return f"/console/api/recordings/{app}/{recording}"


def played(page: Page, url: str, **headers: str) -> int:
    """The status that a player gets, which sends no header of the page's."""
    return int(page.client.head(url, headers=headers).status_code)


def test_a_link_to_a_recording_is_good_for_its_session_and_its_file_only(site: Site) -> None:
    page, portal = site.operator(), site.portal()
    own, foreign = recorded(site, APP), recorded(site, OTHER)
    url = page.get(f"{own}/link").json["url"]
    assert url.startswith(f"{own}/content?key=")
    assert page.csrf not in url
    assert played(page, url) == 200
    assert page.client.get(f"{url[:-1]}").status_code == 401
    for csrf in ("", "key"):
        assert played(page, f"{own}/content?key={csrf}") == 401
    key = url.partition("?")[2]
    assert played(page, f"{foreign}/content?{key}") == 401
    assert played(page, f"{own}/link?{key}") == 401
    assert played(page, url, **{"Sec-Fetch-Site": "cross-site"}) == 401
    assert page.client.get(f"/console/api/overview?{key}").status_code == 401
    for other in (portal, site.page()):
        assert played(other, url) == 401
    # A portal has links of its own, to what is its app's.
    assert played(portal, portal.get(f"{own}/link").json["url"]) == 200
    for what in ("link", "content"):
        assert portal.get(f"{foreign}/{what}").status_code == 403
        assert page.get(f"/console/api/recordings/nobody/{own[-32:]}/{what}").status_code == 404
        assert page.get(f"{own[:-32]}{foreign[-32:]}/{what}").status_code == 404
    page.post("/console/api/logout")
    assert played(page, url) == 401


def test_a_portal_sees_only_its_own_rooms(site: Site) -> None:
    own, foreign = World(site.store, APP).create("own"), World(site.store, OTHER)
    foreign.create("spare")
    room = foreign.create("foreign")
    page = site.portal()
    assert [each["room_id"] for each in page.get(ROOMS, APP).json["conferences"]] == [own]
    assert page.get(f"{ROOMS}/{room}", APP).status_code == 403
    assert page.ask("DELETE", f"{ROOMS}/{room}", APP).status_code == 403
    assert {entry["app"] for entry in logged(page)} == {APP}
    # Its own attempt, and nothing else of that room.
    assert {entry["kind"] for entry in logged(page, room=room)} == {"refused"}


def test_view_changes_nothing_on_any_path(site: Site) -> None:
    pages = (site.operator(VIEW), site.portal(role=VIEW))
    asked = 0
    for prefix in ("/api/v1", "/console/api"):
        for method, path, _ in site.rules(prefix):
            if method != "GET" and path not in FOR_ALL | OF_THE_OWN_ACCOUNT:
                asked += 1
                for page in pages:
                    assert page.ask(method, path, APP, json={}).status_code == 403, (method, path)
    assert asked > 15
    assert pages[0].get("/console/api/overview").status_code == 200
    assert pages[1].get(ROOMS, APP).status_code == 200


def test_without_a_session_nothing_is_had(site: Site) -> None:
    page = site.page()
    for method, path, _ in site.rules("/console/api"):
        if path not in FOR_ALL:
            assert page.ask(method, path).status_code == 401, (method, path)


def test_an_operator_acts_in_the_name_of_apps_that_there_are(site: Site) -> None:
    page = site.operator()
    assert page.get(ROOMS, OTHER).status_code == 200
    assert page.get(ROOMS, "nobody").status_code == 404
    assert page.get(ROOMS).status_code == 400
    assert page.get("/api/v1/nothing", APP).status_code == 404


def test_looking_uses_up_the_rate_of_nobody_else(store: OpenStore) -> None:
    site = Site(store, rate=2)
    page, portal = site.operator(), site.portal()
    while page.get(ROOMS, APP).status_code != 429:
        pass
    assert portal.get(ROOMS, APP).status_code == 200
    headers = {"X-App-ID": APP, "X-API-Key": f"key-of-{APP}-0123"}
    assert site.app.test_client().get(ROOMS, headers=headers).status_code == 200
    site.feed.stop()


# What is logged


def test_the_event_log_says_who_did_what(site: Site) -> None:
    World(site.store, APP).create("standup")
    operator, portal = site.operator(), site.portal()
    room = operator.get(ROOMS, APP).json["conferences"][0]["room_id"]
    assert operator.ask("DELETE", f"{ROOMS}/{room}", APP, json={}).status_code == 200
    (deleted,) = logged(operator, kind="command", type="delete")
    assert (deleted["actor"], deleted["app"], deleted["room"]) == (f"operator:{NAME}", APP, room)
    # To the app it is the operator, whoever of them it was.
    (seen,) = logged(portal, kind="command", type="delete")
    assert seen["actor"] == "operator"


def test_a_drain_says_who_did_it_and_is_nothing_of_an_app(site: Site) -> None:
    from controller.registry import Node

    site.registry.put_node(Node(prefix=NODE, esl="127.0.0.1:1", password="x"))
    operator, portal = site.operator(), site.portal()
    assert operator.post(f"/console/api/nodes/{NODE}/drain").json["drained"]
    assert not operator.post(f"/console/api/nodes/{NODE}/undrain").json["drained"]
    entries = [entry for entry in logged(operator) if entry["type"].startswith("node.")]
    assert [(entry["type"], entry["actor"], entry["node"]) for entry in entries] == [
        ("node.undrain", f"operator:{NAME}", NODE),
        ("node.drain", f"operator:{NAME}", NODE),
    ]
    assert operator.post("/console/api/nodes/zzzzz/drain").status_code == 404
    assert not [entry for entry in logged(portal) if entry["type"].startswith("node.")]


def test_a_node_shows_its_history(site: Site) -> None:
    from controller.nodes.history import NodeHistory
    from controller.registry import Node

    site.registry.put_node(Node(prefix=NODE, esl="127.0.0.1:1", password="x"))
    history = NodeHistory(site.store, NODE)
    history.is_up(restarted=False)
    history.drifted(["a difference"])
    history.is_down("connection lost")
    found = site.operator().get(f"/console/api/nodes/{NODE}").json
    assert [(link["what"], link.get("reason")) for link in found["links"]] == [
        ("down", "connection lost"),
        ("up", None),
    ]
    assert [drift["changes"] for drift in found["drift"]] == [["a difference"]]
    assert re.fullmatch(r"[0-9T:.-]+Z", found["links"][0]["at"])


def test_a_tenant_sees_of_the_log_what_is_for_it(site: Site) -> None:
    world = World(site.store, APP)
    world.joined(world.create("standup"))
    kinds = {entry["kind"] for entry in logged(site.portal(), limit=200)}
    assert kinds == {"command", "webhook", "state"}
    assert {"event", "sent"} <= {entry["kind"] for entry in logged(site.operator(), limit=200)}
    assert not any("job" in entry or "member_id" in entry for entry in logged(site.portal(), limit=200))


def test_the_log_is_read_page_by_page_without_a_gap_or_a_repeat(site: Site) -> None:
    """Of all partitions: the apps are in different ones."""
    for number in range(30):
        World(site.store, f"app{number % 7}").create(f"room{number}")
    page = site.operator()
    whole = logged(page, limit=200)
    found: list[dict[str, Any]] = []
    before = None
    while True:
        query = {"limit": 7, **({"before": before} if before else {})}
        answer = page.get("/console/api/log", query_string=query).json
        found += answer["entries"]
        before = answer["before"]
        if before is None:
            break
    assert [entry["id"] for entry in found] == [entry["id"] for entry in whole]
    assert len({entry["id"] for entry in found}) == len(found) > 60
    assert [entry["at"] for entry in found] == sorted((entry["at"] for entry in found), reverse=True)


@pytest.mark.parametrize("before", ["p07", "p99-1-1", "p07-1-1-1", "p07--1", "p07-01-0", "x-1-1", f"p07-{2**60}-0"])
def test_a_place_in_the_log_that_nobody_gave(site: Site, before: str) -> None:
    assert site.operator().get("/console/api/log", query_string={"before": before}).status_code == 400


class SlowLog:
    """Holds up whoever looks through the log of `site`, until `go_on`. `looked`: at which partitions' logs, in order."""

    def __init__(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.go_on = Flag(), Flag()
        self.looked: list[str] = []
        self.at_once = self.most_at_once = 0
        self._site = site
        self._read_back = site.store.read_back
        monkeypatch.setattr(site.store, "read_back", self._read)

    def _read(self, stream: str, end: str, *, count: int) -> Any:
        self.looked.append(stream)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.begun.set()
        self.go_on.wait()
        self.at_once -= 1
        return self._read_back(stream, end, count=count)

    def ask(self, app_id: str) -> Any:
        return gevent.spawn(self._site.overview.log, LogFilter(app=app_id), None, 10, as_app=True)


def test_one_looks_through_the_log_at_a_time_and_apps_take_turns(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A portal that asks again and again keeps neither the process nor another app from working."""
    monkeypatch.setattr(overview, "MAX_WAIT", 60.0)
    log = SlowLog(site, monkeypatch)
    own = keys.partition_of(APP)
    other = next(f"app{number}" for number in range(1000) if keys.partition_of(f"app{number}") != own)
    asking = [*(log.ask(APP) for _ in range(5)), log.ask(other)]
    log.begun.wait()
    gevent.sleep(0)
    log.go_on.set()
    gevent.joinall(asking, raise_error=True)
    assert log.most_at_once == 1
    assert log.looked.index(keys.key(keys.partition_of(other), "log")) == 2


def test_who_waits_too_long_for_the_log_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "MAX_WAIT", 0.01)
    log = SlowLog(site, monkeypatch)
    first = log.ask(APP)
    log.begun.wait()
    with pytest.raises(Refused) as refused:
        log.ask(APP).get()
    assert (refused.value.code, refused.value.detail) == ("too_many_log_searches", {})
    # Not the one whose turn it was.
    log.go_on.set()
    assert first.get() == ([], None)
    assert log.ask(APP).get() == ([], None)


# All apps


def test_rooms_and_sessions_of_all_apps_page_by_page(site: Site) -> None:
    rooms = {
        app_id: {World(site.store, app_id).create(f"{app_id}-{number}") for number in range(1)}
        for app_id in (APP, OTHER)
    }
    for app_id in (APP, OTHER):
        world = World(site.store, app_id)
        for number in range(3):
            world.park(number + 10 * (app_id == OTHER))
    page = site.operator()
    for path, key, expected in (("rooms", "rooms", 2), ("sessions", "sessions", 6)):
        found: list[dict[str, Any]] = []
        cursor = None
        while cursor != "":
            query = {"limit": 1, **({"cursor": cursor} if cursor else {})}
            answer = page.get(f"/console/api/{path}", query_string=query).json
            found += answer[key]
            cursor = answer["cursor"]
        assert len(found) == expected
        assert [each["app_id"] for each in found] == sorted(each["app_id"] for each in found)
    assert {room["room_id"] for room in page.get("/console/api/rooms?app=other").json["rooms"]} <= rooms[OTHER]
    assert page.get("/console/api/rooms?name=demo-0").json["rooms"][0]["app_id"] == APP
    assert page.get("/console/api/sessions?state=joined").json["sessions"] == []
    assert page.get("/console/api/rooms?cursor=demo:x").status_code == 400


def test_the_overview_counts_all(site: Site) -> None:
    from controller.registry import Node

    site.registry.put_node(Node(prefix=NODE, esl="127.0.0.1:1", password="x"))
    world = World(site.store, APP)
    world.joined(world.create("standup"))
    world.park(2)
    found = site.operator().get("/console/api/overview").json
    assert found["totals"] == {"apps": 2, "rooms": 1, "members": 1, "sessions": 2}
    assert found["webhooks"]["pending"] == world.store.client.xlen(keys.key(world.tag, "outbox"))
    assert [(node["prefix"], node["state"], node["rooms"], node["calls"]) for node in found["nodes"]] == [
        (NODE, "down", 1, 2)
    ]
    assert set(found["rates"]) == {"events", "commands", "webhooks"}
    (first, _) = site.operator(name="bob").get("/console/api/endpoints").json["endpoints"]
    assert (first["app_id"], first["state"], first["retrying"], first["failed"]) == (APP, "unset", 0, 0)
    assert first["pending_bytes"] > 0


# Passwords


def test_a_comparison_leaves_other_greenlets_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "LOG2_COST", 15)
    site.operators.add(NAME, OPERATE, PASSWORD)
    turns = 0

    def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            gevent.sleep(0.001)

    turning = gevent.spawn(turn)
    assert site.log_in().status_code == 200
    turning.kill()
    assert turns > 10


def test_more_than_so_many_do_not_log_in_at_a_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from gevent.monkey import get_original

    go_on = get_original("threading", "Event")()
    monkeypatch.setattr(passwords, "password_matches", lambda *_: go_on.wait(30))
    checker = passwords.Passwords()
    most = passwords.MAX_AT_ONCE + passwords.MAX_WAITING
    waiting = [gevent.spawn(checker.match, "hash", "password") for _ in range(most)]
    gevent.sleep(0)
    with pytest.raises(Refused) as refused:
        checker.match("hash", "password")
    assert refused.value.code == "too_many_logins"
    go_on.set()
    gevent.joinall(waiting, raise_error=True)
    assert checker.match("hash", "password")


@pytest.mark.parametrize("role", [VIEW, OPERATE])
def test_an_operator_changes_the_own_password(site: Site, role: Any) -> None:
    site.operators.add(NAME, role, PASSWORD)
    page, other = site.page(), site.page()
    for each in (page, other):
        each.csrf = each.post("/console/api/login", {"name": NAME, "password": PASSWORD}).json["csrf"]
    new = "another good password"
    wrong = page.post("/console/api/password", {"password": "not this one at all", "new_password": new})
    assert (wrong.status_code, wrong.headers["X-Error-Code"]) == (403, "wrong_login")
    short = page.post("/console/api/password", {"password": PASSWORD, "new_password": "short"})
    assert short.status_code == 400
    assert short.json["error"] == "Invalid request: new_password must have at least 12 characters"
    changed = page.post("/console/api/password", {"password": PASSWORD, "new_password": new})
    assert (changed.status_code, changed.json["name"], changed.json["role"]) == (200, NAME, role)
    # The session goes on here under another token, and ends everywhere else.
    assert changed.json["csrf"] != page.csrf
    page.csrf = changed.json["csrf"]
    assert page.get("/console/api/overview").status_code == 200
    assert not other.is_in
    assert site.log_in(PASSWORD).status_code == 401
    assert site.log_in(new).status_code == 200
    assert [entry["actor"] for entry in logged(page, type="console.password")] == [f"operator:{NAME}"]


def test_a_password_is_changed_by_its_operator_only(site: Site) -> None:
    change = {"password": PASSWORD, "new_password": "another good password"}
    assert site.page().post("/console/api/password", change).status_code == 401
    assert site.portal().post("/console/api/password", change).status_code == 403
    assert site.operator().post("/console/api/password", change).status_code == 403  # has none: links let it in


def test_attempts_to_change_a_password_are_limited(site: Site) -> None:
    page = site.operator()
    change = {"password": PASSWORD, "new_password": "another good password"}
    assert {page.post("/console/api/password", change).status_code for _ in range(12)} == {403, 429}


@pytest.mark.parametrize("password", ["short", "x" * 257])
def test_passwords_that_nobody_should_have(site: Site, password: str) -> None:
    with pytest.raises(ValueError, match="12 to 256"):
        site.operators.add(NAME, OPERATE, password)


@pytest.mark.parametrize("name", ["", "a b", "<b>", "-a", "a" * 65, "a\n", "operator:x"])
def test_names_that_nobody_has(site: Site, name: str) -> None:
    with pytest.raises(ValueError, match="a name has"):
        site.operators.add(name, OPERATE)


def test_a_name_is_taken_once(site: Site) -> None:
    site.operators.add(NAME, OPERATE)
    with pytest.raises(ValueError, match="already exists"):
        site.operators.add(NAME, VIEW)
    assert [operator.role for operator in site.operators.all()] == [OPERATE]
