"""The configuration: what is read, and how mistakes are told."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from controller.limits import QUOTAS
from controller.registry import new_app
from switchroom.config import Config, ConfigError, load
from switchroom.config.lines import find_lines
from switchroom.config.model import fields_of

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WHOLE = f"""\
[server]
listen = "[::1]:9090"
connections = 20
connections_per_address = 5
trusted_proxies = ["10.0.0.7", "2001:db8::/32"]

[store]
url = "redis://user:hidden-word@127.0.0.1:6379/0"
cluster = true

[[nodes]]
prefix = "acW68"
esl = "127.0.0.1:8021"
password = "esl-password"
sip = "127.0.0.1:5060"
bridge = "10.0.0.5:5091"
profile = "wideband"
weight = 3
capacity = 500
region = "eu-west"
hold_music = "local_stream://moh"

[[nodes]]
prefix = "Zz999"
esl = "[2001:db8::1]:8021"
password = "another"

[[apps]]
id = "demo"
api_key = "the-api-key-of-demo"
webhook_url = "http://127.0.0.1:9000/hooks"
webhook_secret = "{SECRET}"
dids = [
    "747713001",
    "747713002",
]
quotas = {{ rooms = 5 }}

[webhooks]
allow_private_networks = true

[playback]
allow_private_networks = true

[limits]
requests_per_second = 7
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "switchroom.toml"


def read(file: Path, text: str, **environ: str) -> Config:
    file.write_text(text)
    return load(file, environ)


def mistakes(file: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(file, text, **environ)
    return str(caught.value).splitlines()


def test_everything_can_be_set(file: Path) -> None:
    config = read(file, WHOLE)
    assert config.to_apps()[0].quotas == {**QUOTAS, "rooms": 5}
    assert config.server.listen == "[::1]:9090"
    assert (config.server.connections, config.server.connections_per_address) == (20, 5)
    assert config.server.trusted_proxies == ("10.0.0.7", "2001:db8::/32")
    assert config.store.cluster is True
    assert config.limits.requests_per_second == 7
    assert (config.webhooks.allow_private_networks, config.playback.allow_private_networks) == (True, True)
    first, second = config.to_nodes()
    assert (first.prefix, first.password, first.sip, first.profile, first.source) == (
        "acW68",
        "esl-password",
        "127.0.0.1:5060",
        "wideband",
        "file",
    )
    assert (first.bridge_address, first.weight, first.capacity, first.region) == ("10.0.0.5:5091", 3, 500, "eu-west")
    assert (first.hold_music, second.hold_music) == ("local_stream://moh", "")
    assert (second.host, second.port, second.profile) == ("2001:db8::1", 8021, "default")
    assert (second.bridge_address, second.weight, second.capacity, second.region) == ("[2001:db8::1]:5090", 1, 0, "")
    (app,) = config.to_apps()
    assert app.key_matches("the-api-key-of-demo")
    assert (app.dids, app.webhook_secret, app.source) == (("747713001", "747713002"), SECRET, "file")


def test_nothing_needs_to_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load(None, {})
    assert (config.server.listen, config.store.url, config.nodes) == ("127.0.0.1:8080", None, ())


def test_the_usual_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "switchroom.toml").write_text('[server]\nlisten = "127.0.0.1:1"\n')
    monkeypatch.chdir(tmp_path)
    assert load(None, {}).server.listen == "127.0.0.1:1"


