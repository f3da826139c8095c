"""Is everything there that a room needs, and what is to be done about what is not."""
