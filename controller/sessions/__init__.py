"""Sessions: the ids of calls, and what a member of a room can be (muted)."""
