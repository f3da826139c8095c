"""What of a tenant's URL is connected to and sent, and which URLs are refused."""

from __future__ import annotations

import pytest

from controller.outbound.target import parse_url

# Signatures over a URL hold only while no byte of it changes.
SENT_AS_IT_IS = [
    "//a/../b/./c;d=1/",
    "/-._~!$&'()*+,;=:@",
    "/?-._~!$&'()*+,;=:@/?",
    "/%2f%2F%C3%bc%zz%",
    "/a?b=%2B+%20&&=&b",
]


@pytest.mark.parametrize(
    ("url", "host", "port", "authority", "path"),
    [
        ("http://example.com", "example.com", 80, "example.com", "/"),
        ("https://Example.com/a?b=c#d", "example.com", 443, "example.com", "/a?b=c"),
        ("http://example.com:8080/a/", "example.com", 8080, "example.com:8080", "/a/"),
        ("https://[2001:db8::1]:8443/x", "2001:db8::1", 8443, "[2001:db8::1]:8443", "/x"),
        ("https://bücher.example/ü", "xn--bcher-kva.example", 443, "xn--bcher-kva.example", "/%C3%BC"),
        ("http://127.1/", "127.1", 80, "127.1", "/"),
        ("http://a.example/?", "a.example", 80, "a.example", "/?"),
        ("http://a.example?a=b?c#d?e", "a.example", 80, "a.example", "/?a=b?c"),
        *[("http://a.example" + sent, "a.example", 80, "a.example", sent) for sent in SENT_AS_IT_IS],
    ],
)
def test_urls(url: str, host: str, port: int, authority: str, path: str) -> None:
    target = parse_url(url)
    assert (target.host, target.port, target.authority, target.path) == (host, port, authority, path)


@pytest.mark.parametrize(
    "url",
    [
        "", "example.com", "ftp://example.com/", "file:///etc/passwd", "http://", "http:///path", "http://a b/",
        "http://user:secret@example.com/", "http://@example.com/", "http://example.com/\r\nX: y",
        "http://example.com:99999/", "http://example.com:x/", "http://" + "a" * 64 + ".example/", "http://[::1",
        "http://" + "a." * 127 + "a/", "http://" + "ü" * 64 + "/",
        "http://[fe80::1%ü]/",
    ],
)  # fmt: skip
def test_bad_urls(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(has|is) ") as caught:
        parse_url(url)
    assert "secret" not in str(caught.value)
