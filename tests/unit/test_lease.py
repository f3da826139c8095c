"""A lease ends here no later than in the store."""

from __future__ import annotations

import time

from controller.store.lease import Lease


def test_a_lease_is_valid_for_its_seconds_after_it_was_asked_for() -> None:
    now = time.monotonic()
    assert Lease(7, seconds=60, asked_at=now).is_valid
    assert Lease(7, seconds=60, asked_at=now - 59).is_valid
    assert not Lease(7, seconds=60, asked_at=now - 60).is_valid


def test_a_renewal_counts_from_when_it_was_asked_for() -> None:
    lease = Lease(7, seconds=60, asked_at=time.monotonic() - 61)
    lease.renewed(time.monotonic())
    assert lease.is_valid
    lease.renewed(time.monotonic() - 61)
    assert not lease.is_valid
    assert lease.token == 7
