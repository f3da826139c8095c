"""For how long a response is fresh."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.media.origin import DEFAULT_FRESH_SECONDS, MAX_FRESH_SECONDS, fresh_for

NOW = 1_795_374_236.0  # Sun, 22 Nov 2026 19:03:56 GMT
IN_A_MINUTE = "Sun, 22 Nov 2026 19:04:56 GMT"


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({}, DEFAULT_FRESH_SECONDS),
        ({"cache-control": "max-age=60"}, 60),
        ({"cache-control": "Public, MAX-AGE=60"}, 60),
        ({"cache-control": "public,max-age=\"60\""}, 60),
        ({"cache-control": "max-age=60, max-age=90"}, 60),
        ({"cache-control": "max-age=60", "age": "20"}, 40),
        ({"cache-control": "max-age=60", "age": "90"}, 0),
        ({"cache-control": "max-age=60", "age": "new"}, 60),
        ({"cache-control": "max-age=60", "expires": "0"}, 60),
        ({"cache-control": "max-age=0"}, 0),
        ({"cache-control": "max-age=60, no-store"}, 0),
        ({"cache-control": "no-cache"}, 0),
        ({"cache-control": 'no-cache="set-cookie"'}, 0),
        ({"cache-control": "s-maxage=9"}, DEFAULT_FRESH_SECONDS),
        ({"cache-control": "public"}, DEFAULT_FRESH_SECONDS),
        ({"cache-control": "max-age=-1"}, DEFAULT_FRESH_SECONDS),
        ({"cache-control": "max-age=soon"}, DEFAULT_FRESH_SECONDS),
        ({"cache-control": "max-age=" + "9" * 5000}, DEFAULT_FRESH_SECONDS),
        ({"cache-control": "=,,=;\x80"}, DEFAULT_FRESH_SECONDS),
        ({"cache-control": "max-age=31536000"}, MAX_FRESH_SECONDS),
        ({"expires": IN_A_MINUTE}, 60),
        ({"expires": IN_A_MINUTE, "date": "Sun, 22 Nov 2026 19:04:46 GMT"}, 10),
        ({"expires": IN_A_MINUTE, "date": "today"}, 60),
        ({"expires": IN_A_MINUTE, "age": "15"}, 45),
        ({"expires": IN_A_MINUTE, "cache-control": "public"}, 60),
        ({"expires": "Sun, 22 Nov 2020 19:04:56 GMT"}, 0),
        ({"expires": "0"}, 0),
        ({"expires": "-1"}, 0),
        ({"expires": "Sun, 99 Nov 99999 21:04:56 GMT"}, 0),
    ],
)  # fmt: skip
def test_by_its_headers(fields: dict[str, str], seconds: float) -> None:
    assert fresh_for(fields, NOW) == seconds


TEXTS = st.text(st.sampled_from('max-agenostore=,;"0123456789 \x80\xff'), max_size=30)
TIMES = st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Sun", "x", ""]),
    st.integers(-1, 99),
    st.sampled_from(["Nov", "Feb", "13", "x"]),
    st.integers(-1, 99999),
    *[st.integers(-1, 99)] * 3,
    st.sampled_from(["GMT", "-0000", "+2500", "+99999999", "x", ""]),
)


@given(st.dictionaries(st.sampled_from(["cache-control", "expires", "date", "age"]), TEXTS | TIMES))
def test_whatever_they_hold(fields: dict[str, str]) -> None:
    assert 0 <= fresh_for(fields, NOW) <= MAX_FRESH_SECONDS
