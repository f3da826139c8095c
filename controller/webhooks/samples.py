"""Examples made from JSON Schema: of each type of webhook, and of what the API takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from controller.webhooks.message import Webhook
from controller.webhooks.types import DATA, TEST


def sample(type_: str) -> dict[str, Any]:
    """The `data` of a webhook as it could be, without what may be absent. Raises KeyError for an unknown type."""
    schema = DATA[type_].model_json_schema()
    found: dict[str, Any] = example(schema, schema.get("$defs", {}))
    return found


def sample_body(type_: str, app_id: str, message_id: str, at: int) -> bytes:
    """The body of a sample, as it is sent. `at`: epoch ms."""
    data = {**sample(type_), "app_id": app_id}
    if type_ == TEST:
        data |= {"uuid": message_id, "sequence": 1}
    return Webhook("", app_id, type_, "", at, orjson.dumps(data)).body


def example(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    """An example of the schema, made from those of its parts, without what may be left out."""
    if "$ref" in schema:
        return example(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    for name in ("examples", "enum"):
        if name in schema:
            return schema[name][0]
    for name in ("const", "default"):
        if name in schema:
            return schema[name]
    if "anyOf" in schema:
        return example(schema["anyOf"][0], definitions)
    by_type: dict[str, Callable[[], Any]] = {
        "object": lambda: {
            name: example(schema["properties"][name], definitions) for name in schema.get("required", ())
        },
        "array": lambda: [example(schema["items"], definitions)],
        "integer": lambda: 0,
        "boolean": lambda: True,
        "string": lambda: "",
    }
    return by_type[schema["type"]]()
