"""The OpenAPI document is enough for others to make a client of: one generator's works."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.commands import CreateRoom, Join
from tests.unit.web_fakes import APP, HEADERS, KEY, ROOM, SESSION, FakeController, FakeStreams
from web.app import create_app

controller = FakeController()
app = create_app(controller, FakeStreams())


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The package that `openapi-python-client generate` makes."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "openapi.json").write_text(json.dumps(app.test_client().get("/openapi.json").get_json()))
    # The generator knows no sound: a recording is bytes for it.
    (folder / "config.json").write_text(
        json.dumps({"content_type_overrides": {"audio/wav": "application/octet-stream"}})
    )
    beside = Path(sys.executable).parent
    options = ["--fail-on-warning", "--config", "config.json"]
    run = subprocess.run(
        [beside / "openapi-python-client", "generate", "--path", "openapi.json", "--meta", "none", *options],
        cwd=folder,
        env={**os.environ, "PATH": f"{beside}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    (name,) = [path.name for path in folder.iterdir() if path.is_dir() and (path / "client.py").exists()]
    sys.path.insert(0, str(folder))
    yield lambda module: importlib.import_module(f"{name}.{module}")
    sys.path.remove(str(folder))


@pytest.fixture
def client(generated: Any) -> Any:
    made = generated("client").Client(base_url="http://switchroom")
    return made.set_httpx_client(
        httpx.Client(base_url="http://switchroom", headers=HEADERS, transport=httpx.WSGITransport(app))
    )


def test_a_round_trip(generated: Any, client: Any) -> None:
    models = generated("models")
    create = generated("api.conferences.create_room").sync_detailed(
        client=client, body=models.NewRoom(name="weekly-standup")
    )
    assert (create.status_code, create.parsed.room_id) == (201, ROOM)
    join = generated("api.sessions.join").sync(
        SESSION, client=client, body=models.JoinBody(room_id=ROOM, command_uid="j-1")
    )
    assert join.status == "joining"
    listed = generated("api.sessions.list_sessions").sync(client=client, limit=5)
    assert [session.uuid for session in listed.sessions] == [SESSION]
    created, joined = controller.asked[:2]
    assert isinstance(created, CreateRoom)
    assert isinstance(joined, Join)
    assert (created.app_id, created.name, joined.command_uid) == (APP, "weekly-standup", "j-1")


def test_an_error(generated: Any, client: Any) -> None:
    models = generated("models")
    refused = generated("api.conferences.set_volume").sync_detailed(
        ROOM, client=client, body=models.VolumeBody(volume=8)
    )
    assert refused.status_code == 400
    assert refused.parsed.detail.fields[0].field == "volume"
    assert KEY not in repr(refused)
