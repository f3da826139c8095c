"""Operators of the console by the command line, and links."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from controller import passwords
from controller.operators import Logins, Operators, Principal
from controller.registry import Registry
from switchroom.config import Config
from tests.integration.conftest import Switchroom
from tests.open_store import opened

PASSWORD = "correct horse battery staple"


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "LOG2_COST", 4)


@contextmanager
def logins(config: Config) -> Iterator[Logins]:
    with opened(config) as store:
        yield Logins(store, Registry(store), hours=1)


def who(config: Config, url: str) -> Principal | None:
    with logins(config) as found:
        opened_link = found.open(url.partition("#link=")[2])
        return opened_link[1] if opened_link else None


def test_the_life_of_an_operator(switchroom: Switchroom, config: Config) -> None:
    added = switchroom("operator", "add", "alice", "--role", "view", input=f"{PASSWORD}\n{PASSWORD}\n")
    assert added.exit_code == 0, added.output
    assert PASSWORD not in added.output
    listed = switchroom("operator", "list", "--json")
    assert json.loads(listed.stdout) == [{"name": "alice", "role": "view", "password": True}]
    with logins(config) as found:
        assert found.log_in("alice", PASSWORD, "192.0.2.1")
    assert switchroom("operator", "role", "alice", "operate").exit_code == 0
    another = "another good password"
    changed = switchroom("operator", "passwd", "alice", env={"SWITCHROOM_OPERATOR_PASSWORD": another})
    assert changed.exit_code == 0, changed.output
    with logins(config) as found:
        assert found.log_in("alice", PASSWORD, "192.0.2.1") is None
        entered = found.log_in("alice", another, "192.0.2.1")
        assert entered
        assert entered[1].role == "operate"
    assert switchroom("operator", "remove", "alice").exit_code == 0
    with opened(config) as store:
        assert Operators(store).all() == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("operator", "passwd", "nobody", "--password", PASSWORD),
        ("operator", "role", "nobody", "view"),
        ("operator", "remove", "nobody"),
        ("console-link", "nobody"),
        ("operator", "add", "alice", "--no-password"),
        ("operator", "add", "a b", "--no-password"),
        ("operator", "add", "bob", "--password", "short"),
        ("operator", "passwd", "alice", "--password", "short"),
        ("app", "portal-link", "nobody"),
    ],
    ids=" ".join,
)
def test_a_mistake_is_one_line(switchroom: Switchroom, arguments: tuple[str, ...]) -> None:
    assert switchroom("operator", "add", "alice", "--no-password").exit_code == 0
    result = switchroom(*arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


def test_a_link_logs_an_operator_in(switchroom: Switchroom, config: Config) -> None:
    switchroom("operator", "add", "alice", "--no-password")
    made = json.loads(switchroom("console-link", "alice", "--json").stdout)
    assert made["url"].startswith("http://127.0.0.1:8080/console/#link=")
    found = who(config, made["url"])
    assert found
    assert (found.kind, found.name) == ("operator", "alice")
    assert who(config, made["url"]) is None


def test_a_link_leads_to_the_portal_where_browsers_reach_it(switchroom: Switchroom, config: Config) -> None:
    switchroom("app", "add", "demo")
    result = switchroom(
        *("app", "portal-link", "demo", "--view", "--expires", "10m", "--json"),
        env={"SWITCHROOM_CONSOLE__URL": "https://rooms.example.com/"},
    )
    made = json.loads(result.stdout)
    assert made["url"].startswith("https://rooms.example.com/console/#link=")
    found = who(config, made["url"])
    assert found
    assert (found.kind, found.app_id, found.role) == ("portal", "demo", "view")


@pytest.mark.parametrize("expires", ["10s", "8d", "1", "x", "-1m"])
def test_a_time_that_no_link_has(switchroom: Switchroom, expires: str) -> None:
    switchroom("app", "add", "demo")
    assert switchroom("app", "portal-link", "demo", "--expires", expires).exit_code == 2
