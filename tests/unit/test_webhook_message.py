from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Verifier

from controller.ids import webhook_id
from controller.signing import parse_secret, sign
from controller.webhooks.message import Webhook

# As published in docs/webhooks.md, made with another tool: secret, webhook-id, webhook-timestamp, body, webhook-signature.
VECTORS = [
    (
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p07-1795374235886-0",
        1795374236,
        '{"type":"conference.created","timestamp":"2026-11-22T19:03:55.886Z","data":{"sequence":1}}',
        "v1,tkvKI6aAjuANaWieWidkgvrR3Jp7e22ql4IVEgtaPew=",
    ),
    # Standard Webhooks' own example.
    (
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        '{"test": 2432232314}',
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
]


def hook(**fields: object) -> Webhook:
    values: dict[str, object] = {
        "entry": "1795374235886-0",
        "app_id": "demo",
        "type": "conference.created",
        "ordering_key": "r",
        "at": 1795374235886,
        "data": b'{"sequence":1}',
    }
    return Webhook(**{**values, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(("secret", "message", "timestamp", "body", "signature"), VECTORS)
def test_published_vectors(secret: str, message: str, timestamp: int, body: str, signature: str) -> None:
    assert sign([parse_secret(secret)], message, timestamp, body.encode()) == signature


def test_the_body_is_exactly_this() -> None:
    assert hook().body.decode() == VECTORS[0][3]
    assert webhook_id("{p07}", hook().entry) == VECTORS[0][1]


@given(
    data=st.dictionaries(st.text(), st.text() | st.integers() | st.booleans()),
    at=st.integers(0, 4_000_000_000_000),
)
def test_the_data_goes_out_as_it_came(data: dict[str, object], at: int) -> None:
    raw = json.dumps(data).encode()
    body = hook(data=raw, at=at).body
    assert json.loads(body)["data"] == data
    assert raw in body
    assert body == hook(data=raw, at=at).body


@given(key=st.binary(min_size=1, max_size=64), body=st.text())
def test_what_is_signed_verifies(key: bytes, body: str) -> None:
    import base64
    import time

    secret = "whsec_" + base64.b64encode(key).decode()
    now = int(time.time())
    old = b"an old key that is still honoured"
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(now),
        "webhook-signature": sign([old, parse_secret(secret)], "msg_1", now, body.encode()),
    }
    Verifier(secret).verify(body, headers, json_parse=False)
    Verifier(base64.b64encode(old).decode()).verify(body, headers, json_parse=False)


@pytest.mark.parametrize("secret", ["whsec_AAEC", "AAEC"])
def test_a_secret_with_and_without_its_prefix(secret: str) -> None:
    assert parse_secret(secret) == b"\0\1\2"


def test_padding_may_be_missing() -> None:
    assert parse_secret("whsec_AAE") == b"\0\1"


@pytest.mark.parametrize("secret", ["", "whsec_", "plain text", "whsec_a-b_", "whsec_é", "A", "whsec_AAEC\n"])
def test_no_secret(secret: str) -> None:
    with pytest.raises(ValueError, match="webhook secret") as caught:
        parse_secret(secret)
    assert not secret.removeprefix("whsec_") or secret not in str(caught.value)
