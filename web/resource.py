"""A blueprint whose views receive checked values, and whose OpenAPI entries list every response.

flask-openapi3 reads a view's annotations for the document. Requests are checked here instead: its own check
builds a JSON Schema for every query string, and takes any JSON that Python takes (NaN, a name given twice).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any, TypeVar, cast, get_args, get_type_hints

import orjson
from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from flask_openapi3.types import ResponseDict
from pydantic import BaseModel, ValidationError

from controller.idempotency import new_once
from web import auth, bodies, context, errors
from web.problems import Invalid
from web.schemas import LAST_EVENT_ID, IdempotencyHeaders, Query

# What a view returns: the body, and its status.
Returned = tuple[dict[str, Any], int]
View = TypeVar("View", bound=Callable[..., Returned | Response])

# Tells a response that was given before to a request with the same idempotency key.
REPLAYED = "Idempotent-Replayed"
# For which reasons a request with an idempotency key is refused, whatever it is.
_KEY_REFUSALS = ("idempotency_key_in_use", "idempotency_key_reused", "quota_exceeded", "store_full")

# In place of pydantic's texts, which change between versions. `{}` are the error's own figures.
_PROBLEMS = {
    "missing": "is required",
    "extra_forbidden": "is not a known {kind}: {known}",
    "string_type": "must be a string",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "bool_type": "must be true or false",
    "int_type": "must be an integer",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "too_short": "must not be empty",
    "too_long": "must have at most {max_length} entries",
    "value_error": "{error}",
}
MAX_PROBLEMS = 20
# To check more, one by one, would take long.
_MAX_NAMES = 100
# In all of a body, far above what any request needs. A body that is nothing but empty lists takes a second to parse.
MAX_VALUES = 20_000
_MAX_FIELD_NAME = 64
JSON = "application/json"


class Resource(APIBlueprint):
    """One resource of the API."""

    def __init__(self, name: str, description: str, *, url_prefix: str) -> None:
        super().__init__(
            name,
            __name__,
            url_prefix=url_prefix,
            abp_tags=[Tag(name=name, description=description)],
            abp_security=auth.SECURITY,
        )
        # How large a body may be (bytes), by endpoint.
        self.body_limits: dict[str, int] = {}

    def serves(
        self,
        method: str,
        rule: str,
        *,
        responses: Mapping[int, type[BaseModel] | dict[str, Any]],
        refuses: tuple[str, ...] = (),
        cooldown: str | None = None,
        details: dict[str, dict[str, Any]] | None = None,
        max_bytes: int | None = None,
    ) -> Callable[[View], View]:
        """Register a view. `responses`: its successes by status, each a form of JSON or OpenAPI's own
        description; `refuses`: the controller's reasons for refusing it.

        `cooldown`: the group of its rate limit. `details`: the example's detail, by reason. `max_bytes`: how large a
        body may be, if not as large as its fields can get.
        """

        def register(view: View) -> View:
            hints = get_type_hints(view)
            path, query, body, header = (hints.get(part) for part in ("path", "query", "body", "header"))
            limit = max_bytes or (bodies.largest(body) if body else bodies.SMALL)
            self.body_limits[f"{self.name}.{view.__name__}"] = limit
            reasons = dict.fromkeys((*refuses, *(_KEY_REFUSALS if method == "POST" else ()), "rate_limited"))
            examples = [
                (400, "invalid", errors.invalid(_example_problems(path, query, body, header))),
                (401, "unauthenticated", errors.body(errors.TITLES[401])),
                (413, "too_large", errors.too_large(limit)),
                (429, "failures", errors.body(errors.TITLES[429], {"retry_after_ms": 64_000})),
                (503, "unavailable", errors.body(errors.TITLES[503])),
                *(errors.example(reason, details) for reason in reasons),
            ]
            if cooldown:
                examples.append(errors.cooling_down(cooldown))
            add = {"GET": self.get, "POST": self.post, "PUT": self.put, "PATCH": self.patch, "DELETE": self.delete}[
                method
            ]
            documented: ResponseDict = {str(status): model for status, model in responses.items()}
            add(rule, operation_id=view.__name__, responses=documented | errors.documented(examples))(view)
            return view

        return register

    @staticmethod
    def create_view_func(func: View, *parts: Any, **_options: Any) -> View:
        """The function that flask-openapi3 registers for a view: it reads the view's arguments."""
        header, _cookie, path, query, _form, body, _raw = parts

        @wraps(func)
        def view(**values: Any) -> Returned | Response:
            arguments = read_arguments(values, path, query, body, header)
            _note_key(arguments.get("body"))
            return func(**arguments)

        return cast(View, view)


def read_arguments(
    values: dict[str, Any],
    path: type[BaseModel] | None,
    query: type[BaseModel] | None,
    body: type[BaseModel] | None,
    header: type[BaseModel] | None,
) -> dict[str, BaseModel]:
    """What a view takes of the request, checked. `values`: the parts of the path. Raises Invalid."""
    arguments = {}
    if path:
        arguments["path"] = _check(path, values)
    given = _query()
    if query:
        arguments["query"] = _check(query, given)
    elif given:
        _check(Query, given)
    if body:
        arguments["body"] = _body(body)
    if header:
        arguments["header"] = _check(header, _headers(header))
    return arguments