def test_a_file_that_was_named_must_be_there(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*switchroom\.toml"):
        load(file, {})


def test_a_data_dir_is_relative_to_its_file(file: Path) -> None:
    assert read(file, '[store]\ndata_dir = "here"\n').store.data_dir == file.parent / "here"
    assert read(file, '[store]\ndata_dir = "/there"\n').store.data_dir == Path("/there")
    assert read(file, "").store.data_dir == file.parent / "data"
    assert read(file, "[store]\ncluster = false\n").store.data_dir == file.parent / "data"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('[server]\n\nlisten = "localhost"\n', 3, "listen: must be host:port"),
        ('[server]\nlisten = "127.0.0.1:65536"\n', 2, "must be host:port"),
        ("[server]\nlisten = 8080\n", 2, "must be text in quotes"),
        ('[server]\nlisen = "127.0.0.1:1"\n', 2, 'has no key "lisen": did you mean "listen"?'),
        ("[sever]\n", 1, 'has no key "sever": did you mean "server"?'),
        ('[limits]\nrequests_per_second = "2"\n', 2, "must be a whole number"),
        ("[limits]\nrequests_per_second = true\n", 2, "must be a whole number"),
        ("[limits]\nrequests_per_second = 0\n", 2, "must be at least 1"),
        ('[webhooks]\nallow_private_networks = "no"\n', 2, "must be true or false"),
        ("limits.requests_per_second = 0\n", 1, "must be at least 1"),
        ('[store]\nurl = "http://127.0.0.1"\n', 2, "must be a URL that begins with redis://"),
        ('[store]\nurl = "redis://a:1,b:x"\ncluster = true\n', 2, "must be a URL that begins with redis://"),
        ('[store]\nurl = "redis://a:1,b:2"\n', 2, "several hosts are a cluster's: set cluster = true"),
        ("[store]\nmax_memory_mb = 127\n", 2, "must be at least 128"),
        ("[store]\ncluster = true\n", 2, "the embedded store is no cluster"),
        (
            "[media]\ncache_mb = 228\n",
            2,
            "must be at least 229 to hold one file of [playback] max_file_mb and max_seconds",
        ),
        ("[media]\ncache_mb = 80\n[playback]\nmax_seconds = 180\n", 2, "must be at least 81 to hold one file"),
        ("[media]\n[playback]\nmax_file_mb = 860\n", 1, "must be at least 1025 to hold one file"),
        (
            '[[gateways]]\nname = "a"\nhost = "192.0.2.1"\nprofile = "bridge"\n',
            4,
            "bridge is the profile of calls between nodes, and takes no other",
        ),
        ("server = 4\n", 1, "must be a table"),
        ("nodes = 4\n", 1, "must be a list"),
        ('[[nodes]]\nprefix = "abcd"\nesl = "a:1"\npassword = "x"\n', 2, "exactly 5 letters and digits"),
        ('[[nodes]]\nprefix = "abcd\\n"\nesl = "a:1"\npassword = "x"\n', 2, "exactly 5 letters and digits"),
        ('[[nodes]]\nprefix = "abcde"\nesl = "a:0"\npassword = "x"\n', 3, "must be host:port"),
        ('[[nodes]]\nprefix = "abcde"\nesl = "::1:8021"\npassword = "x"\n', 3, "must be host:port"),
        ('\n[[nodes]]\nprefix = "abcde"\nesl = "a:1"\n', 2, "password: is missing"),
        ('[[apps]]\nid = "a b"\napi_key = "0123456789abcdef"\n', 2, "letters, digits"),
        ('[[apps]]\nid = "a"\napi_key = ""\n', 3, "must be 16 to 256 ASCII"),
        ('[[apps]]\nid = "a"\napi_key = "0123456789abcde"\n', 3, "api_key: must be 16 to 256 ASCII"),
        ('[[apps]]\nid = "a"\napi_key = "0123456789 abcdef"\n', 3, "api_key: must be 16 to 256 ASCII"),
        ('[server]\ntrusted_proxies = [\n"10.0.0.0/8", "10.0.0.1/8"]\n', 2, "must be an address or a network"),
        ("[server]\nconnections = 9\n", 2, "must be at least 10"),
        ('[[apps]]\nid = "a"\napi_key = "0123456789abcdef"\nwebhook_url = "ftp://a"\n', 4, "must be a URL"),
        ('[[apps]]\nid = "a"\napi_key = "0123456789abcdef"\nwebhook_url = "http://"\n', 4, "must be a URL"),
        ('[[apps]]\nid = "a"\napi_key = "0123456789abcdef"\nwebhook_secret = "whsec_***"\n', 4, "and then base64"),
        ('[[apps]]\nid = "a"\napi_key = "0123456789abcdef"\nwebhook_secret = "c2VjcmV0"\n', 4, "and then base64"),
        ('[[apps]]\nid = "a"\napi_key = "0123456789abcdef"\ndids = [\n  "1",\n  2,\n]\n', 4, "must be text in quotes"),
        (
            '[[apps]]\nid = "a"\napi_key = "0123456789abcdef"\nquotas = { chairs = 4 }\n',
            4,
            "chairs is no quota; there are rooms,",
        ),
        (
            '[[apps]]\nid = "a"\napi_key = "0123456789abcdef"\nquotas = { rooms = -1 }\n',
            4,
            "rooms must be zero or more",
        ),
        (
            '[[apps]]\nid = "a"\napi_key = "0123456789abcdef"\nquotas = { rooms = 99999999999999999999 }\n',
            4,
            "rooms must be at most 9007199254740991",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line(file: Path, text: str, line: int, words: str) -> None:
    (told,) = mistakes(file, text)
    assert f"switchroom.toml, line {line}: " in told
    assert words in told


def test_without_the_relay_its_cache_may_be_small(file: Path) -> None:
    assert read(file, "[playback]\ndirect = true\n[media]\ncache_mb = 16\n").media.cache_mb == 16


def test_all_mistakes_are_told_at_once_and_what_the_keys_are_for(file: Path) -> None:
    told = mistakes(file, '[server]\nlisten = "x"\n[limits]\nrequests_per_second = 0\n')
    assert len(told) == 2
    assert "(the address on which the REST API listens)" in told[0]


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('"Zz999"', '"acW68"', 24, "node acW68 already exists"),
        ('"[2001:db8::1]:8021"', '"127.0.0.1:8021"', 25, "a node at 127.0.0.1:8021 already exists"),
        ('"747713002"', '"747713001"', 33, "number 747713001 already exists"),
    ],
)
def test_what_must_be_unique_is(file: Path, old: str, new: str, line: int, words: str) -> None:
    (told,) = mistakes(file, WHOLE.replace(old, new))
    assert words in told
    assert f"line {line}:" in told


