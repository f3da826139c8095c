"""Secrets of webhooks, signatures made with them (Standard Webhooks), and hashes of what is configured."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterable

SECRET_PREFIX = "whsec_"  # noqa: S105


def fingerprint(value: str) -> str:
    """A hash of a configured value. What the API set in its place holds while that stays the same."""
    return hashlib.sha256(value.encode()).hexdigest()[:32]


def new_secret() -> str:
    """`whsec_` and 32 random bytes."""
    return SECRET_PREFIX + b64encode(secrets.token_bytes(32)).decode()


def parse_secret(secret: str) -> bytes:
    """The key in a secret: `whsec_` and base64 (or base64 alone, as the Standard Webhooks libraries accept
    it).

    Raises ValueError for anything else, and for an empty key: a raw text is never used as a key, since the
    receiver's library would decode it to other bytes.
    """
    text = secret.removeprefix(SECRET_PREFIX)
    try:
        key = b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise ValueError("the webhook secret is not whsec_ and base64")
    return key


def signed_headers(keys: Iterable[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """What a webhook's request carries besides its body; as for `sign`."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(keys, message_id, timestamp, body),
    }


def sign(keys: Iterable[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """The webhook-signature header: one signature a key, in their order. `timestamp`: seconds, of the
    attempt.
    """
    content = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    return " ".join(f"v1,{b64encode(hmac.digest(key, content, 'sha256')).decode()}" for key in keys)
