"""Every state that the store gives a thing, and what leads from one to another: `{state: {event: state}}`.

Python and the Lua files get the states from here, and nothing else spells them.
"""

from __future__ import annotations

from enum import StrEnum


class DeliveryState(StrEnum):
    PENDING = "pending"  # not attempted
    HELD = "held"  # to be tried again before whatever comes after it in its order
    ASIDE = "aside"  # to be tried again by itself; nothing waits for it
    DELIVERED = "delivered"
    FAILED = "failed"  # not tried again unless the app asks for it
    SKIPPED = "skipped"  # the app does not want it, and the store forgets it
