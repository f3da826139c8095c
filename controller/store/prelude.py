"""What Python knows and Lua needs to know, as the Lua text that begins each script."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from controller.sessions.flags import FLAGS
from controller.store import keys


def prelude() -> str:
    return f"{keys.lua_prelude()}local FLAGS = {_lua(_flags())}\n"


def _flags() -> dict[str, Any]:
    """By name, each with the names of the fields in which a session keeps what is pending of it."""
    return {
        flag.name: {
            **asdict(flag),
            "pending": f"pending_{flag.name}",
            "pending_uid": f"pending_{flag.name}_uid",
            "pending_job": f"pending_{flag.name}_job",
        }
        for flag in FLAGS
    }


def _lua(value: Any) -> str:
    """A table of texts, truth values and further tables."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_lua(inner)}" for name, inner in value.items()) + " }"
    return str(value).lower() if isinstance(value, bool) else f'"{value}"'