def test_an_app_that_stands_twice_is_told(file: Path) -> None:
    text = '[[apps]]\nid = "a"\napi_key = "0123456789abcdef"\n[[apps]]\nid = "a"\napi_key = "0123456789abcdef"\n'
    (told,) = mistakes(file, text)
    assert "line 5: [apps] id: app a already exists" in told


def test_toml_that_is_none_is_told_with_its_line(file: Path) -> None:
    (told,) = mistakes(file, "[server]\nlisten = \n")
    assert "not valid TOML" in told
    assert "line 2" in told


def test_the_environment_sets_every_key(file: Path) -> None:
    config = read(
        file,
        WHOLE,
        SWITCHROOM_SERVER__LISTEN="0.0.0.0:80",
        SWITCHROOM_STORE__CLUSTER="false",
        SWITCHROOM_LIMITS="{}",
        SWITCHROOM_LIMITS__REQUESTS_PER_SECOND="9",
        SWITCHROOM_NODES='[{"prefix": "other", "esl": "a:1", "password": "x"}]',
        SWITCHROOM_APPS="[]",
        SWITCHROOM_CONFIG="elsewhere",
        SWITCHROOM_PORT="tcp://10.0.0.1:8080",
    )
    assert config.server.listen == "0.0.0.0:80"
    assert config.store.cluster is False
    assert config.limits.requests_per_second == 9
    assert [node.prefix for node in config.nodes] == ["other"]
    assert config.apps == ()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SWITCHROOM_SERVER__LISTEN", "x", "must be host:port"),
        ("SWITCHROOM_SERVER__LISEN", "x", 'did you mean "listen"?'),
        ("SWITCHROOM_SEVER__LISTEN", "x", 'has no key "sever"'),
        ("SWITCHROOM_LIMITS__REQUESTS_PER_SECOND", "many", "must be a whole number"),
        ("SWITCHROOM_WEBHOOKS__ALLOW_PRIVATE_NETWORKS", "maybe", "must be true or false"),
        ("SWITCHROOM_NODES", "acW68", "is not valid JSON"),
        ("SWITCHROOM_NODES", '[{"prefix": "acW68", "password": "x"}]', "esl: is missing"),
        ("SWITCHROOM_NODES__ESL", "x", "set it as a whole"),
    ],
)
def test_a_mistake_in_the_environment_names_its_variable(file: Path, name: str, value: str, words: str) -> None:
    (told,) = mistakes(file, WHOLE, **{name: value})
    assert told.startswith(name)
    assert words in told


