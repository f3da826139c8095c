"""Who may look at the console, and act in it: operators, who see all apps, and portals, which are cut to one.

How it works: whoever logs in, or opens a link, gets a token of 256 random bits. The store keeps what it stands for
under its hash, so who reads the store can log in as nobody. A session ends when it is idle for too long, when its time
is over, and at a log-out. It also carries a `generation` of what it was begun with: the operator's, which every change
of password or role renews, or the salt of the app's API key. A session of an older generation is found to be none. So
a changed password ends all sessions in one step, without a list of them.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from ipaddress import IPv6Network
from typing import Any, Literal

import orjson

from controller.errors import Refused
from controller.passwords import Passwords, check_password, hash_password
from controller.registry import Registry
from controller.store import keys
from controller.store.store import Store

Role = Literal["view", "operate"]
VIEW: Role = "view"
OPERATE: Role = "operate"
ROLES: tuple[Role, ...] = (VIEW, OPERATE)

CONSOLE = "/console"  # the path of the console

NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
TOKEN = re.compile("[A-Za-z0-9_-]{43}")

# Who acts by the command line, in the event log.
COMMAND_LINE = "cli"

IDLE_SECONDS = 3600
# For how long a link can be opened.
MIN_LINK_SECONDS, USUAL_LINK_SECONDS, MAX_LINK_SECONDS = 60, 3600, 7 * 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """An account. `password`: its hash, empty for one that is logged in by links only."""

    name: str
    role: Role
    password: str = field(default="", repr=False)
    generation: str = field(default_factory=lambda: secrets.token_hex(8), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """On whose behalf a session acts: the operator `name`, or a portal of the app `app_id`."""

    kind: Literal["operator", "portal"]
    role: Role
    name: str = ""
    app_id: str = ""
    generation: str = field(repr=False)

    @property
    def actor(self) -> str:
        """As the event log names it."""
        return f"{self.kind}:{self.app_id or self.name}"

    def may_see(self, app_id: str) -> bool:
        return self.app_id in ("", app_id)


class Operators:
    """The accounts. Every method may raise StoreUnavailable. `make_hash`: of a password."""

    def __init__(self, store: Store, make_hash: Callable[[str], str] = hash_password) -> None:
        self._store = store
        self._make_hash = make_hash

    def all(self) -> list[Operator]:
        """By name."""
        return sorted(map(_operator, self._store.operators()), key=lambda operator: operator.name)

    def get(self, name: str) -> Operator | None:
        found = self._store.operator(name)
        return _operator(found) if found else None

    def add(self, name: str, role: Role, password: str = "") -> None:
        """Without a password it is logged in by links only. Raises ValueError for a name that is taken or none."""
        if not NAME.fullmatch(name):
            raise ValueError("a name has 1 to 64 letters, digits and . _ @ -, and begins with a letter or digit")
        if not self._put(Operator(name=name, role=role, password=self._hashed(password)), is_new=True):
            raise ValueError(f"operator {name} already exists")

    def set_password(self, name: str, password: str) -> Operator | None:
        """Ends the operator's sessions. Returns the operator as changed, None if there is none. Raises ValueError for a
        bad password.
        """
        return self._change(name, password=self._hashed(password))

    def set_role(self, name: str, role: Role) -> Operator | None:
        """Ends the operator's sessions. Returns the operator as changed, None if there is none."""
        return self._change(name, role=role)

    def remove(self, name: str) -> bool:
        """Ends the operator's sessions. Returns whether there was one."""
        return bool(self._store.run("operator", keys.REGISTRY, {"name": name, "is_new": False})["done"])

    def _hashed(self, password: str) -> str:
        if not password:
            return ""
        check_password(password)
        return self._make_hash(password)

    def _change(self, name: str, **changes: Any) -> Operator | None:
        known = self.get(name)
        changed = known and replace(known, generation=secrets.token_hex(8), **changes)
        return changed if changed and self._put(changed, is_new=False) else None

    def _put(self, operator: Operator, *, is_new: bool) -> bool:
        args = {"name": operator.name, "is_new": is_new, "record": orjson.dumps(asdict(operator)).decode()}
        return bool(self._store.run("operator", keys.REGISTRY, args)["done"])


