"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass

# What was seen, and what to do about it ("" when nothing).
Verdict = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. `advice` says what to do and is empty when all is well."""

    subject: str
    check: str
    detail: str
    advice: str = ""

    @property
    def ok(self) -> bool:
        return not self.advice
