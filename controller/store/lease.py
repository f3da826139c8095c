"""A lease that this process holds: a node or a partition is its alone, for as long as it renews that in the store."""

from __future__ import annotations

import time


class Lease:
    """`token` goes with every write, so that the store can refuse one of a holder whose lease has lapsed. The store
    lets the lease lapse `seconds` after it was taken or renewed. `asked_at`, monotonic seconds: just before the store
    was asked for it. Counted from there, it ends here no later than in the store.
    """

    def __init__(self, token: int, seconds: float, asked_at: float) -> None:
        self.token = token
        self._seconds = seconds
        self.renewed(asked_at)

    def renewed(self, asked_at: float) -> None:
        self._valid_until = asked_at + self._seconds

    @property
    def is_valid(self) -> bool:
        """Whether nobody else can hold it yet."""
        return time.monotonic() < self._valid_until
