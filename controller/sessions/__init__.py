"""Sessions: what a member of a room can be (muted)."""
