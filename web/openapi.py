"""The API described: for programs as `/openapi.json`, for people as `/docs`. Both are made once, at start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from flask import Response
from flask_openapi3.openapi import OpenAPI
from jinja2 import Environment

TITLE = "Switchroom"
VERSION = "1"
DESCRIPTION = (
    "Conference rooms over REST: create rooms, bring call sessions into them, play audio to them. "
    "A 202 means that the command is stored and will be carried out; what came of it arrives as a webhook. "
    "Checks answer in this order: 401, 400, 404 or 403, 429, then 409 and 503. "
    "Every answer carries `X-Request-ID`; send one of your own (`[A-Za-z0-9._-]{1,64}`) to have it returned."
)


def install(app: OpenAPI) -> None:
    """After all resources are registered: the document describes what is there by then."""
    found = document(app)
    machine = orjson.dumps(found)
    human = page(found).encode()

    def openapi_json() -> Response:
        return Response(machine, content_type="application/json", headers={"Cache-Control": "max-age=300"})

    def docs() -> Response:
        headers = {
            "Cache-Control": "max-age=300",
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
        }
        return Response(human, content_type="text/html; charset=utf-8", headers=headers)

    app.add_url_rule("/openapi.json", view_func=openapi_json)
    app.add_url_rule("/docs", view_func=docs)


def document(app: OpenAPI) -> dict[str, Any]:
    """The OpenAPI document, put right where flask-openapi3 says more or less than what holds."""
    declared = {(path, method) for path, method, operation in _operations(app) if "400" in operation.responses}
    found: dict[str, Any] = app.api_doc
    schemas = found["components"]["schemas"]
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            # It adds a validation error to every operation, also to those that validate nothing.
            if (path, method) not in declared:
                del operation["responses"]["400"]
            # It takes every body as required; one without required fields may be left out.
            if body := operation.get("requestBody"):
                name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                body["required"] = bool(schemas[name].get("required"))
            # None stands for a parameter that was left out; it is no value of its type.
            for parameter in operation.get("parameters", ()):
                if parameter["schema"].get("default", ...) is None:
                    del parameter["schema"]["default"]
            # Made for pages that take HTML in a description.
            operation["description"] = operation.get("description", "").replace("<br/>", " ").strip()
            _request_id(operation)
    return found


def _operations(app: OpenAPI) -> list[tuple[str, str, Any]]:
    return [
        (path, method, operation)
        for path, item in app.paths.items()
        for method in ("get", "post", "put", "delete")
        if (operation := getattr(item, method))
    ]


def _request_id(operation: dict[str, Any]) -> None:
    for response in operation["responses"].values():
        headers = response.setdefault("headers", {})
        headers["X-Request-ID"] = {"description": "The request's id.", "schema": {"type": "string"}}


def page(found: dict[str, Any]) -> str:
    """The document as one HTML page that needs nothing else: no scripts, fonts or styles from anywhere."""
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(_PAGE)
    operations = [
        {"path": path, "method": method.upper(), **operation}
        for path, methods in found["paths"].items()
        for method, operation in methods.items()
    ]

    def example(described: dict[str, Any]) -> str:
        value = _example(described["content"]["application/json"]["schema"], found["components"]["schemas"])
        return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()

    return template.render(found=found, operations=operations, example=example)


def _example(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """A value of the schema's form, from the examples of its parts."""
    if "$ref" in schema:
        return _example(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    for choices in ("anyOf", "enum"):
        if choices in schema:
            first = schema[choices][0]
            return _example(first, schemas) if choices == "anyOf" else first
    given = next((schema[key] for key in ("example", "const", "default") if schema.get(key) is not None), None)
    if given is not None:
        return given
    by_type: dict[str, Callable[[], Any]] = {
        "object": lambda: {name: _example(part, schemas) for name, part in schema.get("properties", {}).items()},
        "array": lambda: [_example(schema["items"], schemas)],
        "integer": lambda: 0,
        "boolean": lambda: True,
        "string": lambda: "",
    }
    return by_type[schema["type"]]()


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ found.info.title }} API</title>
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 14px/1.4 ui-monospace, monospace; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid #8886; border-radius: 4px; }
details { border: 1px solid #8886; border-radius: 4px; margin: .5rem 0; padding: .5rem .75rem; }
summary { cursor: pointer; }
summary b { display: inline-block; min-width: 4.5rem; }
summary span { opacity: .75; margin-left: 1rem; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; border-bottom: 1px solid #8883; }
td, th { padding: .25rem .75rem .25rem 0; }
</style>
</head>
<body>
<h1>{{ found.info.title }} API</h1>
<p>{{ found.info.description }}</p>
<p>The same for programs: <a href="/openapi.json"><code>/openapi.json</code></a></p>
<h2>Authentication</h2>
<table>
{% for scheme in found.components.securitySchemes.values() %}
<tr><td><code>{{ scheme.name }}</code></td><td>{{ scheme.description }}</td></tr>
{% endfor %}
</table>
{% for tag in found.tags %}
<h2>{{ tag.name }}</h2>
<p>{{ tag.description }}</p>
{% for operation in operations if tag.name in operation.tags %}
<details id="{{ operation.operationId }}">
<summary>
<b>{{ operation.method }}</b><code>{{ operation.path }}</code><span>{{ operation.summary }}</span>
</summary>
<p>{{ operation.description }}</p>
{% if operation.parameters %}
<table>
<tr><th>Parameter</th><th>In</th><th></th></tr>
{% for parameter in operation.parameters %}
<tr><td><code>{{ parameter.name }}</code></td><td>{{ parameter.in }}</td>
<td>{{ parameter.description }}</td></tr>
{% endfor %}
</table>
{% endif %}
{% if operation.requestBody %}
<p>Body{{ "" if operation.requestBody.required else " (may be left out)" }}:</p>
<pre>{{ example(operation.requestBody) }}</pre>
{% endif %}
<table>
<tr><th>Status</th><th></th></tr>
{% for status, response in operation.responses.items() %}
<tr><td>{{ status }}</td><td>{{ response.description }}
{% if status < "300" %}
<pre>{{ example(response) }}</pre>
{% endif %}
</td></tr>
{% endfor %}
</table>
</details>
{% endfor %}
{% endfor %}
</body>
</html>
"""
