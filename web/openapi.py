"""The API described: for programs as `/openapi.json`, for people as `/docs`. Both are made once, at start."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import orjson
from flask import Response, redirect
from flask_openapi3.openapi import OpenAPI
from jinja2 import Environment
from markupsafe import Markup, escape
from pydantic.json_schema import models_json_schema

from controller.webhooks.samples import example
from controller.webhooks.types import DATA, Data
from web.auth import APP_HEADER, KEY_HEADER
from web.resource import REPLAYED
from web.schemas import IDEMPOTENCY_KEY, IdempotencyHeaders

TITLE = "Switchroom"
VERSION = "1"
DESCRIPTION = (
    "Conference rooms over REST: create rooms, bring call sessions into them, play audio to them. "
    "A 202 means that the command is stored and will be carried out; what came of it arrives as a webhook. "
    "Checks answer in this order: 401, 429 of the application's rate, 400, 404 or 403, 409 of a `command_uid`, "
    "404 of a session in no room, 429 of a cooldown, 503 of a media node, then any other 409. "
    "Every answer carries `X-Request-ID`; send one of your own (`[A-Za-z0-9._-]{1,64}`) to have it returned. "
    "A POST may have an `Idempotency-Key`: sent again within 24 hours, it gets its first answer and does nothing. "
    "`RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset` (s) say what is left of the application's rate."
)


# By the rest of the header's name.
_RATE = {
    "Limit": "How many requests a second the application may send, which may also come at once.",
    "Remaining": "How many of them may come at once now.",
    "Reset": "Seconds until the whole limit may come at once again.",
}


def install(app: OpenAPI) -> None:
    """Must come after all resources are registered: the document describes those."""
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
    # Not strict: that would redirect an empty path to whatever the Host header names.
    app.add_url_rule("/", "root", lambda: redirect("/docs"), strict_slashes=False)


def document(app: OpenAPI) -> dict[str, Any]:
    """The OpenAPI document, corrected where flask-openapi3 says more or less than is true."""
    found: dict[str, Any] = app.api_doc
    found["servers"] = [{"url": "/", "description": "Where this document comes from."}]
    found["webhooks"] = {type_: {"post": _webhook(type_, model)} for type_, model in DATA.items()}
    schemas = found["components"]["schemas"]
    schemas |= _data_schemas()
    for schema in schemas.values():
        _tidy(schema)
    for methods in found["paths"].values():
        for method, operation in methods.items():
            # flask-openapi3 adds a validation error to every operation, also outside the API, which validates nothing.
            if "security" not in operation:
                del operation["responses"]["400"]
            # And it takes every body as required; one without required fields may be left out.
            if body := operation.get("requestBody"):
                name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                body["required"] = bool(schemas[name].get("required"))
            if "security" in operation and method == "post":
                _describe_key(operation)
            for parameter in operation.get("parameters", ()):
                _tidy(parameter["schema"])
            # Made for pages that take HTML in a description.
            operation["description"] = operation.get("description", "").replace("<br/>", " ").strip()
            for status, response in operation["responses"].items():
                headers = response.setdefault("headers", {})
                headers["X-Request-ID"] = {"description": "The request's id.", "schema": {"type": "string"}}
                if "security" in operation and status != "401":
                    headers |= {
                        f"RateLimit-{name}": {"description": meaning, "schema": {"type": "integer"}}
                        for name, meaning in _RATE.items()
                    }
    for content in _contents(found):
        content.setdefault("example", example(content["schema"], schemas))
    return found


def _describe_key(operation: dict[str, Any]) -> None:
    """An operation may have an idempotency key, which its view does not see."""
    schema = {**IdempotencyHeaders.model_json_schema()["properties"][IDEMPOTENCY_KEY]}
    about = {"name": IDEMPOTENCY_KEY, "in": "header", "required": False, "description": schema.pop("description")}
    operation.setdefault("parameters", []).append({**about, "schema": schema})
    for status, response in operation["responses"].items():
        if status < "300":
            meaning = "`true` when the request was carried out before, and this is the answer that it got."
            response.setdefault("headers", {})[REPLAYED] = {"description": meaning, "schema": {"type": "string"}}


def _tidy(schema: dict[str, Any]) -> None:
    """Removes titles, which repeat names, and the defaults None and "" of what may be left out: often they are no value
    that may be sent.
    """
    schema.pop("title", None)
    if "example" in schema:
        schema["examples"] = [schema.pop("example")]
    if schema.get("default", ...) in (None, ""):
        del schema["default"]
    parts = [*schema.get("properties", {}).values(), *schema.get("anyOf", ())]
    for part in [*parts, *(schema[name] for name in ("items",) if name in schema)]:
        _tidy(part)


def _contents(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Bodies of requests, webhooks and responses that have no examples of their own."""
    for item in [*found["paths"].values(), *found["webhooks"].values()]:
        for operation in item.values():
            for body in [operation.get("requestBody", {}), *operation["responses"].values()]:
                for content in body.get("content", {}).values():
                    if "examples" not in content:
                        yield content


