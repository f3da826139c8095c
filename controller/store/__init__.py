"""State lives in Redis only: `keys` says what each key is, one Lua file is one atomic step, `Store` runs them."""
