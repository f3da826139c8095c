"""Reading the configuration: a TOML file, and over it the environment, which can set every key too.

A mistake is refused before anything starts, with the line it stands on and what the key is for.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from switchroom.config.lines import Place, find_lines
from switchroom.config.mistakes import Origins, explain, explain_entry
from switchroom.config.model import DEFAULT_DATA_DIR, Config, Section, fields_of
from switchroom.logs import escaped

DEFAULT_FILE = Path("switchroom.toml")
ENVIRONMENT_PREFIX = "SWITCHROOM_"

S = TypeVar("S", bound=Section)


class ConfigError(Exception):
    """The configuration cannot be used; the text names every mistake, one a line."""


def find(path: Path | None) -> Path | None:
    """The file to read: `path`, else ./switchroom.toml if that is there."""
    return DEFAULT_FILE if path is None and DEFAULT_FILE.is_file() else path


def shown_file(path: Path | None) -> str:
    """Which file was read, for people; `path` as `find` gave it."""
    if path:
        return escaped(str(path.absolute()))
    return escaped(f"no {DEFAULT_FILE} in {Path.cwd()}, and none named by --config or {ENVIRONMENT_PREFIX}CONFIG")


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read `path` as `find` gives it, the environment over it. Raises ConfigError."""
    path = find(path)
    text = _read(path) if path else ""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    _anchor_data_dir(values, path)
    variables = _set_by_environment(values, environ)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        origins = Origins(path, find_lines(text), variables)
        raise ConfigError("\n".join(explain(detail, origins) for detail in error.errors())) from None


def check(model: type[S], values: Mapping[str, Any]) -> S:
    """One entry from elsewhere than a file, held to the same rules. Raises ConfigError."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError("; ".join(map(explain_entry, error.errors()))) from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text") from None


def _anchor_data_dir(values: dict[str, Any], path: Path | None) -> None:
    """A relative data_dir is relative to its file, the default too: the same store from wherever a command is run."""
    store = values.setdefault("store", {})
    if path and isinstance(store, dict):
        data_dir = store.setdefault("data_dir", DEFAULT_DATA_DIR)
        if isinstance(data_dir, str):
            store["data_dir"] = str(path.parent / data_dir)


def _set_by_environment(values: dict[str, Any], environ: Mapping[str, str]) -> dict[Place, str]:
    """Put the variables over the file's values. Returns the variable that set each place.

    A name without `__` that is no section is not ours to judge: orchestrators set some that begin alike.
    """
    variables: dict[Place, str] = {}
    # Sections as a whole first: SWITCHROOM_SERVER='{...}' and then SWITCHROOM_SERVER__LISTEN.
    for name in sorted(environ):
        if not name.startswith(ENVIRONMENT_PREFIX):
            continue
        section, nested, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
        if nested:
            table = values.setdefault(section, {})
            if not isinstance(table, dict):
                raise ConfigError(
                    f"{name}: {section} is a list; set it as a whole, as JSON, in {name.partition('__')[0]}"
                )
            table[key] = _scalar(name, environ[name], fields_of(section).get(key))
            variables[section, key] = name
        elif section in Config.model_fields:
            try:
                values[section] = orjson.loads(environ[name])
            except orjson.JSONDecodeError:
                raise ConfigError(f"{name} is not valid JSON ({Config.model_fields[section].description})") from None
            variables[(section,)] = name
    return variables


def _scalar(name: str, value: str, field: FieldInfo | None) -> Any:
    """A variable is text; a key that wants a whole number or a truth value gets it read as one."""
    if field is None or field.annotation not in (int, bool):
        return value
    try:
        return TypeAdapter(field.annotation).validate_python(value)
    except ValidationError:
        wanted = "a whole number" if field.annotation is int else "true or false"
        raise ConfigError(f"{name}: must be {wanted} ({field.description})") from None