# Webhooks

_HEADERS = {
    "webhook-id": "Names the webhook: the same at every attempt.",
    "webhook-timestamp": "When this attempt was made, in seconds since 1970.",
    "webhook-signature": "One signature or several, separated by blanks: `v1,` and the base64 of an HMAC-SHA256.",
}


def _webhook(type_: str, model: type[Data]) -> dict[str, Any]:
    described = {
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"const": type_},
            "timestamp": {"type": "string", "format": "date-time", "examples": ["2026-05-06T12:34:56.789Z"]},
            "data": {"$ref": f"#/components/schemas/{model.__name__}"},
        },
    }
    return {
        "operationId": type_.replace(".", "_"),
        "summary": model.__doc__,
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
            for name, text in _HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": described}}},
        "responses": {
            "2XX": {"description": "You have it: it is not sent again."},
            "410": {"description": "The endpoint is disabled: nothing more is sent."},
            "default": {"description": "It is tried again, for about seven hours."},
        },
    }


def _data_schemas() -> dict[str, Any]:
    models = [(model, "validation") for model in DATA.values()]
    _, found = models_json_schema(models, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    schemas: dict[str, Any] = found["$defs"]
    return schemas


# Examples


def curl(method: str, path: str, operation: dict[str, Any]) -> str:
    """A line to try the operation with, with the examples as its arguments."""
    ids = {
        part["name"]: part["schema"]["examples"][0] for part in operation.get("parameters", ()) if part["in"] == "path"
    }
    words = ["curl", f'"$SWITCHROOM{path.format(**ids)}"']
    if "security" in operation:
        words += [f'-H "{APP_HEADER}: $APP_ID"', f'-H "{KEY_HEADER}: $API_KEY"']
    body = operation.get("requestBody", {"required": False})
    if method not in ("get", "post") or (method == "post" and not body["required"]):
        words.insert(1, f"-X {method.upper()}")
    if body["required"]:
        text = orjson.dumps(body["content"]["application/json"]["example"]).decode()
        words += ['-H "Content-Type: application/json"', f"-d {shlex.quote(text)}"]
    return " ".join(words)


# The page


def page(found: dict[str, Any]) -> str:
    """The document as one HTML page that needs nothing else: no scripts, fonts or styles from anywhere."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"prose": _prose, "json": _json, "form": _form}
    operations = [
        {"path": path, "method": method.upper(), "curl": curl(method, path, operation), **operation}
        for path, methods in found["paths"].items()
        for method, operation in methods.items()
    ]
    webhooks = [
        {"type": type_, "schema": found["components"]["schemas"][model.__name__], **found["webhooks"][type_]["post"]}
        for type_, model in DATA.items()
    ]
    return environment.from_string(_PAGE).render(found=found, operations=operations, webhooks=webhooks)


def _prose(text: str) -> Markup:
    """Text with code between backticks."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 (what it holds was escaped)


def _json(value: Any, lines: bool = True) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 if lines else 0).decode()


