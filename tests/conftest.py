"""How Hypothesis runs in all tests. `--hypothesis-profile search` looks for what has not been tried yet."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# How long an example takes, and how long it takes to make one, says how busy the machine is.
_NO_CLOCK = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", _NO_CLOCK)
# The same examples at each run: whether a change is good must not depend on luck.
settings.register_profile("same", _NO_CLOCK, derandomize=True)
settings.load_profile("same")
