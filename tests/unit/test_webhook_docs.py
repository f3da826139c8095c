"""What docs/webhooks.md shows works."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from controller.webhooks.message import parse_secret, sign

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_published_vectors() -> None:
    vectors = re.findall(r"^\| `(msg_\S+)` \| `(\d+)` \| `(\{.*\})` \| `(v1,\S+)` \|$", PAGE, re.MULTILINE)
    assert len(vectors) == 2
    for message, timestamp, body, signature in vectors:
        assert sign([parse_secret(SECRET)], message, int(timestamp), body.encode()) == signature


@pytest.fixture
def receiver() -> dict[str, Any]:
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert code
    handled: list[int] = []
    names: dict[str, Any] = {"__name__": "receiver", "handle": lambda event: handled.append(event["data"])}
    exec(code[1], names)
    return {"client": names["app"].test_client(), "handled": handled}


def post(receiver: dict[str, Any], number: int, *, secret: str = SECRET, **lane: str) -> int:
    body = orjson.dumps({"type": "t", "timestamp": "", "data": {**lane, "sequence": number}})
    message, now = f"msg_{sorted(lane.items())}-{number}".replace(" ", ""), int(time.time())
    headers = {
        "webhook-id": message,
        "webhook-timestamp": str(now),
        "webhook-signature": sign([parse_secret(secret)], message, now, body),
    }
    return int(receiver["client"].post("/hooks", data=body, headers=headers).status_code)


def test_the_receiver_verifies_drops_repeats_and_restores_the_order(receiver: dict[str, Any]) -> None:
    for number in (1, 1, 3, 4, 3, 2, 2, 5):
        assert post(receiver, number, room_id="r", uuid="s") == 204
    for number in (1, 2):
        assert post(receiver, number, uuid="s") == 204
    assert post(receiver, 6, secret="whsec_AAEC", room_id="r") == 401
    assert [d["sequence"] for d in receiver["handled"] if "room_id" in d] == [1, 2, 3, 4, 5]
    assert [d["sequence"] for d in receiver["handled"] if "room_id" not in d] == [1, 2]
