"""Where webhooks go: the configuration, and over it what the API has set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.ids import parse_webhook_id, webhook_id
from controller.registry import App, new_app
from controller.signing import fingerprint, new_secret, parse_secret
from controller.webhooks.endpoint import Endpoint, matches
from controller.webhooks.types import ONLY_IF_NAMED, TYPES

CONFIGURED = "https://configured.example/"
SET = "https://set.example/"


def app(url: str = CONFIGURED, secret: str = "whsec_AAEC") -> App:
    return new_app("demo", "key", webhook_url=url, webhook_secret=secret)


def was_set(base: str = CONFIGURED, types: str = '["session.*"]', **more: str) -> dict[str, str]:
    return {"url": SET, "types": types, "url_base": fingerprint(base), "generation": "1", **more}


@pytest.mark.parametrize(
    ("pattern", "type_", "expected"),
    [
        ("*", "session.started", True),
        ("session.started", "session.started", True),
        ("session.*", "session.started", True),
        ("conference.*", "conference.play.started", True),
        ("conference.play.*", "conference.play.started", True),
        ("conference.play.*", "conference.played", False),
        ("conference.play.*", "conference.play", False),
        ("conference.play", "conference.play.started", False),
        ("session.start", "session.started", False),
        ("session", "session.started", False),
    ],
)
def test_patterns(pattern: str, type_: str, expected: bool) -> None:
    assert matches(pattern, type_) is expected


def test_what_was_set_holds_until_the_configured_value_changes() -> None:
    assert (Endpoint(app(), {}).url, Endpoint(app(), {}).types) == (CONFIGURED, ("*",))
    assert (Endpoint(app(), was_set()).url, Endpoint(app(), was_set()).types) == (SET, ("session.*",))
    changed = Endpoint(app("https://changed.example/"), was_set())
    assert (changed.url, changed.types) == ("https://changed.example/", ("*",))
    # To nothing is a change too.
    assert Endpoint(app(""), was_set()).url == ""
    assert Endpoint(app(""), was_set(base="")).url == SET


def test_wanted_types() -> None:
    endpoint = Endpoint(app(), was_set(types='["session.*", "conference.created"]'))
    wanted = {type_ for type_ in TYPES if endpoint.wants(type_)}
    assert wanted == {
        "session.recording.started",
        "session.recording.paused",
        "session.recording.resumed",
        "session.recording.stopped",
        "session.recording.available",
        "session.recording.failed",
        "session.dialing",
        "session.ringing",
        "session.answered",
        "session.failed",
        "session.transferred",
        "session.transfer_failed",
        "session.started",
        "session.ended",
        "session.command.failed",
        "session.play.started",
        "session.play.finished",
        "session.play.stopped",
        "session.dtmf.sent",
        "session.digits.collected",
        "conference.created",
    }
    assert {type_ for type_ in TYPES if not Endpoint(app(), {}).wants(type_)} == ONLY_IF_NAMED
    for types, wanted in (
        ('["*"]', False),
        ('["session.*"]', False),
        ('["session.dtmf"]', True),
        ('["*", "session.dtmf"]', True),
    ):
        assert Endpoint(app(), was_set(types=types)).wants("session.dtmf") == wanted


def test_a_rotated_secret_and_the_one_before() -> None:
    rotated = {"secret": "new", "old_secret": "old", "old_until": "5000", "secret_base": fingerprint("whsec_AAEC")}
    assert Endpoint(app(), {}).secrets(0) == ("whsec_AAEC",)
    assert Endpoint(app(), rotated).secrets(4.999) == ("new", "old")
    assert Endpoint(app(), rotated).secrets(5.0) == ("new",)
    assert Endpoint(app(secret="whsec_BBBB"), rotated).secrets(0) == ("whsec_BBBB",)


def test_a_judgement_is_about_one_url_since_it_was_set() -> None:
    judged = {"mark": Endpoint(app(), {}).mark, "failing_since": "1000", "reason": "it answered 500"}
    assert Endpoint(app(), judged).describe(0) == {
        "url": CONFIGURED,
        "types": ["*"],
        "status": "failing",
        "since": 1000,
        "reason": "it answered 500",
        "old_secret_until": None,
    }
    assert not Endpoint(app(), judged).disabled
    disabled = judged | {"disabled_at": "2000"}
    assert Endpoint(app(), disabled).disabled == "it answered 500"
    assert Endpoint(app(), disabled).describe(0)["since"] == 2000
    for endpoint in (
        Endpoint(app("https://other.example/"), disabled),
        Endpoint(app(), disabled | {"generation": "1"}),
    ):
        assert not endpoint.disabled
        assert (endpoint.describe(0)["status"], endpoint.describe(0)["reason"]) == ("active", "")


def test_secrets_that_are_made_are_of_the_right_form_and_differ() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert {len(parse_secret(secret)) for secret in made} == {32}


@given(st.integers(0, 15), st.integers(0, 10**15 - 1), st.integers(0, 10**15 - 1))
def test_an_id_tells_partition_and_entry(partition: int, ms: int, number: int) -> None:
    tag, entry = f"{{p{partition:02d}}}", f"{ms}-{number}"
    assert parse_webhook_id(webhook_id(tag, entry)) == (tag, entry)


@pytest.mark.parametrize(
    "text", ["", "msg_", "msg_p07-1", "msg_p7-1-0", "msg_p07-1-0\n", "msg_p07-1-0-0", "msg_p07-٣-0", "p07-1-0"]
)
def test_other_texts_are_no_ids(text: str) -> None:
    assert parse_webhook_id(text) is None
