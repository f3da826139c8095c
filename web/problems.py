"""What is wrong with a request as it stands, before the controller is asked."""

from __future__ import annotations


class Invalid(Exception):
    """A request of the wrong form. `problems`: what is wrong, by field."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__(problems)
        self.problems = problems


class Unauthenticated(Exception):
    """No app's key came with the request. `wait`: seconds that are left of the delay that earlier ones have caused."""

    def __init__(self, wait: float) -> None:
        super().__init__(wait)
        self.wait = wait


class NotLoggedIn(Exception):
    """No session of the console came with the request, or one that has ended."""


class Forbidden(Exception):
    """Whoever asks by a session of the console may not ask this. The text says why."""
