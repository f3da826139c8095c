"""Every state that the store gives a thing, and what leads from one to another: `{state: {event: state}}`.

Python and the Lua files get the states from here, and nothing else spells them.
"""

from __future__ import annotations
