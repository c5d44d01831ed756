"""Where messages may go, and where whoever names a URL might like them to go."""

import socket
from typing import Any

import pytest

from webhooks.addresses import Target, read_url, resolve
from webhooks.errors import DestinationRefused, WebhookUrlInvalid

PRIVATE = [
    "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",  # noqa: S104
    "255.255.255.255", "224.0.0.1", "240.0.0.1", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fc00::1",
    "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::a00:1", "2002:7f00:1::", "2001:0:7f00:1::", "2001:db8::1",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1"]


def read(url: str, *, must_be_secure: bool = False, allow_private: bool = False) -> Target:
    return read_url(url, must_be_secure=must_be_secure, allow_private=allow_private)


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_of_the_open_internet_is_refused(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(WebhookUrlInvalid):
        read(f"https://{host}/")
    assert read(f"https://{host}/", allow_private=True).host == address


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_taken(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    assert read(f"https://{host}/").host == address


@pytest.mark.parametrize(
    "url",
    [
        "", "/hooks", "hooks.example.com", "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/",
        "javascript:alert(1)", "https://", "https:///hooks", "https://user@example.com/", "https://a:b@example.com/",
        "https://example.com:0/", "https://example.com:99999/", "https://example.com:x/", "https://exa mple.com/",
        "https://example.com/\r\nHost: other", "https://example.com/\t", "https://example.com\\@127.0.0.1/",
        "https://exämple.com/", "https://localhost/", "https://LOCALHOST./", "https://api.localhost/",
        "https://[::1/", "https://[fe80::1%25eth0]/", "https://%6c%6f/", "https://example.com/" + "x" * 2048,
    ],
)  # fmt: skip
def test_hostile_urls_are_refused(url: str) -> None:
    with pytest.raises(WebhookUrlInvalid):
        read(url)


def test_in_live_mode_messages_go_by_https() -> None:
    assert not read("http://example.com/").is_secure
    with pytest.raises(WebhookUrlInvalid):
        read("http://example.com/", must_be_secure=True)


def test_a_url_is_taken_apart() -> None:
    target = read("https://Hooks.example.com:8443/a/b?c=d#e")

    assert target == Target(is_secure=True, host="hooks.example.com", port=8443, path="/a/b?c=d")
    assert target.host_header == "hooks.example.com:8443"
    assert read("https://example.com").host_header == "example.com"
    assert read("https://example.com").path == "/"


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0"])
def test_odd_spellings_of_loopback_are_found_out_when_they_are_resolved(host: str) -> None:
    with pytest.raises(DestinationRefused):
        resolve(Target(is_secure=False, host=host, port=80, path="/"), allow_private=False)


def answering(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_a_name_that_stands_for_a_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    target = read("https://rebound.example.com/")
    answering(monkeypatch, "1.1.1.1", "10.0.0.1")
    with pytest.raises(DestinationRefused):
        resolve(target, allow_private=False)
    assert resolve(target, allow_private=True) == ["1.1.1.1", "10.0.0.1"]
    answering(monkeypatch, "1.1.1.1", "1.1.1.1")
    assert resolve(target, allow_private=False) == ["1.1.1.1"]


def test_a_name_that_stands_for_nothing_is_refused() -> None:
    for host in ("nothing.invalid", "a" * 64 + ".example.com"):
        with pytest.raises(DestinationRefused):
            resolve(Target(is_secure=True, host=host, port=443, path="/"), allow_private=False)
