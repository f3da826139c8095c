"""An Event Socket layer for FreeSWITCH: framing, connection, link, commands. Knows no store and no HTTP."""
