"""Passwords of operators: kept as scrypt hashes, which take memory and time to compute, for a guesser above all.

A hash takes 32 MiB and a tenth of a second or more. So it is computed in threads, which leave the event loop alone, and
there are few of them: those who want to log in wait for their turn, and when many wait the next is refused.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

from gevent.threadpool import ThreadPool

from controller.errors import Refused

MIN_LENGTH = 12
MAX_LENGTH = 256
# What OWASP's Password Storage Cheat Sheet takes for scrypt with 32 MiB: N = 2^15, r = 8, p = 3.
LOG2_COST, BLOCK_SIZE, PARALLEL = 15, 8, 3
# How many are computed at a time, and how many more may wait.
MAX_AT_ONCE = 2
MAX_WAITING = 8

_SALT_BYTES = 16
_HASH_BYTES = 32


def hash_password(password: str) -> str:
    """`scrypt$15$8$3$SALT$HASH`: the hash with what it was made with."""
    salt = os.urandom(_SALT_BYTES)
    return _stored(salt, _digest(password, salt, LOG2_COST, BLOCK_SIZE, PARALLEL))


def password_matches(stored: str, password: str) -> bool:
    """Whether `stored` is a hash of the password. Compares in constant time."""
    _, log2_cost, block_size, parallel, salt, digest = stored.split("$")
    found = _digest(password, b64decode(salt), int(log2_cost), int(block_size), int(parallel))
    return hmac.compare_digest(found, b64decode(digest))


def check_password(password: str) -> None:
    """Raises ValueError, in plain words, for one that nobody should have."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise ValueError(f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters")


class Passwords:
    """Makes hashes and compares passwords with them, without holding up other greenlets.

    Every method raises Refused `too_many_logins` when too many wait already.
    """

    def __init__(self) -> None:
        self._threads = ThreadPool(MAX_AT_ONCE)
        self._asked = 0

    def match(self, stored: str, password: str) -> bool:
        """Whether `stored` is a hash of the password; never when it is empty, which shows only in the result."""
        matches: bool = self._compute(password_matches, stored or _nobody(), password)
        return matches and stored != ""

    def hash(self, password: str) -> str:
        hashed: str = self._compute(hash_password, password)
        return hashed

    def _compute(self, function: Callable[..., Any], *args: str) -> Any:
        if self._asked >= MAX_AT_ONCE + MAX_WAITING:
            raise Refused("too_many_logins")
        self._asked += 1
        try:
            return self._threads.apply(function, args)
        finally:
            self._asked -= 1


def _digest(password: str, salt: bytes, log2_cost: int, block_size: int, parallel: int) -> bytes:
    memory = 128 * block_size * (2**log2_cost + parallel + 2)
    return hashlib.scrypt(
        password.encode(), salt=salt, n=2**log2_cost, r=block_size, p=parallel, maxmem=memory, dklen=_HASH_BYTES
    )


def _nobody() -> str:
    """What the password of an unknown operator is compared with, so that it takes as long as a known one's. No password
    is known that has this hash.
    """
    return _stored(os.urandom(_SALT_BYTES), os.urandom(_HASH_BYTES))


def _stored(salt: bytes, digest: bytes) -> str:
    fields = ("scrypt", LOG2_COST, BLOCK_SIZE, PARALLEL, b64encode(salt).decode(), b64encode(digest).decode())
    return "$".join(map(str, fields))
