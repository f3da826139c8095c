"""The configuration: a TOML file, every key of which the environment can set too.

A mistake is refused before anything starts, with the line it stands on and what the key is for. Secrets are
`SecretStr` and no message ever repeats a value, so that nothing leaks into a log or a terminal.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from controller.limits import check_quotas
from controller.registry import App, Node, new_app
from controller.store.store import each_host
from switchroom.logs import escaped

DEFAULT_FILE = Path("switchroom.toml")
DEFAULT_DATA_DIR = "data"
ENVIRONMENT_PREFIX = "SWITCHROOM_"

_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+(%[\w.-]+)?\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"


class ConfigError(Exception):
    """The configuration cannot be used; the text names every mistake, one a line."""


# The forms of values. Each function gives the value back, or says in plain words what is expected.


def _form(pattern: str, expected: str) -> Callable[[str], str]:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(expected)
        return value

    return check


def _address(lowest_port: int, example: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        found = _HOST_PORT.fullmatch(value)
        if not found or not lowest_port <= int(found[3]) <= 65535:
            raise ValueError(f'must be host:port, such as "{example}" or "[::1]:{example.rpartition(":")[2]}"')
        return value

    return check


def _network(value: str) -> str:
    try:
        ip_network(value)
    except ValueError:
        raise ValueError('must be an address or a network, such as "10.0.0.7" or "10.0.0.0/24"') from None
    return value


def _url(schemes: tuple[str, ...]) -> Callable[[str], str]:
    expected = "must be a URL that begins with " + " or ".join(f"{scheme}://" for scheme in schemes)

    def check(value: str) -> str:
        try:
            parts = urlsplit(value)
            parts.port  # noqa: B018 (raises when the port is no number)
        except ValueError:
            raise ValueError(expected) from None
        where = parts.path if parts.scheme == "unix" else parts.hostname
        if parts.scheme not in schemes or not where or re.search(r"[\x00-\x20\x7f]", value):
            raise ValueError(expected)
        return value

    return check


_ONE_STORE = _url(("redis", "rediss", "unix"))


def _store_url(value: str) -> str:
    try:
        urls = each_host(value)
    except ValueError:
        urls = [value]
    for url in urls:
        _ONE_STORE(url)
    return value


def _webhook_secret(value: str) -> str:
    try:
        known = value.startswith("whsec_") and base64.b64decode(value.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        known = False
    if not known:
        raise ValueError('must be "whsec_" and then base64, as `switchroom app add` makes it')
    return value


def _secretly(check: Callable[[str], str]) -> Callable[[SecretStr], SecretStr]:
    def checked(value: SecretStr) -> SecretStr:
        check(value.get_secret_value())
        return value

    return checked


Text = Annotated[str, AfterValidator(_form(r"[^\x00-\x1f\x7f]+", "must be text without control characters"))]
AppId = Annotated[
    str, AfterValidator(_form(_NAME, "must be 1 to 64 letters, digits, - and _, a letter or digit first"))
]
Prefix = Annotated[str, AfterValidator(_form("[A-Za-z0-9]{5}", "must be exactly 5 letters and digits"))]
Did = Annotated[str, AfterValidator(_form(r"\+?[A-Za-z0-9*#._-]{1,64}", "must be a number as it is dialled"))]
Listen = Annotated[str, AfterValidator(_address(0, "127.0.0.1:8080"))]
Esl = Annotated[str, AfterValidator(_address(1, "127.0.0.1:8021"))]
Sip = Annotated[str, AfterValidator(_address(1, "127.0.0.1:5060"))]
WebhookUrl = Annotated[str, AfterValidator(_url(("http", "https")))]
Profile = Annotated[str, AfterValidator(_form(_NAME, "must be the name of a conference profile"))]
Password = Annotated[SecretStr, AfterValidator(_secretly(_form(r"[^\x00-\x1f\x7f]+", "must not be empty")))]
ApiKey = Annotated[
    SecretStr,
    AfterValidator(_secretly(_form(r"[\x21-\x7e]{16,256}", "must be 16 to 256 ASCII characters without spaces"))),
]
Network = Annotated[str, AfterValidator(_network)]
WebhookSecret = Annotated[SecretStr, AfterValidator(_secretly(_webhook_secret))]
StoreUrl = Annotated[SecretStr, AfterValidator(_secretly(_store_url))]


def _quotas(own: dict[str, int]) -> dict[str, int]:
    check_quotas(own)
    return own


Quotas = Annotated[dict[str, int], AfterValidator(_quotas)]


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", hide_input_in_errors=True)


S = TypeVar("S", bound=_Section)


class ServerConfig(_Section):
    listen: Listen = Field(default="127.0.0.1:8080", description="the address on which the REST API listens")
    connections: int = Field(
        default=1000, ge=10, le=100_000, description="how many connections the REST API holds at a time"
    )
    connections_per_address: int = Field(
        default=250, ge=1, le=100_000, description="how many of them one address may have, and one /64 of IPv6"
    )
    trusted_proxies: tuple[Network, ...] = Field(
        default=(),
        strict=False,
        description="the proxies in front of the REST API, whose X-Forwarded-For tells the client's address",
    )


class StoreConfig(_Section):
    url: StoreUrl | None = Field(
        default=None, description="the Redis or Valkey to use; absent, one is embedded and kept in data_dir"
    )
    data_dir: Path = Field(default=Path(DEFAULT_DATA_DIR), strict=False, description="the folder of the embedded store")
    max_memory_mb: int = Field(
        default=1024, ge=128, le=1 << 20, description="how much memory the embedded store may use for data, in MiB"
    )
    cluster: bool = Field(
        default=False, description="whether url is of a Redis Cluster; it may name several nodes, with commas between"
    )

    @property
    def shown_url(self) -> str:
        """Where the store is, without its password."""
        if self.url is None:
            return f"embedded in {self.data_dir.absolute()}"
        parts = urlsplit(self.url.get_secret_value())
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


class NodeConfig(_Section):
    prefix: Prefix = Field(description="the node's own 5 letters and digits, with which its room ids begin")
    esl: Esl = Field(description="host:port of the node's Event Socket")
    password: Password = Field(description="the password of its Event Socket")
    sip: Sip | None = Field(default=None, description="host:port for SIP between nodes; not used yet")
    profile: Profile = Field(default="default", description="the conference profile that rooms use")

    def to_node(self, source: str) -> Node:
        return Node(
            prefix=self.prefix,
            esl=self.esl,
            password=self.password.get_secret_value(),
            sip=self.sip or "",
            profile=self.profile,
            source=source,
        )


class AppConfig(_Section):
    id: AppId = Field(description="what the app sends as X-App-ID")
    api_key: ApiKey = Field(description="what the app sends as X-API-Key")
    webhook_url: WebhookUrl | None = Field(
        default=None, description="where the app's webhooks go; absent, none are sent"
    )
    webhook_secret: WebhookSecret | None = Field(
        default=None, description="what the app's webhooks are signed with; absent, one is made at the first start"
    )
    dids: tuple[Did, ...] = Field(default=(), strict=False, description="the numbers whose calls belong to the app")
    quotas: Quotas = Field(default={}, description="how much it may have at a time, other than the defaults")

    def to_app(self, source: str, old: App | None = None) -> App:
        """`old`: the app as it is stored, whose key keeps its salt, and whose secret stays when none is given."""
        key = self.api_key.get_secret_value()
        given = self.webhook_secret.get_secret_value() if self.webhook_secret else ""
        app = new_app(
            self.id,
            key,
            webhook_url=self.webhook_url or "",
            webhook_secret=given or (old.webhook_secret if old else ""),
            dids=self.dids,
            own_quotas=self.quotas,
            source=source,
        )
        if old and old.key_matches(key):
            return replace(app, key_salt=old.key_salt, key_hash=old.key_hash)
        return app


class WebhooksConfig(_Section):
    allow_private_networks: bool = Field(
        default=False, description="whether webhooks may go to loopback and private addresses"
    )


class PlaybackConfig(_Section):
    allow_private_networks: bool = Field(
        default=False, description="whether audio may be fetched from loopback and private addresses"
    )


class LimitsConfig(_Section):
    requests_per_second: int = Field(
        default=100, ge=1, le=100_000, description="how many requests an app may send a second"
    )


class WorkerConfig(_Section):
    audit_seconds: float = Field(
        default=30.0, ge=1, le=3600, strict=False, description="how often each node is compared with the store"
    )


class MetricsConfig(_Section):
    listen: Listen | None = Field(
        default=None, description="the address on which the process shows its metrics; absent, it shows none"
    )


def _unique(what: str, key: str, values: Callable[[Any], Iterable[str]]) -> Callable[[Any], Any]:
    def check(entries: Any) -> Any:
        seen: set[str] = set()
        for index, entry in enumerate(entries):
            for value in values(entry):
                if value in seen:
                    raise _fault(f"{what} {value} is there already", index, key)
                seen.add(value)
        return entries

    return check


class Config(_Section):
    """The whole configuration, checked. Build it with `load`."""

    server: ServerConfig = Field(default=ServerConfig(), description="the REST API")
    store: StoreConfig = Field(default=StoreConfig(), description="where everything is kept")
    nodes: Annotated[tuple[NodeConfig, ...], AfterValidator(_unique("node", "prefix", lambda node: [node.prefix]))] = (
        Field(default=(), strict=False, description="the FreeSWITCH instances")
    )
    apps: Annotated[
        tuple[AppConfig, ...],
        AfterValidator(_unique("app", "id", lambda app: [app.id])),
        AfterValidator(_unique("number", "dids", lambda app: app.dids)),
    ] = Field(default=(), strict=False, description="the tenants")
    webhooks: WebhooksConfig = Field(default=WebhooksConfig(), description="how webhooks are delivered")
    playback: PlaybackConfig = Field(default=PlaybackConfig(), description="how audio is played")
    limits: LimitsConfig = Field(default=LimitsConfig(), description="how much an app may do")
    worker: WorkerConfig = Field(default=WorkerConfig(), description="how the nodes are looked after")
    metrics: MetricsConfig = Field(default=MetricsConfig(), description="what a process tells of itself to Prometheus")

    def model_post_init(self, _context: Any, /) -> None:
        url = self.store.url
        if self.store.cluster and not url:
            raise _fault("needs a url: the embedded store is no cluster", "store", "cluster")
        if url and not self.store.cluster and len(each_host(url.get_secret_value())) > 1:
            raise _fault("several hosts are a cluster's: set cluster = true", "store", "url")

    def to_nodes(self) -> list[Node]:
        return [node.to_node("file") for node in self.nodes]

    def to_apps(self, known: Iterable[App] = ()) -> list[App]:
        """The file's apps. What `known` has already stays as it is: a key's salt, a secret that was made."""
        stored = {app.id: app for app in known}
        return [app.to_app("file", stored.get(app.id)) for app in self.apps]


def find(path: Path | None) -> Path | None:
    """The file to read: `path`, else ./switchroom.toml if that is there."""
    return DEFAULT_FILE if path is None and DEFAULT_FILE.is_file() else path


def shown_file(path: Path | None) -> str:
    """Which file was read, for people; `path` as `find` gave it."""
    if path:
        return escaped(str(path.absolute()))
    return escaped(f"no {DEFAULT_FILE} in {Path.cwd()}, and none named by --config or {ENVIRONMENT_PREFIX}CONFIG")


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read `path` as `find` gives it, the environment over it. Raises ConfigError."""
    path = find(path)
    text = _read(path) if path else ""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    _anchor_data_dir(values, path)
    variables = _overlay(values, environ)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        where = _Where(path, find_lines(text), variables)
        raise ConfigError("\n".join(_explain(detail, where) for detail in error.errors())) from None


