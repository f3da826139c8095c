"""Rooms: which node gets one, and what may be played in it."""
