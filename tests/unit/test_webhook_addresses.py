"""Which addresses count as public: the table of ranges against a table of examples."""

from __future__ import annotations

import shutil
import subprocess
import sys
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.outbound.addresses import NOT_PUBLIC_V4, is_public, literal, refusal

PRIVATE_V4 = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255",
    "127.0.0.1", "127.255.255.254", "161.26.0.7", "161.26.255.255", "166.8.0.1", "166.11.255.255", "168.63.129.16", "169.254.0.1", "169.254.169.254", "169.254.170.2", "172.16.0.1",
    "172.31.255.255", "192.0.0.1", "192.0.0.9", "192.0.0.170", "192.0.0.192", "192.0.2.1", "192.88.99.1",
    "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "239.255.255.255", "240.0.0.1", "255.255.255.255",
]  # fmt: skip
PUBLIC_V4 = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
    "128.0.0.0", "161.25.255.255", "161.27.0.0", "166.7.255.255", "166.12.0.0", "168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255",
    "192.0.1.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
]  # fmt: skip
PRIVATE_V6 = [
    "::", "::1", "::2", "::7f00:1", "::808:808", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0:7f00:1",
    "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::a00:1", "100::1", "100:0:0:1::1", "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1",
    "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:808:808::1", "3ffe::1", "3fff::1", "4000::1", "5f00::1",
    "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1",
]  # fmt: skip
PUBLIC_V6 = [
    "2001:4860:4860::8888", "2606:4700:4700::1111", "2a00:1450:4001:80b::200e", "2003::1", "3ffd::1",
    "::ffff:8.8.8.8",
]  # fmt: skip
NO_ADDRESS = ["", "localhost", "127.1", "0x7f000001", "2130706433", "010.0.0.1", "1.2.3", "1.2.3.4:80", "[::1]", "::g"]


@pytest.mark.parametrize("address", [*PRIVATE_V4, *PRIVATE_V6, *NO_ADDRESS])
def test_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", [*PUBLIC_V4, *PUBLIC_V6])
def test_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("network", NOT_PUBLIC_V4, ids=str)
def test_a_range_from_its_first_to_its_last_address(network: object) -> None:
    assert not is_public(str(network[0]))  # type: ignore[index]
    assert not is_public(str(network[-1]))  # type: ignore[index]


OWN = """
from controller.outbound.addresses import is_public
print(*map(is_public, ("8.8.4.4", "::ffff:8.8.4.4", "8.8.8.8", "2a00::5", "2a00::6")))
"""
NAMESPACE = ["unshare", "--map-root-user", "--net"]


@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run([*NAMESPACE, "true"], check=False, capture_output=True).returncode,
    reason="no network namespace can be made",
)
def test_the_host_s_own_addresses_are_not_public() -> None:
    """In a network of its own, in which there is nothing but a loopback interface."""
    # Without nodad the kernel takes a moment to make an IPv6 address usable.
    addresses = "ip link set lo up; ip address add 8.8.4.4/32 dev lo; ip address add 2a00::5/128 dev lo nodad"
    script = f'{addresses}; exec "$0" -c "$1"'
    said = subprocess.run(
        [*NAMESPACE, "sh", "-c", script, sys.executable, OWN], check=True, capture_output=True, text=True
    )
    assert said.stdout.split() == ["False", "False", "True", "False", "True"]


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_never_more_than_the_standard_library_lets_through(address: IPv4Address) -> None:
    assert address.is_global or not is_public(str(address))


@given(st.integers(0, 2**128 - 1).map(IPv6Address))
def test_of_ipv6_only_global_unicast(address: IPv6Address) -> None:
    mapped = address.ipv4_mapped
    allowed = mapped.is_global if mapped else (address.is_global and int(address) >> 125 == 1)
    assert allowed or not is_public(str(address))


@given(st.integers(0, 2**32 - 1))
def test_no_way_of_carrying_an_ipv4_address_makes_it_public(number: int) -> None:
    for prefix in ("::", "64:ff9b::", "64:ff9b:1::", "::ffff:0:0"):
        base = int(IPv6Address(prefix if prefix != "::ffff:0:0" else "::ffff:0:0:0"))
        assert not is_public(str(IPv6Address(base | number)))
    assert not is_public(str(IPv6Address((0x2002 << 112) | (number << 80))))
    mapped = IPv6Address(0xFFFF << 32 | number)
    assert is_public(str(mapped)) == is_public(str(IPv4Address(number)))


LOOPBACK = [
    "127.0.0.1", "127.1", "127.0.1", "0x7f000001", "0x7f.0x0.0x0.0x1", "0x7f.1", "2130706433", "017700000001", "0177.0.0.1",
    "0177.1", "127.0.0.1.", "[::1]", "::1", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]", "0", "0.0.0.0", "[::]",
]  # fmt: skip
NAMES_INSIDE = [
    "localhost", "LocalHost", "localhost.", "a.localhost", "printer.local", "metadata.google.internal", "x.INTERNAL.",
    "host.localdomain", "nas.home.arpa",
]  # fmt: skip
ALMOST_ADDRESSES = ["256.1.1.1", "08.8.8.8", "1.2.3.4.5", "0x7f.1.1.1.1", "a.123", "a.0x7f", "99999999999"]


@pytest.mark.parametrize("host", [*LOOPBACK, *NAMES_INSIDE, *ALMOST_ADDRESSES, *PRIVATE_V4])
def test_hosts_that_lead_inside(host: str) -> None:
    assert refusal(host)


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "local.example.com",
        "mylocalhost",
        "internal.example",
        "8.8.8.8",
        "0x08080808",
        "134744072",
        "a.1b",
    ],
)
def test_hosts_that_nothing_speaks_against(host: str) -> None:
    assert refusal(host) is None


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_an_address_is_the_same_in_every_notation(address: IPv4Address) -> None:
    number, (a, b, c, d) = int(address), address.packed
    notations = [str(number), hex(number), f"0{number:o}", f"{a}.{number & 0xFFFFFF}", f"{a}.{b}.{(c << 8) | d}"]
    notations += [".".join(f"0{part:o}" for part in (a, b, c, d)), ".".join(map(hex, (a, b, c, d)))]
    for notation in notations:
        assert literal(notation) == str(address)
        assert bool(refusal(notation)) != is_public(str(address))


@given(st.text(max_size=40))
def test_any_text_is_judged(host: str) -> None:
    refusal(host)