def _form(schema: dict[str, Any]) -> str:
    """What a value may be, in a few words."""
    if "anyOf" in schema:
        return " or ".join(map(_form, schema["anyOf"]))
    values = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    return ", ".join(map(str, values)).lower() or str(schema["type"])


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
<p>{{ found.info.description | prose }}</p>
<p>The same for programs: <a href="/openapi.json"><code>/openapi.json</code></a></p>
<h2>Authentication</h2>
<table>
{% for scheme in found.components.securitySchemes.values() %}
<tr><td><code>{{ scheme.name }}</code></td><td>{{ scheme.description }}</td></tr>
{% endfor %}
</table>
<p>Each operation has a line to try it with. Set first:</p>
<pre>SWITCHROOM=http://127.0.0.1:8080 APP_ID=demo API_KEY=...</pre>
{% for tag in found.tags %}
<h2>{{ tag.name }}</h2>
<p>{{ tag.description | prose }}</p>
{% for operation in operations if tag.name in operation.tags %}
<details id="{{ operation.operationId }}">
<summary>
<b>{{ operation.method }}</b><code>{{ operation.path }}</code><span>{{ operation.summary | prose }}</span>
</summary>
<p>{{ operation.description | prose }}</p>
<pre>{{ operation.curl }}</pre>
{% if operation.parameters %}
<table>
<tr><th>Parameter</th><th>In</th><th>Form</th><th></th></tr>
{% for parameter in operation.parameters %}
<tr><td><code>{{ parameter.name }}</code></td><td>{{ parameter.in }}</td>
<td>{{ parameter.schema | form }}</td><td>{{ parameter.description | prose }}</td></tr>
{% endfor %}
</table>
{% endif %}
{% if operation.requestBody %}
{% set body = operation.requestBody.content["application/json"] %}
{% set fields = found.components.schemas[body.schema["$ref"].rpartition("/")[2]].properties %}
{% if fields %}
<table>
<tr><th>Field of the body</th><th></th></tr>
{% for name, field in fields.items() %}
<tr><td><code>{{ name }}</code></td><td>{{ (field.description or "") | prose }}
{% if field.type == "array" %}
<br>{{ field.minItems or 0 }} to {{ field.maxItems }}. {{ (field["items"].description or "") | prose }}
{% endif %}
</td></tr>
{% endfor %}
</table>
{% endif %}
{% endif %}
<table>
<tr><th>Status</th><th></th></tr>
{% for status, response in operation.responses.items() %}
<tr><td>{{ status }}</td><td>{{ response.description }}
{% for content in (response.content or {}).values() %}
{% if content.examples %}
<pre>{% for example in content.examples.values() %}{{ example.value | json(lines=false) }}
{% endfor %}</pre>
{% else %}
<pre>{{ content.example | json }}</pre>
{% endif %}
{% endfor %}
</td></tr>
{% endfor %}
</table>
</details>
{% endfor %}
{% endfor %}
<h2>What webhooks say</h2>
<p>Each is a POST to the webhook endpoint, with these headers:</p>
<table>
{% for header in webhooks[0].parameters %}
<tr><td><code>{{ header.name }}</code></td><td>{{ header.description | prose }}</td></tr>
{% endfor %}
</table>
{% for webhook in webhooks %}
<details id="{{ webhook.type }}">
<summary><code>{{ webhook.type }}</code><span>{{ webhook.summary | prose }}</span></summary>
<pre>{{ webhook.requestBody.content["application/json"].example | json }}</pre>
<table>
<tr><th>Field of <code>data</code></th><th>Form</th><th></th></tr>
{% for name, field in webhook.schema.properties.items() %}
<tr><td><code>{{ name }}</code>{{ "" if name in webhook.schema.required else " (may be absent)" }}</td>
<td>{{ field | form }}</td><td>{{ field.description | prose }}</td></tr>
{% endfor %}
</table>
</details>
{% endfor %}
</body>
</html>
"""
