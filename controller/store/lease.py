"""A lease: while a process renews it in the store, no other process holds its node or partition."""

from __future__ import annotations

import time

# A node or partition is taken over this long after its holder renewed its lease last, and a moment.
LEASE_SECONDS = 3.0


class Lease:
    """`token` goes with every write, so that the store can refuse a holder whose lease has lapsed. In the store it
    lapses `seconds` after it was taken or renewed. Here it is counted from `asked_at` (monotonic seconds), just before
    the store was asked, so it ends here no later than there.
    """

    def __init__(self, token: int, seconds: float, asked_at: float) -> None:
        self.token = token
        self._seconds = seconds
        self.renewed(asked_at)

    def renewed(self, asked_at: float) -> None:
        self._valid_until = asked_at + self._seconds

    @property
    def is_valid(self) -> bool:
        """Whether no other process can hold it yet."""
        return time.monotonic() < self._valid_until
