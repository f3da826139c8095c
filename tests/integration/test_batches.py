"""Many commands in one request, on the real store: counted one by one, and each carried out once."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from controller.registry import new_app
from controller.store import keys
from tests.integration.api_process import A_DAY_MS, KEY, Api, Died, Watched, lapse, traces
from tests.integration.world import World
from tests.open_store import OpenStore
from web import batches

ROOMS = "/api/v1/conferences"


def rooms(count: int) -> dict[str, Any]:
    return {"requests": [{"path": ROOMS, "body": {"name": f"room-{number}"}} for number in range(count)]}


def statuses(response: Any) -> list[int]:
    return [each["status"] for each in response.get_json()["results"]]


def names(store: OpenStore) -> set[str]:
    return {name.decode() for name in store.client.hkeys(keys.key(keys.partition_of("demo"), "names", "demo"))}


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is."""
    monkeypatch.setattr(batches, "MAX_SECONDS", 3600.0)
    monkeypatch.setattr(batches, "HOLD_LONG_MS", A_DAY_MS)


def test_many_are_unmuted_by_one_request(api: Api, store: OpenStore) -> None:
    world = World(store)
    room = world.create()
    sessions = [world.joined(room, number) for number in range(1, 31)]
    path = "/api/v1/sessions/{}/commands/conference/unmute"
    response = api.post("/batch", {"requests": [{"path": path.format(each)} for each in sessions]}, key=None)
    assert statuses(response) == [202] * 30
    assert [command["session"] for command in world.sent()] == sessions
    logged = [orjson.loads(fields[b"e"]) for _, fields in store.client.xrange(keys.key(world.tag, "log"))]
    unmuted = [entry["session"] for entry in logged if (entry["kind"], entry["type"]) == ("command", "unmute")]
    assert unmuted == sessions


def test_they_are_counted_one_by_one(api: Api, store: OpenStore) -> None:
    world = World(store)
    api.registry.put_app(new_app("demo", KEY, own_quotas={"requests_per_second": 40}))
    began = world.now()
    # Of the 40 that may come at once 10 have come: 30 are left, and one more with every 25 ms.
    store.client.set(keys.key(world.tag, "rate", "demo"), (began + 10 * 25) * 1000)
    response = api.post("/batch", rooms(100), key=None)
    found = statuses(response)
    assert found[:30] == [201] * 30
    assert set(found) <= {201, 429}
    assert found.count(201) <= 30 + (world.now() - began) / 25 + 1
    assert names(store) == {f"room-{number}" for number, status in enumerate(found) if status == 201}
    assert response.headers["RateLimit-Limit"] == "40"


def test_a_repeated_batch_gets_its_first_answer_and_counts_once(api: Api, store: OpenStore) -> None:
    first = api.post("/batch", rooms(3))
    assert statuses(first) == [201] * 3
    before = traces(store)
    again = api.post("/batch", rooms(3))
    assert again.data == first.data
    assert again.headers["Idempotent-Replayed"] == "true"
    assert traces(store) == before
    assert api.post("/batch", rooms(4)).status_code == 422
    # Its commands are others than those that come alone.
    assert api.post("/conferences", {"name": "room-0"}, key="k-1 0").status_code == 409


# Admitted, claimed, all counted, each of three claimed and carried out, and the answer kept.
STEPS = range(1, 11)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_batch_that_was_cut_off_goes_on_where_it_was(
    step: int, after: bool, api: Api, store: OpenStore, watched: Watched
) -> None:
    watched.at, watched.after = step, after
    with pytest.raises(Died):
        Api(watched).post("/batch", rooms(3))
    done = names(store)
    lapse(store)
    answer = api.post("/batch", rooms(3))
    # Had one been carried out twice, its name would be taken.
    assert statuses(answer) == [201] * 3
    assert done <= names(store) == {"room-0", "room-1", "room-2"}
    created = [kind for kind in World(store).types() if kind == "conference.created"]
    assert len(created) == 3
    assert api.post("/batch", rooms(3)).data == answer.data


def test_two_at_once(watched: Watched, api: Api) -> None:
    found: list[Any] = []
    # After the first command of the first.
    watched.at, watched.happens = 6, lambda: found.append(api.post("/batch", rooms(3)))
    first = Api(watched).post("/batch", rooms(3))
    (second,) = found
    assert statuses(first) == [201] * 3
    assert (second.status_code, second.headers["X-Error-Code"]) == (409, "idempotency_key_in_use")
    assert api.post("/batch", rooms(3)).data == first.data


def test_what_has_not_begun_in_time_is_not_begun(api: Api, store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_SECONDS", 0.0)
    response = api.post("/batch", rooms(3), key=None)
    assert statuses(response) == [503] * 3
    assert not names(store)