def test_secrets_are_shown_nowhere(file: Path) -> None:
    config = read(file, WHOLE)
    shown = repr(config) + str(config) + config.store.shown_url
    for secret in ("hidden-word", "esl-password", "the-api-key-of-demo", SECRET):
        assert secret not in shown
    assert config.store.shown_url == "redis://127.0.0.1:6379/0"
    broken = WHOLE.replace('esl-password"', 'esl-\\u0007password"').replace("the-api-key-of-demo", "the api-key")
    told = "\n".join(mistakes(file, broken.replace(SECRET, "whsec_not!base64")))
    assert told.count("line") == 3
    assert not re.search("password\x07|the api-key|not!base64", told)


def test_a_key_of_the_file_cannot_act_on_the_terminal(file: Path) -> None:
    (told,) = mistakes(file, '[server]\n"\\u001b[2J" = 1\n')
    assert "\x1b" not in told


def test_an_unchanged_key_keeps_its_salt(file: Path) -> None:
    config = read(file, WHOLE)
    (known,) = config.to_apps()
    assert config.to_apps([known]) == [known]
    (changed,) = config.to_apps([new_app("demo", "an older key")])
    assert changed.key_matches("the-api-key-of-demo")


def test_a_secret_that_the_file_leaves_open_stays_as_it_is_stored(file: Path) -> None:
    config = read(file, '[[apps]]\nid = "demo"\napi_key = "0123456789abcdef"\n')
    known = new_app("demo", "0123456789abcdef", webhook_secret=SECRET, source="file")
    assert config.to_apps([known]) == [known]


def test_lines_are_found_where_toml_is_not_plain() -> None:
    text = (
        "# [no]\n"
        "a.b = 1\n"
        'long = """\n'
        "[not.a.table]\n"
        'x = 1"""\n'
        '[ table . "inner" ]\n'
        "'quoted' = 2\n"
        "[[list]]\n"
        "x = [\n"
        '  "y = 1",\n'
        "]\n"
        "[list.sub]\n"
        "[[list]]\n"
        "x = 2\n"
    )
    assert find_lines(text) == {
        ("a",): 2,
        ("a", "b"): 2,
        ("long",): 3,
        ("table", "inner"): 6,
        ("table", "inner", "quoted"): 7,
        ("list", 0): 8,
        ("list", 0, "x"): 9,
        ("list", "sub"): 12,
        ("list", 1): 13,
        ("list", 1, "x"): 14,
    }


def test_the_documentation_names_every_key() -> None:
    text = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    for section, field in Config.model_fields.items():
        assert f"`[{section}]`" in text or f"`[[{section}]]`" in text, section
        assert field.description
        for key, described in fields_of(section).items():
            assert f"| `{key}` |" in text, f"{section}.{key}"
            assert described.description in text, f"{section}.{key}"


@pytest.mark.parametrize("document", ["README.md", "docs/configuration.md"])
def test_the_example_of_a_document_is_accepted(file: Path, document: str) -> None:
    text = (Path(__file__).parents[2] / document).read_text()
    block = re.search(r"^( *)\[\[nodes\]\]\n(\1.*\n|\n)*?.*dids = .*\n", text, re.MULTILINE)
    assert block
    config = read(file, textwrap.dedent(block[0]))
    assert (config.nodes[0].prefix, config.apps[0].dids) == ("acW68", ("747713001",))
