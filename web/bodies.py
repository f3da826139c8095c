"""How large a body may be: as long as its fields can get, in whatever way JSON writes them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

# Any body may be this large (bytes), so that unknown fields are reported as such and not as too many bytes.
SMALL = 16 * 1024

# A character beyond U+FFFF may come as two escapes, `\ud83d\ude00`.
_CHARACTER = 12
# What a value and its name take besides in a text that is laid out for people: line break, indent, colon, comma.
_LAYOUT = 64


def largest(model: type[BaseModel]) -> int:
    """Bytes of the largest body that `model` allows. Raises KeyError when a field has no bound."""
    schema = model.model_json_schema()
    return max(SMALL, _largest(schema, schema.get("$defs", {})))


def _largest(schema: dict[str, Any], definitions: dict[str, Any]) -> int:
    if "$ref" in schema:
        return _largest(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return max(_largest(choice, definitions) for choice in schema["anyOf"])
    match schema["type"]:
        case "object":
            return sum(
                _CHARACTER * len(name) + _largest(part, definitions) for name, part in schema["properties"].items()
            )
        case "array":
            return int(schema["maxItems"]) * _largest(schema["items"], definitions)
        case "string":
            named = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
            length = max(map(len, named)) if named else int(schema["maxLength"])
            return _CHARACTER * length + _LAYOUT
        case _:
            return _LAYOUT
