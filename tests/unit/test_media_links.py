"""What makes a link of the relay good, and a question to it."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.media.links import MIN_SECONDS, QUESTION_SECONDS, STEP_SECONDS, Links

NOW = 1_795_648_705.25
LINKS = Links(b"k" * 32)
NAME = "2a97516c354b6884-a512f234dc3c08f70f93a138a4ba0a7e-8000"


def test_a_link_is_good_for_its_file_and_its_time() -> None:
    path, _, query = LINKS.link(NAME, NOW).partition("?")
    name, seconds = LINKS.read_link(path, query, NOW) or ("", 0.0)
    assert name == NAME
    assert MIN_SECONDS <= seconds <= MIN_SECONDS + STEP_SECONDS
    assert LINKS.read_link(path, query, NOW + seconds) == (NAME, 0.0)
    assert LINKS.read_link(path, query, NOW + seconds + 0.01) is None


def test_a_link_stays_the_same_for_a_while_so_that_a_node_need_not_fetch_again() -> None:
    start = NOW // STEP_SECONDS * STEP_SECONDS
    links = {LINKS.link(NAME, start + second) for second in range(STEP_SECONDS)}
    assert len(links) == 1
    assert LINKS.link(NAME, start + STEP_SECONDS) not in links


@pytest.mark.parametrize(
    "change",
    [
        lambda path, query: (path.replace("2a", "2b"), query),
        lambda path, query: (path, query.replace("expires=1", "expires=2")),
        lambda path, query: (path, query[:-1] + ("0" if query[-1] != "0" else "1")),
        lambda path, query: (path, query + "&more=1"),
        lambda path, _query: (path, ""),
        lambda path, query: (path.replace("/audio/", "/audio/../audio/"), query),
        lambda path, query: (path.removesuffix(".wav"), query),
        lambda path, query: (path + "\n", query),
    ],
)
def test_a_link_that_was_changed_is_none(change) -> None:  # type: ignore[no-untyped-def]
    path, _, query = LINKS.link(NAME, NOW).partition("?")
    assert LINKS.read_link(*change(path, query), NOW) is None


def test_a_link_of_another_key_is_none() -> None:
    path, _, query = Links(b"other").link(NAME, NOW).partition("?")
    assert LINKS.read_link(path, query, NOW) is None


@given(path=st.text(), query=st.text())
def test_no_text_is_a_link_by_chance(path: str, query: str) -> None:
    assert LINKS.read_link(path, query, NOW) is None


def test_a_question_is_good_for_its_time() -> None:
    body, signature = LINKS.question({"url": "http://a.example/\u00fc.wav", "rate": 8000}, NOW)
    assert LINKS.read_question(body, signature, NOW) == {"url": "http://a.example/\u00fc.wav", "rate": 8000}
    assert LINKS.read_question(body, signature, NOW + QUESTION_SECONDS - 1) is not None
    assert LINKS.read_question(body, signature, NOW + QUESTION_SECONDS + 1) is None


def test_a_question_that_was_changed_is_none() -> None:
    body, signature = LINKS.question({"rate": 8000}, NOW)
    assert LINKS.read_question(body.replace(b"8000", b"9000"), signature, NOW) is None
    assert LINKS.read_question(body, "", NOW) is None
    assert LINKS.read_question(body, "\u00e9", NOW) is None
    assert LINKS.read_question(orjson.dumps({}), signature, NOW) is None


def test_the_signature_of_a_link_opens_no_question() -> None:
    """Each is signed for its purpose."""
    query = LINKS.link(NAME, NOW).partition("?")[2]
    expires, signature = (part.partition("=")[2] for part in query.split("&"))
    assert LINKS.read_question(f"{NAME}/{expires}".encode(), signature, NOW) is None


RECORDING = "0f8fad5bd9cb469fa16570867728950e"


def test_a_link_of_a_recording_is_good_for_one_method_and_its_time() -> None:
    path, _, query = LINKS.recording_link("PUT", "{p07}", RECORDING, NOW).partition("?")
    assert path == f"/recordings/p07/{RECORDING}.wav"
    assert LINKS.read_recording_link("PUT", path, query, NOW) == ("{p07}", RECORDING)
    assert LINKS.read_recording_link("GET", path, query, NOW) is None
    assert LINKS.read_recording_link("PUT", path, query, NOW + MIN_SECONDS - 1) is not None
    assert LINKS.read_recording_link("PUT", path, query, NOW + MIN_SECONDS + 1) is None
    for changed in (path.replace("p07", "p08"), path.replace("0f", "0e"), path + "/", path.upper(), f"/x{path}"):
        assert LINKS.read_recording_link("PUT", changed, query, NOW) is None
    for changed in (query.replace("expires=1", "expires=2"), query[:-1], query + "0", ""):
        assert LINKS.read_recording_link("PUT", path, changed, NOW) is None
    assert Links(b"other").read_recording_link("PUT", path, query, NOW) is None
    # Neither kind of link is one of the other.
    assert LINKS.read_link(path, query, NOW) is None
    assert LINKS.read_recording_link("GET", *LINKS.link(RECORDING, NOW).split("?"), NOW) is None