class Logins:
    """Sessions of the console, and the links that begin one. Every method may raise StoreUnavailable.

    `hours`: how long a session lasts. Tokens are opaque texts of the form TOKEN; whoever has one is let in.
    """

    def __init__(self, store: Store, registry: Registry, *, hours: float) -> None:
        self._store = store
        self._registry = registry
        self._total_ms = int(hours * 3_600_000)
        self._passwords = Passwords()
        self._operators = Operators(store, self._passwords.hash)

    def log_in(self, name: str, password: str, address: str) -> tuple[str, Principal] | None:
        """A new session's token; None if there is no such operator or the password is another. Whether there is such
        an operator shows neither in time nor in what the store is asked.

        `address`: the client's. Raises Refused `rate_limited` and `too_many_logins`.
        """
        operator, login = self._known(name, password, address)
        return self._enter("console.login", operator, login)

    def change_password(self, name: str, password: str, new: str, address: str) -> tuple[str, Principal] | None:
        """As `log_in`, and the operator's password is the `new` one from then on, which ends all other sessions. Raises
        also ValueError for a bad one.
        """
        operator, login = self._known(name, password, address)
        changed = operator and self._operators.set_password(name, new)
        return self._enter("console.password", changed, login)

    def open(self, link: str) -> tuple[str, Principal] | None:
        """A new session's token, for that of a link, which is good once; None if it is none any more."""
        return self._begin("console.open", link=_hash(link)) if TOKEN.fullmatch(link) else None

    def find(self, token: str) -> Principal | None:
        """Whose session it is; it stays for another IDLE_SECONDS. None if it has ended."""
        if not TOKEN.fullmatch(token):
            return None
        args = {"session": _hash(token), "idle_ms": IDLE_SECONDS * 1000}
        return _read(self._store.run("console_session", keys.REGISTRY, args))

    def log_out(self, token: str) -> None:
        if TOKEN.fullmatch(token):
            args = {"session": _hash(token), "idle_ms": IDLE_SECONDS * 1000, "ends": True}
            self._store.run("console_session", keys.REGISTRY, args)

    def operator_link(self, name: str, seconds: int) -> str | None:
        """The token of a link that logs an operator in, good for so long; None if there is no such operator. Only
        whoever has the command line may ask for one.
        """
        operator = self._operators.get(name)
        return self._link(_principal(operator), seconds, COMMAND_LINE) if operator else None

    def portal_link(self, app_id: str, role: Role, seconds: int, actor: str) -> str:
        """The token of a link to an app's portal, good for so long. `actor`: who asks for it, if not the app.

        Raises Refused `app_not_found`, `quota_exceeded`.
        """
        app = self._registry.app(app_id)
        if app is None:
            raise Refused("app_not_found")
        principal = Principal(kind="portal", role=role, app_id=app.id, generation=app.key_salt)
        # Operators are not bound by the app's quota.
        limit = None if actor else app.quotas["portal_links"]
        return self._link(principal, seconds, actor, limit)

    def note(self, action: str, actor: str, app_id: str = "", **about: Any) -> None:
        """Write into the event log what was done other than by a command."""
        about = {"app": app_id, **about} if app_id else about
        args = {"action": action, "actor": actor or None, "about": about}
        self._store.run("log_action", keys.partition_of(app_id), args)

    def _link(self, principal: Principal, seconds: int, actor: str, limit: int | None = None) -> str:
        token = _new_token()
        args = {"link": _hash(token), "principal": asdict(principal), "ttl": seconds * 1000, "limit": limit}
        reply = self._store.run("console_link", keys.REGISTRY, args)
        if "refused" in reply:
            raise Refused(reply["refused"], reply["detail"])
        self.note("console.link", actor, principal.app_id, opened_by=principal.actor, role=principal.role)
        return token

    def _known(self, name: str, password: str, address: str) -> tuple[Operator | None, dict[str, str]]:
        """The operator, if it is the password; and the attempt, which counts, as the store knows it."""
        login = {"name": _hash(name), "address": address}
        reply = self._store.run("login_admit", keys.REGISTRY, {**login, "block": _block_around(address)})
        if "refused" in reply:
            raise Refused(reply["refused"], reply["detail"])
        operator = self._operators.get(name)
        matches = self._passwords.match(operator.password if operator else "", password)
        return operator if matches else None, login

    def _enter(self, action: str, operator: Operator | None, login: dict[str, str]) -> tuple[str, Principal] | None:
        """An operator's session, unless the account has changed since; none for nobody."""
        return self._begin(action, principal=asdict(_principal(operator)), login=login) if operator else None

    def _begin(self, action: str, **how: Any) -> tuple[str, Principal] | None:
        token = _new_token()
        args = {"session": _hash(token), "idle_ms": IDLE_SECONDS * 1000, "total_ms": self._total_ms, **how}
        principal = _read(self._store.run("console_begin", keys.REGISTRY, args))
        if principal is None:
            return None
        self.note(action, principal.actor, principal.app_id, role=principal.role)
        return token, principal


def link_url(base: str, token: str) -> str:
    """What to open for the token of a link. `base`: where browsers reach the API. What is behind the `#` they send to
    nobody: so the token is in no log of a server or proxy.
    """
    return f"{base.rstrip('/')}{CONSOLE}/#link={token}"


def _block_around(address: str) -> str | None:
    """The /48 that a network of IPv6 is in, which is what a customer has at most; None for an address of IPv4."""
    return str(IPv6Network(address).supernet(new_prefix=48)) if address.endswith("/64") else None


def _new_token() -> str:
    return secrets.token_urlsafe(32)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _operator(raw: bytes) -> Operator:
    return Operator(**orjson.loads(raw))


def _principal(operator: Operator) -> Principal:
    return Principal(kind="operator", name=operator.name, role=operator.role, generation=operator.generation)


def _read(reply: dict[str, Any]) -> Principal | None:
    found = reply.get("principal")
    if not found:
        return None
    del found["ends"]
    return Principal(**found)