def _note_key(body: BaseModel | None) -> None:
    """Keeps the idempotency key of a POST with the request. All other methods may be repeated without one. Raises
    Invalid.
    """
    asked = context.current()
    if asked.method != "POST" or "HTTP_IDEMPOTENCY_KEY" not in asked.environ:
        return
    found = cast(IdempotencyHeaders, _check(IdempotencyHeaders, _headers(IdempotencyHeaders)))
    if found.idempotency_key:
        text = orjson.dumps(body and body.model_dump(), option=orjson.OPT_SORT_KEYS)
        asked.environ[context.ONCE] = new_once(found.idempotency_key, asked.path.encode(), text)


def _example_problems(
    path: type[BaseModel] | None,
    query: type[BaseModel] | None,
    body: type[BaseModel] | None,
    header: type[BaseModel] | None,
) -> list[tuple[str, str]]:
    """The problems of a request that such a view refuses: a missing field, or an invalid id, limit or parameter."""
    tries: list[tuple[type[BaseModel] | None, dict[str, Any]]] = [
        (body, {}),
        (path, {"room_id": "weekly-standup", "uuid": "", "webhook_id": ""}),
        (body, {"command_uid": ""}),
        (header, {LAST_EVENT_ID: "1"}),
        (query, {"limit": "0"}),
        (Query, {"page": "2"}),
    ]
    for model, values in tries:
        try:
            if model:
                _check(model, values)
        except Invalid as found:
            return found.problems
    raise AssertionError("an unknown parameter was accepted")


def _check(model: type[BaseModel], values: dict[str, Any]) -> BaseModel:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[:MAX_PROBLEMS]
        kind = "parameter" if issubclass(model, Query) else "field"
        problems = [
            (
                _field(each["loc"]),
                _problem(each["type"], {"kind": kind, **_known(model, each["loc"]), **each.get("ctx", {})}),
            )
            for each in found
        ]
    # Outside of the handler: the chained exception would hold the whole input.
    raise Invalid(problems)


def _known(model: type[BaseModel], place: tuple[int | str, ...]) -> dict[str, str]:
    """What is known where a field is, for its problem."""
    for part in place[:-1]:
        if field := model.model_fields.get(str(part)):
            model = next(_models(field.annotation), model)
    names = ", ".join(field.alias or name for name, field in model.model_fields.items())
    return {"known": f"known are {names}" if names else "there are none"}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Those in an annotation: of `list[A] | None` it is `A`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _field(place: tuple[int | str, ...]) -> str:
    """The field's path, shortened: the client may send a name of any length."""
    return ".".join(map(str, place))[:_MAX_FIELD_NAME] or "body"


def _problem(kind: str, figures: dict[str, Any]) -> str:
    return _PROBLEMS.get(kind, "is invalid").format(**figures)


def _query() -> dict[str, str]:
    asked = context.current()
    if not asked.query_string:
        return {}
    given = asked.args.to_dict(flat=False)
    twice = [(_field((name,)), "must be given once") for name, values in given.items() if len(values) > 1]
    if twice:
        raise Invalid(twice[:MAX_PROBLEMS])
    return {name: values[0] for name, values in given.items()}


def _headers(model: type[BaseModel]) -> dict[str, str]:
    """Those that the model names."""
    names = [field.alias or name for name, field in model.model_fields.items()]
    return {name: value for name in names if (value := request.headers.get(name)) is not None}


def _body(model: type[BaseModel]) -> BaseModel:
    """The body, which must be one JSON object by the strict reading: UTF-8, no NaN, no name twice."""
    # All of it, and no more than may be: the server has read it, and `web.app` has compared its length.
    asked = context.current()
    data: bytes = asked.environ["wsgi.input"].read()
    if not data and not any(field.is_required() for field in model.model_fields.values()):
        return _check(model, {})
    if not data:
        raise Invalid([("body", "is required: a JSON object")])
    if asked.environ.get("CONTENT_TYPE") != JSON != asked.mimetype:
        raise Invalid([("Content-Type", f"must be {JSON}")])
    body = _check(model, _object(data))
    # Parsed again to find names that are given twice: fast for a text that has passed all other checks.
    _find_twice(data.decode())
    return body


def _object(data: bytes) -> dict[str, Any]:
    # Those within strings count as well: this is to be had before any of it is parsed.
    if sum(map(data.count, (b"[", b"{", b","))) > MAX_VALUES:
        raise Invalid([("body", f"must hold at most {MAX_VALUES:,} values")])
    try:
        value = orjson.loads(data.decode())
    except UnicodeDecodeError:
        problem = "must be UTF-8"
    except orjson.JSONDecodeError as error:
        problem = f"is not valid JSON, at line {error.lineno}, column {error.colno}"
    else:
        if isinstance(value, dict) and len(value) <= _MAX_NAMES:
            return value
        problem = f"must be a JSON object with at most {_MAX_NAMES} fields"
    raise Invalid([("body", problem)])


def _once_each(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise Invalid([(_field((name,)), "must be given once")])


# Made once: it takes longer than to read a small body.
_find_twice = json.JSONDecoder(object_pairs_hook=_once_each).decode
