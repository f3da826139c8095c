"""What docs/webhooks.md shows works, and its tables are those of the types."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import BaseModel

from controller.signing import parse_secret, sign
from controller.webhooks.types import DATA, REASONS, Data, PlayResult, RoomData

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


Field = tuple[str, str, str]


def fields_of(model: type[BaseModel]) -> list[tuple[str, bool, Field]]:
    """Each field: its name as documented, whether it is always there, and its row."""
    schema = model.model_json_schema()
    found = []
    for name, part in schema["properties"].items():
        row = (f"`{name}`", form(part), part.get("description", ""))
        found.append((f"`{name}`", name in schema.get("required", ()), row))
    return found


def form(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(map(form, schema["anyOf"]))
    if "items" in schema:
        return "strings" if schema["items"].get("type") == "string" else "objects"
    if "enum" in schema and set(schema["enum"]) <= set(REASONS):
        return "a reason, see below"
    values = schema.get("enum") or [schema[name] for name in ("const",) if name in schema]
    return ", ".join(f"`{json.dumps(value).strip(chr(34))}`" for value in values) or str(schema["type"])


def types_table() -> str:
    lines = ["| Type | Sent when | Fields besides |", "| --- | --- | --- |"]
    for type_, model in DATA.items():
        common = RoomData if issubclass(model, RoomData) else Data
        own = [(name, always) for name, always, _ in fields_of(model) if name.strip("`") not in common.model_fields]
        shown = ", ".join(name if always else f"({name})" for name, always in own)
        lines.append(f"| `{type_}` | {model.__doc__} | {shown} |")
    return "\n".join(lines)


def fields_table() -> str:
    """A field that means something else in a few types has a row more, which names them."""
    rows: dict[Field, list[str]] = {}
    for type_, model in DATA.items():
        for _, _, row in fields_of(model):
            rows.setdefault(row, []).append(f"`{type_}`")
    most = {name: max(len(types) for row, types in rows.items() if row[0] == name) for name, _, _ in rows}
    lines = ["| Field | Form | |", "| --- | --- | --- |"]
    for (name, shape, meaning), types in rows.items():
        of = f" Of {', '.join(types)}." if len(types) < most[name] else ""
        lines.append(f"| {name} | {shape} | {meaning}{of} |")
    lines += [f"| `results[].{row[0].strip('`')}` | {row[1]} | {row[2]} |" for _, _, row in fields_of(PlayResult)]
    return "\n".join(lines)


def reasons_table() -> str:
    """Which types give a reason, by their last words."""
    given: dict[str, list[str]] = {reason: [] for reason in REASONS}
    models: list[tuple[str, type[BaseModel]]] = [*DATA.items(), ("results", PlayResult)]
    for type_, model in models:
        for reason in model.model_json_schema()["properties"].get("reason", {}).get("enum", ()):
            given[reason].append(f"`{type_.removeprefix('conference.')}`")
    lines = ["| `reason` | Of | |", "| --- | --- | --- |"]
    lines += [f"| `{reason}` | {', '.join(given[reason])} | {meaning} |" for reason, meaning in REASONS.items()]
    assert all(given.values())
    return "\n".join(lines)


@pytest.mark.parametrize("table", [types_table(), fields_table(), reasons_table()], ids=["types", "fields", "reasons"])
def test_the_tables_are_those_of_the_types(table: str) -> None:
    assert table in PAGE, f"put this into docs/webhooks.md:\n{table}"


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


def post(receiver: dict[str, Any], number: int, *, secret: str = SECRET, **about: str) -> int:
    body = orjson.dumps({"type": "t", "timestamp": "", "data": {**about, "sequence": number}})
    message, now = f"msg_{sorted(about.items())}-{number}".replace(" ", ""), int(time.time())
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