def check(model: type[S], values: Mapping[str, Any]) -> S:
    """One entry from elsewhere than a file, held to the same rules. Raises ConfigError."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError("; ".join(map(_explain_entry, error.errors()))) from None


def fields_of(section: str) -> dict[str, FieldInfo]:
    """The keys of a section, or of one entry if it is a list. Empty when there is no such section."""
    field = Config.model_fields.get(section)
    if field is None:
        return {}
    models = [field.annotation, *getattr(field.annotation, "__args__", ())]
    model = next(model for model in models if isinstance(model, type) and issubclass(model, BaseModel))
    return model.model_fields


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text") from None


def _anchor_data_dir(values: dict[str, Any], path: Path | None) -> None:
    """A relative data_dir is relative to its file, the default too: the same store from wherever a command is run."""
    store = values.setdefault("store", {})
    if path and isinstance(store, dict):
        data_dir = store.setdefault("data_dir", DEFAULT_DATA_DIR)
        if isinstance(data_dir, str):
            store["data_dir"] = str(path.parent / data_dir)


# The environment


def _overlay(values: dict[str, Any], environ: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """Put the variables over the file's values. -> the variable that set each place.

    A name without `__` that is no section is not ours to judge: orchestrators set some that begin alike.
    """
    variables: dict[tuple[str, ...], str] = {}
    # Sections as a whole first: SWITCHROOM_SERVER='{...}' and then SWITCHROOM_SERVER__LISTEN.
    for name in sorted(environ):
        if not name.startswith(ENVIRONMENT_PREFIX):
            continue
        section, nested, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
        if nested:
            table = values.setdefault(section, {})
            if not isinstance(table, dict):
                raise ConfigError(
                    f"{name}: {section} is a list; set it as a whole, as JSON, in {name.partition('__')[0]}"
                )
            table[key] = _scalar(name, environ[name], fields_of(section).get(key))
            variables[section, key] = name
        elif section in Config.model_fields:
            try:
                values[section] = orjson.loads(environ[name])
            except orjson.JSONDecodeError:
                raise ConfigError(f"{name} is not valid JSON ({Config.model_fields[section].description})") from None
            variables[(section,)] = name
    return variables


def _scalar(name: str, value: str, field: FieldInfo | None) -> Any:
    """A variable is text; a key that wants a number or a truth value gets it read as one."""
    if field is None or field.annotation not in (int, bool):
        return value
    try:
        return TypeAdapter(field.annotation).validate_python(value)
    except ValidationError:
        wanted = "a whole number" if field.annotation is int else "true or false"
        raise ConfigError(f"{name}: must be {wanted} ({field.description})") from None


# Mistakes, in plain words and with their line

Location = tuple[str | int, ...]

_WORDS: dict[str, str] = {
    "missing": "is missing",
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "path_type": "must be text in quotes",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "tuple_type": "must be a list",
    "value_error": "{error}",
    "fault": "{message}",
}


def _fault(message: str, *place: str | int) -> PydanticCustomError:
    """A mistake at a place below the one being checked."""
    return PydanticCustomError("fault", "{message}", {"message": message, "place": place})


class _Where:
    """Where a value came from: a variable, else a line of the file."""

    def __init__(self, path: Path | None, lines: dict[Location, int], variables: Mapping[tuple[str, ...], str]) -> None:
        self._path = path
        self._lines = lines
        self._variables: Mapping[Location, str] = {tuple(place): name for place, name in variables.items()}

    def __call__(self, place: Location) -> str:
        ends = range(len(place), 0, -1)
        # A variable replaces all that the file says below its place.
        for end in ends:
            if place[:end] in self._variables:
                return self._variables[place[:end]]
        for end in ends:
            if place[:end] in self._lines:
                return f"{self._path}, line {self._lines[place[:end]]}"
        below = (name for set_place, name in self._variables.items() if set_place[: len(place)] == place)
        return next(below, str(self._path or "configuration"))


def _explain(detail: ErrorDetails, where: _Where) -> str:
    context: dict[str, Any] = detail.get("ctx", {})
    place: Location = (*detail["loc"], *context.get("place", ()))
    section = str(place[0])
    known = fields_of(section) if len(place) > 1 else Config.model_fields
    key = next((part for part in reversed(place) if isinstance(part, str)), section)
    if detail["type"] == "extra_forbidden":
        close = difflib.get_close_matches(key, known, 1)
        hint = f'did you mean "{close[0]}"? ' if close else ""
        there = f"[{section}]" if len(place) > 1 else "the configuration"
        return f'{where(place)}: {there} has no key "{_plain(key)}": {hint}it has {", ".join(known)}'
    field = known.get(key) or Config.model_fields.get(section)
    meaning = f" ({field.description})" if field else ""
    label = f"[{section}] {key}" if key != section else f"[{section}]"
    return f"{where(place)}: {label}: {_words(detail)}{meaning}"


def _explain_entry(detail: ErrorDetails) -> str:
    place = (*detail["loc"], *detail.get("ctx", {}).get("place", ()))
    return f"{place[0]}: {_words(detail)}"


def _words(detail: ErrorDetails) -> str:
    template = _WORDS.get(detail["type"])
    return template.format(**detail.get("ctx", {})) if template else detail["msg"]


def _plain(text: str) -> str:
    """A key of the file as it may be shown on a terminal."""
    return re.sub(r"[^ -~]", "?", text)[:60]


_TABLE = re.compile(r"\s*(\[\[|\[)\s*([^\]]+?)\s*\]")
_PART = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_KEY = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")


def find_lines(text: str) -> dict[Location, int]:
    """The line on which each table and key of a TOML text begins: ("nodes", 0, "esl") -> 7."""
    lines: dict[Location, int] = {}
    counts: dict[Location, int] = {}
    table: Location = ()
    for number, line in _outside_long_strings(text):
        if found := _TABLE.match(line):
            table = _parts(found[2])
            if found[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            lines.setdefault(table, number)
        elif found := _KEY.match(line):
            place = (*table, *_parts(found[1]))
            for end in range(len(table) + 1, len(place) + 1):
                lines.setdefault(place[:end], number)
    return lines


def _parts(dotted: str) -> Location:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _outside_long_strings(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines, but none that begins inside a multi-line string."""
    closing = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if not closing:
            yield number, line
        for quotes in re.findall(r'"""|\'\'\'', line):
            closing = ("" if quotes == closing else closing) if closing else quotes
