"""Mistakes in plain words, and where they stand. No message repeats a value: it may be a secret."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic_core import ErrorDetails

from switchroom.config.lines import Place
from switchroom.config.model import FAULT, Config, fields_of

MAX_SHOWN_KEY = 60

# By pydantic's type of error. Without one of ours, pydantic's own message is shown.
_WORDING = {
    "missing": "is missing",
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "path_type": "must be text in quotes",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "tuple_type": "must be a list",
    "value_error": "{error}",
    FAULT: "{message}",
}


class Origins:
    """Where a value came from: a variable of the environment, else a line of the file."""

    def __init__(self, path: Path | None, lines: Mapping[Place, int], variables: Mapping[Place, str]) -> None:
        self._path = path
        self._lines = lines
        self._variables = variables

    def of(self, place: Place) -> str:
        """The variable or line of `place`, or of the nearest place around it that has one."""
        around = [place[:end] for end in range(len(place), 0, -1)]
        # A variable replaces all that the file says below its place.
        for outer in around:
            if outer in self._variables:
                return self._variables[outer]
        for outer in around:
            if outer in self._lines:
                return f"{self._path}, line {self._lines[outer]}"
        below = (name for inner, name in self._variables.items() if inner[: len(place)] == place)
        return next(below, str(self._path or "configuration"))


def explain(detail: ErrorDetails, origins: Origins) -> str:
    """Where the mistake stands, at which key, what is wrong, and what the key is for."""
    place = _place(detail)
    section = str(place[0])
    known = fields_of(section) if len(place) > 1 else Config.model_fields
    key = next((part for part in reversed(place) if isinstance(part, str)), section)
    if detail["type"] == "extra_forbidden":
        close = difflib.get_close_matches(key, known, 1)
        hint = f'did you mean "{close[0]}"? ' if close else ""
        table = f"[{section}]" if len(place) > 1 else "the configuration"
        return f'{origins.of(place)}: {table} has no key "{_plain(key)}": {hint}it has {", ".join(known)}'
    field = known.get(key) or Config.model_fields.get(section)
    meaning = f" ({field.description})" if field else ""
    label = f"[{section}] {key}" if key != section else f"[{section}]"
    return f"{origins.of(place)}: {label}: {_wording(detail)}{meaning}"


def explain_entry(detail: ErrorDetails) -> str:
    """The same of an entry that stands nowhere: its key and what is wrong."""
    return f"{_place(detail)[0]}: {_wording(detail)}"


def _place(detail: ErrorDetails) -> Place:
    return (*detail["loc"], *detail.get("ctx", {}).get("place", ()))


def _wording(detail: ErrorDetails) -> str:
    template = _WORDING.get(detail["type"])
    return template.format(**detail.get("ctx", {})) if template else detail["msg"]


def _plain(text: str) -> str:
    """A key of the file as it may be shown on a terminal."""
    return re.sub(r"[^ -~]", "?", text)[:MAX_SHOWN_KEY]
