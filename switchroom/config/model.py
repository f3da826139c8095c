"""What there is to set: the sections and keys, their defaults, bounds and meaning.

Secrets are `SecretStr`, so that none shows in a log or on a terminal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from controller.limits import MAX_RATE, MEBIBYTE
from controller.registry import BRIDGE_PORT, App, Dialing, Gateway, Node, new_app
from controller.store.store import each_host
from esl.commands import LEG_PROFILE
from switchroom.config.forms import (
    ApiKey,
    AppId,
    Bridge,
    Destination,
    DialPrefix,
    Did,
    Esl,
    GatewayName,
    HoldMusic,
    Listen,
    Network,
    Number,
    Password,
    Prefix,
    Profile,
    Quotas,
    Region,
    Sip,
    SipHost,
    SipPassword,
    SipProfile,
    SipUser,
    StoreUrl,
    WebhookSecret,
    WebhookUrl,
)

DEFAULT_DATA_DIR = "data"
# Of what is decoded, at most: 16 bits, and no room of FreeSWITCH is mixed at more than 48 kHz (mod_conference.c).
DECODED_BYTES_PER_SECOND = 2 * 48_000
FAULT = "fault"  # the type of an error that is found here and not by pydantic


class Section(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", hide_input_in_errors=True)


class ServerConfig(Section):
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


class StoreConfig(Section):
    url: StoreUrl | None = Field(
        default=None, description="the Redis or Valkey to use; absent, one is embedded and kept in data_dir"
    )
    data_dir: Path = Field(
        default=Path(DEFAULT_DATA_DIR),
        strict=False,
        description="the folder of the embedded store, of the relay's cache, and of recordings",
    )
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


class NodeConfig(Section):
    prefix: Prefix = Field(description="the node's own 5 letters and digits, with which its room ids begin")
    esl: Esl = Field(description="host:port of the node's Event Socket")
    password: Password = Field(description="the password of its Event Socket")
    sip: Sip | None = Field(default=None, description="host:port where it takes calls; only shown by `node list`")
    bridge: Bridge | None = Field(
        default=None,
        description="host:port under which other nodes reach its SIP profile `bridge`;"
        f" absent, port {BRIDGE_PORT} of the host of esl",
    )
    profile: Profile = Field(default="default", description="the conference profile that rooms use")
    weight: int = Field(
        default=1, ge=1, le=100, description="its share of new rooms: one of weight 2 gets twice as many as one of 1"
    )
    capacity: int = Field(
        default=0, ge=0, le=100_000, description="with so many calls it is full and gets no new rooms; 0: never"
    )
    region: Region | None = Field(
        default=None, description="a label; a room prefers nodes of the region of its callers"
    )
    hold_music: HoldMusic | None = Field(
        default=None,
        description="what members hear on hold, when the app names no music: the path of a file on the node, heard"
        " 20 times over, or a stream of its mod_local_stream without end, as in `local_stream://moh`; absent, nothing",
    )

    def to_node(self, source: str) -> Node:
        return Node(
            prefix=self.prefix,
            esl=self.esl,
            password=self.password.get_secret_value(),
            sip=self.sip or "",
            bridge=self.bridge or "",
            profile=self.profile,
            weight=self.weight,
            capacity=self.capacity,
            region=self.region or "",
            hold_music=self.hold_music or "",
            source=source,
        )


class GatewayConfig(Section):
    name: GatewayName = Field(description="what apps' entries call it")
    host: SipHost = Field(description="where its SIP is: a name or an IPv4 address, or host:port")
    prefix: DialPrefix = Field(default="", description="what goes before each number")
    username: SipUser | None = Field(
        default=None, description="as whom calls authenticate; absent, the gateway knows the nodes by their addresses"
    )
    password: SipPassword | None = Field(default=None, description="the password of username")
    transport: Literal["udp", "tcp", "tls"] = Field(default="udp", description="how it is reached")
    profile: SipProfile = Field(default="public", description="the SIP profile of the nodes from which it is called")

    def model_post_init(self, _context: Any, /) -> None:
        if (self.username is None) != (self.password is None):
            raise _fault_at(("password",), "goes together with username")
        if self.profile == LEG_PROFILE:
            raise _fault_at(
                ("profile",),
                f"{LEG_PROFILE} is the profile of calls between nodes, and takes no other; name another one",
            )

    def to_gateway(self) -> Gateway:
        return Gateway(
            name=self.name,
            host=self.host,
            prefix=self.prefix,
            username=self.username or "",
            password=self.password.get_secret_value() if self.password else "",
            transport=self.transport,
            profile=self.profile,
        )


class DialConfig(Section):
    gateway: GatewayName = Field(description="the name of the gateway by which its calls go")
    destinations: tuple[Destination, ...] = Field(
        default=(),
        strict=False,
        description="what it may call: numbers, SIP URIs, and beginnings of numbers, or of the users of a host, with *",
    )
    caller_ids: tuple[Number, ...] = Field(
        default=(),
        strict=False,
        description="the numbers that it may call as; one that it shows is exactly one of these",
    )
    calls_at_once: int = Field(default=10, ge=1, le=100_000, description="how many of its calls there may be at once")
    calls_per_minute: int = Field(default=10, ge=1, le=100_000, description="how many it may make in any 60 s")
    calls_per_day: int = Field(default=100, ge=1, le=100_000, description="how many it may make in any 24 h")
    max_seconds: int = Field(default=3600, ge=1, le=86_400, description="after how long a call is ended by its node")

    def to_dialing(self) -> Dialing:
        return Dialing(**self.model_dump())


class AppConfig(Section):
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
    dial: DialConfig | None = Field(default=None, description="what it may dial; absent, nothing")

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
            dial=self.dial.to_dialing() if self.dial else None,
            source=source,
        )
        if old and old.key_matches(key):
            return replace(app, key_salt=old.key_salt, key_hash=old.key_hash)
        return app


class WebhooksConfig(Section):
    allow_private_networks: bool = Field(
        default=False, description="whether webhooks may go to loopback and private addresses"
    )


class PlaybackConfig(Section):
    allow_private_networks: bool = Field(
        default=False, description="whether audio may be fetched from loopback and private addresses"
    )
    direct: bool = Field(
        default=False, description="whether nodes fetch audio by themselves, without the relay; see docs/security.md"
    )
    max_file_mb: int = Field(default=64, ge=1, le=4096, description="how large a file may be, in MiB")
    max_seconds: int = Field(default=1800, ge=1, le=86_400, description="how long a file may play")
    fetch_seconds: int = Field(default=30, ge=1, le=35, description="how long a file may take to come")
    min_bytes_per_second: int = Field(
        default=1024, ge=0, le=1 << 20, description="how slowly it may come: so many bytes a second, measured over 5 s"
    )


class MediaConfig(Section):
    listen: Listen = Field(default="127.0.0.1:8090", description="the address on which the audio relay listens")
    advertise: Esl | None = Field(
        default=None, description="host:port under which the nodes reach the audio relay; absent, that of listen"
    )
    cache_mb: int = Field(
        default=1024,
        ge=16,
        le=1 << 20,
        description="how much disk the audio relay may use, in MiB; in [store] data_dir",
    )


class RecordingsConfig(Section):
    allow_private_networks: bool = Field(
        default=False, description="whether recordings may be put to loopback and private addresses"
    )
    max_hours: float = Field(
        default=4.0, gt=0, le=6, strict=False, description="how long a recording may be; then it is stopped"
    )
    keep_hours: float = Field(
        default=72.0, gt=0, le=24 * 365, strict=False, description="for how long a recording can be fetched"
    )
    give_up_hours: float = Field(
        default=72.0,
        gt=0,
        le=24 * 365,
        strict=False,
        description="for how long a recording waits on a node that does not come back",
    )
    max_mb: int = Field(
        default=4096, ge=1, le=4096, description="how large the file of a recording may be that a node sends, in MiB"
    )


class LimitsConfig(Section):
    requests_per_second: int = Field(
        default=100,
        ge=1,
        le=MAX_RATE,
        description="how many requests an app may send a second, without a quota of its own",
    )


class WorkerConfig(Section):
    audit_seconds: float = Field(
        default=30.0, ge=1, le=3600, strict=False, description="how often each node is compared with the store"
    )


class ConsoleConfig(Section):
    enabled: bool = Field(default=True, description="whether the REST API serves the console at /console")
    session_hours: float = Field(
        default=12.0,
        gt=0,
        le=24 * 30,
        strict=False,
        description="after how many hours whoever is logged in has to log in again; after one without a request anyway",
    )
    url: WebhookUrl | None = Field(
        default=None,
        description="where browsers reach the REST API, for links to the console; absent, where a request came to",
    )
    secure: bool = Field(
        default=False,
        description="whether the console's cookie is for HTTPS only, whatever a proxy says; by HTTPS it always is",
    )


class MetricsConfig(Section):
    listen: Listen | None = Field(
        default=None, description="the address on which the process shows its metrics; absent, it shows none"
    )


class TracesConfig(Section):
    collector: WebhookUrl | None = Field(
        default=None,
        description="the collector of OpenTelemetry that spans are sent to, by OTLP over HTTP; absent, there are none",
    )


def _fault_at(place: tuple[str | int, ...], message: str) -> PydanticCustomError:
    """A mistake at a place below the one being checked."""
    return PydanticCustomError(FAULT, "{message}", {"message": message, "place": place})


def _unique(what: str, key: str, values: Callable[[Any], Iterable[str]]) -> Callable[[Any], Any]:
    def check(entries: Any) -> Any:
        seen: set[str] = set()
        for index, entry in enumerate(entries):
            for value in values(entry):
                if value in seen:
                    raise _fault_at((index, key), f"{what} {value} already exists")
                seen.add(value)
        return entries

    return check


class Config(Section):
    """The whole configuration, checked. Build it with `load`."""

    server: ServerConfig = Field(default=ServerConfig(), description="the REST API")
    store: StoreConfig = Field(default=StoreConfig(), description="where everything is kept")
    nodes: Annotated[
        tuple[NodeConfig, ...],
        AfterValidator(_unique("node", "prefix", lambda node: [node.prefix])),
        AfterValidator(_unique("a node at", "esl", lambda node: [node.esl])),
    ] = Field(default=(), strict=False, description="the FreeSWITCH instances")
    apps: Annotated[
        tuple[AppConfig, ...],
        AfterValidator(_unique("app", "id", lambda app: [app.id])),
        AfterValidator(_unique("number", "dids", lambda app: app.dids)),
    ] = Field(default=(), strict=False, description="the tenants")
    gateways: Annotated[
        tuple[GatewayConfig, ...], AfterValidator(_unique("gateway", "name", lambda gateway: [gateway.name]))
    ] = Field(default=(), strict=False, description="where calls that apps make go out")
    webhooks: WebhooksConfig = Field(default=WebhooksConfig(), description="how webhooks are delivered")
    playback: PlaybackConfig = Field(default=PlaybackConfig(), description="how audio is played")
    media: MediaConfig = Field(
        default=MediaConfig(), description="the audio relay, from which nodes get what they play"
    )
    recordings: RecordingsConfig = Field(
        default=RecordingsConfig(), description="recordings of rooms and sessions, which the audio relay keeps"
    )
    limits: LimitsConfig = Field(default=LimitsConfig(), description="how much an app may do")
    worker: WorkerConfig = Field(default=WorkerConfig(), description="how the nodes are looked after")
    console: ConsoleConfig = Field(default=ConsoleConfig(), description="the web console")
    metrics: MetricsConfig = Field(default=MetricsConfig(), description="what a process tells of itself to Prometheus")
    traces: TracesConfig = Field(
        default=TracesConfig(), description="spans of requests and webhooks, for OpenTelemetry"
    )

    def model_post_init(self, _context: Any, /) -> None:
        url = self.store.url
        if self.store.cluster and not url:
            raise _fault_at(("store", "cluster"), "needs a url: the embedded store is no cluster")
        if url and not self.store.cluster and len(each_host(url.get_secret_value())) > 1:
            raise _fault_at(("store", "url"), "several hosts are a cluster's: set cluster = true")
        known = {gateway.name for gateway in self.gateways}
        for index, app in enumerate(self.apps):
            if app.dial and app.dial.gateway not in known:
                raise _fault_at(
                    ("apps", index, "dial", "gateway"), f"gateway {app.dial.gateway} is not in [[gateways]]"
                )
        needed_mb = self.playback.max_file_mb + math.ceil(
            self.playback.max_seconds * DECODED_BYTES_PER_SECOND / MEBIBYTE
        )
        if not self.playback.direct and self.media.cache_mb < needed_mb:
            raise _fault_at(
                ("media", "cache_mb"),
                f"must be at least {needed_mb} to hold one file of [playback] max_file_mb and max_seconds, and what is"
                " decoded of it",
            )

    def to_nodes(self) -> list[Node]:
        return [node.to_node("file") for node in self.nodes]

    def to_gateways(self) -> list[Gateway]:
        return [gateway.to_gateway() for gateway in self.gateways]

    def to_apps(self, known: Iterable[App] = ()) -> list[App]:
        """The file's apps. What `known` has already stays as it is: a key's salt, a secret that was made."""
        stored = {app.id: app for app in known}
        return [app.to_app("file", stored.get(app.id)) for app in self.apps]


def fields_of(section: str) -> dict[str, FieldInfo]:
    """The keys of a section, or of one entry if it is a list. Empty when there is no such section."""
    field = Config.model_fields.get(section)
    if field is None:
        return {}
    models = [field.annotation, *getattr(field.annotation, "__args__", ())]
    model = next(model for model in models if isinstance(model, type) and issubclass(model, BaseModel))
    return model.model_fields
