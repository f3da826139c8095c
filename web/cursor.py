"""Opaque pagination cursors: a position, sealed for one app and one listing.

A cursor is signed, so that a client can neither make one up nor carry one over to another listing, and the
position that reaches the store is always one that the store has given.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error

from web.problems import Invalid

_POSITION_BYTES = 8
_SEAL_BYTES = 16
_PROBLEM = ("cursor", "must be the cursor of the page before, asked for with the same parameters")
# 24 bytes are 32 characters of base64 without padding.
_LENGTH = (_POSITION_BYTES + _SEAL_BYTES) * 4 // 3


class Cursors:
    """Processes that serve the same clients share one `key`."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, position: int, *scope: str) -> str:
        """The cursor of `position` in the listing that `scope` names; empty at the end of the listing (0)."""
        if not position:
            return ""
        number = position.to_bytes(_POSITION_BYTES, "big")
        seal = hmac.digest(self._key, b"\0".join([number, *(part.encode() for part in scope)]), "sha256")
        return urlsafe_b64encode(number + seal[:_SEAL_BYTES]).decode()

    def open(self, cursor: str, *scope: str) -> int:
        """The position in `cursor`, 0 for an empty one. Raises Invalid for one that was not sealed for `scope`."""
        if not cursor:
            return 0
        if len(cursor) != _LENGTH or not cursor.isascii():
            raise Invalid([_PROBLEM])
        try:
            position = int.from_bytes(urlsafe_b64decode(cursor)[:_POSITION_BYTES], "big")
        except Base64Error as error:
            raise Invalid([_PROBLEM]) from error
        # Comparing whole cursors also refuses the other spellings that base64 has for the same bytes.
        if not hmac.compare_digest(self.seal(position, *scope), cursor):
            raise Invalid([_PROBLEM])
        return position
