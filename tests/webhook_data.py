"""What a webhook says, held to what is documented of its type."""

from __future__ import annotations

from typing import Any

from controller.webhooks.types import DATA


def check(type_: str, data: dict[str, Any]) -> None:
    """Raises KeyError for an unknown type, ValidationError for a field that is wrong, missing or not documented."""
    DATA[type_].model_validate(data, strict=True, extra="forbid")
