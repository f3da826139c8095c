"""A blueprint whose views receive checked values, and whose OpenAPI entry says every way they can answer.

flask-openapi3 reads a view's annotations for the document. Requests are checked here instead: its own way
builds a JSON Schema for every query string, and takes any JSON that Python takes (NaN, a name given twice).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn, TypeVar, get_type_hints

from flask import request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from flask_openapi3.types import ResponseDict
from pydantic import BaseModel, ValidationError

from web import auth, errors
from web.errors import Invalid
from web.schemas import RoomPath

Answer = tuple[dict[str, Any], int]
View = TypeVar("View", bound=Callable[..., Answer])

# In place of pydantic's texts, which change between versions. `{}` are the error's own figures.
_PROBLEMS = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "string_type": "must be a string",
    "string_unicode": "must be valid Unicode",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "has the wrong form",
    "int_type": "must be an integer",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "value_error": "{error}",
}
_MAX_PROBLEMS = 20
_MAX_FIELD_NAME = 64


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

    def serves(
        self,
        method: str,
        rule: str,
        *,
        answers: dict[int, type[BaseModel]],
        refuses: tuple[str, ...] = (),
    ) -> Callable[[View], View]:
        """Register a view. `answers`: its successes; `refuses`: the controller's reasons that are its own."""

        def register(view: View) -> View:
            hints = get_type_hints(view)
            statuses = [401, 413, 503]
            if "body" in hints or "query" in hints or hints.get("path") is RoomPath:
                statuses.append(400)
            responses: ResponseDict = {str(status): model for status, model in answers.items()}
            responses |= errors.documented(statuses, (*refuses, "rate_limited"))
            add = {"GET": self.get, "POST": self.post, "PUT": self.put, "DELETE": self.delete}[method]
            add(rule, operation_id=view.__name__, responses=responses)(view)
            return view

        return register

    @staticmethod
    def create_view_func(func: Callable[..., Answer], *parts: Any, **_options: Any) -> Callable[..., Answer]:
        """What flask-openapi3 wraps a view in: here, what reads the view's arguments."""
        _header, _cookie, path, query, _form, body, _raw = parts
        readers: list[tuple[str, Callable[[dict[str, Any]], BaseModel]]] = []
        if path:
            readers.append(("path", lambda values: _check(path, values)))
        if query:
            readers.append(("query", lambda _values: _check(query, _query(query))))
        if body:
            optional = not any(field.is_required() for field in body.model_fields.values())
            readers.append(("body", lambda _values: _check(body, _json(optional))))

        @wraps(func)
        def view(**values: Any) -> Answer:
            answer: Answer = func(**{name: read(values) for name, read in readers})
            return answer

        return view


def _check(model: type[BaseModel], values: dict[str, Any]) -> BaseModel:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[:_MAX_PROBLEMS]
        problems = [(_field(each["loc"]), _problem(each["type"], each.get("ctx", {}))) for each in found]
    # Outside of the handler: the chained exception would hold the whole input.
    raise Invalid(problems)


def _field(place: tuple[int | str, ...]) -> str:
    """Where it is. A name of the client's own may be of any length, and one that is no Unicode has no place."""
    return ".".join(str(step) for step in place)[:_MAX_FIELD_NAME] or "body"


def _problem(kind: str, figures: dict[str, Any]) -> str:
    return _PROBLEMS.get(kind, "is invalid").format(**figures)


def _query(model: type[BaseModel]) -> dict[str, str]:
    values = {}
    for name in model.model_fields:
        given = request.args.getlist(name)
        if len(given) > 1:
            raise Invalid([(name, "must be given once")])
        if given:
            values[name] = given[0]
    return values


def _json(optional: bool) -> dict[str, Any]:
    """The body, which must be one JSON object by the strict reading: UTF-8, no NaN, no name twice."""
    data = request.get_data(cache=False)
    if not data and optional:
        return {}
    if request.mimetype != "application/json":
        raise Invalid([("Content-Type", "must be application/json")])
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Invalid([("body", "is not valid JSON")]) from None
    if not isinstance(value, dict):
        raise Invalid([("body", "must be a JSON object")])
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise Invalid([("body", "has a name more than once")])
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
